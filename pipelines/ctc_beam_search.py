"""Prefix beam search for CTC with a word language model, hot words and a lexicon.

The search is that of the package ctc-beam-decoder, pyctcdecode's in C++. The scores of what it finds are computed here.

References:
    Prefix search: Graves et al. 2006, "Connectionist temporal classification", section 3.2; with a beam and a language
    model: Hannun et al. 2014 (arXiv:1408.2873), algorithm 1, whose score has the same weight and bonus.

What it does otherwise than exact search:
    A beam is a text and the label of the last step, blank or not: a text can hold two places of the beam.
    A word is scored by the language model when the delimiter after it is read; until then the letters are penalised
    if no known word begins with them.
    ctc-beam-decoder 0.2.0, like pyctcdecode, gives a text the score of a further, unknown word if the last of the
    alignments merged at the end closes with a delimiter, or if the text is empty. Hence its combined scores are not
    used, and it drops nothing by them, only by the beam's width.
    Probabilities below 1e-15 count as that.
    Steps that repeat the only label of the step before are not searched: `different_steps` says why none is needed.

Names of dimensions in this file:
    steps       of an utterance
    vocabulary  labels, the blank included
"""

import functools
import heapq
import itertools
import math
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .ctc_confidence import WordSpan
from .ctc_hypothesis import Hypothesis
from .ctc_library import LEAST, NO_PRUNING, decode
from .ctc_steps import different_steps
from .word_ngrams import END, NEVER, START, UNKNOWN, WordNGrams

UNKNOWN_WORD_OFFSET = -10.0
"""Nats, added to the log-probability of `<unk>` for each word that the language model does not know."""
OUTSIDE_LEXICON = -1e6
"""What the search adds for a word that must not be said; no score of an utterance comes near it."""
LEAST_LABEL_LOG_PROBABILITY = -5.0
"""A less probable label is not followed, unless it is its step's best or there is a lexicon."""
LONGEST_PIECE = 1500
"""Steps that are searched at once: the decoder's time and memory grow with the square of the length."""
NUM_CACHED_DECODERS = 8
PRECISE = (torch.float32, torch.float64)
"""What scores are computed in; fewer bits become 32."""
CERTAIN = {(START,): (NEVER, 0.0), (END,): (0.0, 0.0), (UNKNOWN,): (0.0, 0.0), (START, END): (0.0, 0.0)}
"""N-grams that score nothing: KenLM must have some where there is a lexicon or a bonus but no language model."""


