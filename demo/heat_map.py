"""A heat map as an HTML table: readable by people, by screen readers, and without a script."""

from html import escape

from .alignment import END, WORD_START, readable

# Colours are Gradio's variables or translucent, so that both themes work. The box scrolls, the page does not; the
# first background covers the second, a shadow, where there is nothing left to scroll to.
HEAT_MAP_CSS = """
.heat-map-caption { font-size: 13px; line-height: 1.45; opacity: .8; margin: 4px 0 10px; max-width: 80ch; }
.heat-map-box { overflow-x: auto; contain: inline-size; padding-bottom: 8px; scrollbar-width: thin; background:
  linear-gradient(to left, var(--background-fill-primary) 40%, transparent) right / 48px 100% no-repeat local,
  linear-gradient(to left, rgba(100, 116, 139, .28), transparent) right / 10px 100% no-repeat scroll; }
.heat-map { border: 0 !important; border-collapse: separate; border-spacing: 2px; width: max-content;
  margin: 0 !important; font-size: 13px; line-height: 1.1; }
.heat-map th { font-weight: 500; white-space: nowrap; padding: 0 4px; border: 0; }
.heat-map thead th { vertical-align: bottom; height: 4em; }
.heat-map thead th span { writing-mode: vertical-rl; transform: rotate(180deg); display: inline-block;
  max-height: 12em; overflow: hidden; text-overflow: ellipsis; }
.heat-map tbody th, .heat-map thead th:first-child { text-align: right; position: sticky; left: 0; z-index: 1;
  background: var(--background-fill-primary); }
.heat-map tbody th span { display: inline-block; max-width: 10em; overflow: hidden; text-overflow: ellipsis;
  vertical-align: middle; line-height: 1.4; }
.heat-map .continues { opacity: .65; }
.heat-map .probability { display: inline-block; width: 5px; height: 20px; margin-left: 7px; border-radius: 2px;
  vertical-align: middle; background: linear-gradient(to top, rgb(100, 116, 139) calc(100% * var(--probability)),
  rgba(128, 128, 128, .2) 0); }
.heat-map td { width: 25px; min-width: 25px; height: 25px; padding: 0; border: 0; border-radius: 4px;
  font-size: 10px; text-align: center; color: transparent; cursor: default;
  background: rgba(37, 99, 235, var(--weight)); box-shadow: inset 0 0 0 1px rgba(128, 128, 128, .18); }
.heat-map td:hover { color: var(--body-text-color); background: var(--background-fill-primary);
  box-shadow: inset 0 0 0 2px rgb(37, 99, 235); }
.dark .heat-map td { background: rgba(96, 165, 250, var(--weight)); }
.dark .heat-map td:hover { background: var(--background-fill-primary); }
"""


def heat_map_html(
    source_tokens: list[str],
    target_tokens: list[str],
    weights: list[list[float]],
    title: str,
    probabilities: list[float] | None = None,
    arrow: str = "←",
) -> str:
    """Draw which source each target looked at.

    Args:
        source_tokens: S columns.
        target_tokens: T rows.
        weights: T lists of S numbers from 0 to 1.
        title: what is to be seen.
        probabilities: of the T targets, from 0 to 1; drawn as a bar beside each row's name.
        arrow: between the names of a row and a column, where a cell says what it is.

    Returns:
        HTML; everything that came from people is escaped.
    """
    columns = "".join(f'<th scope="col"><span{_style(token)}>{_name(token)}</span></th>' for token in source_tokens)
    rows = "".join(
        _row(target, source_tokens, row, probability, arrow)
        for target, row, probability in zip(
            target_tokens, weights, probabilities or [None] * len(target_tokens), strict=True
        )
    )
    return (
        f'<p class="heat-map-caption">{escape(title)}</p>'
        '<div class="heat-map-box" tabindex="0" role="region" aria-label="Heat map, scrolls sideways">'
        f'<table class="heat-map" aria-label="{escape(title)}">'
        f"<thead><tr><th></th>{columns}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _row(target: str, source_tokens: list[str], weights: list[float], probability: float | None, arrow: str) -> str:
    row = f"{_name(target)} {arrow}"
    cells = "".join(
        f'<td style="--weight:{weight:.3f}" title="{row} {_name(source)}: {weight:.2f}">{weight:.2f}</td>'
        for source, weight in zip(source_tokens, weights, strict=True)
    )
    name = f"<span{_style(target)}>{_name(target)}</span>{_bar(probability)}"
    return f'<tr><th scope="row"{_hint(probability)}>{name}</th>{cells}</tr>'


def _hint(probability: float | None) -> str:
    return "" if probability is None else f' title="chosen with probability {probability:.2f}"'


def _bar(probability: float | None) -> str:
    return "" if probability is None else f'<i class="probability" style="--probability:{probability:.3f}"></i>'


def _name(token: str) -> str:
    return escape(readable(token))


def _style(token: str) -> str:
    """Dim a piece that continues a word."""
    return "" if token.startswith((WORD_START, END)) else ' class="continues"'
