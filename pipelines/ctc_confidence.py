"""How sure a recogniser is of each word, from the list of its best hypotheses.

References:
    Wessel, Schlüter, Macherey and Ney 2001, "Confidence measures for large vocabulary continuous speech recognition":
    posterior probabilities of words on n-best lists, scaled.
    Evermann and Woodland 2000, "Large vocabulary decoding and confidence estimation using word posterior
    probabilities": a word is the same where it overlaps in time.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

MARGIN = 2
"""Steps by which a word's time is longer at both ends: a letter is a spike of one step, give or take one or two."""


class WordSpan(NamedTuple):
    """A word and when it is said."""

    word: str
    start: int
    """Its first step."""
    end: int
    """The step after its last."""


def is_same(first: WordSpan, second: WordSpan) -> bool:
    """Whether two hypotheses say the same word at the same time.

    The time is the same when they share more than half of the steps of the shorter one, margins included.
    """
    shared = min(first.end, second.end) - max(first.start, second.start) + 2 * MARGIN
    shorter = min(first.end - first.start, second.end - second.start) + 2 * MARGIN
    return first.word == second.word and 2 * shared > shorter


def hypothesis_posteriors(scores: Sequence[float], temperature: float) -> list[float]:
    """Return weights in proportion to exp(score / temperature); they sum to 1.

    Args:
        scores: nats, one at least is finite.
        temperature: above 0; the higher, the less does the best hypothesis stand out.
    """
    if not temperature > 0:
        raise ValueError(f"The temperature must be above 0; got {temperature}.")
    best = max(scores)
    weights = [math.exp((score - best) / temperature) for score in scores]
    return [weight / sum(weights) for weight in weights]


def word_posteriors(
    hypotheses: Sequence[Sequence[WordSpan]], scores: Sequence[float], temperature: float, index: int = 0
) -> list[float]:
    """Return the probability of each word of a hypothesis: the weight of all hypotheses that say it at that time.

    It is relative to the list: if this holds a single hypothesis, every word is certain.

    Args:
        hypotheses: the words of each, not two hypotheses the same.
        scores: nats, what the search ranked them by; language model and all.
        temperature: as in `hypothesis_posteriors`.
        index: of the hypothesis.
    """
    posteriors = hypothesis_posteriors(scores, temperature)
    return [
        min(1.0, sum(weight for weight, words in zip(posteriors, hypotheses, strict=True) if _says(words, word)))
        for word in hypotheses[index]
    ]


def _says(words: Sequence[WordSpan], wanted: WordSpan) -> bool:
    return any(is_same(word, wanted) for word in words)
