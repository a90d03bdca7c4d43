"""A story whose sentences are marked as strongly as a hop attends to them: a hop at a time, or all.

A radio button chooses the hop: mouse, touch and the arrow keys. Sentences can be changed where they stand. The marks
are never alone: numbers stand beside them, and a line says which sentence was read most.
"""

from collections.abc import Collection, Sequence
from html import escape

HOPS_CSS = """
.hops { color: var(--body-text-color); }
.hops .unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
.hop-steps { display: flex; flex-wrap: wrap; gap: 6px; border: 0; margin: 0; padding: 0; position: relative; }
.hop-steps input { position: absolute; opacity: 0; width: 1px; height: 1px; margin: 20px 0 0 10px; }
.hop-steps span { display: inline-block; min-height: 40px; line-height: 26px; padding: 7px 14px; border-radius: 8px;
  cursor: pointer; font-weight: 600; font-size: 15px; background: rgba(100, 116, 139, .14); }
.hop-steps span:hover { background: rgba(37, 99, 235, .22); }
.hop-steps input:checked + span { background: rgb(37, 99, 235); color: white; }
.hop-steps input:focus-visible + span { outline: 3px solid rgb(96, 165, 250); outline-offset: 2px; }
.hop-said { font-size: 15px; line-height: 1.45; min-height: 1.45em; margin: 10px 0 4px !important;
  overflow-wrap: anywhere; }
.hop-story { display: table; width: 100%; border: 0 !important; border-collapse: separate; border-spacing: 3px;
  margin: 0 !important; padding: 0 !important; font-size: 16px; line-height: 1.35; }
.hop-story :is(th, td) { border: 0 !important; padding: 0; font-weight: 400; vertical-align: middle; }
.hop-story :is(th, td) { text-align: left !important; }
.hop-story thead th { font-size: 12px; opacity: .8; white-space: nowrap; }
.hop-story .hop-number { width: 1px; padding-right: 5px; font-size: 13px; white-space: nowrap;
  font-variant-numeric: tabular-nums; }
.hop-story .hop-number b { color: #b45309; font-weight: 700; }
.dark .hop-story .hop-number b { color: #fbbf24; }
.hop-sentence { display: block; padding: 5px 9px; border-radius: 6px; cursor: text; overflow-wrap: anywhere;
  min-height: 1.35em; background: rgba(37, 99, 235, calc(.62 * var(--at))); transition: background .25s ease-out;
  box-shadow: inset 0 0 0 1px rgba(128, 128, 128, .22); }
.dark .hop-sentence { background: rgba(96, 165, 250, calc(.55 * var(--at))); }
.hop-sentence:hover { box-shadow: inset 0 0 0 1px rgb(37, 99, 235); }
.hop-sentence:focus { outline: 3px solid rgb(96, 165, 250); outline-offset: 1px; }
.hop-story tr.dropped .hop-sentence { opacity: .6; font-style: italic; }
.hop-story td.hop-weight { width: 40px; min-width: 40px; height: 32px; font-size: 12.5px;
  border-radius: 6px; font-variant-numeric: tabular-nums; background: rgba(37, 99, 235, calc(.62 * var(--weight)));
  box-shadow: inset 0 0 0 1px rgba(128, 128, 128, .18); transition: opacity .25s ease-out; }
.dark .hop-story td.hop-weight { background: rgba(96, 165, 250, calc(.55 * var(--weight))); }
.hop-story td.hop-unread { font-size: 12.5px; opacity: .75; }
.hop-story :is(.hop-weight, .hop-unread, th[data-step]) { text-align: center !important; }
.hop-story .aside { opacity: .3; }
.hop-legend { font-size: 13px; line-height: 1.45; opacity: .8; margin: 8px 0 0 !important; max-width: 80ch; }
.hop-legend b { color: #b45309; }
.dark .hop-legend b { color: #fbbf24; }
@media (max-width: 480px) {
  .hop-steps span { padding: 7px 11px; }
  .hop-said { min-height: 4.35em; } /* the story does not jump from step to step */
  .hop-story { border-spacing: 2px; font-size: 15px; }
  .hop-sentence { padding: 5px 7px; }
  .hop-story td.hop-weight { width: 33px; min-width: 33px; font-size: 12px; }
  .hop-story thead th { font-size: 11px; }
}
@media (prefers-reduced-motion: reduce) { .hop-sentence, .hop-story td.hop-weight { transition: none; } }
"""

HOPS_JS = """
let step = 0, before = "", returning = -1;
const sentences = () => [...element.querySelectorAll(".hop-sentence")];
const show = () => {
  const radios = [...element.querySelectorAll(".hop-steps input")];
  if (!radios.length) return;
  if (step >= radios.length) step = 0;
  radios[step].checked = true;
  element.querySelector(".hop-said").textContent = radios[step].dataset.said;
  for (const row of element.querySelectorAll("tbody tr")) row.style.setProperty("--at", `var(--step-${step})`);
  for (const cell of element.querySelectorAll("[data-step]"))
    cell.classList.toggle("aside", step > 0 && Number(cell.dataset.step) !== step);
};
const commit = sentence => {
  if (!sentence || sentence.textContent === before) return;
  before = sentence.textContent;
  trigger("edit", { sentences: sentences().map(one => one.textContent) });
};
element.addEventListener("change", event => {
  if (!event.target.matches(".hop-steps input")) return;
  step = Number(event.target.value);
  show();
});
element.addEventListener("focusin", event => {
  const sentence = event.target.closest(".hop-sentence");
  if (sentence) before = sentence.textContent;
});
element.addEventListener("focusout", event => commit(event.target.closest(".hop-sentence")));
element.addEventListener("keydown", event => {
  const sentence = event.target.closest(".hop-sentence");
  if (!sentence) return;
  if (event.key === "Enter") {
    event.preventDefault();
    returning = sentences().indexOf(sentence);
    commit(sentence);
  } else if (event.key === "Escape") {
    sentence.textContent = before;
    sentence.blur();
  }
});
watch("value", () => {
  show();
  if (returning >= 0 && document.activeElement === document.body)
    sentences()[returning]?.focus({ preventScroll: true });
  returning = -1;
});
"""
"""Runs once for the box that the story stands in; the story in it changes, the step stays."""

