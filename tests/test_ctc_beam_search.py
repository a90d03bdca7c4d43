"""Prefix beam search that drops nothing, against the enumeration of all paths."""

import functools
import itertools
import math

import pytest
import torch
from torch import Tensor

import pipelines.ctc_beam_search as module
from models.ctc import collapse
from pipelines.ctc_beam_search import UNKNOWN_WORD_OFFSET, BeamSearch, DecodingOptions, Hypothesis

from .ctc_search import LABELS, MODEL, random_log_probabilities

pytest.importorskip("ctc_beam_decoder", reason="beam search needs it")

EXACT = functools.partial(DecodingOptions, num_beams=100_000, num_return_sequences=100_000, language_model_weight=0.5)


@pytest.fixture(autouse=True)
def every_label_is_followed(monkeypatch):
    monkeypatch.setattr(module, "LEAST_LABEL_LOG_PROBABILITY", -math.inf)


def all_texts(log_probabilities: Tensor, labels: list[str] = LABELS, blank: int = 0) -> dict[str, float]:
    """Sum the paths of every text, one by one."""
    steps, vocabulary = log_probabilities.shape
    sums: dict[str, float] = {}
    for path in itertools.product(range(vocabulary), repeat=steps):
        letters = "".join(labels[label] for label in collapse(path, blank))
        text = " ".join(letters.replace("|", " ").split())
        score = sum(log_probabilities[step, label].item() for step, label in enumerate(path))
        sums[text] = sums.get(text, 0.0) + math.exp(score)
    return {text: math.log(total) for text, total in sums.items()}


def assert_found(found: list[Hypothesis], expected: dict[str, float]) -> None:
    """Compare all hypotheses with all texts, whose scores must say the same order."""
    assert {hypothesis.text: hypothesis.score for hypothesis in found} == pytest.approx(expected, abs=2e-5)
    assert len(found) == len(expected)
    scores = [hypothesis.score for hypothesis in found]
    assert scores == sorted(scores, reverse=True)


def language_model_score(text: str) -> float:
    words = text.split()
    return MODEL.log_probability(words) + UNKNOWN_WORD_OFFSET * sum(word not in {"A", "AB"} for word in words)


@pytest.mark.parametrize(("steps", "seed"), [(4, 0), (5, 1), (6, 2)])
def test_every_text_has_the_probability_of_all_its_alignments(steps, seed):
    log_probabilities = random_log_probabilities(steps, seed=seed)
    found = BeamSearch(LABELS, 0, "|").search(log_probabilities, EXACT())
    assert_found(found, all_texts(log_probabilities))
    assert sum(math.exp(hypothesis.score) for hypothesis in found) == pytest.approx(1, abs=1e-5)


def test_the_blank_and_the_delimiter_may_stand_anywhere():
    labels = ["A", "-", "B", "*"]
    log_probabilities = random_log_probabilities(5)
    found = BeamSearch(labels, 3, "-").search(log_probabilities, EXACT())
    assert_found(found, all_texts(log_probabilities, ["A", "|", "B", "*"], blank=3))


@pytest.mark.parametrize("weight", [0.0, 0.7, 2.0])
@pytest.mark.parametrize("bonus", [0.0, 1.3, -0.4])
def test_the_language_model_and_the_bonus_are_added(weight, bonus):
    log_probabilities = random_log_probabilities(5, seed=3)
    options = EXACT(language_model_weight=weight, word_bonus=bonus)
    expected = {
        text: acoustic + weight * language_model_score(text) + bonus * len(text.split())
        for text, acoustic in all_texts(log_probabilities).items()
    }
    found = BeamSearch(LABELS, 0, "|", MODEL).search(log_probabilities, options)
    assert_found(found, expected)
    for hypothesis in found:
        assert hypothesis.parts["language_model"] == pytest.approx(weight * language_model_score(hypothesis.text))
        assert hypothesis.score == pytest.approx(sum(hypothesis.parts.values()))


@pytest.mark.parametrize("model", [None, MODEL])
def test_each_hot_word_counts_once_for_each_time_it_is_said(model):
    log_probabilities = random_log_probabilities(5, seed=4)
    options = EXACT(hot_words=("B AA", "B"), hot_word_weight=1.5, language_model_weight=0.7)
    expected = {
        text: acoustic
        + (0.7 * language_model_score(text) if model else 0.0)
        + 1.5 * sum(word in {"B", "AA"} for word in text.split())
        for text, acoustic in all_texts(log_probabilities).items()
    }
    assert_found(BeamSearch(LABELS, 0, "|", model).search(log_probabilities, options), expected)


