"""A transcript as words that can be heard, with everything that belongs to it."""

from html import escape

from .posterior_picture import picture_html
from .posteriors import Posteriors
from .recording import DrawnRecording

PADDING_SECONDS = 0.1
"""Played before and after a word: the network's spikes are inside it."""
NOTHING = "Nothing was heard."
HEAR_IT = "Choose a word to hear it. The more orange, the less sure."
PART_NAMES = {
    "acoustic": "sound",
    "language_model": "language model",
    "word_bonus": "word bonus",
    "hot_words": "hot words",
}
"""What a score is made of."""

TRANSCRIPT_CSS = """
.heard-words { display: flex; flex-wrap: wrap; gap: 6px; margin: 2px 0 0 !important; }
.heard-word { display: flex; flex-direction: column; align-items: center; min-width: 40px; min-height: 44px;
  max-width: 100%; margin: 0 !important; padding: 5px 9px 4px; border-radius: 8px;
  border: 1px solid rgba(100, 116, 139, .35);
  color: var(--body-text-color); background: rgb(234 88 12 / calc(.6 * var(--unsure))); overflow-wrap: anywhere;
  transition: box-shadow .15s; }
button.heard-word { cursor: pointer; }
button.heard-word:hover { border-color: rgb(37, 99, 235); }
button.heard-word:focus-visible { outline: 3px solid rgb(96, 165, 250); outline-offset: 1px; }
.heard-word.now { box-shadow: 0 0 0 2px rgb(37, 99, 235); }
.heard-word b { font-size: 1.25rem; line-height: 1.25; font-weight: 600; }
.heard-word small { font-size: 12px; font-weight: 400; line-height: 1.2; opacity: .85;
  font-variant-numeric: tabular-nums; }
.heard-nothing { font-size: 1.25rem; margin: 4px 0 0 !important; }
.heard-said { font-size: 14px; line-height: 1.45; min-height: 1.45em; margin: 8px 0 0 !important;
  font-variant-numeric: tabular-nums; }
.heard-parts { font-size: 14px; line-height: 1.45; margin: 10px 0 0 !important; font-variant-numeric: tabular-nums; }
@media (prefers-reduced-motion: reduce) { .heard-word { transition: none; } }
"""

TRANSCRIPT_JS = """
const play = (from, to) => {
  const player = document.querySelector("#ctc-player audio");
  if (!player) return;
  if (to) player.dataset.until = to; else delete player.dataset.until;
  player.currentTime = from;
  player.play().catch(() => {}); // the next word may interrupt it
};
const say = event => {
  const word = event.target.closest(".heard-word");
  if (word) element.querySelector(".heard-said").textContent = word.title;
};
element.addEventListener("pointerover", say);
element.addEventListener("focusin", say);
element.addEventListener("click", event => {
  const word = event.target.closest("button.heard-word"), paper = event.target.closest(".heard-paper");
  if (word) play(Number(word.dataset.from), word.dataset.to);
  if (!paper) return;
  const { left, width } = paper.getBoundingClientRect();
  play(Math.max(0, (event.clientX - left) / width * paper.dataset.seconds));
});
"""
"""Runs once for the box that the transcript stands in; the transcript in it changes."""


def transcript_html(recording: DrawnRecording, posteriors: Posteriors, transcript: dict) -> str:
    """Draw a transcript: what was wrong with the recording, words, picture, and what the score is made of.

    Args:
        recording: its outline.
        posteriors: of the same recording.
        transcript: `text`, `score`, `score_parts`, `chunks` (words), `alignment` (label numbers) and perhaps
            `notices`.

    Returns:
        HTML; everything that came from people or a network is escaped.
    """
    notices = "".join(f'<p class="fine-print">{escape(notice)}</p>' for notice in transcript.get("notices", ()))
    words = "".join(_word(chunk, recording.seconds) for chunk in transcript["chunks"])
    said = f'<p class="heard-nothing">{NOTHING}</p>'
    if words:
        said = (
            f'<div class="heard-words" role="group" aria-label="Words of the transcript">{words}</div>'
            f'<p class="heard-said" role="status">{HEAR_IT}</p>'
        )
    picture = picture_html(recording, posteriors, transcript["text"], transcript["chunks"], transcript["alignment"])
    return f'{notices}{said}{picture}<p class="heard-parts">{score_sentence(transcript)}</p>'


def score_sentence(transcript: dict) -> str:
    """Say what a transcript's score is, and what it is made of."""
    parts = [
        f"{escape(PART_NAMES.get(name, name))} {signed(value, '+')}"
        for name, value in transcript["score_parts"].items()
        if value or name == "acoustic"
    ]
    return f"Score {signed(transcript['score'])} nats: {', '.join(parts)}."


def signed(value: float, plus: str = "") -> str:
    """Write a number with a true minus, and with a plus where it is wanted."""
    return f"{value:{plus}.2f}".replace("-", "−")


def _word(chunk: dict, seconds: float) -> str:
    """Draw a word, as a button where it can be heard."""
    text, (start, end), confidence = chunk["text"], chunk["timestamp"], chunk["confidence"]
    share = f"{100 * confidence:.0f} %"
    title = f"“{text}”: {start:.2f} to {end:.2f} seconds, confidence {share}."
    inside = f"<b>{escape(text)}</b><small>{share}</small>"
    style = f'class="heard-word" style="--unsure:{1 - confidence:.3f}"'
    if start >= seconds:
        return f'<span {style} title="{escape(title)}">{inside}</span>'
    first, last = max(start - PADDING_SECONDS, 0), min(end + PADDING_SECONDS, seconds)
    return (
        f'<button type="button" {style} data-from="{first:.3f}" data-to="{last:.3f}" title="{escape(title)}" '
        f'aria-label="{escape(title)} Play.">{inside}</button>'
    )
