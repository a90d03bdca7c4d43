"""The translation tab in a real browser: words that are chosen, languages that are swapped, alignments turned round."""

import subprocess
import sys

import pytest

from benchmarks.server_process import free_port, wait_until_ready
from demo.alignment import by_source

from .conftest import ROOT, RunningApp
from .several import GERMAN, NAMES, build_one, build_several
from .test_browser import SENTENCE, browser, context, evidence, page, translate, wait_for_weights  # noqa: F401
from .test_browser import pytestmark as needs_browser
from .test_browser_accessibility import AXE, STILL, VIOLATIONS
from .test_browser_links import wait_for_link

pytestmark = needs_browser

SEVERAL_APP = f"""
import dataclasses
import sys
from pathlib import Path
from types import MappingProxyType
import tasks  # before anything else reads the table
row = tasks.TASKS["attention-translation"]
row = dataclasses.replace(row, checkpoints={NAMES!r}, default_checkpoint={NAMES[0]!r})
tasks.TASKS = MappingProxyType({{row.name: row}})
import hub
hub.CHECKPOINTS = Path(sys.argv.pop(1))
import app
app.main()
"""
"""The demo with two checkpoints of a test instead of those that are shipped."""


def test_a_word_is_chosen_and_the_translation_goes_on_with_it(page):  # noqa: F811
    translate(page, SENTENCE)
    page.wait_for_selector("#answer .word")
    text = page.inner_text("#answer").strip()
    page.click("#answer .word >> nth=1")
    page.wait_for_selector("#instead button >> nth=4")
    assert page.get_attribute("#answer .word >> nth=1", "aria-pressed") == "true"
    current = page.locator("#instead button[aria-current]")
    assert current.count() == 1 and current.locator("span").inner_text().startswith(" ".join(text.split()[:2]))
    other = page.locator("#instead button:not([aria-current]) >> nth=0")
    expected = other.locator("span").inner_text()
    other.click()
    page.wait_for_selector("#instead [data-chosen]")
    assert page.inner_text("#answer").strip() == expected != text
    assert page.is_checked("#hypotheses label:last-of-type input")
    assert "your choice" in page.inner_text("#hypotheses label:last-of-type")
    page.wait_for_function("document.activeElement.matches('#answer .word')")
    page.click("#hypotheses label:nth-of-type(1)")
    page.wait_for_function(f"document.querySelector('#answer').innerText.trim() === {text!r}")


def test_words_are_reached_and_chosen_by_keys(page):  # noqa: F811
    translate(page, SENTENCE)
    page.wait_for_selector("#answer .word")
    page.focus("#answer .word[tabindex='0']")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.textContent") == page.inner_text("#answer .word >> nth=1")
    page.keyboard.press("End")
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    page.wait_for_selector("#instead button")
    assert page.get_attribute("#answer .word >> nth=0", "aria-pressed") == "true"
    page.add_style_tag(content=STILL)
    page.evaluate(AXE)
    assert page.evaluate(VIOLATIONS) == []


def test_the_alignment_is_turned_round(page, running_app):  # noqa: F811
    _, sources, _, weights = evidence(running_app.address, SENTENCE)
    translate(page, SENTENCE)
    wait_for_weights(page, weights)
    page.click("#way label:nth-of-type(2)")
    wait_for_weights(page, by_source(weights))
    assert page.locator("#picture tbody tr").count() == len(sources)
    assert "Σ" in page.inner_text("#picture .heat-map-caption")
    page.click("#way label:nth-of-type(1)")
    wait_for_weights(page, weights)


def test_what_is_unlike_all_training_is_told(page):  # noqa: F811
    translate(page, "A man 😀 rides.")
    page.wait_for_selector("#told [role=alert] >> text=The network has never read “😀”.")
    translate(page, "A dog runs through the snow.")
    page.wait_for_selector("#told .notice", state="detached")


@pytest.fixture(scope="module")
def several_app(tmp_path_factory):
    """The demo of two tiny checkpoints, one of them of several directions; started once for both widths."""
    folder, port = tmp_path_factory.mktemp("several"), free_port()
    build_several(folder), build_one(folder)
    command = [sys.executable, "-c", SEVERAL_APP, str(folder), "--port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        wait_until_ready(process, f"http://127.0.0.1:{port}")
        yield RunningApp(process, f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        process.wait(timeout=30)


class TestSeveral:
    @pytest.fixture
    def running_app(self, several_app):
        return several_app

    def languages(self, page):  # noqa: F811
        return [page.input_value(f"#{which}-language input") for which in ("source", "target")]

    def test_languages_are_detected_and_swapped(self, page):  # noqa: F811
        assert self.languages(page) == ["Detect", "Automatic"]
        translate(page, GERMAN[1])
        page.wait_for_selector("#told >> text=Detected language: German. Translated into English.")
        translation = page.inner_text("#answer").strip()
        assert page.get_attribute("#answer .answer", "lang") == "en"
        page.click("#swap")
        page.wait_for_selector("#told >> text=English → German")
        assert page.input_value("#source textarea") == translation
        assert self.languages(page) == ["English", "German"]
        wait_for_link(page, "src_lang=en", "tgt_lang=de")

    def test_a_source_leaves_the_targets_that_fit_and_a_link_brings_both_back(self, page, running_app):  # noqa: F811
        page.click("#source-language input")
        page.click("role=option[name=German]")
        wait_for_link(page, "src_lang=de", "tgt_lang=en")
        page.click("#programs >> text=Use via API")
        page.wait_for_selector("#programs >> text=src_lang='de', tgt_lang='en', generate_parameters")
        page.goto(f"{running_app.address}/?tab=attention-translation&src_lang=en&tgt_lang=fr")
        wait_for_link(page, "src_lang=en", "tgt_lang=fr")
        assert self.languages(page) == ["English", "French"]

    def test_of_one_direction_the_languages_are_fixed(self, page):  # noqa: F811
        page.click("#direction >> text=English → German")
        wait_for_link(page, f"checkpoint={NAMES[1]}")
        page.wait_for_selector("#picture table")
        assert self.languages(page) == ["English", "German"] and page.is_disabled("#swap")
        assert "_lang" not in page.locator(".link :is(input, textarea) >> nth=0").input_value()

    def test_axe_finds_nothing_serious(self, page):  # noqa: F811
        translate(page, GERMAN[0])
        page.wait_for_selector("#answer .word")
        page.click("#answer .word >> nth=0")
        page.wait_for_selector("#instead button")
        page.add_style_tag(content=STILL)
        page.evaluate(AXE)
        assert page.evaluate(VIOLATIONS) == []