def test_blank_hot_words_are_none():
    found = BeamSearch(LABELS, 0, "|").search(random_log_probabilities(3), EXACT(hot_words=("", "  ")))
    assert all(hypothesis.parts["hot_words"] == 0 for hypothesis in found)


@pytest.mark.parametrize("model", [None, MODEL])
@pytest.mark.parametrize("words", [{"A", "BA"}, {"AB"}, set()])
def test_nothing_outside_the_lexicon_is_found_and_all_inside_is(model, words):
    log_probabilities = random_log_probabilities(5, seed=5)
    options = EXACT(lexicon=frozenset(words), word_bonus=0.3, hot_words=("BA", "B"), hot_word_weight=2.0)
    expected = {
        text: acoustic
        + (0.5 * language_model_score(text) if model else 0.0)
        + 0.3 * len(text.split())
        + 2.0 * text.split().count("BA")
        for text, acoustic in all_texts(log_probabilities).items()
        if words.issuperset(text.split())
    }
    assert_found(BeamSearch(LABELS, 0, "|", model).search(log_probabilities, options), expected)


@pytest.mark.parametrize("lexicon", [None, frozenset({"A", "B"})])
def test_the_parts_say_what_the_decoder_says_where_the_decoder_is_right(lexicon):
    """That is where no alignment ends with a delimiter; B is a word of the lexicon that the model does not know."""
    log_probabilities = random_log_probabilities(6, seed=6)
    log_probabilities[-1] = torch.tensor([-40.0, -40.0, -0.7, -0.7])
    hot_words = {"hot_words": ("B",), "hot_word_weight": 1.5}
    options = EXACT(language_model_weight=0.7, word_bonus=0.4, lexicon=lexicon, **hot_words)
    search = BeamSearch(LABELS, 0, "|", MODEL)
    ours = {hypothesis.text: hypothesis for hypothesis in search.search(log_probabilities, options)}
    beams = search._decoder(0.7, 0.4, lexicon).decode_beams(
        log_probabilities.numpy(), 100_000, -1e30, -20.0, hotwords=["B"], hotword_weight=1.5
    )
    theirs = [beam for beam in beams if lexicon is None or lexicon.issuperset(beam[0].split())]
    assert len(theirs) > 10
    for text, _, _, acoustic, combined in theirs:
        assert ours[text].parts["acoustic"] == pytest.approx(acoustic, abs=1e-4)
        assert ours[text].score == pytest.approx(combined, abs=1e-4)


def test_the_decoder_still_scores_a_last_delimiter_as_an_unknown_word():
    """What our own scores are for; if this fails, the decoder has been mended."""
    decoder = BeamSearch(LABELS, 0, "|", MODEL)._decoder(1.0, 0.0, None)
    log_probabilities = torch.tensor([[0.01, 0.01, 0.97, 0.01], [0.90, 0.08, 1e-9, 0.02]]).log()
    scores = {
        text: combined - acoustic
        for text, _, _, acoustic, combined in decoder.decode_beams(log_probabilities.numpy(), 100, -1e30, -20.0)
    }
    assert scores["A"] < MODEL.log_probability(["A"]) + UNKNOWN_WORD_OFFSET


def test_what_looks_like_probabilities_is_not_taken_for_them():
    """The decoder guesses by the sum of a row; logits that sum to 1 must not fool it."""
    logits = torch.tensor([[2.0, -3.0, 1.5, 0.5], [0.0, 0.0, 4.0, -3.0]])
    assert logits.sum(dim=1).tolist() == [1, 1]
    found = BeamSearch(LABELS, 0, "|").search(logits, EXACT())
    assert_found(found, all_texts(logits.double().log_softmax(dim=1)))


@pytest.mark.parametrize("shift", [0.0, 95.0, -95.0, 1000.0])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_logits_of_any_precision_and_size_are_searched_and_left_as_they_are(dtype, shift):
    """At 95 and -95 the exponentials are beyond what 32 bits hold well, at 1000 beyond 64."""
    logits = (random_log_probabilities(5) + shift).to(dtype)
    given = logits.clone()
    found = BeamSearch(LABELS, 0, "|").search(logits, EXACT())
    assert torch.equal(logits, given)
    assert_found(found, all_texts(logits.double().log_softmax(dim=1)))
