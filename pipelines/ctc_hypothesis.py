"""What a search over CTC's probabilities finds: a text, when its words are said, and its score."""

from dataclasses import dataclass

from .ctc_confidence import WordSpan


@dataclass(frozen=True)
class Hypothesis:
    """A text that may have been said."""

    words: tuple[WordSpan, ...]
    """With their steps on one of the alignments that the search merged; a forced alignment gives the best."""
    parts: dict[str, float]
    """What the score is made of: "acoustic", "language_model", "word_bonus" and "hot_words", in nats."""

    @property
    def text(self) -> str:
        """The words, one space apart."""
        return " ".join(span.word for span in self.words)

    @property
    def score(self) -> float:
        """The sum of its parts."""
        return sum(self.parts.values())
