"""From a network's log-probabilities to transcripts: text, words and characters with their times and confidences.

Names of dimensions in this file:
    steps      frames of log-probabilities
    labels     of the network, the blank included
    positions  characters of a text, the gaps between words included
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from .ctc_beam_search import BeamSearch, DecodingOptions, Hypothesis
from .ctc_confidence import WordSpan, word_posteriors

NUM_COMPARED = 32
"""Hypotheses that a word's confidence is read from."""

Span = tuple[int, int]
"""First step, and the one after the last."""


@dataclass(frozen=True)
class Piece:
    """A word or a character, and where it is said."""

    text: str
    span: Span
    confidence: float
    """Probability, as far as the network knows, that it was said there."""


@dataclass(frozen=True)
class Transcript:
    """One hypothesis of what was said."""

    text: str
    score: float
    """Nats."""
    score_parts: dict[str, float]
    alignment: list[int]
    """(steps) of labels: the most probable path that spells the text."""
    words: list[Piece]
    characters: list[Piece]
    """The gaps between words are among them: joined they are the text."""


@dataclass(frozen=True)
class Transcriber:
    """Decodes one model's log-probabilities."""

    model: Any
    """With `best_path`, `forced_alignment` and `log_probability`."""
    characters: Sequence[str]
    """(labels): what each one writes; "" is the blank, " " the gap between words."""
    beam_search: BeamSearch
    confidence_temperatures: dict[str, float] = field(default_factory=dict)
    """Calibration, of "best_path" and "beam_search"; 1 where there is none."""

    def transcribe(self, log_probabilities: Tensor, options: DecodingOptions) -> list[Transcript]:
        """Find the most probable texts, best first.

        Args:
            log_probabilities: float32 (steps, labels), on the CPU.
            options: how.
        """
        if options.num_beams == 1:
            labels = self.model.best_path(log_probabilities).labels
            return [self.align(log_probabilities, " ".join("".join(map(self.characters.__getitem__, labels)).split()))]
        hypotheses = self.hypotheses(log_probabilities, options)
        spoken, scores = [found.words for found in hypotheses], [found.score for found in hypotheses]
        temperature = self.confidence_temperatures.get("beam_search", 1.0)
        return [
            self._transcript(log_probabilities, found, word_posteriors(spoken, scores, temperature, rank))
            for rank, found in enumerate(hypotheses[: options.num_return_sequences])
        ]

    def hypotheses(self, log_probabilities: Tensor, options: DecodingOptions) -> list[Hypothesis]:
        """Search for the best texts, and for more of them than are wanted: the words' confidences compare them.

        Args:
            log_probabilities: float32 (steps, labels), on the CPU.
            options: how.
        """
        num_compared = max(NUM_COMPARED, options.num_return_sequences)
        return self.beam_search.search(log_probabilities, replace(options, num_return_sequences=num_compared))

    def align(self, log_probabilities: Tensor, text: str) -> Transcript:
        """Score one text and find where it is said; its confidences are those of its letters.

        Args:
            log_probabilities: float32 (steps, labels), on the CPU.
            text: in the model's characters, words apart by one space.

        Raises:
            ValueError: when there are too few steps for it.
        """
        alignment, spans = self._aligned(log_probabilities, text)
        score = self.model.log_probability(log_probabilities, self._labels(text))
        letters = self._letters(log_probabilities, text, spans)
        temperature, words, begin = self.confidence_temperatures.get("best_path", 1.0), [], 0
        for word, start, end in words_of(text, spans):
            probability = math.prod(letter.confidence for letter in letters[begin : begin + len(word)])
            words.append(Piece(word, (start, end), probability ** (1 / temperature)))
            begin += len(word) + 1
        return Transcript(text, score, {"acoustic": score}, alignment, words, letters)

    def _transcript(self, log_probabilities: Tensor, found: Hypothesis, confidences: Sequence[float]) -> Transcript:
        alignment, spans = self._aligned(log_probabilities, found.text)
        words = [
            Piece(word, (start, end), confidence)
            for (word, start, end), confidence in zip(words_of(found.text, spans), confidences, strict=True)
        ]
        letters = self._letters(log_probabilities, found.text, spans)
        return Transcript(found.text, found.score, found.parts, alignment, words, letters)

    def _labels(self, text: str) -> list[int]:
        return [self.characters.index(character) for character in text]

    def _aligned(self, log_probabilities: Tensor, text: str) -> tuple[list[int], list[Span]]:
        """Return the path's labels (steps), and where each character of the text is said."""
        labels = self._labels(text)
        alignment = self.model.forced_alignment(log_probabilities, labels)
        blank = self.characters.index("")
        return [blank if at < 0 else labels[at] for at in alignment.positions], alignment.spans()

    def _letters(self, log_probabilities: Tensor, text: str, spans: Sequence[Span]) -> list[Piece]:
        """A character's confidence is its greatest probability where it is said."""
        return [
            Piece(text[at], span, float(log_probabilities[slice(*span), label].max().exp()))
            for at, (label, span) in enumerate(zip(self._labels(text), spans, strict=True))
        ]


def words_of(text: str, spans: Sequence[Span]) -> list[WordSpan]:
    """Cut a text into words, each from its first letter's first step to its last letter's last.

    Args:
        text: words apart by one space.
        spans: (positions).
    """
    words, begin = [], 0
    for word in text.split():
        words.append(WordSpan(word, spans[begin][0], spans[begin + len(word) - 1][1]))
        begin += len(word) + 1
    return words
