"""The listening tab in a real browser: choose a clip, see what was heard when, hear it, and be told what is wrong."""

import json
import urllib.request

import pytest

from demo.examples import read_samples

from .test_browser import at_one_width, browser, context, page, pytestmark  # noqa: F401  the same wish that nothing fails

CLIP = read_samples(".flac")[0]
WORDS = "#ctc-drawing .heard-word"
PLAYER = "document.querySelector('#ctc-player audio')"


@pytest.fixture
def tab(page):  # noqa: F811
    """Open the tab."""
    page.click("role=tab[name=Listening]")
    page.wait_for_selector("#ctc-examples button")
    return page


def upload(tab, content, name="clip.flac"):
    tab.set_input_files(
        "#source-recording input[type=file]", {"name": name, "mimeType": "audio/flac", "buffer": content}
    )
    tab.wait_for_selector("#source-recording .waveform-container")
    tab.click("#transcribe")


def choose_example(tab, index=0):
    tab.click(f"#ctc-examples button >> nth={index}")
    tab.wait_for_selector("#ctc-drawing .heard")


def heard(tab):
    return tab.locator(f"{WORDS} b").all_inner_texts()


def wait_until_played(tab, word):
    """Wait until the player has been from a word's beginning to its end, and stands there."""
    start, end = float(word.get_attribute("data-from")), float(word.get_attribute("data-to"))
    tab.wait_for_function(f"([start, end]) => {PLAYER}.paused && {PLAYER}.currentTime > start", arg=[start, end])
    assert end - 0.02 <= tab.evaluate(f"{PLAYER}.currentTime") < end + 0.5


def test_an_upload_is_written_down_with_times_and_its_words_are_played(tab, running_app):
    address = f"{running_app.address}/models/blstm-ctc-an4?return_evidence=true"
    request = urllib.request.Request(address, CLIP.path.read_bytes(), {"Content-Type": "audio/flac"})
    with urllib.request.urlopen(request) as response:
        expected = json.load(response)
    upload(tab, CLIP.path.read_bytes())
    tab.wait_for_selector("#ctc-drawing .heard")
    assert " ".join(heard(tab)) == expected["text"]
    for word, chunk in zip(tab.locator(WORDS).all(), expected["chunks"], strict=True):
        start, end = chunk["timestamp"]
        assert f"{start:.2f} to {end:.2f} seconds" in word.get_attribute("title")
    word = tab.locator(WORDS).nth(1)
    word.click()
    wait_until_played(tab, word)
    assert tab.inner_text("#ctc-drawing .heard-said") == word.get_attribute("title")


def test_the_keyboard_plays_words_and_a_touch_on_the_picture_plays_from_there(tab):
    choose_example(tab, 1)
    tab.focus(f"{WORDS} >> nth=0")
    tab.keyboard.press("Tab")
    tab.keyboard.press("Enter")
    word = tab.locator(WORDS).nth(1)
    assert word.evaluate("word => word === document.activeElement")
    wait_until_played(tab, word)
    tab.locator(".heard-paper").click(position={"x": 2, "y": 20})
    tab.wait_for_function(f"!{PLAYER}.paused && {PLAYER}.currentTime > 0.05 && {PLAYER}.currentTime < 1.5")
    tab.wait_for_function("Number(document.querySelector('.heard-paper').style.getPropertyValue('--now')) > 0")


def test_a_long_picture_scrolls_inside_its_own_box(tab):
    choose_example(tab, 3)
    visible, whole = tab.eval_on_selector("#ctc-drawing .heard-box", "box => [box.clientWidth, box.scrollWidth]")
    assert whole > visible
    words = tab.locator(WORDS)
    words.last.click()
    tab.wait_for_function("document.querySelector('#ctc-drawing .heard-box').scrollLeft > 0")


def test_the_answer_comes_into_view_and_another_transcript_brings_its_own_words(tab):
    choose_example(tab, 1)
    tab.wait_for_function(
        "() => document.querySelector('#ctc-drawing .heard-word').getBoundingClientRect().top < innerHeight * 0.7"
    )
    first, address = heard(tab), tab.evaluate(f"{PLAYER}.src")
    label = tab.inner_text("#transcripts label:nth-of-type(2)").strip()
    tab.click("#transcripts label:nth-of-type(2)")
    tab.wait_for_function(
        "first => [...document.querySelectorAll('#ctc-drawing .heard-word b')].map(word => word.innerText).join(' ')"
        " != first",
        arg=" ".join(first),
    )
    assert label.startswith(f"2. {' '.join(heard(tab))} (")
    assert tab.evaluate(f"{PLAYER}.src") == address


@at_one_width
def test_a_mistake_is_explained_and_nothing_is_lost(tab):
    tab.click("#transcribe")
    tab.wait_for_selector("#ctc-message [role=alert] >> text=got none")
    choose_example(tab)
    tab.wait_for_selector("#ctc-message .message", state="detached")
    words = heard(tab)
    tab.fill("#ctc-hot-words input, #ctc-hot-words textarea", "ÿ")
    tab.press("#ctc-hot-words input, #ctc-hot-words textarea", "Enter")
    tab.wait_for_selector("#ctc-message [role=alert] >> text=hot_words must be")
    assert heard(tab) == words


@at_one_width
def test_a_program_for_it(tab, running_app):
    tab.fill("#ctc-hot-words input, #ctc-hot-words textarea", "enter, stop")
    tab.click("#ctc-programs >> text=Use via API")
    tab.wait_for_selector(f"text={running_app.address}/models/blstm-ctc-an4")
    assert "hot_words=['enter', 'stop']" in tab.inner_text("#ctc-programs")
