"""Prefix beam search as it is used: a narrow beam, long recordings, several threads; and against pyctcdecode."""

import itertools
import math
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

import pipelines.ctc_beam_search as module
from pipelines.ctc_beam_search import UNKNOWN_WORD_OFFSET, BeamSearch, DecodingOptions
from pipelines.ctc_confidence import WordSpan
from pipelines.word_ngrams import WordNGrams

from .ctc_search import ALPHABET, LABELS, MODEL, peaky_log_probabilities, random_log_probabilities, spelled

pytest.importorskip("ctc_beam_decoder", reason="beam search needs it")


@pytest.mark.parametrize("model", [None, MODEL])
def test_a_narrow_beam_keeps_to_the_lexicon_too(model):
    search = BeamSearch(ALPHABET, 0, "|", model)
    options = DecodingOptions(4, 4, language_model_weight=0.5, lexicon=frozenset({"YES", "NO", "A"}))
    for seed in range(5):
        for hypothesis in search.search(peaky_log_probabilities(40, seed), options):
            assert {"YES", "NO", "A"}.issuperset(hypothesis.text.split())


def test_the_lexicon_corrects_a_word():
    search = BeamSearch(ALPHABET, 0, "|")
    assert search.search(spelled("YEZ NO"))[0].text == "YEZ NO"
    options = DecodingOptions(lexicon=frozenset({"YES", "NO", "YESTERDAY"}))
    assert search.search(spelled("YEZ NO"), options)[0].text == "YES NO"


def test_a_part_of_a_word_is_no_word_and_nothing_that_fits_is_an_empty_text():
    log_probabilities = spelled("YE")[:2]  # two steps are too few for YES
    (found,) = BeamSearch(ALPHABET, 0, "|").search(log_probabilities, DecodingOptions(lexicon=frozenset({"YES"})))
    assert found.words == () and found.text == ""
    expected = log_probabilities[:, :2].double().logsumexp(dim=1).sum().item()
    assert found.parts["acoustic"] == pytest.approx(expected, abs=1e-4)


def test_a_hot_word_is_chosen_where_it_is_nearly_said():
    log_probabilities = spelled("YEZ")
    log_probabilities[4, ALPHABET.index("S")] = -3.0
    search = BeamSearch(ALPHABET, 0, "|")
    assert search.search(log_probabilities)[0].text == "YEZ"
    found = search.search(log_probabilities, DecodingOptions(hot_words=("YES",), hot_word_weight=10.0))[0]
    assert found.text == "YES" and found.parts["hot_words"] == 10.0


def test_a_hot_word_outside_the_lexicon_takes_no_place_in_the_beam():
    options = DecodingOptions(num_beams=1, lexicon=frozenset({"YES"}), hot_words=("YEZ",), hot_word_weight=50.0)
    log_probabilities = spelled("YEZ")
    log_probabilities[4, ALPHABET.index("S")] = -3.0
    assert BeamSearch(ALPHABET, 0, "|").search(log_probabilities, options)[0].text == "YES"


def test_without_steps_nothing_is_said():
    options = DecodingOptions(num_return_sequences=5, language_model_weight=0.7)
    (found,) = BeamSearch(LABELS, 0, "|", MODEL).search(torch.empty(0, 4), options)
    assert found.words == ()
    assert found.parts == {
        "acoustic": 0.0,
        "language_model": pytest.approx(0.7 * MODEL.log_probability([])),
        "word_bonus": 0.0,
        "hot_words": 0.0,
    }


def test_words_have_their_steps():
    (found,) = BeamSearch(ALPHABET, 0, "|").search(spelled("YES NO", steps_of_a_label=3))
    assert found.words == (WordSpan("YES", 0, 7), WordSpan("NO", 12, 16))


def test_a_long_recording_is_searched_in_pieces(monkeypatch):
    text = " ".join(random.Random(0).choices(["YES", "NO", "A", "AB"], k=60))
    log_probabilities = spelled(text)
    search = BeamSearch(ALPHABET, 0, "|", MODEL)
    options = DecodingOptions(num_return_sequences=3, language_model_weight=0.5)
    monkeypatch.setattr(module, "LEAST_LABEL_LOG_PROBABILITY", -15.0)
    whole = search.search(log_probabilities, options)
    monkeypatch.setattr(module, "LONGEST_PIECE", 100)
    assert len(list(search._pieces(log_probabilities))) > 3
    found = search.search(log_probabilities, options)
    assert found[0].text == whole[0].text == text
    assert all(abs(word.start - same.start) <= 1 for word, same in zip(found[0].words, whole[0].words, strict=True))
    assert found[0].parts == pytest.approx(whole[0].parts, abs=1e-3)


