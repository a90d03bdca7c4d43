"""Buttons for the most probable next characters, with their probabilities as bars."""

from collections.abc import Sequence
from html import escape

from .char_text import Alternative, glyph, percent

TITLE = "The most probable next characters. Choose one, or press Write on."
SPOKEN = {"\n": "line end", " ": "space", "\t": "tab"}

CHAR_NEXT_CSS = """
.char-next { display: grid; grid-template-columns: repeat(auto-fill, minmax(96px, 1fr)); gap: 6px; }
.char-next-title { margin: 10px 0 6px !important; font-size: 14px; }
.char-next button { display: flex; align-items: baseline; justify-content: space-between; gap: 6px; min-height: 44px;
  min-width: 0; margin: 0 !important; padding: 8px 10px; border-radius: 8px; cursor: pointer;
  border: 1px solid rgba(100, 116, 139, .45); color: var(--body-text-color); background: linear-gradient(to right,
  rgba(37, 99, 235, .28) calc(100% * var(--probability)), transparent 0) var(--background-fill-primary); }
.char-next button:hover { border-color: rgb(37, 99, 235); }
.char-next button:focus-visible { outline: 3px solid rgb(96, 165, 250); outline-offset: 1px; }
.char-next b { font-family: var(--font-mono); font-size: 18px; font-weight: 700; line-height: 1.2; }
.char-next small { font-size: 13px; font-variant-numeric: tabular-nums; opacity: .85; white-space: nowrap; }
"""

CHAR_NEXT_JS = """
element.addEventListener("click", event => {
  const button = event.target.closest("button");
  if (button) trigger("choose", { character: button.dataset.character });
});
"""
"""Tells the server which character was chosen: the character, not its place, which may have changed meanwhile."""


def next_characters_html(alternatives: Sequence[Alternative]) -> str:
    """Draw a button for each character.

    Args:
        alternatives: the most probable first.
    """
    buttons = "".join(_button(alternative) for alternative in alternatives)
    if not buttons:
        return ""
    return (
        f'<p class="char-next-title">{TITLE}</p><div class="char-next" role="group" aria-label="Next">{buttons}</div>'
    )


def _button(alternative: Alternative) -> str:
    character, share = alternative.character, percent(alternative.probability)
    label = f"{SPOKEN.get(character, character)}, {share}"
    return (
        f'<button type="button" data-character="{escape(character)}" aria-label="{escape(label)}" '
        f'style="--probability:{alternative.probability:.3f}"><b>{escape(glyph(character))}</b>'
        f"<small>{escape(share)}</small></button>"
    )
