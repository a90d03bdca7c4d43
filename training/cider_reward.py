"""CIDEr-D of captions against their pictures' references, fast enough to be the reward of self-critical training.

References:
    CIDEr-D, equations 1-4 and section 6: Vedantam, Zitnick and Parikh, CVPR 2015.
    As a reward: Rennie et al., Self-critical sequence training for image captioning, CVPR 2017.

The numbers are those of pycocoevalcap's `CiderScorer`, except that document frequencies come once from the training
pictures, where that class takes them anew from the pictures it scores.
"""

import math
from collections import Counter
from dataclasses import dataclass
from typing import TypeAlias

NGRAM_ORDERS = 4
LENGTH_DEVIATION_WORDS = 6.0
"""Standard deviation of the penalty for captions longer or shorter than the reference: sigma of the paper."""
SCALE = 10.0

Ngram: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Vector:
    """A caption's n-grams of all orders, weighted by how telling they are."""

    weights: dict[Ngram, float]
    """How often an n-gram occurs in the caption, times its inverse document frequency."""
    norms: list[float]
    """Euclidean length for each order."""
    num_words: int


class CiderReward:
    """Scores captions of the training pictures."""

    def __init__(self, references: list[list[list[str]]]):
        """Count the n-grams of the references and keep their vectors.

        Args:
            references: for each picture, its captions as words, tokenised as the captions to be scored will be.

        Raises:
            ValueError: when there is no picture, or one without captions.
        """
        if not references:
            raise ValueError("CIDEr needs the references of at least one picture; got none.")
        if [] in references:
            raise ValueError(f"Picture {references.index([])} has no references; leave out pictures without captions.")
        frequency = Counter(ngram for captions in references for ngram in set().union(*map(ngrams, captions)))
        self.unseen_frequency = math.log(len(references))
        """Inverse document frequency of an n-gram that no reference has: as if one picture's had it."""
        self.inverse_frequency = {ngram: math.log(len(references) / count) for ngram, count in frequency.items()}
        self.references = [[self.vector(caption) for caption in captions] for captions in references]

    def vector(self, caption: list[str]) -> Vector:
        """Weigh a caption's n-grams: equation 1."""
        weights = {
            ngram: count * self.inverse_frequency.get(ngram, self.unseen_frequency)
            for ngram, count in Counter(ngrams(caption)).items()
        }
        squares = [0.0] * NGRAM_ORDERS
        for ngram, weight in weights.items():
            squares[len(ngram) - 1] += weight * weight
        return Vector(weights, [math.sqrt(square) for square in squares], len(caption))

    def reward(self, captions: list[list[str]], image_indices: list[int]) -> list[float]:
        """Return each caption's CIDEr-D, from 0 to 10.

        Args:
            captions: the words of each.
            image_indices: for each caption, the position of its picture in the constructor's references.
        """
        return [
            sum(similarity(vector, reference) for reference in self.references[index]) / len(self.references[index])
            for vector, index in zip(map(self.vector, captions), image_indices, strict=True)
        ]


def ngrams(caption: list[str]) -> list[Ngram]:
    """List a caption's sequences of one to `NGRAM_ORDERS` words."""
    return [
        tuple(caption[start : start + order])
        for order in range(1, NGRAM_ORDERS + 1)
        for start in range(len(caption) - order + 1)
    ]


def similarity(caption: Vector, reference: Vector) -> float:
    """Compare a caption with one reference: equation of section 6, the mean over the orders."""
    products = [0.0] * NGRAM_ORDERS
    for ngram in filter(reference.weights.__contains__, caption.weights):
        # Clipped: repeating a word more often than the reference does brings nothing.
        clipped = min(caption.weights[ngram], reference.weights[ngram])
        products[len(ngram) - 1] += clipped * reference.weights[ngram]
    cosines = sum(
        product / (own_norm * reference_norm)
        for product, own_norm, reference_norm in zip(products, caption.norms, reference.norms, strict=True)
        if product > 0
    )
    difference = caption.num_words - reference.num_words
    return SCALE * cosines / NGRAM_ORDERS * math.exp(-(difference**2) / (2 * LENGTH_DEVIATION_WORDS**2))
