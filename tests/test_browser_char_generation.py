"""The writing tab in a real browser: watch it write, stop it, look into it, go on by hand, and run the programs."""

import os
import subprocess
import sys

import pytest

from .conftest import ROOT
from .test_browser import browser, context, page, pytestmark, type_number  # noqa: F401  as there

TEXT, FIRST_CHARACTER = "#char-text .char-text", "#char-text .char-text > * >> nth=0"
DONE = "#char-next button"
LENGTH = "(document.querySelector('#char-text .char-text')?.textContent.length ?? 0)"


@pytest.fixture
def tab(page):  # noqa: F811
    """Open the tab."""
    page.click("role=tab[name=Writing]")
    page.wait_for_selector("#char-write")
    return page


def set_length(tab, characters):
    tab.click("#char-options >> text=Options of the writing")
    type_number(tab, "max_new_tokens", characters, "#char-options")


def write(tab, beginning):
    tab.fill("#char-beginning textarea", beginning)
    tab.wait_for_timeout(300)  # the page hears of it a moment later
    tab.click("#char-write")


def look_into(tab, text):
    """Look into a text of one's own; what is typed while the inner tab is still opening gives way to its example."""
    tab.click("role=tab[name='Look into your own text']")
    field = "#char-own-text textarea"
    for _ in range(20):
        tab.fill(field, text)
        tab.wait_for_timeout(300)  # the page hears of it a moment later
        if tab.input_value(field) == text:
            break
    tab.click("#char-look")
    tab.wait_for_selector(DONE)
    assert text_of(tab) == text


def text_of(tab):
    return tab.evaluate(f"document.querySelector('{TEXT}').textContent")


def drawn(tab):
    """Return each character's strength of colour."""
    return tab.eval_on_selector_all(
        f"{TEXT} > *", "all => all.map(one => parseFloat(one.style.getPropertyValue('--at')))"
    )


def said(tab):
    return tab.inner_text("#char-text .char-said")


def test_the_text_is_seen_growing_and_is_coloured(tab):
    set_length(tab, 400)
    write(tab, "ROMEO:\n")
    lengths = []
    while not tab.locator(DONE).count():
        lengths.append(tab.evaluate(LENGTH))
        tab.wait_for_timeout(20)
    assert lengths == sorted(lengths)
    assert len({length for length in lengths if 7 < length < 407}) >= 2
    text = text_of(tab)
    assert text.startswith("ROMEO:\n") and len(text) == 407
    assert tab.locator(f"{TEXT} > b").count() == 7
    strengths = drawn(tab)
    assert len(strengths) == 407 and all(0 <= strength <= 1 for strength in strengths)
    assert len(set(strengths)) > 10
    assert "Seed" in tab.inner_text("#char-status")


def test_stop_stops_and_keeps_what_there_is(tab):
    set_length(tab, 5000)
    write(tab, "ROMEO:\n")
    tab.wait_for_function(f"{LENGTH} > 30")
    tab.click("#char-stop")
    tab.wait_for_selector(DONE)
    length = tab.evaluate(LENGTH)
    assert 30 < length < 4000 and tab.is_disabled("#char-stop")
    tab.wait_for_timeout(500)
    assert tab.evaluate(LENGTH) == length
    tab.click("#char-go-on")
    tab.wait_for_function(f"{LENGTH} > {length}")
    tab.click("#char-stop")
    tab.wait_for_selector(DONE)


def test_pointing_at_a_character_and_the_arrow_keys_tell_its_numbers(tab):
    look_into(tab, "To be\nor not")
    tab.hover(FIRST_CHARACTER)
    tab.wait_for_selector("#char-text .char-said >> text=bits")
    assert said(tab).startswith("T: ") and "Expected: " in said(tab)
    tab.focus(TEXT)
    for key, character in (("ArrowRight", "o"), ("ArrowDown", "r"), ("ArrowUp", "o"), ("End", "t"), ("Home", "T")):
        tab.keyboard.press(key)
        assert said(tab).startswith(f"{character}: "), key
    tab.click(f"{TEXT} > * >> nth=5")
    assert said(tab).startswith("⏎: ")
    status = tab.inner_text("#char-status")
    assert "12 characters" in status and "nats" in status and "bits" in status


