"""Attention over a picture, word by word, as HTML that needs no script.

Every word is a radio button: mouse, touch, Tab and the arrow keys choose one, and style sheets alone bring its
attention up. Fog lies over the picture; where a word looked most there is none.
"""

import base64
import io
from dataclasses import dataclass
from html import escape

from PIL import Image

from .alignment import END, readable

LONGEST_SIDE = 640
"""Of the picture in the page, in pixels."""
PIXELS_PER_FIELD = 9
"""Of the fog, along a side; odd, so that a field's centre is a pixel's centre."""

LIGHT_FOG, DARK_FOG = "rgb(203, 213, 225)", "rgb(30, 41, 59)"
"""On dark pictures and on bright ones, so that it shows."""
DARK = 90
"""Mean grey, of 255, below which a picture is dark."""

IMAGE_ATTENTION_CSS = """
.gaze { border: 0; margin: 0; padding: 0; min-width: 0; position: relative; }
.gaze .unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
.gaze > input { position: absolute; opacity: 0; width: 1px; height: 1px; margin: 20px 0 0 10px; }
.gaze-word { display: inline-block; font-size: 1.5rem; line-height: 1.2; padding: 4px 7px; margin: 2px 1px;
  border-radius: 8px; cursor: pointer; background: rgba(100, 116, 139, .1); max-width: 100%;
  overflow-wrap: anywhere; color: var(--body-text-color); transition: background .15s; }
.gaze-word:hover { background: rgba(37, 99, 235, .22); }
.gaze > input:checked + .gaze-word { background: rgb(37, 99, 235); color: white; }
.gaze > input:focus-visible + .gaze-word { outline: 3px solid rgb(96, 165, 250); outline-offset: 2px; }
.gaze-picture { position: relative; aspect-ratio: var(--ratio); width: min(100%, 480px * var(--ratio));
  margin: 12px 0 8px; border-radius: 10px; overflow: hidden; }
.gaze-picture, .gaze-thumb { background: var(--picture) center / 100% 100%; }
.gaze-fog { position: absolute; inset: 0; background: var(--fog); opacity: .82;
  -webkit-mask: var(--unseen) center / 100% 100% no-repeat; mask: var(--unseen) center / 100% 100% no-repeat; }
.gaze-at { opacity: 0; transition: opacity .25s ease-out; }
.gaze-said { display: grid; font-size: 15px; line-height: 1.45; margin: 0 0 4px !important; }
.gaze-said > .gaze-at { grid-area: 1 / 1; }
.gaze-legend { font-size: 13px; line-height: 1.45; opacity: .8; margin: 0 0 12px !important; max-width: 80ch; }
.gaze-strip { display: grid; grid-template-columns: repeat(auto-fill, minmax(88px, 1fr)); gap: 12px 8px; }
.gaze-frame { cursor: pointer; border-radius: 8px; padding: 4px; font-size: 13px; line-height: 1.3; min-width: 0;
  box-shadow: inset 0 0 0 1px rgba(128, 128, 128, .25); color: var(--body-text-color); }
.gaze-frame:hover { box-shadow: inset 0 0 0 2px rgba(37, 99, 235, .5); }
.gaze-thumb { display: block; position: relative; aspect-ratio: var(--ratio); border-radius: 5px; overflow: hidden; }
.gaze-name { display: block; margin: 4px 2px 0; font-weight: 600; overflow: hidden; text-overflow: ellipsis;
  white-space: nowrap; }
.gaze-likely { display: flex; align-items: center; gap: 6px; margin: 0 2px; font-variant-numeric: tabular-nums; }
.gaze-likely > i { flex: 1; height: 4px; border-radius: 2px; background: linear-gradient(to right,
  rgb(100, 116, 139) calc(100% * var(--probability)), rgba(128, 128, 128, .25) 0); }
@media (prefers-reduced-motion: reduce) { .gaze-at { transition: none; } }
"""

LEGEND = (
    "Choose a word. The clearer a place, the more the network looked there when it chose that word; without any fog "
    "is where it looked most. Each word has its own scale: compare words by their numbers. The {rows} × {columns} "
    "fields that the network tells apart are drawn smoothly. Under each small picture is the word's probability; ⏎ "
    "ends the caption."
)


@dataclass(frozen=True)
class DrawnPicture:
    """A picture for the page."""

    address: str
    """A `data:` URL with a JPEG."""
    ratio: float
    """Width divided by height."""
    fog: str = DARK_FOG
    """Colour of what hides the places that were not looked at."""


def draw_picture(image: Image.Image) -> DrawnPicture:
    """Shrink an upright RGB picture and write it into an address."""
    small = image.copy()
    small.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    mean_grey = small.convert("L").resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))
    fog_colour = LIGHT_FOG if mean_grey < DARK else DARK_FOG
    return DrawnPicture(_data_url(small, "JPEG", quality=85), image.width / image.height, fog_colour)


