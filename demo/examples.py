"""Example files for the tabs, with whose they are."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby
from pathlib import Path

SAMPLES = Path(__file__).parent / "samples"


@dataclass(frozen=True)
class Sample:
    """An example file."""

    path: Path
    title: str
    licence: str
    source: str


def read_samples(suffix: str) -> list[Sample]:
    """Read the examples of a kind and their attributions: a table in the folder's README.md.

    Args:
        suffix: of the files, such as ".flac".
    """
    row = rf"^\| (\S+{re.escape(suffix)}) \|(.+)\|(.+)\|(.+)\|$"
    rows = re.findall(row, (SAMPLES / "README.md").read_text("utf-8"), re.MULTILINE)
    return [Sample(SAMPLES / name, *(cell.strip() for cell in cells)) for name, *cells in rows]


def attributions_html(samples: Sequence[Sample], introduction: str) -> str:
    """Say whose the examples are: neighbours under one licence together, by what is before a colon of their titles."""
    credits = []
    for licence, group in groupby(samples, key=lambda sample: sample.licence):
        group = list(group)
        titles = escape(", ".join(sample.title.partition(":")[0] for sample in group))
        credits.append(f"{titles}: {escape(licence)}, {', '.join(map(_source, group))}")
    return f'<p class="fine-print">{escape(introduction)} {" · ".join(credits)}.</p>'


def _source(sample: Sample) -> str:
    """Name where a file is from, with a link where there is one."""
    source, _, address = escape(sample.source.replace("`", "")).partition(", https://")
    return f'<a href="https://{address}" target="_blank" rel="noopener">{source}</a>' if address else source