def test_a_unit_colours_both_ways(tab):
    tab.click("role=tab[name='Look into your own text']")
    tab.click("#char-look")
    tab.wait_for_selector(DONE)
    surprise = drawn(tab)
    assert min(surprise) >= 0
    tab.click("#char-colour >> text=A unit")
    tab.wait_for_selector(f"{TEXT}.by-unit")
    tab.fill("#char-unit input", "hidden.2.7")
    tab.keyboard.press("Enter")
    tab.wait_for_selector("#char-scale >> text=hidden.2.7")
    values = drawn(tab)
    assert len(values) == len(surprise) and min(values) < 0 < max(values)
    tab.hover(FIRST_CHARACTER)
    tab.wait_for_selector("#char-text .char-said >> text=unit")
    tab.fill("#char-unit input", "hidden.2.7000")
    tab.keyboard.press("Enter")
    tab.wait_for_selector("#char-message [role=alert] >> text=is no unit")
    assert drawn(tab) == values
    tab.click("#char-colour >> text=Nothing")
    tab.wait_for_selector(f"{TEXT}.by-nothing")
    tab.wait_for_selector("#char-message .message", state="detached")


def test_a_chosen_character_is_appended_and_the_network_goes_on_from_it(tab):
    look_into(tab, "To be, or not t")
    text = "To be, or not t"
    for place in (0, 2):
        character = tab.get_attribute(f"{DONE} >> nth={place}", "data-character")
        tab.click(f"{DONE} >> nth={place}")
        text += character
        tab.wait_for_function(f"text => document.querySelector('{TEXT}').textContent === text", arg=text)
    set_length(tab, 20)
    tab.click("#char-go-on")
    tab.wait_for_function(f"{LENGTH} === {len(text) + 20}")
    tab.wait_for_selector(DONE)
    assert text_of(tab).startswith(text)
    tab.wait_for_function(f"count => document.querySelectorAll('{TEXT} > b').length === count", arg=len(text))


def test_a_mistake_is_explained_nothing_is_lost_and_the_hint_helps(tab):
    set_length(tab, 20)
    write(tab, "ROMEO:\n")
    tab.wait_for_selector(DONE)
    before = text_of(tab)
    write(tab, "Café ")
    tab.wait_for_selector("#char-message [role=alert] >> text=The model never saw 'é'")
    assert tab.input_value("#char-beginning textarea") == "Café " and text_of(tab) == before
    tab.click("#char-map input")
    tab.click("#char-write")
    tab.wait_for_function(f"document.querySelector('{TEXT}').textContent.startsWith('Cafe ')")
    tab.wait_for_selector(DONE)
    tab.wait_for_selector("#char-message .message", state="detached")


def test_an_example_begins_at_once_and_is_in_view(tab):
    tab.click("#char-examples button >> nth=1")
    tab.wait_for_selector(f"{TEXT}.writing")
    beginning = tab.input_value("#char-beginning textarea")
    assert beginning == tab.inner_text("#char-examples button >> nth=1").strip()
    tab.wait_for_selector(DONE)
    assert text_of(tab).startswith(beginning)
    top, height = tab.eval_on_selector(TEXT, "text => [text.getBoundingClientRect().top, innerHeight]")
    assert 0 <= top < 0.5 * height


@pytest.mark.parametrize("context", [1280], indirect=True, ids=["1280px"])  # the programs are the same at every width
def test_the_programs_write_what_the_page_writes(tab):
    set_length(tab, 20)
    tab.fill("#char-seed input, #char-seed textarea", "7")
    tab.keyboard.press("Tab")
    tab.wait_for_timeout(500)
    write(tab, "ROMEO:\n")
    tab.wait_for_selector("#char-status >> text=Seed 7")
    tab.click("#char-programs >> text=Use via API")
    tab.wait_for_selector("#char-programs >> text=stream=True")
    python, curl, client = tab.eval_on_selector_all(
        "#char-programs .cm-content",
        "all => all.map(one => [...one.querySelectorAll('.cm-line')].map(line => line.textContent).join('\\n'))",
    )
    text = text_of(tab).removeprefix("ROMEO:\n")
    online = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}  # app.py sets it
    for program in ([sys.executable, "-c", client], ["bash", "-c", curl], [sys.executable, "-c", python]):
        done = subprocess.run(program, cwd=ROOT, env=online, capture_output=True, text=True, timeout=250)
        assert done.returncode == 0, done.stderr
        whole = done.stdout.encode().decode("unicode_escape") if "generated_text" in done.stdout else done.stdout
        assert text in whole
    assert done.stdout and client.count("text_generation(") == 2
