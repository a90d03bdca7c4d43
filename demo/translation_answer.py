"""A translation of words that can be chosen, what else could stand in their places, and how far to trust it."""

import math
from collections.abc import Sequence
from html import escape

from .alignment import END, WORD_START, word_groups
from .char_text import percent
from .translation_languages import name_of

TRANSLATION_CSS = """
.answer .word { cursor: pointer; border-radius: 4px; text-decoration: underline dotted rgba(100, 116, 139, .8) 2px;
  text-underline-offset: 5px; }
.answer .word:hover { background: rgba(37, 99, 235, .14); }
.answer .word[aria-pressed="true"] { background: rgba(37, 99, 235, .24); }
.answer .word:focus-visible { outline: 3px solid rgb(96, 165, 250); outline-offset: 1px; }
.notice { color: var(--body-text-color); background: rgba(234, 179, 8, .18); border-left: 4px solid rgb(202, 138, 4);
  border-radius: 4px; padding: 10px 12px; margin: 6px 0 0 !important; overflow-wrap: anywhere; }
.notice b { color: inherit; }
.instead { display: grid; grid-template-columns: minmax(0, 1fr); gap: 6px; margin: 0 0 8px; }
.instead-title { font-size: 14px; margin: 2px 0 6px !important; }
.instead button { display: grid; grid-template-columns: minmax(0, 1fr) max-content; gap: 2px 10px; text-align: left;
  min-height: 44px; margin: 0 !important; padding: 7px 12px; border-radius: 8px; cursor: pointer; align-items: baseline;
  font-weight: 400; border: 1px solid rgba(100, 116, 139, .45); color: var(--body-text-color); background:
  linear-gradient(to right,
  rgba(37, 99, 235, .2) calc(100% * var(--probability)), transparent 0) var(--background-fill-primary); }
.instead button:hover { border-color: rgb(37, 99, 235); }
.instead button:focus-visible { outline: 3px solid rgb(96, 165, 250); outline-offset: 1px; }
.instead button[aria-current] { border-width: 2px; border-color: rgb(37, 99, 235); }
.instead span { overflow-wrap: anywhere; }
.instead b { color: inherit; font-weight: 700; text-decoration: underline; text-underline-offset: 3px; }
.instead small { font-size: 13px; font-variant-numeric: tabular-nums; white-space: nowrap; }
#languages { align-items: center; }
@media (max-width: 480px) {
  #languages, #languages > .form { display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); gap: 8px; }
  #languages > .form { grid-column: 1 / -1; gap: 0; }
  #languages * { min-width: 0 !important; }
}
"""

WORD_JS = """
const words = () => [...element.querySelectorAll(".word")];
const choose = word => {
  element.querySelector("[aria-pressed=true]")?.setAttribute("aria-pressed", "false");
  word.setAttribute("aria-pressed", "true");
  trigger("word", { position: Number(word.dataset.position) });
};
const places = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity };
element.addEventListener("click", event => {
  const word = event.target.closest(".word");
  if (word) choose(word);
});
element.addEventListener("keydown", event => {
  const word = event.target.closest(".word");
  if (!word || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Enter" || event.key === " ") {
    event.preventDefault();
    choose(word);
  } else if (event.key in places) {
    event.preventDefault();
    const all = words(), place = all.indexOf(word) + places[event.key];
    const next = all[Math.max(0, Math.min(all.length - 1, place))];
    word.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  }
});
"""
"""Tells the server which word was chosen, by its first piece. One word is in the order of the Tab key; arrows go on."""

INSTEAD_JS = """
element.addEventListener("click", event => {
  const button = event.target.closest("button");
  if (button) trigger("choose", { rank: Number(button.dataset.rank) });
});
"""
FOCUS_WORD_JS = """() => {
  const position = document.querySelector("#instead [data-chosen]")?.dataset.chosen;
  document.querySelector(`#answer .word[data-position="${position}"]`)?.focus();
}"""
"""After a choice the button is gone: go on where it was made."""

HINT = "Choose a word to see what else could stand there: click it, or go to it with Tab and the arrow keys."
WORDS = "The translation; each word is a button that shows what else could stand there"
DISTRUST = "This is unlike what it was trained on: do not trust it."


