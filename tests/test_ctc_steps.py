"""Leaving out steps, against searching them all."""

import numpy as np
import pytest
import torch

from pipelines.ctc_beam_search import BeamSearch
from pipelines.ctc_library import LEAST, decode
from pipelines.ctc_steps import different_steps

from .ctc_search import ALPHABET, MODEL, peaky_log_probabilities, random_log_probabilities, spelled

A, B, BLANK = np.log([[0.001, 0.997, 0.002], [0.001, 0.002, 0.997], [0.997, 0.001, 0.002]]).astype(np.float32)
EITHER = np.log([0.01, 0.49, 0.5]).astype(np.float32)


def test_steps_that_repeat_an_only_label_are_left_out():
    rows = np.stack([BLANK, BLANK, A, A, A, EITHER, EITHER, A, B, BLANK, BLANK])
    found = different_steps(rows, -5.0)
    assert found.starts.tolist() == [0, 2, 5, 6, 7, 8, 9, 11]
    assert np.array_equal(found.log_probabilities, rows[[0, 2, 5, 6, 7, 8, 9]])
    assert found.log_probability_of_others == pytest.approx(4 * np.log(0.997))


def test_all_steps_are_different_where_all_labels_are_followed_or_none_is():
    rows = np.stack([A, A, A])
    for least in (-1e30, -1e-6):
        assert different_steps(rows, least).starts.tolist() == [0, 1, 2, 3]
        assert different_steps(rows, least).log_probability_of_others == 0


def held(seed: int) -> torch.Tensor:
    """Make what a trained network says, every step once to five times."""
    numbers = peaky_log_probabilities(60, seed)
    times = torch.randint(1, 6, (60,), generator=torch.Generator().manual_seed(seed))
    return (2 * numbers).log_softmax(dim=1).repeat_interleave(times, dim=0)


@pytest.mark.parametrize("hot_words", [(), ("AB", "BÄ")])
@pytest.mark.parametrize(("weight", "bonus"), [(0.0, 0.0), (0.5, 1.5)])
@pytest.mark.parametrize("num_beams", [1, 3, 16, 100])
@pytest.mark.parametrize(
    "numbers",
    [*map(held, range(8)), spelled("A BAB AABB", 5), spelled("YES", 9), random_log_probabilities(30, len(ALPHABET))],
)
def test_a_search_finds_the_same_texts_times_and_scores(numbers, num_beams, weight, bonus, hot_words):
    pytest.importorskip("ctc_beam_decoder", reason="beam search needs it")
    decoder = BeamSearch(ALPHABET, 0, "|", MODEL)._decoder(weight, bonus, None)
    every = numbers.double().clamp(min=LEAST).float().numpy()
    steps = different_steps(every, -5.0)
    expected = decode(decoder, every, num_beams, -5.0, hot_words, 4.0)
    found = decode(decoder, steps.log_probabilities, num_beams, -5.0, hot_words, 4.0)
    starts = steps.starts.tolist()
    assert [text.spans(starts) for text in found] == [text.spans(range(len(every) + 1)) for text in expected]
    scores = [text.acoustic + steps.log_probability_of_others for text in found]
    assert scores == pytest.approx([text.acoustic for text in expected], abs=1e-9)
