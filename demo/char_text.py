"""Text whose every character is coloured by a number, with a line that says what the character pointed at is about.

A pointer, a touch, or the arrow keys choose a character. Colours are translucent, so that both themes work; they are
never alone: the line has the numbers.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

NOTHING, SURPRISE, UNIT = "nothing", "surprise", "unit"
"""What a text can be coloured by."""
MOST_BITS = 8
"""A surprise of so many bits, or more, has the strongest colour."""
SHOWN_ALTERNATIVES = 5
GLYPHS = {"\n": "⏎", " ": "␣", "\t": "⇥"}
"""What stands for characters that are not to be seen."""

CHAR_TEXT_CSS = """
.char-said { display: flex; flex-wrap: wrap; gap: 0 14px; align-content: end; min-height: 3.1em; font-size: 14px;
  line-height: 1.45; margin: 0 0 6px !important; font-variant-numeric: tabular-nums; }
.char-said > :first-child { font-weight: 600; }
.char-text { font-family: var(--font-mono); font-size: 15px; line-height: 1.6; white-space: pre-wrap; tab-size: 4;
  overflow-wrap: anywhere; color: var(--body-text-color); margin: 0; padding: 12px 14px; border-radius: 10px;
  min-height: 9em; max-height: min(68vh, 640px); overflow-y: auto; position: relative;
  background: var(--background-fill-primary); border: 1px solid rgba(100, 116, 139, .4); }
.char-text:focus-visible { outline: 3px solid rgb(96, 165, 250); outline-offset: 2px; }
.char-text > * { cursor: default; border-radius: 2px; }
.char-text > b { font-weight: 700; border-bottom: 2px solid rgba(100, 116, 139, .75); color: inherit; }
.char-text > .here { outline: 2px solid currentColor; outline-offset: 1px; }
.char-text > .line-end::before { content: "⏎" / ""; opacity: .35; }
.char-text > .tab { position: relative; }
.char-text > .tab::before { content: "⇥" / ""; opacity: .35; position: absolute; }
.char-text.writing::after { content: "▍" / ""; opacity: .7; animation: char-caret 1s steps(2, jump-none) infinite; }
@keyframes char-caret { to { opacity: 0; } }
.by-surprise > *, .char-scale.by-surprise i { background: rgb(234, 88, 12, calc(.72 * var(--at))); }
.by-unit > *, .char-scale.by-unit i { background:
  linear-gradient(rgb(234, 88, 12, calc(.72 * max(0, var(--at)))) 0 0),
  linear-gradient(rgb(37, 99, 235, calc(.72 * max(0, -1 * var(--at)))) 0 0); }
.char-scale { display: flex; flex-wrap: wrap; align-items: center; gap: 4px 8px; font-size: 13px; line-height: 1.45;
  margin: 8px 0 0 !important; min-height: 1.5em; }
