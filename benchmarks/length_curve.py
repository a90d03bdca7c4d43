"""A curve as in Bahdanau et al. 2014, figure 2: BLEU by the length of the source, drawn as SVG text.

The picture has no background and takes its colours from the reader's scheme, light or dark.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 720, 430
LEFT, RIGHT, TOP, BOTTOM = 62, 20, 66, 62
STYLE = """
  svg { font: 14px system-ui, sans-serif; --ink: #24292f; --faint: #d0d7de; --c0: #0550ae; --c1: #bc4c00;
    --c2: #1a7f37; --c3: #8250df; color-scheme: light dark }
  @media (prefers-color-scheme: dark) { svg { --ink: #e6edf3; --faint: #3d444d; --c0: #6cb6ff; --c1: #f69d50;
    --c2: #6bc46d; --c3: #dcbdfb } }
  text { fill: var(--ink) } .grid { stroke: var(--faint) } .axis { stroke: var(--ink) }
  .line { fill: none; stroke-width: 2.5 } .middle { text-anchor: middle } .end { text-anchor: end }
"""
DASHES = ("none", "8 4", "2 4", "10 4 2 4")
"""Lines differ by these too, for those who do not see their colours apart."""


@dataclass(frozen=True)
class Curve:
    """One line of the picture."""

    title: str
    values: Sequence[float]
    """One for each place on the horizontal axis."""


def length_curve(places: Sequence[str], counts: Sequence[int], curves: Sequence[Curve]) -> str:
    """Draw curves.

    Args:
        places: what stands below the horizontal axis, such as "9-11".
        counts: sentences of each place.
        curves: at most four, of as many values as there are places.
    """
    step = 5
    lowest = step * (min(min(curve.values) for curve in curves) // step)
    highest = max(lowest + step, step * -(-max(max(curve.values) for curve in curves) // step))

    def x(place: int) -> float:
        return round(LEFT + (WIDTH - LEFT - RIGHT) * (place + 0.5) / len(places), 1)

    def y(value: float) -> float:
        return round(TOP + (HEIGHT - TOP - BOTTOM) * (highest - value) / (highest - lowest), 1)

    levels = [lowest + step * number for number in range(int((highest - lowest) / step) + 1)]
    parts = [_level(level, y(level)) for level in levels]
    parts += [
        f'<text class="middle" x="{x(place)}" y="{HEIGHT - BOTTOM + 20}">{escape(name)}'
        f'<tspan x="{x(place)}" dy="17" font-size="12">n = {count}</tspan></text>'
        for place, (name, count) in enumerate(zip(places, counts, strict=True))
    ]
    for number, curve in enumerate(curves):
        points = [(x(place), y(value)) for place, value in enumerate(curve.values)]
        parts += [_line(number, points), _legend(number, curve.title)]
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts += [
        f'<text class="middle" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 6}">length of the source, in words</text>',
        f'<text class="middle" transform="translate(18 {middle}) rotate(-90)">BLEU of the validation split</text>',
    ]
    description = "BLEU by source length: " + "; ".join(
        f"{curve.title}: {', '.join(f'{value:.1f}' for value in curve.values)}" for curve in curves
    )
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">'
    return "\n".join([head, f"<title>{escape(description)}</title>", f"<style>{STYLE}</style>", *parts, "</svg>", ""])


def _level(level: float, height: float) -> str:
    line = f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{height}" y2="{height}"/>'
    return f'{line}<text class="end" x="{LEFT - 8}" y="{height + 5}">{level:g}</text>'


def _line(number: int, points: Sequence[tuple[float, float]]) -> str:
    colour = f"var(--c{number})"
    path = " ".join(f"{x},{y}" for x, y in points)
    dots = "".join(f'<circle cx="{x}" cy="{y}" r="4" style="fill: {colour}"/>' for x, y in points)
    return (
        f'<polyline class="line" points="{path}" style="stroke: {colour}; stroke-dasharray: {DASHES[number]}"/>{dots}'
    )


def _legend(number: int, title: str) -> str:
    """Write a line's name above the picture, two in a row."""
    left, height = LEFT + 330 * (number % 2), 22 + 22 * (number // 2)
    style = f"stroke: var(--c{number}); stroke-dasharray: {DASHES[number]}"
    sample = f'<line class="line" x1="{left}" x2="{left + 36}" y1="{height - 5}" y2="{height - 5}" style="{style}"/>'
    return f'{sample}<text x="{left + 44}" y="{height}">{escape(title)}</text>'
