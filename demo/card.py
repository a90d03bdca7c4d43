"""What a checkpoint's card says of it, for a tab: how good it is, how large, from which paper, and on whose data."""

import json
import re
from html import escape
from pathlib import Path

from huggingface_hub import ModelCard

import hub
from hub import CheckpointError
from tasks import Task

CARD_CSS = """
.card { color: var(--body-text-color); border-top: 1px solid rgba(100, 116, 139, .35); padding-top: 10px; }
.card h2 { font-size: 1rem !important; font-weight: 600; margin: 0 0 6px !important; color: inherit; }
.card dl { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: 4px 16px; margin: 0;
  font-size: 14px; line-height: 1.5; }
.card dt { font-weight: 600; }
.card dd { margin: 0; overflow-wrap: anywhere; }
.card dd ul { display: flex; flex-wrap: wrap; gap: 2px 18px; list-style: none; margin: 0; padding: 0; }
.card dd li { margin: 0; }
.card dd b { font-variant-numeric: tabular-nums; }
.card a { color: inherit; text-decoration: underline; margin: 0; padding: 0; }
@media (max-width: 480px) {
  .card dl { grid-template-columns: minmax(0, 1fr); gap: 0; }
  .card dd { margin-bottom: 6px; }
}
"""

ARXIV = re.compile(r"arXiv:(\d{4}\.\d{4,5})")
LICENCE = re.compile(r"^## Data and licence\s+(.+?)\s*(?=^## |\Z)", re.MULTILINE | re.DOTALL)
NO_CARD = "The model is not here, and neither is its card."


def card_html(task: Task, checkpoint: str) -> str:
    """Draw the facts of a checkpoint's card.

    Args:
        task: the row in tasks.py.
        checkpoint: the name of one that is shipped.

    Returns:
        HTML; everything that stands in files is escaped.
    """
    try:
        rows = _rows(hub.CHECKPOINTS / checkpoint, task)
    except (CheckpointError, OSError):  # whoever asks the model will read why
        return f'<p class="fine-print">{NO_CARD}</p>'
    terms = "".join(f"<dt>{term}</dt><dd>{description}</dd>" for term, description in rows)
    return f'<section class="card" aria-label="About the model"><h2>{escape(checkpoint)}</h2><dl>{terms}</dl></section>'


def _rows(folder: Path, task: Task) -> list[tuple[str, str]]:
    """Return the facts: a term and HTML each."""
    measured, card = hub.facts(folder), ModelCard((folder / "README.md").read_text(encoding="utf-8"))
    parameters = json.loads((folder / "training.json").read_text(encoding="utf-8"))["parameters"]
    metrics = "".join(
        f"<li>{escape(metric['title'])} <b>{escape(str(metric['value']))}</b></li>"
        for metric in measured.get("metrics", [])
    )
    data_set = card.data.eval_results[0].dataset_name if card.data.eval_results else ""
    size = (folder / hub.WEIGHTS).stat().st_size
    return [
        ("Measured", f"On {escape(data_set)}, split {escape(measured.get('split', 'none'))}:<ul>{metrics}</ul>"),
        ("Size", f"{parameters:,} parameters, {size / 10**6:.1f} MB"),
        ("Paper", ARXIV.sub(_arxiv_link, escape(task.paper))),
        ("Data and licence", _licence(card)),
    ]


def _licence(card: ModelCard) -> str:
    """Return the card's sentences on the data, or at least the name of its licence."""
    sentences = LICENCE.search(card.text)
    return escape(sentences[1].replace("*", "") if sentences else str(card.data.license_name))


def _arxiv_link(found: re.Match) -> str:
    return f'<a href="https://arxiv.org/abs/{found[1]}" target="_blank" rel="noopener">{found[0]}</a>'
