"""A recording, its words and the network's label probabilities over time, as in Graves et al. 2006, figure 1.

Drawn as SVG. Times are fractions of the picture's width, so that it fills its box and no letter is stretched; what is
longer than the box scrolls sideways in it.
"""

from collections.abc import Iterator, Sequence
from html import escape

from .posteriors import BLANK, GAP, Posteriors, curve, letters, notable
from .recording import OUTLINE_SECONDS, DrawnRecording

PIXELS_PER_SECOND = 130
"""At least."""
NARROWEST_PIXELS = 320
"""Of the box."""
CHARACTER_PIXELS = 10
"""Of a word's name in the picture, about."""
LETTER_PIXELS = 13
"""Of a letter at its peak, with some air."""

HUE_STEP = 137.508
"""Degrees between the colours of labels that come one after the other: the golden angle puts neighbours far apart."""

WAVE_HEIGHT, ROW_HEIGHT, CURVES_HEIGHT = 64, 16, 170
ROWS_TOP = WAVE_HEIGHT + 6
CURVES_TOP = ROWS_TOP + 2 * ROW_HEIGHT + 32
CURVES_END = CURVES_TOP + CURVES_HEIGHT
HEIGHT = CURVES_END + 22
"""Of the parts, from top to bottom, and of the whole, in pixels."""

PICTURE_CSS = f"""
.heard {{ --light: 52%; margin: 10px 0 0; }}
.dark .heard {{ --light: 74%; }}
.heard-box {{ overflow-x: auto; contain: inline-size; scrollbar-width: thin; padding: 10px 14px 4px;
  border-radius: 10px; border: 1px solid rgba(100, 116, 139, .4);
  background: var(--background-fill-primary); color: var(--body-text-color); }}
.heard-box:focus-visible {{ outline: 3px solid rgb(96, 165, 250); outline-offset: 2px; }}
.heard-paper {{ position: relative; width: max(100%, calc({PIXELS_PER_SECOND}px * var(--seconds))); cursor: pointer; }}
.heard-paper svg {{ display: block; overflow: visible; }}
.heard-paper text {{ fill: currentColor; font: 12px/1 var(--font); text-anchor: middle; user-select: none; }}
.heard-paper text.axis {{ opacity: .75; font-size: 11px; }}
.heard-paper text.level {{ text-anchor: start; }}
.heard-paper text.word {{ font-weight: 600; }}
.heard-paper line {{ stroke: rgba(100, 116, 139, .28); }}
.heard-wave {{ fill: rgb(100, 116, 139); }}
.dark .heard-wave {{ fill: rgb(148, 163, 184); }}
.heard-band {{ fill: rgba(37, 99, 235, .09); }}
.heard-unsure {{ fill: rgb(234 88 12 / calc(.6 * var(--unsure))); }}
.heard-curve {{ --colour: oklch(var(--light) .17 var(--hue)); stroke: var(--colour); fill: var(--colour);
  fill-opacity: .16; stroke-width: 1.6; vector-effect: non-scaling-stroke; stroke-linejoin: round; }}
.heard-curve.gap {{ --colour: rgb(128, 128, 128); }}
.heard-blank {{ stroke: rgb(128, 128, 128); stroke-width: 1.3; stroke-dasharray: 4 4; fill: none; opacity: .8;
  vector-effect: non-scaling-stroke; }}
.heard-paper text.letter {{ fill: color-mix(in oklab, oklch(var(--light) .17 var(--hue)) 78%, currentColor);
  font-size: 11px; paint-order: stroke; stroke: var(--background-fill-primary); stroke-width: 3px; }}
.heard-paper text.said {{ font-size: 15px; font-weight: 700; }}
.heard-paper text.gap {{ fill: currentColor; font-size: 11px; font-weight: 400; opacity: .8; }}
.heard-now {{ position: absolute; top: 0; height: {CURVES_END}px; width: 2px; margin-left: -1px; pointer-events: none;
  background: rgb(220, 38, 38); left: calc(100% * var(--now, -1) / var(--seconds));
  opacity: min(1, 1 + var(--now, -1)); }}
.heard-legend {{ font-size: 13px; line-height: 1.45; opacity: .8; margin: 6px 0 0 !important; max-width: 80ch; }}
"""

