"""Connectionist temporal classification without a network: paths, their sums, and alignments.

References:
    Graves et al. 2006, "Connectionist temporal classification": the map B and equation 3, best path decoding (section
    3.2), the forward recursion (equations 5 to 8).
    Viterbi 1967: the same recursion with the maximum in place of the sum.

Names of dimensions in this file:
    steps       of an utterance, one after the other
    vocabulary  labels, the blank included
    sequences   of labels
    states      2 * labels + 1: the labels with a blank before, between and after them
"""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

IMPOSSIBLE = float("-inf")
BLANK_POSITION = -1
"""In an alignment, a step that belongs to no label."""


@dataclass(frozen=True)
class BestPath:
    """The most probable path."""

    path: list[int]
    """A label or the blank for each step."""
    labels: list[int]
    """What is left when the path is collapsed."""
    log_probability: float
    """Nats, of the path alone."""


@dataclass(frozen=True)
class Alignment:
    """The most probable path of given labels."""

    positions: list[int]
    """For each step the place in the labels, or `BLANK_POSITION`."""
    log_probability: float
    """Nats, of the path alone."""

    def spans(self) -> list[tuple[int, int]]:
        """Return for each label its first step and the step after its last."""
        steps_of = itertools.groupby(range(len(self.positions)), key=self.positions.__getitem__)
        found = {position: list(steps) for position, steps in steps_of if position != BLANK_POSITION}
        return [(steps[0], steps[-1] + 1) for _, steps in sorted(found.items())]


def collapse(labels: Iterable[int], blank: int) -> list[int]:
    """Merge repeats, then drop blanks: the map B of the paper."""
    return [label for label, _ in itertools.groupby(labels) if label != blank]


def num_needed_steps(labels: Sequence[int]) -> int:
    """Return how many steps an alignment of these labels needs: one each, and a blank between two that are equal."""
    return len(labels) + sum(label == following for label, following in itertools.pairwise(labels))


def best_path(log_probabilities: Tensor, blank: int) -> BestPath:
    """Take the most probable label of each step.

    Args:
        log_probabilities: float (steps, vocabulary).
        blank: its index.
    """
    best, path = log_probabilities.double().max(dim=1)
    return BestPath(path.tolist(), collapse(path.tolist(), blank), best.sum().item())


def log_probability(log_probabilities: Tensor, sequences: Sequence[Sequence[int]], blank: int) -> Tensor:
    """Sum over all alignments of each of several sequences of labels.

    Args:
        log_probabilities: float (steps, vocabulary).
        sequences: labels without blanks; an empty sequence is one too.
        blank: its index.

    Returns:
        float64 (sequences), nats; minus infinity where there are too few steps.
    """
    states = _states(sequences, blank)
    of_states, skips = _of_states(log_probabilities, states), _skip_penalties(states, blank)
    forward = _before_the_first_step(states)
    for of_step in of_states:
        stayed, moved, skipped = forward[..., 2:], forward[..., 1:-1], forward[..., :-2] + skips
        forward[..., 2:] = np.logaddexp(np.logaddexp(stayed, moved), skipped) + of_step
    rows = np.arange(len(sequences))
    last = np.array([2 * len(labels) for labels in sequences], dtype=np.int64)
    before = np.where(last > 0, forward[rows, last + 1], IMPOSSIBLE)  # without labels the last state is the first
    return torch.from_numpy(np.logaddexp(forward[rows, last + 2], before))


def forced_alignment(log_probabilities: Tensor, labels: Sequence[int], blank: int) -> Alignment:
    """Find the most probable path that collapses to the labels.

    Its memory is a byte for each step and state. Where two ways are equally probable, the path stays where it is.

    Args:
        log_probabilities: float (steps, vocabulary).
        labels: without blanks; none is fine.
        blank: its index.

    Raises:
        ValueError: when there are too few steps, or when every path has probability 0.
    """
    needed = num_needed_steps(labels)
    if len(log_probabilities) < needed:
        raise ValueError(
            f"An alignment of these {len(labels)} labels needs {needed} steps; got {len(log_probabilities)}."
        )
    states = _states([labels], blank)[0]
    of_states, skips = _of_states(log_probabilities, states), _skip_penalties(states, blank)
    best, columns = _before_the_first_step(states), np.arange(len(states))
    arrivals = np.empty((3, len(states)))
    jumps = np.empty((len(of_states), len(states)), dtype=np.uint8)
    for of_step, jump in zip(of_states, jumps, strict=True):
        arrivals[0], arrivals[1] = best[2:], best[1:-1]
        np.add(best[:-2], skips, out=arrivals[2])
        jump[:] = arrivals.argmax(axis=0)
        best[2:] = arrivals[jump, columns] + of_step
    last = len(states) - 1
    if labels and best[last + 1] >= best[last + 2]:
        last -= 1
    if best[last + 2] == IMPOSSIBLE:
        raise ValueError(f"Every alignment of these {len(labels)} labels has probability 0.")
    return Alignment(_positions(jumps, last), float(best[last + 2]))


def _positions(jumps: np.ndarray, last: int) -> list[int]:
    """Go back from the last state of the best path.

    Args:
        jumps: uint8 (steps, states), by how many states the best path to each came forward.
        last: the state at the last step.
    """
    positions, state = [], last
    for of_step in jumps[::-1]:
        positions.append(state // 2 if state % 2 else BLANK_POSITION)
        state -= int(of_step[state])
    return positions[::-1]


def _states(sequences: Sequence[Sequence[int]], blank: int) -> np.ndarray:
    """Put blanks around labels: int64 (sequences, states), blanks also after the shorter ones."""
    if any(blank in labels for labels in sequences):
        raise ValueError(f"Labels must not contain the blank, {blank}.")
    longest = max((len(labels) for labels in sequences), default=0)
    states = np.full((len(sequences), 2 * longest + 1), blank, dtype=np.int64)
    for row, labels in zip(states, sequences, strict=True):
        row[1 : 2 * len(labels) : 2] = labels
    return states


def _of_states(log_probabilities: Tensor, states: np.ndarray) -> np.ndarray:
    """Return float64 (steps, ..., states), each step's log-probability of each state's label."""
    return log_probabilities.double().cpu().numpy()[:, states]


def _skip_penalties(states: np.ndarray, blank: int) -> np.ndarray:
    """Return float64 (..., states), 0 where a path may come from two states before, else minus infinity.

    It may leave out the blank between two labels that differ (equation 6).
    """
    two_before = np.full_like(states, blank)
    two_before[..., 2:] = states[..., :-2]
    return np.where((states != blank) & (states != two_before), 0.0, IMPOSSIBLE)


def _before_the_first_step(states: np.ndarray) -> np.ndarray:
    """Return float64 (..., 2 + states), all in the first state: from there the first step reaches what it may.

    The two impossible states before it are where nothing comes from.
    """
    scores = np.full((*states.shape[:-1], states.shape[-1] + 2), IMPOSSIBLE)
    scores[..., 2] = 0.0
    return scores
