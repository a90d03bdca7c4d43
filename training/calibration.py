"""Whether confidences mean what they say, and the temperature that makes them.

References:
    Guo et al. 2017, "On Calibration of Modern Neural Networks": the expected calibration error (equation 3), and a
    temperature chosen by the log loss on validation data (section 4.2).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import jiwer
import numpy as np

from pipelines.ctc_confidence import WordSpan, word_posteriors

TEMPERATURES = tuple(2 ** (step / 4) for step in range(-8, 33))
"""From a quarter to 256."""
LEAST_PROBABILITY = 1e-6
"""What the log loss takes for 0: a list of one hypothesis is certain of every word."""


@dataclass(frozen=True)
class NBestList:
    """The hypotheses of an utterance, best first."""

    hypotheses: list[list[WordSpan]]
    scores: list[float]
    """Nats."""
    is_correct: list[bool]
    """For each word of the first."""


def word_is_correct(reference: str, hypothesis: str) -> list[bool]:
    """Say for each word of a hypothesis whether it is aligned with the same word; substitutions and insertions are not.

    Args:
        reference: what was said.
        hypothesis: words apart by spaces.
    """
    words = hypothesis.split()
    if not reference.split() or not words:
        return [False] * len(words)  # jiwer refuses an empty reference
    is_correct = [False] * len(words)
    for chunk in jiwer.process_words(reference, hypothesis).alignments[0]:
        if chunk.type == "equal":
            length = chunk.hyp_end_idx - chunk.hyp_start_idx
            is_correct[chunk.hyp_start_idx : chunk.hyp_end_idx] = [True] * length
    return is_correct


def expected_calibration_error(confidences: Sequence[float], is_correct: Sequence[bool], bins: int = 10) -> float:
    """Return the mean difference between confidence and accuracy, over bins of equal width by their words.

    Args:
        confidences: of words, from 0 to 1; a bin has its upper end, and the first also 0.
        is_correct: whether each was said.
        bins: how many.

    Raises:
        ValueError: without words, or when the two differ in length.
    """
    confidence, correct = _checked(confidences, is_correct)
    bin_of = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    differences = np.bincount(bin_of, weights=correct - confidence, minlength=bins)
    return float(np.abs(differences).sum() / len(confidence))


def log_loss(confidences: Sequence[float], is_correct: Sequence[bool]) -> float:
    """Return the mean nats that the confidences lose on what was correct and what was not."""
    confidence, correct = _checked(confidences, is_correct)
    of_the_truth = np.where(correct == 1, confidence, 1 - confidence)
    return float(-np.log(np.clip(of_the_truth, LEAST_PROBABILITY, 1)).mean())


def choose_temperature(lists: Sequence[NBestList], temperatures: Sequence[float] = TEMPERATURES) -> float:
    """Return the temperature with the least log loss over the words of the best hypotheses.

    Args:
        lists: of validation utterances.
        temperatures: what to choose from.
    """
    is_correct = [correct for nbest in lists for correct in nbest.is_correct]
    losses = {
        temperature: log_loss(
            [
                confidence
                for nbest in lists
                for confidence in word_posteriors(nbest.hypotheses, nbest.scores, temperature)
            ],
            is_correct,
        )
        for temperature in temperatures
    }
    return min(losses, key=losses.__getitem__)


def _checked(confidences: Sequence[float], is_correct: Sequence[bool]) -> tuple[np.ndarray, np.ndarray]:
    """Return both as float64 (words)."""
    if not len(confidences) or len(confidences) != len(is_correct):
        raise ValueError(
            f"Expected confidences and as many flags; got {len(confidences)} confidences and {len(is_correct)} flags."
        )
    return np.asarray(confidences, dtype=float), np.asarray(is_correct, dtype=float)
