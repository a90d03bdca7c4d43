"""The demo in a real browser: translate, look, choose, and be told what is wrong."""

import json
import shutil
import urllib.request
from urllib.parse import urlsplit

import pytest

pytestmark = pytest.mark.browser

CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SENTENCE = "A man in a red shirt rides a horse."


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("no 'chromium' on PATH: install it, for example with 'apt-get install chromium'")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(params=[1280, 390], ids=lambda width: f"{width}px")
def page(request, browser, running_app):
    """Open the demo; afterwards nothing may have gone wrong or abroad."""
    page = browser.new_page(viewport={"width": request.param, "height": 900})
    errors, hosts = [], set()
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda sent: hosts.add(urlsplit(sent.url).hostname))
    page.goto(running_app.address)
    page.wait_for_selector("#translate")
    yield page
    assert errors == []
    assert hosts - {None} == {"127.0.0.1"}
    assert page.evaluate("document.documentElement.scrollWidth") <= request.param
    page.close()


def translate(page, sentence):
    page.fill("#source textarea", sentence)
    page.click("#translate")


def evidence(address, sentence, rank=0):
    """Ask the service what the page asks it."""
    parameters = {"num_beams": 5, "num_return_sequences": 5, "return_evidence": True}
    body = json.dumps({"inputs": sentence, "parameters": parameters}).encode()
    request = urllib.request.Request(
        f"{address}/models/attention-nmt-en-de", body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as response:
        result = json.load(response)[rank]
    return result["translation_text"], result["evidence"]


def drawn(page):
    """Return the weights of the cells that the page shows."""
    return [
        float(cell)
        for cell in page.eval_on_selector_all(
            "#picture td", "cells => cells.map(cell => cell.style.getPropertyValue('--weight'))"
        )
    ]


def test_a_visitor_sees_what_each_word_looked_at(page, running_app):
    translate(page, SENTENCE)
    text, expected = evidence(running_app.address, SENTENCE)
    page.wait_for_selector(f"#answer >> text={text}")
    page.wait_for_selector("#picture table")
    assert page.locator("#picture tbody tr").count() == len(expected["target_tokens"])
    assert page.locator("#picture thead th[scope=col]").count() == len(expected["source_tokens"])
    assert drawn(page) == pytest.approx([weight for row in expected["attention"] for weight in row], abs=1e-3)


def test_another_hypothesis_brings_its_own_picture(page, running_app):
    translate(page, SENTENCE)
    page.wait_for_selector("#picture table")
    text, expected = evidence(running_app.address, SENTENCE, rank=2)
    page.click("#hypotheses label:nth-of-type(3)")
    page.wait_for_selector(f"#answer >> text={text}")
    assert drawn(page) == pytest.approx([weight for row in expected["attention"] for weight in row], abs=1e-3)
    page.click("#merge input")
    page.wait_for_function(f"document.querySelectorAll('#picture td').length <= {len(drawn(page))}")


def test_a_mistake_is_explained_and_nothing_is_lost(page, running_app):
    translate(page, SENTENCE)
    page.wait_for_selector("#picture table")
    before = drawn(page)
    translate(page, "😀")
    page.wait_for_selector("#message >> text=knows no part of '😀'")
    assert page.input_value("#source textarea") == "😀"
    assert drawn(page) == before
    translate(page, SENTENCE)
    page.wait_for_selector("#message .message", state="detached")


def test_the_other_direction_and_the_program_for_it(page, running_app):
    page.click("text=English → French")
    page.wait_for_selector("#picture table")
    page.click("text=Use via API")
    page.wait_for_selector(f"text={urlsplit(running_app.address).netloc}/models/attention-nmt-en-fr")
