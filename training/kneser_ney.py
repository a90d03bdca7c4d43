"""Character n-grams with interpolated modified Kneser-Ney smoothing: what counting alone reaches on a text.

References:
    Chen and Goodman 1998, "An Empirical Study of Smoothing Techniques for Language Modeling" (TR-10-98): interpolated
    modified Kneser-Ney smoothing, with its three discounts an order.
    Kneser and Ney 1995: the counts of lower orders.
    KenLM (Heafield et al. 2013), `--discount_fallback`: the discounts where they cannot be estimated.

Names of dimensions in this file:
    characters  those of a scored text
    ngrams      different n-grams of one order
    contexts    different beginnings of those n-grams: all but their last characters
"""

import math
from dataclasses import dataclass

import numpy as np

START = "\n"
"""What every text is taken to begin after, as for the network."""
FALLBACK_DISCOUNTS = (0.5, 1.0, 1.5)
"""For n-grams that were counted once, twice, and more often."""


@dataclass(frozen=True)
class NGrams:
    """One order of the model; an n-gram is a number whose digits, to the base of the vocabulary, are its characters."""

    keys: np.ndarray
    """int64 (ngrams), ascending."""
    shares: np.ndarray
    """float64 (ngrams): the discounted count as a share of its context's counts."""
    context_keys: np.ndarray
    """int64 (contexts), ascending."""
    backoff_weights: np.ndarray
    """float64 (contexts): what discounting left over for the lower order."""


class KneserNey:
    """Predicts each character from the `order - 1` before it; never with probability 0 for one of the vocabulary."""

    def __init__(self, text: str, order: int = 5):
        """Count a text.

        Args:
            text: the training text; its characters, and the line end, are the vocabulary.
            order: characters of the longest n-gram.

        Raises:
            ValueError: for an empty text, an order below 1, and one so high that an n-gram does not fit 64 bits.
        """
        self.vocabulary = sorted(set(text) | {START})
        largest = largest_order(text)
        if not text or not 1 <= order <= largest:
            raise ValueError(
                f"Expected a text that is not empty and an order from 1 to {largest}, which is what fits 64 bits with "
                f"{len(self.vocabulary)} different characters; got {len(text)} characters and order {order}."
            )
        self.order = order
        ids = self._encode(START + text)
        counted = [np.unique(self._windows(ids, length), return_counts=True) for length in range(1, order + 1)]
        self.orders = [self._smoothed(*self._lower_counts(counted, length)) for length in range(1, order)]
        self.orders.append(self._smoothed(*counted[-1]))

    def nats_per_character(self, text: str) -> float:
        """Return the mean negative log-probability of a text's characters, all of them."""
        return -float(self.log_probabilities(text).mean())

    def log_probabilities(self, text: str) -> np.ndarray:
        """Return float64 (characters), nats: each character of a text after those before it.

        Raises:
            ValueError: naming characters that training never showed.
        """
        strange = sorted(set(text) - set(self.vocabulary))
        if strange or not text:
            raise ValueError(f"Expected a text in the training text's characters; got {strange or 'an empty one'}.")
        ids = self._encode(START + text)
        probabilities = np.full(len(text), 1 / len(self.vocabulary))
        for length, ngrams in enumerate(self.orders, start=1):
            windows = self._windows(ids, length)
            first = len(text) - len(windows)  # the characters before it have too few before them for this order
            probabilities[first:] = self._interpolated(ngrams, windows, probabilities[first:])
        return np.log(probabilities)

    def _interpolated(self, ngrams: NGrams, windows: np.ndarray, lower: np.ndarray) -> np.ndarray:
        """Return p(w|h) = share(hw) + weight(h) p(w|h'); a context never seen leaves the lower order alone.

        Args:
            ngrams: the order.
            windows: int64 (characters), n-grams to look up.
            lower: float64 (characters), the lower order's probabilities.
        """
        share = _look_up(ngrams.keys, ngrams.shares, windows, missing=0.0)
        weight = _look_up(ngrams.context_keys, ngrams.backoff_weights, windows // len(self.vocabulary), missing=1.0)
        return share + weight * lower

    def _lower_counts(self, counted: list[tuple[np.ndarray, np.ndarray]], length: int) -> tuple[np.ndarray, np.ndarray]:
        """Return n-grams and before how many different characters each was not seen: Kneser and Ney's counts.

        An n-gram that stands only at the text's beginning follows nothing; it does not count.
        """
        longer, _ = counted[length]
        return np.unique(longer % len(self.vocabulary) ** length, return_counts=True)

    def _smoothed(self, keys: np.ndarray, counts: np.ndarray) -> NGrams:
        """Discount int64 (ngrams) counts and keep what interpolation needs."""
        discounts = np.array([0.0, *discounts_of(counts)])[np.minimum(counts, 3)]
        context_keys, context = np.unique(keys // len(self.vocabulary), return_inverse=True)
        totals = np.bincount(context, weights=counts)
        return NGrams(
            keys=keys,
            shares=(counts - discounts) / totals[context],
            context_keys=context_keys,
            backoff_weights=np.bincount(context, weights=discounts) / totals,
        )

    def _encode(self, text: str) -> np.ndarray:
        """Return int64 (characters), indices of the vocabulary, which stands in the order of the code points."""
        points = np.array([ord(character) for character in self.vocabulary])
        return np.searchsorted(points, np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32))

    def _windows(self, ids: np.ndarray, length: int) -> np.ndarray:
        """Return the n-grams that end in each character of a text which has enough before it, in their order.

        Args:
            ids: int64 (characters + 1), the text after `START`, which itself is not predicted.
            length: characters of an n-gram.
        """
        first_end = max(length - 1, 1)
        keys = np.zeros(max(len(ids) - first_end, 0), dtype=np.int64)
        for offset in range(first_end - length + 1, first_end + 1):
            keys = keys * len(self.vocabulary) + ids[offset : offset + len(keys)]
        return keys


def largest_order(text: str) -> int:
    """Return how many of a text's characters fit 64 bits together, whatever they are."""
    return int(63 / math.log2(max(len(set(text) | {START}), 2)))


def discounts_of(counts: np.ndarray) -> tuple[float, ...]:
    """Return the discounts of n-grams counted once, twice, and more often, as Chen and Goodman estimate them.

    That is from how many n-grams have each count from 1 to 4. Where one of these numbers is 0, or an estimate would
    take nothing or more than there is, `FALLBACK_DISCOUNTS` are taken: the few n-grams of the lowest order are nearly
    all frequent.

    Args:
        counts: int64 (ngrams), none 0.
    """
    ones, twos, threes, fours = (int((counts == count).sum()) for count in (1, 2, 3, 4))
    if 0 in (ones, twos, threes, fours):
        return FALLBACK_DISCOUNTS
    ratio = ones / (ones + 2 * twos)
    found = (1 - 2 * ratio * twos / ones, 2 - 3 * ratio * threes / twos, 3 - 4 * ratio * fours / threes)
    sensible = all(0 < discount <= count for count, discount in enumerate(found, start=1))
    return found if sensible else FALLBACK_DISCOUNTS


def _look_up(keys: np.ndarray, values: np.ndarray, wanted: np.ndarray, missing: float) -> np.ndarray:
    """Return the values of the wanted keys, and `missing` for those that are not among int64 (keys), ascending."""
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[place] == wanted, values[place], missing)
