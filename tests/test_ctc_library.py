"""The decoder's C interface, against the package's own Python interface to it."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pipelines.ctc_beam_search import BeamSearch
from pipelines.ctc_confidence import WordSpan
from pipelines.ctc_library import LEAST, FoundText, decode, decode_slowly

from .ctc_search import ALPHABET, LABELS, MODEL, peaky_log_probabilities, random_log_probabilities, spelled

pytest.importorskip("ctc_beam_decoder", reason="beam search needs it")


def prepared(log_probabilities: torch.Tensor) -> np.ndarray:
    """Return what the search gives to the decoder."""
    return log_probabilities.double().clamp(min=LEAST).float().numpy()


@pytest.mark.parametrize("hot_words", [(), ("AB", "BÄ")])
@pytest.mark.parametrize(("weight", "bonus"), [(0.0, 0.0), (0.5, 1.5)])
@pytest.mark.parametrize("num_beams", [1, 16, 100])
def test_both_interfaces_find_the_same(hot_words, weight, bonus, num_beams):
    decoder = BeamSearch(ALPHABET, 0, "|", MODEL)._decoder(weight, bonus, None)
    for seed in range(4):
        numbers = prepared(peaky_log_probabilities(80, seed))
        found = decode(decoder, numbers, num_beams, -5.0, hot_words, 4.0)
        expected = decode_slowly(decoder, numbers, num_beams, -5.0, hot_words, 4.0)
        assert [(text.words, list(text.times)) for text in found] == [(text.words, text.times) for text in expected]
        assert [text.acoustic for text in found] == pytest.approx([text.acoustic for text in expected], abs=1e-5)
        assert len(found) > 1 or num_beams == 1


def test_letters_of_more_than_one_byte_and_texts_without_words():
    decoder = BeamSearch(["*", " ", "Ä", "ß"], 0, " ")._decoder(0.0, 0.0, None)
    numbers = prepared(random_log_probabilities(6))
    found = decode(decoder, numbers, 1000, -20.0, ("Äß",), 1.0)
    expected = decode_slowly(decoder, numbers, 1000, -20.0, ("Äß",), 1.0)
    assert [text.words for text in found] == [text.words for text in expected]
    assert [] in [text.words for text in found] and ["Äß"] in [text.words for text in found]


def test_words_have_their_steps():
    starts = [10, 11, 14, 20, 30]
    assert FoundText(["A", "BA"], [0, 1, 2, 4], -1.0).spans(starts) == (WordSpan("A", 10, 11), WordSpan("BA", 14, 30))
    assert FoundText([], [], -1.0).spans(starts) == ()


def test_what_the_decoder_refuses_is_an_error():
    decoder = BeamSearch(LABELS, 0, "|")._decoder(0.0, 0.0, None)
    with pytest.raises(RuntimeError):
        decode(decoder, prepared(spelled("YES")), 16, -5.0, (), 1.0)


def test_another_version_of_the_package_is_asked_in_its_own_way():
    decoder = BeamSearch(ALPHABET, 0, "|")._decoder(0.0, 0.0, None)
    numbers = prepared(spelled("YES NO"))
    other = SimpleNamespace(decode_beams=decoder.decode_beams)
    assert decode(other, numbers, 16, -5.0, (), 1.0)[0].words == decode(decoder, numbers, 16, -5.0, (), 1.0)[0].words
