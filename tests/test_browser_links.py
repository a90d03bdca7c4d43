"""Links in a real browser: one is copied, another visitor follows it, and nothing is asked before the button."""

import pytest

from demo.limits import BUSY

from .test_browser import SENTENCE, at_one_width, browser, context, page, type_number  # noqa: F401  as there
from .test_browser import pytestmark as needs_browser

pytestmark = [*needs_browser, at_one_width]
LINK = "[role=tabpanel]:visible .link :is(input, textarea)"


def wait_for_link(page, *parts):  # noqa: F811
    """Wait until the link of the tab that is open says all this."""
    page.wait_for_function(
        """parts => [...document.querySelectorAll(".link :is(input, textarea)")].some(link =>
            link.offsetParent !== null && parts.every(part => link.value.includes(part)))""",
        arg=list(parts),
    )


def test_a_link_follows_the_inputs_and_opens_the_tab_with_them(page):  # noqa: F811
    wait_for_link(page, "?tab=attention-translation&", "checkpoint=attention-nmt-en-de")
    page.click("text=Options of the search >> visible=true")
    type_number(page, "num_beams", 7)
    wait_for_link(page, "num_beams=7")
    page.fill("#source textarea", f"{SENTENCE} & so?")
    wait_for_link(page, "num_beams=7", "text=A+man+in+a+red+shirt+rides+a+horse.+%26+so%3F")
    address = page.locator(LINK).input_value()
    page.goto(address)
    page.wait_for_function(f"document.querySelector('#source textarea')?.value === '{SENTENCE} & so?'")
    wait_for_link(page, address)
    assert page.locator("#picture table").count() == 0  # until the visitor asks
    page.click("#translate")
    page.wait_for_selector("#picture table")


@pytest.mark.parametrize(
    ("query", "ready", "answer"),
    [
        ("tab=captioning&sample=tennis&num_beams=2&num_return_sequences=2", "#caption", "#gaze .gaze"),
        (
            "tab=char-generation&checkpoint=char-lstm-linux&text=int+&max_new_tokens=20",
            "#char-write",
            "#char-next button",
        ),
        ("tab=ctc-transcription&sample=an4_name&hot_words=enter", "#transcribe", "#ctc-drawing .heard"),
        ("tab=memory-qa&context=Mary+went+to+the+garden.&question=Where+is+Mary%3F", "#qa-ask", "#qa-drawn .answer"),
    ],
    ids=["captioning", "writing", "listening", "answering"],
)
def test_every_tab_is_opened_by_a_link_and_asked_by_its_button(page, running_app, query, ready, answer):  # noqa: F811
    page.goto(f"{running_app.address}/?{query}")
    wait_for_link(page, *query.split("&"))
    assert page.locator(answer).count() == 0
    page.click(ready)
    page.wait_for_selector(answer)


def test_what_does_not_fit_is_said(page, running_app):  # noqa: F811
    page.goto(f"{running_app.address}/?tab=memory-qa&question={'x' * 501}&context=Mary+slept.")
    page.wait_for_selector("[data-testid=toast-body] >> text=question must have at most 500 characters.")
    wait_for_link(page, "context=Mary+slept.", "question=Where+is+the+apple")


def test_a_full_queue_is_told_and_nothing_is_lost(context, running_app):  # noqa: F811
    page = context.new_page()  # noqa: F811  the refusal is an error of the browser's console, which `page` forbids
    page.goto(running_app.address)
    wait_for_link(page, "attention-translation")
    page.fill("#source textarea", SENTENCE)
    page.route("**/queue/join*", lambda route: route.fulfill(status=429, json={"detail": BUSY}))
    page.click("#translate")
    page.wait_for_selector(f"[data-testid=toast-body] >> text={BUSY}")
    page.unroute("**/queue/join*")
    assert page.input_value("#source textarea") == SENTENCE
    page.click("#translate")
    page.wait_for_selector("#picture table")
    page.close()
