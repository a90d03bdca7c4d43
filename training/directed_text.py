"""Parallel text of several corpora, each read in several directions: what a network for several languages learns from.

Reference:
    Johnson et al. 2016 (arXiv:1611.04558): all directions are mixed; the source says which language is to be written.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from .parallel_text import ParallelSplit, load_split


class Pair(NamedTuple):
    """A sentence, its translation, and, for a network that writes several languages, the translation's."""

    source: str
    target: str
    target_language: str | None = None


@dataclass(frozen=True)
class DirectedText:
    """One split of one corpus in one direction."""

    corpus: str
    """Name of its folder."""
    direction: str
    """Such as "en-de"."""
    split: ParallelSplit
    target_language: str | None = None
    """The one that the source must ask for; None for a network of one direction."""
    repeats: int = 1
    """How often an epoch of training has each of its pairs."""

    @property
    def name(self) -> str:
        """Such as "tatoeba_en_de"."""
        return f"{self.corpus}_{self.direction}".replace("-", "_")

    def pairs(self) -> list[Pair]:
        """Return its sentences with their translations."""
        split = self.split
        return [Pair(*both, self.target_language) for both in zip(split.sources, split.targets, strict=True)]

    def first(self, number: int) -> "DirectedText":
        """Return its first sentences, for what is measured often."""
        return replace(self, split=ParallelSplit(self.split.sources[:number], self.split.targets[:number]))


def load_directions(
    data: list[str] | None, split: str, directions: list[str], repeats: list[int] | None = None
) -> list[DirectedText]:
    """Load a split of every corpus in every direction.

    Args:
        data: folders of published files, a corpus each.
        split: "train", "validation" or "test".
        directions: such as ["en-de", "de-en"].
        repeats: how often an epoch has each folder's pairs; None: once.

    Raises:
        ValueError: where no folder is named, or not as many repeats as folders.
        FileNotFoundError: naming the missing file.
    """
    if not data:
        raise ValueError("Name the folders of the corpora with --data: a network for several languages has no default.")
    repeats = [1] * len(data) if repeats is None else repeats
    if len(repeats) != len(data):
        raise ValueError(f"--repeats takes a number for each folder of --data, {len(data)}; got {len(repeats)}.")
    return [
        DirectedText(
            Path(folder).name,
            direction,
            load_split([folder], split, *direction.split("-")),
            direction.split("-")[1],
            often,
        )
        for folder, often in zip(data, repeats, strict=True)
        for direction in directions
    ]