def test_pieces_give_no_text_twice(monkeypatch):
    monkeypatch.setattr(module, "LONGEST_PIECE", 4)
    found = BeamSearch(LABELS, 0, "|").search(random_log_probabilities(9), DecodingOptions(num_return_sequences=100))
    texts = [hypothesis.text for hypothesis in found]
    assert len(set(texts)) == len(texts) > 10
    assert found == sorted(found, key=lambda hypothesis: -hypothesis.score)


def test_decoders_are_kept_and_not_too_many_of_them():
    search = BeamSearch(LABELS, 0, "|", MODEL)
    log_probabilities = random_log_probabilities(4)
    for _ in range(2):
        for hot_words in ((), ("A",)):
            search.search(log_probabilities, DecodingOptions(language_model_weight=0.5, hot_words=hot_words))
    assert search._decoder.cache_info().currsize == 1
    for bonus in range(12):
        search.search(log_probabilities, DecodingOptions(language_model_weight=0.5, word_bonus=bonus))
    assert search._decoder.cache_info().currsize == module.NUM_CACHED_DECODERS


def test_threads_share_a_search():
    search = BeamSearch(ALPHABET, 0, "|", MODEL)
    inputs = [peaky_log_probabilities(60, seed) for seed in range(6)]
    options = [DecodingOptions(16, 5, language_model_weight=0.5, word_bonus=bonus) for bonus in (0.0, 1.0)]
    jobs = list(itertools.product(inputs, options)) * 3
    alone = [search.search(*job) for job in jobs]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(lambda job: search.search(*job), jobs))
    assert together == alone


@pytest.fixture
def reference_decoder(tmp_path) -> Callable:
    """Return what builds pyctcdecode's decoder; it is not installed everywhere, because it asks for numpy 1."""
    pyctcdecode = pytest.importorskip("pyctcdecode")

    def build(model: WordNGrams | None, weight: float, bonus: float):
        if model is None:
            return pyctcdecode.build_ctcdecoder(ALPHABET)
        pytest.importorskip("kenlm")
        model.write(tmp_path / "words.arpa")
        return pyctcdecode.build_ctcdecoder(
            ALPHABET,
            str(tmp_path / "words.arpa"),
            sorted(model.vocabulary),
            alpha=weight,
            beta=bonus,
            unk_score_offset=UNKNOWN_WORD_OFFSET / math.log(10),
        )

    return build


@pytest.mark.parametrize("hot_words", [(), ("A", "BE", "THE")])
@pytest.mark.parametrize("model", [None, MODEL])
def test_pyctcdecode_finds_the_same(reference_decoder, model, hot_words):
    options = DecodingOptions(
        num_beams=16,
        num_return_sequences=16,
        language_model_weight=0.5,
        word_bonus=0.5 if model else 0.0,
        hot_words=hot_words,
        hot_word_weight=4.0,
    )
    search, decoder = BeamSearch(ALPHABET, 0, "|", model), reference_decoder(model, 0.5, 0.5)
    for seed in range(6):
        log_probabilities = peaky_log_probabilities(60, seed)
        log_probabilities[-2:] = spelled("A")  # not a delimiter, which pyctcdecode scores as an unknown word there
        ours = {hypothesis.text: hypothesis for hypothesis in search.search(log_probabilities, options)}
        theirs = decoder.decode_beams(
            log_probabilities.numpy(), 16, -1e30, -5.0, hotwords=hot_words, hotword_weight=4.0
        )
        assert set(ours) == {text for text, *_ in theirs}
        for text, _, words, acoustic, combined in theirs:
            assert ours[text].parts["acoustic"] == pytest.approx(acoustic, abs=1e-3)
            assert ours[text].score == pytest.approx(combined, abs=1e-3)
            assert [span.word for span in ours[text].words] == [word for word, _ in words]
