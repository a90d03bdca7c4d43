"""The captioning tab in a real browser: choose a picture, look at each word's fog, and be told what is wrong."""

import io

import pytest
from PIL import Image, ImageChops, ImageStat

from .test_browser import at_one_width, browser, context, page, pytestmark  # noqa: F401  the same wish that nothing fails

FIRST, SECOND = "#gaze .gaze-word >> nth=0", "#gaze .gaze-word >> nth=1"


@pytest.fixture
def tab(page):  # noqa: F811
    """Open the tab."""
    page.click("role=tab[name=Captioning]")
    page.wait_for_selector("#samples img")
    return page


def choose_example(tab, index=0):
    tab.click(f"#samples button >> nth={index}")
    tab.wait_for_selector("#gaze .gaze")


def caption(tab):
    return [word for word in tab.locator("#gaze .gaze-word").all_inner_texts() if word != "⏎"]


def wait_until_chosen(tab, index):
    """Wait until this word is chosen, and its fog and its sentence, and no others, have come up entirely."""
    tab.mouse.move(0, 0)
    tab.wait_for_function(
        """index => {
            const only = (selector, shown) => [...document.querySelectorAll(selector)].every(
                (one, place) => Math.abs(getComputedStyle(one).opacity - (place === index ? shown : 0)) < 0.001);
            return document.querySelectorAll("#gaze input")[index].checked
                && only("#gaze .gaze-picture .gaze-fog", 0.82) && only("#gaze .gaze-said > span", 1);
        }""",
        arg=index,
    )


def photograph(tab):
    """Take the picture with its fog, always at the same place of the window: elsewhere it is rounded otherwise."""
    tab.evaluate(
        "document.querySelector('#gaze .gaze-picture').scrollIntoView({ block: 'start', behavior: 'instant' })"
    )
    return Image.open(io.BytesIO(tab.locator("#gaze .gaze-picture").screenshot())).convert("RGB")


def difference(one, other):
    """Return the mean difference of two photographs, 0 to 255."""
    return sum(ImageStat.Stat(ImageChops.difference(one, other)).mean) / 3


def upload(tab, content, name="file.jpg"):
    tab.set_input_files("#source-picture input[type=file]", {"name": name, "mimeType": "image/jpeg", "buffer": content})
    tab.wait_for_selector("#source-picture img")
    tab.click("#caption")


def test_an_example_is_captioned_and_each_word_shows_what_it_looked_at(tab):
    choose_example(tab)
    assert len(caption(tab)) > 2
    assert tab.locator("#gaze .gaze-frame").count() == tab.locator("#gaze .gaze-word").count()
    wait_until_chosen(tab, 0)
    before = photograph(tab)
    tab.click(SECOND)
    wait_until_chosen(tab, 1)
    change = difference(before, photograph(tab))
    assert change > 0.5
    tab.click(FIRST)
    wait_until_chosen(tab, 0)
    assert difference(before, photograph(tab)) < change / 5
    tab.click("#gaze .gaze-frame >> nth=1")
    wait_until_chosen(tab, 1)


def test_the_answer_comes_into_view_and_the_keyboard_chooses_words(tab):
    choose_example(tab)
    tab.wait_for_function(
        "() => document.querySelector('#gaze .gaze-word').getBoundingClientRect().top < innerHeight * 0.7"
    )
    tab.focus("#gaze input:checked")
    tab.keyboard.press("ArrowRight")
    wait_until_chosen(tab, 1)
    tab.keyboard.press("ArrowLeft")
    wait_until_chosen(tab, 0)


def test_pointing_at_a_word_is_enough_for_a_look(tab):
    choose_example(tab)
    tab.hover(SECOND)
    tab.wait_for_function(
        "getComputedStyle(document.querySelectorAll('#gaze .gaze-picture .gaze-fog')[1]).opacity > 0.5"
    )
    wait_until_chosen(tab, 0)  # and the pointer gone, the chosen word's again


def test_another_caption_brings_its_own_words(tab):
    choose_example(tab)
    first = caption(tab)
    label = tab.inner_text("#captions label:nth-of-type(3)").strip()
    tab.click("#captions label:nth-of-type(3)")
    tab.wait_for_function(
        "first => [...document.querySelectorAll('#gaze .gaze-word')].map(word => word.innerText).join(' ') != first",
        arg=" ".join([*first, "⏎"]),
    )
    assert label.startswith(f"3. {' '.join(caption(tab))} (")


def test_an_upload_stands_upright_and_a_mistake_loses_nothing(tab):
    tab.click("#caption")
    tab.wait_for_selector("#caption-message [role=alert] >> text=got none")
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (300, 200), "red").save(file, "JPEG", exif=exif)
    upload(tab, file.getvalue())
    tab.wait_for_selector("#gaze .gaze")
    tab.wait_for_selector("#caption-message .message", state="detached")
    width, height = photograph(tab).size
    assert width / height == pytest.approx(200 / 300, abs=0.01)
    words = caption(tab)
    tab.click("#source-picture [aria-label='Remove Image']")
    tab.click("#caption")
    tab.wait_for_selector("#caption-message [role=alert] >> text=got none")
    assert caption(tab) == words


@at_one_width
def test_a_program_for_it(tab, running_app):
    tab.click("#caption-programs >> text=Use via API")
    tab.wait_for_selector(f"text={running_app.address}/models/show-attend-tell-flickr8k")
    assert "--data-binary @picture.jpg" in tab.inner_text("#caption-programs")