LEGEND = (
    "On top the recording, under it the words where they are said; below, how probable each letter is at each moment. "
    "Large letters are this transcript's (␣ is the gap between words); small ones came above 0.1 and are not in it. "
    "The dashed line is the blank: no new letter now. The network says a letter once, as a spike somewhere in its "
    "sound, and is blank again. Touch the picture to hear the recording from there."
)


def picture_html(
    recording: DrawnRecording, posteriors: Posteriors, text: str, chunks: Sequence[dict], alignment: Sequence[int]
) -> str:
    """Draw a transcript over the recording and the probabilities.

    Args:
        recording: its outline.
        posteriors: of the same recording.
        text: the transcript.
        chunks: its words: `text`, `timestamp` in seconds, and `confidence`; those that begin after what is drawn are
            left out.
        alignment: the transcript's path, label numbers, (T) or more.

    Returns:
        HTML; everything that came from people or a network is escaped.
    """
    seconds = max(recording.seconds, len(posteriors.probabilities) * posteriors.frame_seconds)
    words = [chunk for chunk in chunks if chunk["timestamp"][0] < seconds]
    curves = notable(posteriors)
    hues = {
        label: round(HUE_STEP * place % 360) for place, label in enumerate(dict.fromkeys([*curves, *posteriors.labels]))
    }
    parts = (
        *_grid(seconds),
        *_bands(words, seconds),
        _inner(0, WAVE_HEIGHT, f"0 -1 {seconds:.3f} 2", _wave(recording)),
        _inner(CURVES_TOP, CURVES_HEIGHT, f"0 0 {seconds:.3f} 1", "".join(_curves(posteriors, curves, hues))),
        *_names(words, seconds),
        *_letters(posteriors, alignment, hues, seconds),
    )
    label = f"The recording and the probabilities of the letters over time. Heard: {text or 'nothing'}."
    return (
        '<figure class="heard"><div class="heard-box" tabindex="0" role="group" '
        'aria-label="Picture of the recording; it scrolls sideways where it is long">'
        f'<div class="heard-paper" data-seconds="{seconds:.3f}" style="--seconds:{seconds:.3f}">'
        f'<svg width="100%" height="{HEIGHT}" role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'
        f'<i class="heard-now"></i></div></div><figcaption class="heard-legend">{LEGEND}</figcaption></figure>'
    )


def _percent(time: float, seconds: float) -> str:
    return f"{100 * time / seconds:.3f}%"


def _inner(top: int, height: int, view: str, content: str) -> str:
    """Place what is drawn in its own coordinates, stretched to the picture's width."""
    return (
        f'<svg x="0" y="{top}" width="100%" height="{height}" viewBox="{view}" preserveAspectRatio="none" '
        f'aria-hidden="true">{content}</svg>'
    )


def _grid(seconds: float) -> Iterator[str]:
    """Draw the axes: seconds, and probabilities of 0, 0.5 and 1."""
    step = 0.5 if seconds <= 6 else 1
    for tick in range(int(seconds / step) + 1):
        at = _percent(tick * step, seconds)
        yield f'<line x1="{at}" x2="{at}" y1="{CURVES_TOP}" y2="{CURVES_END + 4}"/>'
        yield f'<text class="axis" x="{at}" y="{HEIGHT - 4}">{tick * step:g}{" s" if tick == 0 else ""}</text>'
    for level in (0, 0.5, 1):
        y = CURVES_END - level * CURVES_HEIGHT
        yield f'<line x1="0" x2="100%" y1="{y:g}" y2="{y:g}"/>'
        if level:
            yield f'<text class="axis level" x="0" y="{y - 3:g}">{level:g}</text>'


