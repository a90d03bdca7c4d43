"""What cannot be searched for is refused by a prefix beam search, with a sentence that says why."""

import math
import sys

import pytest
import torch

from pipelines.ctc_beam_search import BeamSearch, DecodingOptions
from pipelines.word_ngrams import WordNGrams

from .ctc_search import LABELS

pytest.importorskip("ctc_beam_decoder", reason="beam search needs it")


def test_a_label_may_be_impossible_but_not_every_label():
    search, impossible = BeamSearch(LABELS, 0, "|"), -math.inf
    assert search.search(torch.tensor([[impossible, impossible, 0.0, impossible]]))[0].text == "A"
    for row in ([impossible] * 4, [math.nan, 0.0, 0.0, 0.0], [math.inf, 0.0, 0.0, 0.0]):
        with pytest.raises(ValueError, match="must be numbers, in every step one above minus infinity"):
            search.search(torch.tensor([row]))


@pytest.mark.parametrize("shape", [(4,), (2, 3), (1, 2, 4)])
def test_another_shape_is_refused(shape):
    with pytest.raises(ValueError, match=r"must be \(steps, 4\), a column for each label; got \("):
        BeamSearch(LABELS, 0, "|").search(torch.zeros(shape))


@pytest.mark.parametrize("word", ["a", "É", "A-B", "\x00", "|"])
def test_words_that_no_label_writes_are_refused(word):
    search = BeamSearch(LABELS, 0, "|")
    for options in (DecodingOptions(hot_words=("A " + word,)), DecodingOptions(lexicon=frozenset({"A", word}))):
        with pytest.raises(ValueError, match="has characters that no label writes"):
            search.search(torch.zeros(2, 4), options)


@pytest.mark.parametrize("word", ["", "A B"])
def test_a_lexicon_has_single_words(word):
    with pytest.raises(ValueError, match=r"lexicon: .* has characters that no label writes"):
        BeamSearch(LABELS, 0, "|").search(torch.zeros(2, 4), DecodingOptions(lexicon=frozenset({word})))


@pytest.mark.parametrize(
    ("labels", "blank", "delimiter"),
    [
        ([], 0, "|"),
        (LABELS, 4, "|"),
        (LABELS, 0, " "),
        (LABELS, 1, "|"),
        ([*LABELS, "A"], 0, "|"),
        ([*LABELS, "<unk>"], 0, "|"),
        ([*LABELS, ""], 0, "|"),
        ([*LABELS, " "], 0, "|"),
        ([*LABELS, "▁"], 0, "|"),
        ([*LABELS, "##S"], 0, "|"),
    ],
)
def test_labels_that_cannot_be_searched_are_refused(labels, blank, delimiter):
    with pytest.raises(ValueError, match="Expected labels"):
        BeamSearch(labels, blank, delimiter)


def test_a_language_model_that_does_not_go_with_the_labels_is_refused():
    unigrams = {("<s>",): (-99.0, 0.0), ("</s>",): (-0.3, 0.0), ("A",): (-0.3, 0.0)}
    with pytest.raises(ValueError, match="of order 2 at least"):
        BeamSearch(LABELS, 0, "|", WordNGrams(unigrams))
    lower_case = {("<s>", "</s>"): (-0.3, 0.0), ("a",): (-0.3, 0.0), ("<s>",): (-99.0, 0.0), ("</s>",): (-0.3, 0.0)}
    with pytest.raises(ValueError, match="upper and lower case"):
        BeamSearch(LABELS, 0, "|", WordNGrams(lower_case))


@pytest.mark.parametrize(
    "options",
    [
        {"num_beams": 0},
        {"num_return_sequences": 0},
        {"language_model_weight": -1.0},
        {"language_model_weight": math.nan},
        {"word_bonus": math.inf},
        {"hot_word_weight": math.nan},
    ],
)
def test_options_out_of_range_are_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        DecodingOptions(**options)


def test_without_the_package_people_are_told_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ctc_beam_decoder", None)
    with pytest.raises(ImportError, match="pip install ctc-beam-decoder"):
        BeamSearch(LABELS, 0, "|").search(torch.zeros(2, 4))