def answer_html(result: dict) -> str:
    """Write a translation large, each word to be chosen."""
    tokens, text = result["evidence"]["target_tokens"], result["translation_text"]
    direction = result["evidence"].get("direction") or ""
    language = f' lang="{escape(direction.split("-")[1])}"' if direction else ""
    words = [(group[0], _text(tokens, group)) for group in word_groups(tokens) if tokens[group[0]] != END]
    spaced = [(place, word, " " if tokens[place].startswith(WORD_START) else "") for place, word in words if word]
    if "".join(space + word for _, word, space in spaced).strip() != text:  # its pieces are not all of the text
        return f'<p class="answer"{language}>{escape(text)}</p>'
    drawn = "".join(
        f'{space if index else ""}<span class="word" role="button" tabindex="{-1 if index else 0}" '
        f'aria-pressed="false" data-position="{place}">{escape(word)}</span>'
        for index, (place, word, space) in enumerate(spaced)
    )
    return f'<p class="answer" role="group" aria-label="{WORDS}"{language}>{drawn}</p>'


def told_html(result: dict, is_detected: bool, is_of_several: bool) -> str:
    """Say in which direction was translated, and whether to trust it.

    Args:
        result: the best translation.
        is_detected: whether the source's language was guessed.
        is_of_several: whether the checkpoint has other directions.
    """
    evidence, parts = result["evidence"], []
    if is_of_several and evidence["direction"]:
        source, target = map(name_of, evidence["direction"].split("-"))
        said = f"Detected language: {source}. Translated into {target}." if is_detected else f"{source} → {target}"
        parts.append(f'<p class="fine-print" role="status">{escape(said)}</p>')
    if evidence["unfamiliar"]:
        unknown = ", ".join(f"“{piece}”" for piece in evidence["unknown_pieces"])
        never = f"The network has never read {unknown}. " if unknown else ""
        parts.append(f'<p class="notice" role="alert">{escape(never)}<b>{DISTRUST}</b></p>')
    return "".join(parts)


def alternatives_html(found: Sequence[dict], shown: dict, position: int) -> str:
    """Draw a button for each translation that goes on differently.

    Args:
        found: results, the most probable first.
        shown: the result on the page.
        position: of the piece from which on they differ.
    """
    word = escape(_word_at(shown, position))
    buttons = "".join(_button(rank, result, shown, position) for rank, result in enumerate(found))
    return (
        f'<p class="instead-title" role="status">In the place of “{word}”, and how the translation would go on. '
        "Beside it the probability of the piece that comes first.</p>"
        f'<div class="instead" role="group" aria-label="In the place of “{word}”">{buttons}</div>'
    )


def chosen_html(result: dict, position: int) -> str:
    """Say what was chosen, and where."""
    word = escape(_word_at(result, position))
    return f'<p class="instead-title" role="status" data-chosen="{_start(result, position)}">Chosen: “{word}”.</p>'


def hint_html() -> str:
    """Say that words can be chosen."""
    return f'<p class="fine-print">{HINT}</p>'


def _button(rank: int, result: dict, shown: dict, position: int) -> str:
    evidence = result["evidence"]
    tokens, probability = evidence["target_tokens"], math.exp(evidence["token_log_probabilities"][position])
    groups = word_groups(tokens)
    here = next(group for group in groups if position in group)
    before, word, after = (
        _text(tokens, [index for group in part for index in group if tokens[index] != END], strip=False)
        for part in (groups[: groups.index(here)], [here], groups[groups.index(here) + 1 :])
    )
    marked = f"<b>{escape(word.strip())}</b>" if word.strip() else "<b>⏎ the end</b>"
    space = " " if (word.startswith(" ") and before) or not word else ""
    is_shown = tokens[: position + 1] == shown["evidence"]["target_tokens"][: position + 1]
    current, share = (' aria-current="true"' if is_shown else ""), percent(probability)
    return (
        f'<button type="button" data-rank="{rank}"{current} style="--probability:{probability:.3f}">'
        f"<span>{escape(before.lstrip())}{space}{marked}{escape(after)}</span><small>{share}</small></button>"
    )


def _word_at(result: dict, position: int) -> str:
    tokens = result["evidence"]["target_tokens"]
    (group,) = [group for group in word_groups(tokens) if position in group]
    return "⏎" if tokens[group[0]] == END else _text(tokens, group)


def _start(result: dict, position: int) -> int:
    """Return the first piece of the word that a piece is in."""
    return next(group[0] for group in word_groups(result["evidence"]["target_tokens"]) if position in group)


def _text(tokens: Sequence[str], indices: Sequence[int], strip: bool = True) -> str:
    text = "".join(tokens[index] for index in indices).replace(WORD_START, " ")
    return text.strip() if strip else text