LEGEND = (
    "At each hop the network reads the whole story once; the stronger the mark, the more it took from that sentence. "
    "What it took decides what the next hop looks for. What a hop's numbers lack to 1, it took from nothing. "
    "<strong>Change a sentence right here and press Enter: the network answers again.</strong>"
)
FACTS_LEGEND = " <b>★</b> The true answer follows from these sentences."
ALL_SAID = "The mean of all hops. Choose a hop to see the steps one by one."


def hops_html(
    sentences: Sequence[str], attention: Sequence[Sequence[float]], num_dropped: int, facts: Collection[int]
) -> str:
    """Draw what each hop attended to.

    Args:
        sentences: the whole story.
        attention: hops x sentences that were read, the newest ones; the weights of a hop sum to at most 1.
        num_dropped: oldest sentences, which were not read.
        facts: places of the sentences that the true answer follows from, where it is known.

    Returns:
        HTML; everything that came from people is escaped.
    """
    said = [ALL_SAID, *(hop_sentence(sentences, attention, hop, num_dropped) for hop in range(len(attention)))]
    steps = "".join(_step(number, sentence) for number, sentence in enumerate(said))
    heads = "".join(f'<th scope="col" data-step="{hop}">Hop {hop}</th>' for hop in range(1, len(attention) + 1))
    rows = "".join(
        _unread_row(place, sentence, len(attention), place in facts)
        if place < num_dropped
        else _row(place, sentence, [hop[place - num_dropped] for hop in attention], place in facts)
        for place, sentence in enumerate(sentences)
    )
    return (
        '<div class="hops"><fieldset class="hop-steps"><legend class="unseen">Hops to show</legend>'
        f'{steps}</fieldset><p class="hop-said" role="status">{escape(said[0])}</p>'
        '<table class="hop-story" aria-label="The story, and how much each hop took from its sentences"><thead><tr>'
        f'<th></th><th scope="col">Sentence</th>{heads}</tr></thead><tbody>{rows}</tbody></table>'
        f'<p class="hop-legend">{LEGEND}{FACTS_LEGEND if facts else ""}</p></div>'
    )


def most_read(attention: Sequence[Sequence[float]], num_dropped: int) -> list[int]:
    """Return for each hop the place of the sentence that it attended to most."""
    return [num_dropped + max(range(len(hop)), key=hop.__getitem__) for hop in attention]


def hop_sentence(sentences: Sequence[str], attention: Sequence[Sequence[float]], hop: int, num_dropped: int) -> str:
    """Say which sentence a hop, counted from 0, took most from."""
    place = most_read(attention, num_dropped)[hop]
    weight = attention[hop][place - num_dropped]
    then = ", and then the network answers" if hop == len(attention) - 1 else ""
    return f"Hop {hop + 1} took most ({weight:.2f}) from sentence {place + 1}, “{sentences[place].rstrip('.')}”{then}."


def _step(number: int, said: str) -> str:
    name = f"Hop {number}" if number else "All hops"
    checked = "" if number else " checked"
    return (
        f'<label><input type="radio" name="hop-step" value="{number}" data-said="{escape(said)}"{checked}>'
        f"<span>{name}</span></label>"
    )


def _row(place: int, sentence: str, weights: Sequence[float], is_fact: bool) -> str:
    steps = [sum(weights) / len(weights), *weights]
    style = "".join(f"--step-{number}:{weight:.3f};" for number, weight in enumerate(steps))
    cells = "".join(
        f'<td class="hop-weight" data-step="{hop}" style="--weight:{weight:.3f}">{weight:.2f}</td>'
        for hop, weight in enumerate(weights, start=1)
    )
    return f'<tr style="{style}--at:var(--step-0)">{_number(place, is_fact)}{_sentence(place, sentence)}{cells}</tr>'


def _unread_row(place: int, sentence: str, num_hops: int, is_fact: bool) -> str:
    unread = f'<td class="hop-unread" colspan="{num_hops}">not read</td>'
    return f'<tr class="dropped" style="--at:0">{_number(place, is_fact)}{_sentence(place, sentence)}{unread}</tr>'


def _number(place: int, is_fact: bool) -> str:
    star = '<b title="The true answer follows from this sentence.">★</b> ' if is_fact else ""
    return f'<td class="hop-number">{star}{place + 1}</td>'


def _sentence(place: int, sentence: str) -> str:
    return (
        '<th scope="row"><span class="hop-sentence" contenteditable="plaintext-only" role="textbox" spellcheck="false" '
        f'aria-label="Sentence {place + 1}" enterkeyhint="done">{escape(sentence)}</span></th>'
    )
