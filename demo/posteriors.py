"""What a network heard, frame by frame, as far as it is drawn: curves of its labels, and letters at their peaks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from .recording import LONGEST_SECONDS

BLANK, GAP = "", " "
"""The labels that are no letters."""
NOTABLE = 0.1
"""Probability above which a label has a curve."""
VISIBLE = 0.005
"""Probability below which a curve lies on the axis, and is not drawn."""


@dataclass(frozen=True)
class Posteriors:
    """What the network heard in what is drawn."""

    labels: tuple[str, ...]
    """(V): `BLANK`, `GAP` and letters."""
    frame_seconds: float
    probabilities: np.ndarray
    """float (T, V)."""


@dataclass(frozen=True)
class Letter:
    """A label's name in the picture, at its peak."""

    label: str
    frame: int
    probability: float
    is_said: bool
    """Whether it is the transcript's."""


def posteriors_of(evidence: dict) -> Posteriors:
    """Take from a result's evidence what is drawn: the first `LONGEST_SECONDS`."""
    num_frames = round(LONGEST_SECONDS / evidence["frame_seconds"])
    probabilities = np.exp(np.asarray(evidence["log_probabilities"][:num_frames], dtype=np.float64))
    return Posteriors(tuple(evidence["labels"]), evidence["frame_seconds"], probabilities)


def notable(posteriors: Posteriors) -> list[str]:
    """Name the labels that ever exceed `NOTABLE`, the blank not among them, in the order in which they first do."""
    above = posteriors.probabilities > NOTABLE
    first = {label: int(above[:, place].argmax()) for place, label in enumerate(posteriors.labels) if label != BLANK}
    return sorted((label for label in first if above[:, posteriors.labels.index(label)].any()), key=first.get)


def letters(posteriors: Posteriors, alignment: Sequence[int]) -> list[Letter]:
    """Find what is written into the picture.

    Args:
        posteriors: (T, V).
        alignment: label numbers, (T) or more; what is after T is not drawn.

    Returns:
        The alignment's letters, each at its most probable frame; then peaks above `NOTABLE` of labels that the
        alignment does not have there.
    """
    blank = posteriors.labels.index(BLANK)
    path = np.asarray(alignment[: len(posteriors.probabilities)])
    said = [
        _peak(posteriors, int(path[frames[0]]), frames, is_said=True)
        for frames in _runs_of_equals(path)
        if path[frames[0]] != blank
    ]
    rivals = [
        _peak(posteriors, place, frames, is_said=False)
        for place in range(len(posteriors.labels))
        if place != blank
        for frames in _runs(posteriors.probabilities[:, place] > NOTABLE)
        if place not in path[frames]
    ]
    return said + rivals


def curve(values: np.ndarray, frame_seconds: float) -> str:
    """Write a path through a label's probabilities; a frame's value stands at the frame's middle.

    Args:
        values: (T).
        frame_seconds: of a frame.

    Returns:
        Coordinates in seconds and in 1 - probability, and only where there is something to see.
    """
    middles = (np.arange(len(values)) + 0.5) * frame_seconds
    times = [0.0, *middles.tolist(), len(values) * frame_seconds]
    held = np.pad(values, 1, mode="edge")
    path = ""
    for run in _runs(held >= VISIBLE):
        points = range(max(run[0] - 1, 0), min(run[-1] + 2, len(held)))
        path += "M" + "L".join(f"{times[at]:.3f},{1 - held[at]:.3f}" for at in points)
    return path


def _peak(posteriors: Posteriors, place: int, frames: list[int], is_said: bool) -> Letter:
    frame = max(frames, key=lambda at: posteriors.probabilities[at, place])
    return Letter(posteriors.labels[place], frame, float(posteriors.probabilities[frame, place]), is_said)


def _runs_of_equals(values: np.ndarray) -> Iterator[list[int]]:
    return (list(run) for _, run in groupby(range(len(values)), key=values.__getitem__))


def _runs(is_in: np.ndarray) -> list[list[int]]:
    """Return the places of each run of True."""
    return [run for run in _runs_of_equals(is_in) if is_in[run[0]]]