.char-scale span { opacity: .85; }
.char-scale span.steps { display: inline-flex; opacity: 1; border: 1px solid rgba(100, 116, 139, .45); }
.char-scale b { border-bottom: 2px solid rgba(100, 116, 139, .75); }
.char-scale i { width: 14px; height: 14px; }
@media (prefers-reduced-motion: reduce) { .char-text.writing::after { animation: none; } }
"""

CHAR_TEXT_JS = """
const say = character => {
  if (!character?.dataset.said) return;
  element.querySelector(".here")?.classList.remove("here");
  character.classList.add("here");
  const [said, expected] = element.querySelectorAll(".char-said > *");
  said.textContent = character.dataset.said;
  expected.textContent = character.dataset.expected;
};
const onNextLine = (start, sibling) => {
  let one = start;
  while (one && one.offsetTop === start.offsetTop) one = one[sibling];
  const away = other => Math.abs(other.offsetLeft - start.offsetLeft);
  let nearest = one;
  for (let other = one; other && other.offsetTop === one.offsetTop; other = other[sibling])
    if (away(other) < away(nearest)) nearest = other;
  return nearest;
};
const moves = {
  ArrowRight: one => one.nextElementSibling,
  ArrowLeft: one => one.previousElementSibling,
  ArrowDown: one => onNextLine(one, "nextElementSibling"),
  ArrowUp: one => onNextLine(one, "previousElementSibling"),
  Home: one => one.parentElement.firstElementChild,
  End: one => one.parentElement.lastElementChild,
};
const pointedAt = event => say(event.target.closest(".char-text > *"));
element.addEventListener("pointerover", pointedAt);
element.addEventListener("click", pointedAt);
element.addEventListener("focusin", event => {
  if (!element.querySelector(".here")) say(event.target.closest(".char-text")?.firstElementChild);
});
element.addEventListener("keydown", event => {
  const here = element.querySelector(".here");
  if (!here || !moves[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  const next = moves[event.key](here);
  say(next);
  next?.scrollIntoView({ block: "nearest" });
});
watch("value", () => {
  const text = element.querySelector(".char-text.writing");
  if (text) text.scrollTop = text.scrollHeight;
});
"""
"""Runs once for the box that the text stands in; the text in it changes."""

POINT_AT = "Point at a character, or touch one, or go there with the arrow keys: its numbers appear here."


@dataclass(frozen=True)
class Alternative:
    """A character that could stand in a place."""

    character: str
    probability: float


@dataclass(frozen=True)
class ColouredText:
    """A text and its numbers; each list has one entry a character."""

    characters: str
    yours: Sequence[bool]
    """Whether the visitor gave it; the network wrote the others."""
    bits: Sequence[float]
    """The surprise."""
    expected: Sequence[Sequence[Alternative]] | None = None
    """What the network expected in each place, the most probable first; None while it writes."""
    values: Sequence[float] | None = None
    """Of the unit, from -1 to 1; None where there is none."""

    @property
    def is_shared(self) -> bool:
        """Whether the network wrote some of it, so that what the visitor gave is marked."""
        return not all(self.yours)


def coloured_text_html(text: ColouredText, colour_by: str, is_growing: bool = False) -> str:
    """Draw a text.

    Args:
        text: what to draw.
        colour_by: `NOTHING`, `SURPRISE` or `UNIT`.
        is_growing: whether there will be more; then nothing is closed, so that the next HTML begins with this one
            and Gradio sends the rest alone. Browsers close it.

    Returns:
        HTML; everything that came from people or a network is escaped.
    """
    if colour_by == UNIT and text.values is None:
        colour_by = NOTHING
    is_marked = is_growing or text.is_shared
    drawn = "".join(_character(text, index, colour_by, is_marked) for index in range(len(text.characters)))
    said = f"<span></span><span>{'' if is_growing else POINT_AT}</span>"
    return (
        f'<p class="char-said" role="status"{_spanned(is_growing)}>{said}</p>'
        f'<div class="char-text by-{colour_by}{" writing" if is_growing else ""}" tabindex="0" role="group" '
        'aria-label="The text; the arrow keys go from character to character">'
        f"{drawn}{'' if is_growing else '</div>'}"
    )


def scale_html(colour_by: str, is_marked: bool, unit: str = "") -> str:
    """Explain the colours, and who wrote what.

    Args:
        colour_by: `NOTHING`, `SURPRISE` or `UNIT`.
        is_marked: whether what the visitor gave is marked.
        unit: what the unit is called.
    """
    steps, low, high = {
        NOTHING: ((), "", ""),
        SURPRISE: ([step / 8 for step in range(9)], "expected: 0 bits", f"surprise: {MOST_BITS} bits or more"),
        UNIT: ([step / 4 for step in range(-4, 5)], f"{unit}: −1", "+1"),
    }[colour_by]
    cells = "".join(f'<i style="--at:{step:g}"></i>' for step in steps)
    scale = f'<span>{escape(low)}</span><span class="steps">{cells}</span><span>{escape(high)}</span>' if steps else ""
    mark = "<span><b>Bold</b>: what you gave</span>" if is_marked else ""
    return f'<p class="char-scale by-{colour_by}">{scale}{mark}</p>'


def glyph(character: str) -> str:
    """Return something to be seen for any character."""
    return GLYPHS.get(character, character)


def _spanned(is_growing: bool) -> str:
    """Keep screen readers from announcing the line while nothing can be said."""
    return ' aria-live="off"' if is_growing else ""


def _character(text: ColouredText, index: int, colour_by: str, is_marked: bool) -> str:
    character = text.characters[index]
    tag = "b" if is_marked and text.yours[index] else "span"
    kind = {"\n": ' class="line-end"', "\t": ' class="tab"'}.get(character, "")
    style = ""
    if colour_by == SURPRISE:
        style = f' style="--at:{min(text.bits[index] / MOST_BITS, 1):.2f}"'
    elif colour_by == UNIT:
        style = f' style="--at:{text.values[index]:.2f}"'
    said = (
        "" if text.expected is None else f' data-said="{_said(text, index)}" data-expected="{_expected(text, index)}"'
    )
    return f"<{tag}{kind}{style}{said}>{escape(character)}</{tag}>"


def _said(text: ColouredText, index: int) -> str:
    bits = text.bits[index]
    unit = "" if text.values is None else f", unit {signed(text.values[index])}"
    return escape(f"{glyph(text.characters[index])}: {bits:.2f} bits ({percent(math.pow(2, -bits))}){unit}")


def _expected(text: ColouredText, index: int) -> str:
    best = text.expected[index][:SHOWN_ALTERNATIVES]
    return escape("Expected: " + " · ".join(f"{glyph(one.character)} {percent(one.probability)}" for one in best))


def percent(probability: float) -> str:
    """Write a probability, small ones with a digit more."""
    share = 100 * probability
    return "< 0.1 %" if share < 0.1 else f"{share:.1f} %" if share < 10 else f"{share:.0f} %"


def signed(value: float) -> str:
    """Write a number with its sign, and a true minus."""
    return f"{value:+.2f}".replace("-", "−")
