"""Drawing characters: as often as the probabilities say, and as transformers' processors would have it."""

import math
from random import Random

import pytest
import torch
from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from pipelines.sampling import SamplingOptions, draw, log_probabilities, sampling_weights

LOGITS = [2.0, -1.0, 0.5, 0.4, -3.0, 1.1]


def shares(options, banned=(), logits=LOGITS):
    weights = sampling_weights(logits, options, banned)
    return [weight / sum(weights) for weight in weights]


def test_log_probabilities_are_a_log_softmax():
    expected = torch.tensor(LOGITS, dtype=torch.float64).log_softmax(0).tolist()
    assert log_probabilities(LOGITS) == pytest.approx(expected, rel=1e-12)
    assert log_probabilities([1000.0, 0.0])[0] == pytest.approx(0.0)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("top_k", [0, 1, 3, 100])
@pytest.mark.parametrize("top_p", [0.2, 0.75, 1.0])
def test_probabilities_are_those_of_transformers(temperature, top_k, top_p):
    logits = torch.tensor([LOGITS])
    logits = TemperatureLogitsWarper(temperature)(None, logits)
    if top_k:
        logits = TopKLogitsWarper(top_k)(None, logits)
    if top_p < 1:
        logits = TopPLogitsWarper(top_p)(None, logits)
    options = SamplingOptions(temperature=temperature, top_k=top_k, top_p=top_p)
    assert shares(options) == pytest.approx(logits.softmax(-1)[0].tolist(), rel=1e-5)


@pytest.mark.parametrize(
    ("options", "critical"), [(SamplingOptions(), 15.09), (SamplingOptions(temperature=0.7, top_k=4), 11.34)]
)
def test_frequencies_follow_the_probabilities(options, critical):
    """Chi-square with 5 and 3 degrees of freedom, at the level of 1 %."""
    random, expected = Random(3), shares(options)
    counts = [0] * len(LOGITS)
    for _ in range(20_000):
        counts[draw(LOGITS, options, random)] += 1
    possible = [token for token, share in enumerate(expected) if share > 0]
    assert all(counts[token] == 0 for token in range(len(LOGITS)) if token not in possible)
    wanted = {token: 20_000 * expected[token] for token in possible}
    assert sum((counts[token] - wanted[token]) ** 2 / wanted[token] for token in possible) < critical


def test_temperature_zero_and_a_very_low_one_are_greedy():
    greedy = SamplingOptions(do_sample=False)
    assert draw(LOGITS, greedy, Random(0)) == draw(LOGITS, SamplingOptions(temperature=0), Random(0)) == 0
    assert {draw(LOGITS, SamplingOptions(temperature=0.01), Random(seed)) for seed in range(200)} == {0}


def test_the_banned_are_never_drawn():
    assert shares(SamplingOptions(), banned={0, 5})[0] == 0
    assert draw(LOGITS, SamplingOptions(do_sample=False), Random(0), {0}) == 5
    assert {draw(LOGITS, SamplingOptions(), Random(seed), {0, 5}) for seed in range(300)} <= {1, 2, 3, 4}
    with pytest.raises(ValueError, match="banned"):
        draw(LOGITS, SamplingOptions(), Random(0), range(6))


def test_the_same_seed_draws_the_same():
    random, again = Random(5), Random(5)
    options = SamplingOptions(temperature=1.3)
    assert [draw(LOGITS, options, random) for _ in range(50)] == [draw(LOGITS, options, again) for _ in range(50)]


def test_what_rounding_leaves_at_the_end_is_never_drawn():
    class Last(Random):
        def random(self):
            return math.nextafter(1.0, 0.0)

    assert draw([0.0, 0.0, -math.inf], SamplingOptions(), Last()) == 1
