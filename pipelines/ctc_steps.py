"""Leaves out the steps of an utterance in which a prefix beam search of CTC has nothing to choose.

Names of dimensions in this file:
    steps       of an utterance
    different   steps that are searched
    vocabulary  labels, the blank included
"""

from typing import NamedTuple

import numpy as np


class DifferentSteps(NamedTuple):
    """Steps that must be searched."""

    log_probabilities: np.ndarray
    """float32 (different, vocabulary)."""
    starts: np.ndarray
    """int64 (different + 1): the step of the utterance where each starts, and where the last one ends."""
    log_probability_of_others: float
    """What the steps left out add to the score of every text, nats."""


def different_steps(log_probabilities: np.ndarray, least_of_label: float) -> DifferentSteps:
    """Leave out every step in which a search follows one label alone, the only one of the step before.

    After the first of such steps all prefixes end with that label, blank or not. Each further one prolongs them all
    by it: none is new, no two become the same, all scores change by the same number. Only words that end there last
    longer, and `starts` gives them all of these steps. So the search finds the same, but for the last bits of scores.

    Args:
        log_probabilities: float32 (steps, vocabulary), one step at least.
        least_of_label: a less probable label is not followed, nats.
    """
    num_steps, vocabulary = log_probabilities.shape
    followed = np.flatnonzero(log_probabilities >= np.float64(least_of_label))  # step * vocabulary + label
    steps = followed // vocabulary
    is_first, is_last = np.ones(len(steps), bool), np.ones(len(steps), bool)  # of those of its step
    np.not_equal(steps[1:], steps[:-1], out=is_first[1:])
    is_last[:-1] = is_first[1:]
    is_only = is_first & is_last
    others = followed[1:][is_only[1:] & is_only[:-1] & (followed[1:] - followed[:-1] == vocabulary)]
    is_searched = np.ones(num_steps + 1, bool)
    is_searched[others // vocabulary] = False
    starts = np.flatnonzero(is_searched)
    left_out = log_probabilities.ravel()[others].sum(dtype=np.float64)
    return DifferentSteps(log_probabilities[starts[:-1]], starts, float(left_out))
