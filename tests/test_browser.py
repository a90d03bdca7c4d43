"""The demo in a real browser: translate, look, choose, and be told what is wrong."""

import json
import shutil
import time
import urllib.request
from urllib.parse import urlsplit

import pytest

import hub
from demo.alignment import merge_words

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        CHROMIUM is None, reason="no 'chromium' on PATH: install it, for example with 'apt-get install chromium'"
    ),
]

at_one_width = pytest.mark.parametrize("context", [1280], indirect=True, scope="module", ids=["1280px"])
"""For what is the same at every width."""
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
FRENCH = "attention-nmt-en-fr"
SECONDS = 120
"""That a page may take, on a machine that has much else to do."""
LEFT = "AbortError: signal is aborted without reason"
"""What Gradio's page says when it is left, or read anew, while it still hears from the server."""


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module", params=[1280, 390], ids=lambda width: f"{width}px")
def context(request, browser):
    """Be a visitor who comes again: the program of the page is kept, as browsers do, and not sent anew each time."""
    context = browser.new_context(viewport={"width": request.param, "height": 900})
    context.set_default_timeout(SECONDS * 1000)
    yield context
    context.close()


@pytest.fixture
def page(context, running_app):
    """Open the demo; afterwards nothing may have gone wrong or abroad."""
    page = context.new_page()
    errors, hosts = [], set()
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda sent: hosts.add(urlsplit(sent.url).hostname))
    page.goto(running_app.address)
    page.wait_for_selector("#translate")
    page.wait_for_function(
        "document.querySelector('.link :is(input, textarea)')?.value"
    )  # the page is done with itself
    yield page
    width = page.evaluate("document.documentElement.scrollWidth")
    page.evaluate("localStorage.clear()")
    page.close()
    context.clear_cookies()
    assert [error for error in errors if not error.startswith(LEFT)] == []
    assert hosts - {None} == {"127.0.0.1"}
    assert width <= page.viewport_size["width"]


def type_number(page, name, value, within=""):
    """Type into the field beside a slider; what is typed while the options are still opening gets lost."""
    number, slider = (f"{within} [aria-label='{kind} for {name}']" for kind in ("number input", "range slider"))
    deadline = time.monotonic() + SECONDS
    while page.input_value(f"{slider} >> visible=true") != str(value):
        assert time.monotonic() < deadline
        page.fill(f"{number} >> visible=true", str(value))
        page.keyboard.press("Tab")
        page.wait_for_timeout(300)  # the page hears of it a moment later


def translate(page, sentence):
    page.fill("#source textarea", sentence)
    page.click("#translate")


def evidence(address, sentence, rank=0, checkpoint="attention-nmt-en-de"):
    """Ask the service what the page asks it."""
    parameters = {"num_beams": 5, "num_return_sequences": 5, "return_evidence": True}
    body = json.dumps({"inputs": sentence, "parameters": parameters}).encode()
    request = urllib.request.Request(f"{address}/models/{checkpoint}", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as response:
        result = json.load(response)[rank]
    parts = result["evidence"]
    return result["translation_text"], parts["source_tokens"], parts["target_tokens"], parts["attention"]


def drawn(page):
    """Return the weights that the page shows, row by row, as it writes them."""
    return page.eval_on_selector_all(
        "#picture tbody tr", "rows => rows.map(row => [...row.querySelectorAll('td')].map(cell => cell.textContent))"
    )


def wait_for_weights(page, weights):
    """Wait until exactly these are drawn; numbers are compared to a last digit, for rounding."""
    page.wait_for_function(
        """weights => {
            const rows = [...document.querySelectorAll('#picture tbody tr')];
            return rows.length === weights.length && rows.every((row, r) => {
                const cells = [...row.querySelectorAll('td')];
                return cells.length === weights[r].length && cells.every(
                    (cell, c) => Math.abs(parseFloat(cell.textContent) - weights[r][c]) < 0.0051
                        && Math.abs(cell.style.getPropertyValue('--weight') - weights[r][c]) < 0.00051);
            });
        }""",
        arg=weights,
    )


def test_a_visitor_sees_what_each_word_looked_at(page, running_app):
    text, sources, targets, weights = evidence(running_app.address, SENTENCE)
    translate(page, SENTENCE)
    wait_for_weights(page, weights)
    assert page.inner_text("#answer").strip() == text
    assert page.locator("#picture tbody tr").count() == len(targets)
    assert page.locator("#picture thead th[scope=col]").count() == len(sources)
    assert page.get_attribute("#picture td >> nth=0", "title").endswith(f": {weights[0][0]:.2f}")


def test_enter_submits_and_a_long_map_scrolls_inside_its_own_box(page, running_app):
    sentence = " ".join(["A man in a red shirt rides a brown horse"] * 3) + "."
    _, _, _, weights = evidence(running_app.address, sentence)
    page.fill("#source textarea", sentence)
    page.press("#source textarea", "Enter")
    wait_for_weights(page, weights)
    visible, whole = page.eval_on_selector("#picture .heat-map-box", "box => [box.clientWidth, box.scrollWidth]")
    assert whole > visible


def test_another_hypothesis_brings_its_own_picture(page, running_app):
    _, _, _, best = evidence(running_app.address, SENTENCE)
    text, sources, targets, weights = evidence(running_app.address, SENTENCE, rank=2)
    assert weights != best
    translate(page, SENTENCE)
    wait_for_weights(page, best)
    page.click("#hypotheses label:nth-of-type(3)")
    wait_for_weights(page, weights)
    assert page.inner_text("#answer").strip() == text
    merged_sources, merged_targets, merged = merge_words(sources, targets, weights)
    page.click("#merge input")
    wait_for_weights(page, merged)
    assert page.locator("#picture thead th[scope=col]").count() == len(merged_sources)
    assert page.locator("#picture tbody tr").count() == len(merged_targets)
    page.click("#merge input")
    wait_for_weights(page, weights)


def test_a_mistake_is_explained_and_nothing_is_lost(page, running_app):
    translate(page, SENTENCE)
    wait_for_weights(page, evidence(running_app.address, SENTENCE)[-1])
    before = drawn(page)
    for sentence, expected in (("", "got an empty one"), ("😀", "knows no part of '😀'")):
        translate(page, sentence)
        page.wait_for_selector(f"#message [role=alert] >> text={expected}")
        assert page.input_value("#source textarea") == sentence
        assert drawn(page) == before
        translate(page, SENTENCE)
        page.wait_for_selector("#message .message", state="detached")


@at_one_width
def test_the_other_direction_and_the_program_for_it(page, running_app):
    page.click("#direction >> text=English → French")
    wait_for_weights(page, evidence(running_app.address, page.input_value("#source textarea"), 0, FRENCH)[-1])
    page.click("#programs >> text=Use via API")
    page.wait_for_selector(f"text={urlsplit(running_app.address).netloc}/models/{FRENCH}")
    tuned = hub.decoding_defaults(FRENCH)["length_penalty"]
    assert f"length_penalty={tuned:g}," in page.inner_text("#programs")


def test_an_example_is_translated_and_programs_are_there_before_any_answer(page, running_app):
    page.click("#programs >> text=Use via API")
    page.wait_for_selector(f"text={urlsplit(running_app.address).netloc}/models/attention-nmt-en-de")
    assert page.locator("#picture table").count() == 0
    page.click("button.gallery-item >> nth=1")
    page.wait_for_selector("#picture table")
    sentence = page.input_value("#source textarea")
    assert sentence == page.inner_text("button.gallery-item >> nth=1").strip()
    wait_for_weights(page, evidence(running_app.address, sentence)[-1])
