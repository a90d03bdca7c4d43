"""Making sentences and questions out of known words alone: a line with menus in it."""

from collections.abc import Sequence
from html import escape

from .story_patterns import Pattern

BUILDER_CSS = """
.build { display: grid; grid-template-columns: minmax(0, 1fr); gap: 10px; color: var(--body-text-color); }
.build label { font-size: 14px; display: grid; grid-template-columns: minmax(0, 1fr); gap: 4px; }
.build select { appearance: auto; min-height: 40px; max-width: 100%; padding: 4px 8px; border-radius: 8px;
  font-size: 16px; color: var(--body-text-color); background: var(--input-background-fill);
  border: 1px solid rgba(100, 116, 139, .45); }
.build select:focus-visible, .build button:focus-visible { outline: 3px solid rgb(96, 165, 250); outline-offset: 1px; }
.build option, .build optgroup { color: var(--body-text-color); background: var(--background-fill-primary); }
.build-line { display: flex; flex-wrap: wrap; align-items: center; gap: 6px; font-size: 16px; line-height: 1.4; }
.build-line[hidden] { display: none; }
.build-buttons { display: flex; flex-wrap: wrap; gap: 8px; }
.build button { min-height: 42px; padding: 6px 14px; margin: 0 !important; border-radius: 8px; cursor: pointer;
  font-weight: 600; font-size: 15px; color: var(--body-text-color); background: rgba(100, 116, 139, .14);
  border: 1px solid rgba(100, 116, 139, .4); }
.build button.build-use { background: rgba(37, 99, 235, .16); border-color: rgba(37, 99, 235, .55); }
.build button:hover { border-color: rgb(37, 99, 235); }
.build details { font-size: 14px; line-height: 1.6; }
.build summary { cursor: pointer; }
.build details p { margin: 4px 0 0 !important; opacity: .85; overflow-wrap: anywhere; }
"""

BUILDER_JS = """
const line = () => element.querySelector(".build-line:not([hidden])");
const text = () => [...line().children].map(part => part.value ?? part.dataset.text).join("");
element.addEventListener("change", event => {
  if (!event.target.matches(".build-pattern")) return;
  for (const one of element.querySelectorAll(".build-line")) one.hidden = one.dataset.pattern !== event.target.value;
  element.querySelector(".build-use").textContent = line().dataset.use;
});
element.addEventListener("click", event => {
  const made = { text: text() }, isQuestion = text().endsWith("?");
  if (event.target.closest(".build-use")) trigger(isQuestion ? "set_question" : "add_sentence", made);
  if (event.target.closest(".build-afresh")) trigger("start_afresh");
});
"""
"""Tells the server what was made: events add_sentence, set_question and start_afresh."""

NOTHING_KNOWN = "The model is not here, and so nobody knows its words."


def builder_html(patterns: Sequence[Pattern], words: Sequence[str]) -> str:
    """Draw the builder.

    Args:
        patterns: what can be made, the first of them to begin with.
        words: all that the network knows.
    """
    if not patterns:
        return f'<p class="fine-print">{NOTHING_KNOWN}</p>'
    numbered = list(enumerate(patterns))
    groups = "".join(
        f'<optgroup label="{label}">{_options(numbered, is_question)}</optgroup>'
        for label, is_question in (("Sentences", False), ("Questions", True))
    )
    lines = "".join(_line(number, pattern) for number, pattern in numbered)
    return (
        f'<div class="build"><label>What it says<select class="build-pattern">{groups}</select></label>{lines}'
        f'<div class="build-buttons"><button type="button" class="build-use">{_use(patterns[0])}</button>'
        '<button type="button" class="build-afresh">Empty the story</button></div>'
        f"<details><summary>All {len(words)} words that the model knows</summary>"
        f"<p>{escape(', '.join(words))}</p></details></div>"
    )


def _options(numbered: list[tuple[int, Pattern]], is_question: bool) -> str:
    return "".join(
        f'<option value="{number}">{escape(pattern.title)}</option>'
        for number, pattern in numbered
        if pattern.is_question == is_question
    )


def _line(number: int, pattern: Pattern) -> str:
    parts = "".join(_part(part) for part in pattern.parts if part)
    hidden = " hidden" if number else ""
    return (
        f'<div class="build-line" data-pattern="{number}" data-use="{_use(pattern)}" role="group" '
        f'aria-label="{escape(pattern.title)}"{hidden}>{parts}</div>'
    )


def _part(part: str | tuple[str, ...]) -> str:
    """Draw a text, or the menu of a gap."""
    if isinstance(part, str):
        return f'<span data-text="{escape(part)}">{escape(part.strip())}</span>'
    options = "".join(f"<option>{escape(choice)}</option>" for choice in part)
    return f'<select aria-label="Word">{options}</select>'


def _use(pattern: Pattern) -> str:
    return "Ask this" if pattern.is_question else "Add to the story"
