"""A heat map as an HTML table: readable by people, by screen readers, and without a script."""

from html import escape

from .alignment import WORD_START, readable

HEAT_MAP_CSS = """
.heat-map-box { overflow-x: auto; contain: inline-size; padding-bottom: 6px; }
.heat-map { border: 0 !important; border-collapse: separate; border-spacing: 2px; width: max-content; margin: 0;
  font-size: 13px; line-height: 1.1; }
.heat-map-caption { font-size: 13px; opacity: .75; margin: 4px 0; }
.heat-map th { font-weight: 500; white-space: nowrap; padding: 0 4px; border: 0; }
.heat-map thead th { vertical-align: bottom; height: 4em; }
.heat-map thead th span { writing-mode: vertical-rl; transform: rotate(180deg); display: inline-block; }
.heat-map tbody th { text-align: right; position: sticky; left: 0; background: var(--background-fill-primary); }
.heat-map td { width: 25px; min-width: 25px; height: 25px; padding: 0; border: 0; border-radius: 4px;
  background: rgba(37, 99, 235, var(--weight)); box-shadow: inset 0 0 0 1px rgba(128, 128, 128, .18); }
.heat-map .continues { opacity: .7; }
"""


def heat_map_html(
    source_tokens: list[str],
    target_tokens: list[str],
    weights: list[list[float]],
    caption: str,
    notes: list[str] | None = None,
) -> str:
    """Draw which source each target looked at.

    Args:
        source_tokens: S columns.
        target_tokens: T rows.
        weights: T lists of S numbers from 0 to 1.
        caption: what is to be seen.
        notes: a tooltip for each row's name.

    Returns:
        HTML; everything that came from people is escaped.
    """
    columns = "".join(f'<th scope="col"><span{_style(token)}>{_name(token)}</span></th>' for token in source_tokens)
    rows = "".join(
        _row(target, source_tokens, row, note)
        for target, row, note in zip(target_tokens, weights, notes or [""] * len(target_tokens), strict=True)
    )
    return (
        f'<p class="heat-map-caption">{escape(caption)}</p>'
        f'<div class="heat-map-box" tabindex="0"><table class="heat-map" aria-label="{escape(caption)}">'
        f'<thead><tr><th aria-hidden="true"></th>{columns}</tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _row(target: str, source_tokens: list[str], weights: list[float], note: str) -> str:
    cells = "".join(
        f'<td style="--weight:{weight:.3f}" title="{_name(target)} ← {_name(source)}: {weight:.2f}"></td>'
        for source, weight in zip(source_tokens, weights, strict=True)
    )
    return f'<tr><th scope="row" title="{escape(note)}"><span{_style(target)}>{_name(target)}</span></th>{cells}</tr>'


def _name(token: str) -> str:
    return escape(readable(token))


def _style(token: str) -> str:
    """Dim a piece that continues a word."""
    begins = token.startswith((WORD_START, "</"))
    return "" if begins else ' class="continues"'