@dataclass(frozen=True)
class DecodingOptions:
    """How to get from log-probabilities to texts; weights are of log-probabilities in nats."""

    num_beams: int = 16
    """Places of the beam; to a transcriber 1 is the best path, and no search."""
    num_return_sequences: int = 1
    language_model_weight: float = 0.0
    word_bonus: float = 0.0
    """Nats for each word: it makes up for the language model's liking of few words."""
    hot_words: tuple[str, ...] = ()
    """What is likelier than usual: words, or phrases, whose words count one by one."""
    hot_word_weight: float = 8.0
    """Nats for each hot word of a text; while it is being spelled a share of them, by its letters."""
    lexicon: frozenset[str] | None = None
    """The only words that may be said; None: all."""

    def __post_init__(self):
        for name in ("num_beams", "num_return_sequences"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1; got {getattr(self, name)}.")
        if not 0 <= self.language_model_weight < math.inf:
            raise ValueError(f"language_model_weight must be a number from 0; got {self.language_model_weight}.")
        for name in ("word_bonus", "hot_word_weight"):
            if not math.isfinite(getattr(self, name)):
                raise ValueError(f"{name} must be a number; got {getattr(self, name)}.")

    @functools.cached_property
    def single_hot_words(self) -> frozenset[str]:
        """The words of the hot words and phrases."""
        return frozenset(word for phrase in self.hot_words for word in phrase.split())


class BeamSearch:
    """Searches the probabilities of a CTC network; threads may share it."""

    def __init__(
        self, labels: Sequence[str], blank: int, word_delimiter: str, language_model: WordNGrams | None = None
    ):
        """Prepare a search.

        Args:
            labels: in the order of the network's outputs; but for the blank each is one character.
            blank: its index.
            word_delimiter: the label between words.
            language_model: of words, of order 2 at least.

        Raises:
            ValueError: for labels that cannot be searched, and for a language model that does not go with them.
        """
        self.blank = blank
        self.delimiter = _checked_labels(labels, blank, word_delimiter).index(word_delimiter)
        self.language_model = language_model
        self._labels = list(labels)
        self._labels[blank], self._labels[self.delimiter] = "", " "
        self._letters = frozenset(self._labels) - {"", " "}
        if language_model is not None:
            self._check_language_model(language_model)
        self._decoder = functools.lru_cache(maxsize=NUM_CACHED_DECODERS)(self._new_decoder)

    def search(self, log_probabilities: Tensor, options: DecodingOptions | None = None) -> list[Hypothesis]:
        """Find the best texts; each stands for all its alignments.

        What is longer than a minute is cut at likely word boundaries, and the pieces are searched one by one.

        Args:
            log_probabilities: float (steps, vocabulary); logits do as well.
            options: how to search.

        Returns:
            At most `num_return_sequences` hypotheses, best first; where nothing fits the lexicon, the empty one.

        Raises:
            ValueError: for what is not a number, another vocabulary, and words that no labels can spell.
            ImportError: without the package ctc-beam-decoder.
        """
        options = options or DecodingOptions()
        self._check_spelling("hot_words", options.single_hot_words)
        self._check_spelling("lexicon", options.lexicon or ())
        best: list[Hypothesis] = []
        for first, piece in self._pieces(self._normalised(log_probabilities)):
            found = self._search_piece(first, piece, options)
            best = self._joined(best, found, options) if best else found
        best = best or [self._scored((), 0.0, options)]
        different: dict[str, Hypothesis] = {}  # the same text can come from pieces in two ways
        for hypothesis in sorted(best, key=lambda hypothesis: -hypothesis.score):
            different.setdefault(hypothesis.text, hypothesis)
        return list(different.values())

    def _joined(self, left: list[Hypothesis], right: list[Hypothesis], options: DecodingOptions) -> list[Hypothesis]:
        """Return the best of what two pieces can say together, in no order."""
        pairs = heapq.nlargest(
            options.num_return_sequences,
            itertools.product(left, right),
            key=lambda pair: pair[0].score + pair[1].score,
        )
        return [
            self._scored(before.words + after.words, before.parts["acoustic"] + after.parts["acoustic"], options)
            for before, after in pairs
        ]

    def _search_piece(self, first: int, log_probabilities: np.ndarray, options: DecodingOptions) -> list[Hypothesis]:
        """Return the best texts of a piece, in no order.

        Args:
            first: the utterance's step that is the piece's first.
            log_probabilities: float32 or float64 (steps, vocabulary), one step at least.
            options: as for `search`.
        """
        has_lexicon = options.lexicon is not None
        hot_words = options.single_hot_words & options.lexicon if has_lexicon else options.single_hot_words
        weight = options.language_model_weight if self.language_model is not None else 0.0
        least = NO_PRUNING if has_lexicon else LEAST_LABEL_LOG_PROBABILITY
        steps = different_steps(np.maximum(log_probabilities, LEAST).astype(np.float32, copy=False), least)
        beams = decode(
            self._decoder(weight, options.word_bonus, options.lexicon),
            steps.log_probabilities,
            options.num_beams,
            least,
            sorted(hot_words),
            options.hot_word_weight,
        )
        found = [
            (self._parts(beam.words, beam.acoustic + steps.log_probability_of_others, options), beam)
            for beam in beams
            if not has_lexicon or options.lexicon.issuperset(beam.words)
        ]
        best = heapq.nlargest(options.num_return_sequences, found, key=lambda pair: sum(pair[0].values()))
        starts = (first + steps.starts).tolist()
        hypotheses = [Hypothesis(beam.spans(starts), parts) for parts, beam in best]
        return hypotheses or [self._scored((), self._log_probability_of_nothing(log_probabilities), options)]

    def _scored(self, words: tuple[WordSpan, ...], acoustic: float, options: DecodingOptions) -> Hypothesis:
        return Hypothesis(words, self._parts([span.word for span in words], acoustic, options))

    def _parts(self, words: Sequence[str], acoustic: float, options: DecodingOptions) -> dict[str, float]:
        """Return what the score of a text is made of."""
        language_model, hot_words = 0.0, options.single_hot_words
        if self.language_model is not None and options.language_model_weight:
            language_model = self.language_model.log_probability(words)
            language_model += UNKNOWN_WORD_OFFSET * self.language_model.num_unknown(words)
        return {
            "acoustic": acoustic,
            "language_model": options.language_model_weight * language_model,
            "word_bonus": options.word_bonus * len(words),
            "hot_words": options.hot_word_weight * (sum(map(hot_words.__contains__, words)) if hot_words else 0),
        }

    def _log_probability_of_nothing(self, log_probabilities: np.ndarray) -> float:
        """Sum over the alignments of the empty text: blanks and delimiters."""
        return float(np.logaddexp(*log_probabilities[:, [self.blank, self.delimiter]].T).sum(dtype=np.float64))

    def _pieces(self, log_probabilities: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """Cut after the likeliest delimiter of a piece's second half; yield each piece after its first step."""
        first = 0
        while len(log_probabilities) - first > LONGEST_PIECE:
            middle = first + LONGEST_PIECE // 2
            delimiters = log_probabilities[middle : first + LONGEST_PIECE, self.delimiter]
            end = middle + int(delimiters.argmax()) + 1
            yield first, log_probabilities[first:end]
            first = end
        if first < len(log_probabilities):
            yield first, log_probabilities[first:]

    def _normalised(self, log_probabilities: Tensor) -> np.ndarray:
        """Check float (steps, vocabulary) and return it so that each step sums to 1; float64 as that, else float32."""
        if log_probabilities.ndim != 2 or log_probabilities.shape[1] != len(self._labels):
            raise ValueError(
                f"log_probabilities must be (steps, {len(self._labels)}), a column for each label; "
                f"got {tuple(log_probabilities.shape)}."
            )
        exact = log_probabilities if log_probabilities.dtype in PRECISE else log_probabilities.float()
        normalised = exact.detach().log_softmax(dim=-1).numpy(force=True)
        if math.isnan(normalised.min(initial=0)):
            raise ValueError("log_probabilities must be numbers, in every step one above minus infinity.")
        return normalised

    def _check_spelling(self, field: str, words: Iterable[str]) -> None:
        for word in words:
            strange = set(word) - self._letters
            if strange or not word:
                raise ValueError(f"{field}: {word!r} has characters that no label writes: {sorted(strange)}.")

    def _check_language_model(self, language_model: WordNGrams) -> None:
        if language_model.order < 2:
            raise ValueError("The language model must be of order 2 at least, which KenLM needs; got one of order 1.")
        if not any(self._letters.issuperset(word) for word in language_model.vocabulary):
            raise ValueError("The labels spell no word of the language model; look at upper and lower case.")

    def _new_decoder(self, weight: float, word_bonus: float, lexicon: frozenset[str] | None) -> Any:
        """Build a decoder; it keeps its weights and its words for good."""
        build = _decoder_builder()
        if not weight and not word_bonus and lexicon is None:
            return build(self._labels)
        ngrams, words, unknown = CERTAIN, frozenset(), 0.0
        if weight:
            ngrams, words, unknown = self.language_model.ngrams, self.language_model.vocabulary, UNKNOWN_WORD_OFFSET
        scale = weight or 1.0  # the decoder multiplies by it what a word scores, `unknown` included
        if lexicon is not None:
            ngrams = ngrams | {(word,): self._entry_of_unknown(weight) for word in lexicon - words}
            words, unknown = lexicon, OUTSIDE_LEXICON / scale
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "words.arpa")
            WordNGrams(ngrams).write(path)
            return build(
                self._labels,
                kenlm_model_path=path,
                unigrams=sorted(words),
                alpha=scale,
                beta=word_bonus,
                unk_score_offset=unknown / math.log(10),
            )

    def _entry_of_unknown(self, weight: float) -> tuple[float, float]:
        """Return what a word of the lexicon has in an ARPA file if the language model does not know it."""
        if not weight:
            return 0.0, 0.0
        unknown = self.language_model.log_probability([UNKNOWN], start=False, end=False)
        return (unknown + UNKNOWN_WORD_OFFSET) / math.log(10), 0.0


def _checked_labels(labels: Sequence[str], blank: int, word_delimiter: str) -> list[str]:
    """Return labels that the decoder takes for what they are, or raise a ValueError.

    It would read a label such as "##s" or "▁s" as a piece of a word.
    """
    labels = list(labels)
    if not 0 <= blank < len(labels) or word_delimiter not in labels or labels.index(word_delimiter) == blank:
        raise ValueError(
            f"Expected labels with a blank and a delimiter of words besides; got {len(labels)} labels, "
            f"the blank {blank} and the delimiter {word_delimiter!r}."
        )
    others = [label for index, label in enumerate(labels) if index != blank and label != word_delimiter]
    strange = [label for label in others if len(label) != 1 or label.isspace() or label == "▁"]
    if strange or len(set(labels)) < len(labels):
        raise ValueError(f"Expected labels of one character, each once; got {strange or labels}.")
    return labels


def _decoder_builder() -> Callable[..., Any]:
    try:
        from ctc_beam_decoder import build_ctcdecoder
    except ImportError as error:
        raise ImportError(
            "Beam search needs the package ctc-beam-decoder: `pip install ctc-beam-decoder==0.2.0`. "
            "Without it there is the best path."
        ) from error
    return build_ctcdecoder