def _wave(recording: DrawnRecording) -> str:
    """Draw the outline: there along its upper edge, and back along the lower."""
    middles = [(place + 0.5) * OUTLINE_SECONDS for place in range(len(recording.outline))]
    upper = [f"{time:.3f},{-high:.3f}" for time, (_, high) in zip(middles, recording.outline, strict=True)]
    lower = [f"{time:.3f},{-low:.3f}" for time, (low, _) in zip(middles, recording.outline, strict=True)]
    return f'<polygon class="heard-wave" points="{" ".join([*upper, *reversed(lower)])}"/>'


def _look(kind: str, label: str, hues: dict[str, int]) -> str:
    """Return the class and the colour of what is drawn of a label; the gap between words is grey."""
    return f'class="{kind}{" gap" if label == GAP else ""}" style="--hue:{hues[label]}"'


def _curves(posteriors: Posteriors, curves: Sequence[str], hues: dict[str, int]) -> Iterator[str]:
    """Draw a curve for the blank and for each of some labels."""
    columns = dict(zip(posteriors.labels, posteriors.probabilities.T, strict=True))
    yield f'<path class="heard-blank" d="{curve(columns[BLANK], posteriors.frame_seconds)}"/>'
    for label in curves:
        path = curve(columns[label], posteriors.frame_seconds)
        yield f'<path {_look("heard-curve", label, hues)} d="{path}"/>'


def _bands(words: Sequence[dict], seconds: float) -> Iterator[str]:
    """Draw where each word is said, through the whole picture."""
    for word in words:
        start, end = word["timestamp"]
        place = f'x="{_percent(start, seconds)}" width="{_percent(min(end, seconds) - start, seconds)}"'
        yield f'<rect class="heard-band" {place} y="0" height="{CURVES_END}"/>'
        yield (
            f'<rect class="heard-unsure" style="--unsure:{1 - word["confidence"]:.3f}" {place} y="{ROWS_TOP}" '
            f'height="{2 * ROW_HEIGHT + 4}"/>'
        )


def _names(words: Sequence[dict], seconds: float) -> Iterator[str]:
    """Write the words, in the second row those that would run into the one before."""
    pixels_per_second = max(PIXELS_PER_SECOND, NARROWEST_PIXELS / seconds)
    row_ends = [0.0, 0.0]
    for word in words:
        start, end = word["timestamp"]
        middle = (start + min(end, seconds)) / 2
        half = CHARACTER_PIXELS * len(word["text"]) / 2 / pixels_per_second
        row = 0 if middle - half >= row_ends[0] or row_ends[0] <= row_ends[1] else 1
        row_ends[row] = middle + half
        yield (
            f'<text class="word" x="{_percent(middle, seconds)}" y="{ROWS_TOP + (row + 1) * ROW_HEIGHT - 3}">'
            f"{escape(word['text'])}</text>"
        )


def _letters(posteriors: Posteriors, alignment: Sequence[int], hues: dict[str, int], seconds: float) -> Iterator[str]:
    """Write letters at their peaks, and higher where another one stands; the transcript's stand first, gaps last."""
    pixels_per_second = max(PIXELS_PER_SECOND, NARROWEST_PIXELS / seconds)
    taken: list[tuple[float, float]] = []
    for letter in sorted(letters(posteriors, alignment), key=lambda letter: letter.label == GAP):
        time = (letter.frame + 0.5) * posteriors.frame_seconds
        x, y = time * pixels_per_second, CURVES_END - letter.probability * CURVES_HEIGHT - 4
        while any(abs(x - other) < LETTER_PIXELS - 1 and abs(y - level) < LETTER_PIXELS - 1 for other, level in taken):
            y -= 1
        taken.append((x, y))
        look = _look("letter said" if letter.is_said else "letter", letter.label, hues)
        yield f'<text {look} x="{_percent(time, seconds)}" y="{y:.1f}">{_glyph(letter.label)}</text>'


def _glyph(label: str) -> str:
    return "␣" if label == GAP else escape(label)
