"""Every tab for people who hear it, see little, or use the keyboard: what axe-core finds, and what keys reach."""

from importlib.resources import files

import pytest

from tasks import TASKS

from .test_browser import browser, context, page, pytestmark  # noqa: F401  the same wish that nothing fails
from .test_browser_links import wait_for_link

AXE = (files("axe_playwright_python") / "axe.min.js").read_text("utf-8")
VIOLATIONS = """async () => {
  const { violations } = await axe.run(document, { resultTypes: ["violations"] });
  return violations.filter(({ impact }) => ["serious", "critical"].includes(impact)).flatMap(({ id, nodes }) =>
    nodes.map(({ target, failureSummary }) => `${id} at ${target}: ${failureSummary}`));
}"""
ASKED = {  # what to press, and what there is when there is an answer
    "attention-translation": ("#translate", "#picture table"),
    "captioning": ("#samples button >> nth=1", "#gaze .gaze"),
    "char-generation": ("#char-examples button >> nth=0", "#char-next button"),
    "ctc-transcription": ("#ctc-examples button >> nth=0", "#ctc-drawing .heard"),
    "memory-qa": ("#qa-lecture button >> nth=0", "#qa-drawn .answer"),
}
STILL = "*, *::before, *::after { transition: none !important; animation: none !important; }"
"""What fades in has another colour until it is there."""


@pytest.fixture
def quiet_page(page):  # noqa: F811
    """Open the demo where nothing moves: wide in light colours, narrow in dark ones, for neither changes the other."""
    scheme = "light" if page.viewport_size["width"] > 480 else "dark"
    page.emulate_media(color_scheme=scheme)
    page.reload()
    wait_for_link(page, "attention-translation")
    page.add_style_tag(content=STILL)
    page.evaluate(AXE)
    assert page.evaluate("document.body.classList.contains('dark')") == (scheme == "dark")
    return page


@pytest.mark.parametrize("task", TASKS.values(), ids=lambda task: task.name)
def test_axe_finds_nothing_serious(quiet_page, task):
    button, answer = ASKED[task.name]
    quiet_page.click(f"role=tab[name={task.title}]")
    quiet_page.wait_for_selector(button)
    assert quiet_page.evaluate(VIOLATIONS) == []
    quiet_page.click(button)
    quiet_page.wait_for_selector(answer)
    for accordion in quiet_page.locator("[role=tabpanel]:visible button.label-wrap:visible").all():
        accordion.click()
    quiet_page.wait_for_selector("[role=tabpanel]:visible .programs .cm-line:visible")
    assert quiet_page.evaluate(VIOLATIONS) == []


def test_the_keyboard_reaches_the_tabs_and_the_button(page):  # noqa: F811
    page.focus("role=tab[name=Translation]")
    page.keyboard.press("Tab")
    for _ in range(12):
        if page.evaluate("document.activeElement.closest('#source') !== null"):
            break
        page.keyboard.press("Tab")
    for _ in range(12):
        if page.evaluate("document.activeElement.id") == "translate":
            break
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector("#picture table")