def image_attention_html(
    picture: DrawnPicture, tokens: list[str], weights: list[list[list[float]]], probabilities: list[float]
) -> str:
    """Draw which places of a picture each word looked at.

    Args:
        picture: the whole picture, which the grid of weights is laid over.
        tokens: T words; "</s>" is the end of the caption.
        weights: T grids, rows of columns of numbers; each grid sums to 1.
        probabilities: of the T words, from 0 to 1.

    Returns:
        HTML; everything that came from people is escaped.
    """
    words = list(zip(map(readable, tokens), map(_sentence, tokens, weights, probabilities), strict=True))
    choices = " ".join(_choice(index, word, sentence) for index, (word, sentence) in enumerate(words))
    fogs = "".join(f'<i class="gaze-fog gaze-at gaze-{index}"></i>' for index in range(len(tokens)))
    said = "".join(
        f'<span class="gaze-at gaze-{index}">{escape(sentence)}</span>' for index, (_, sentence) in enumerate(words)
    )
    frames = "".join(_frame(index, readable(token), probabilities[index]) for index, token in enumerate(tokens))
    legend = LEGEND.format(rows=len(weights[0]), columns=len(weights[0][0]))
    return (
        f"<style>{_style(picture, weights)}</style>"
        '<fieldset class="gaze"><legend class="unseen">Words of the caption</legend>'
        f'{choices}<div class="gaze-body">'
        f'<div class="gaze-picture" role="img" aria-label="The picture, clear where the word looked">{fogs}</div>'
        f'<p class="gaze-said" aria-hidden="true">{said}</p><p class="gaze-legend">{escape(legend)}</p>'
        f'<div class="gaze-strip" aria-hidden="true">{frames}</div></div></fieldset>'
    )


def fog(weights: list[list[float]]) -> Image.Image:
    """Draw a grid as fog: opaque where the weight is 0, gone where it is the grid's largest.

    Args:
        weights: rows of columns.

    Returns:
        Grey with alpha, `PIXELS_PER_FIELD` times as wide and as high as the grid. The alpha of the pixel at a field's
        centre is 255 * (1 - weight / largest); between centres it is interpolated.
    """
    largest = max(map(max, weights)) or 1
    rows, columns = len(weights), len(weights[0])
    alpha = Image.new("F", (columns, rows))
    alpha.putdata([255 * (1 - weight / largest) for row in weights for weight in row])
    smooth = alpha.resize((columns * PIXELS_PER_FIELD, rows * PIXELS_PER_FIELD), Image.Resampling.BICUBIC)
    rounded = smooth.point(lambda value: value * 1 + 0.5).convert("L")
    return Image.merge("LA", (Image.new("L", rounded.size), rounded))


def place(weights: list[list[float]]) -> str:
    """Name the ninth of the picture in which the largest weight is."""
    row, line = max(enumerate(weights), key=lambda numbered: max(numbered[1]))
    vertical = ("top", "", "bottom")[(2 * row + 1) * 3 // (2 * len(weights))]
    horizontal = ("left", "", "right")[(2 * line.index(max(line)) + 1) * 3 // (2 * len(line))]
    return f"{vertical} {horizontal}".strip() or "centre"


def num_fields_of_half(weights: list[list[float]]) -> int:
    """Count how many fields it takes, the strongest first, to have half of the attention."""
    ordered, total = sorted((weight for row in weights for weight in row), reverse=True), 0.0
    half = sum(ordered) / 2
    for count, weight in enumerate(ordered, start=1):
        total += weight
        if total >= half:
            return count
    return len(ordered)


def _sentence(token: str, weights: list[list[float]], probability: float) -> str:
    """Say in words what the picture shows."""
    name = "The caption's end" if token == END else f"“{readable(token)}”"
    fields = len(weights) * len(weights[0])
    return (
        f"{name}, probability {probability:.2f}: looked most at the {place(weights)}; half of its attention is on "
        f"{num_fields_of_half(weights)} of {fields} fields."
    )


def _choice(index: int, word: str, sentence: str) -> str:
    checked = " checked" if index == 0 else ""
    return (
        f'<input type="radio" name="gaze" id="gaze-{index}" class="gaze-{index}" aria-label="{escape(sentence)}"'
        f'{checked}><label for="gaze-{index}" class="gaze-word gaze-{index}">{escape(word)}</label>'
    )


def _frame(index: int, word: str, probability: float) -> str:
    return (
        f'<label for="gaze-{index}" class="gaze-frame gaze-{index}" title="{escape(word)}">'
        '<span class="gaze-thumb"><i class="gaze-fog"></i></span>'
        f'<span class="gaze-name">{escape(word)}</span>'
        f'<span class="gaze-likely"><i style="--probability:{probability:.3f}"></i>{probability:.2f}</span></label>'
    )


def _style(picture: DrawnPicture, weights: list[list[list[float]]]) -> str:
    """Write the rules that hold for these words: each one's fog, and when it is shown."""
    rules = [f".gaze {{ --picture: url({picture.address}); --ratio: {picture.ratio:.4f}; --fog: {picture.fog}; }}"]
    hover = [".gaze-word:hover ~ .gaze-body .gaze-at { opacity: 0 !important; }"]
    for index, grid in enumerate(weights):
        own, chosen = f".gaze-{index}", f"input.gaze-{index}:checked ~ .gaze-body"
        rules.append(f"{own} {{ --unseen: url({_data_url(fog(grid), 'PNG', optimize=True)}); }}")
        rules.append(
            f"{chosen} .gaze-fog.gaze-at{own} {{ opacity: .82; }} {chosen} span.gaze-at{own} {{ opacity: 1; }}"
        )
        rules.append(f"{chosen} .gaze-frame{own} {{ box-shadow: inset 0 0 0 3px rgb(37, 99, 235); }}")
        hover.append(f".gaze-word{own}:hover ~ .gaze-body i.gaze-at{own} {{ opacity: .82 !important; }}")
        hover.append(f".gaze-word{own}:hover ~ .gaze-body span.gaze-at{own} {{ opacity: 1 !important; }}")
    return "\n".join([*rules, "@media (hover: hover) {", *hover, "}"])


def _data_url(image: Image.Image, kind: str, **options: int) -> str:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(file.getvalue()).decode()}"
