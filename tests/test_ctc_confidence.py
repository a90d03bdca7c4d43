"""Confidences of words and their calibration: small cases by hand."""

import math
import random

import pytest

from pipelines.ctc_confidence import WordSpan, hypothesis_posteriors, is_same, word_posteriors
from training.calibration import (
    NBestList,
    choose_temperature,
    expected_calibration_error,
    log_loss,
    word_is_correct,
)


def spans(*words: tuple[str, int, int]) -> list[WordSpan]:
    return [WordSpan(*word) for word in words]


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (("YES", 10, 20), True),
        (("NO", 10, 20), False),
        (("YES", 17, 27), False),  # shares half: 7 of 14 steps
        (("YES", 16, 26), True),
        (("YES", 12, 14), True),  # lies inside
        (("YES", 20, 22), True),  # 4 of its 6 steps
        (("YES", 21, 22), True),  # 3 of 5
        (("YES", 22, 23), False),  # 2 of 5
        (("YES", 40, 50), False),
    ],
)
def test_a_word_is_the_same_if_it_shares_more_than_half_of_the_shorter_one(other, expected):
    word, other = WordSpan("YES", 10, 20), WordSpan(*other)
    assert is_same(word, other) is is_same(other, word) is expected


def test_a_spike_may_stand_a_step_or_two_aside():
    found = [is_same(WordSpan("A", 10, 11), WordSpan("A", start, start + 1)) for start in range(10, 15)]
    assert found == [True, True, True, False, False]


def test_hypotheses_weigh_by_their_scores():
    assert hypothesis_posteriors([math.log(3), math.log(1)], temperature=1) == pytest.approx([0.75, 0.25])
    assert hypothesis_posteriors([-9000.0, -9000.0 - math.log(4)], temperature=2) == pytest.approx([2 / 3, 1 / 3])
    assert hypothesis_posteriors([5.0, -math.inf], temperature=1) == [1, 0]
    with pytest.raises(ValueError, match="must be above 0; got 0"):
        hypothesis_posteriors([1.0], temperature=0)


def test_a_word_has_the_weight_of_all_hypotheses_that_say_it_then():
    hypotheses = [
        spans(("SIX", 0, 10), ("SIX", 12, 20)),
        spans(("SIX", 0, 9), ("FIX", 12, 20)),
        spans(("SIX", 12, 20)),
        spans(("SIX", 0, 4), ("SIX", 5, 10), ("SIX", 11, 20)),  # twice within the first: counts once
        [],
    ]
    scores = [math.log(weight) for weight in (40, 30, 15, 10, 5)]
    assert word_posteriors(hypotheses, scores, temperature=1) == pytest.approx([0.8, 0.65])
    assert word_posteriors(hypotheses, scores, temperature=1, index=1) == pytest.approx([0.8, 0.3])
    assert word_posteriors(hypotheses, scores, temperature=1, index=4) == []


def test_temperature_goes_from_certain_to_even():
    hypotheses, scores = [spans(("A", 0, 1)), spans(("B", 0, 1))], [0.0, -1.0]
    found = [word_posteriors(hypotheses, scores, temperature)[0] for temperature in (0.01, 1, 100)]
    assert found[0] == pytest.approx(1) and found[1] == pytest.approx(1 / (1 + math.exp(-1)))
    assert found[2] == pytest.approx(0.5, abs=0.01)
    assert word_posteriors(hypotheses[:1], scores[:1], temperature=100) == [1]


@pytest.mark.parametrize(
    ("reference", "hypothesis", "expected"),
    [
        ("YES NO", "YES NO", [True, True]),
        ("YES NO", "YES GO", [True, False]),
        ("YES NO", "YES OH NO", [True, False, True]),
        ("YES OH NO", "YES NO", [True, True]),
        ("", "YES NO", [False, False]),
        ("YES", "", []),
        ("", "", []),
    ],
)
def test_substitutions_and_insertions_are_wrong(reference, hypothesis, expected):
    assert word_is_correct(reference, hypothesis) == expected


def test_calibration_error_by_hand():
    confidences = [0.95, 0.85, 0.8, 0.12, 0.2, 0.0]
    is_correct = [True, True, False, False, True, False]
    # Bins: (0.9, 1] 0.95 of 1; (0.8, 0.9] 0.85 of 1; (0.7, 0.8] 0.8 of 0; (0.1, 0.2] 0.16 of a half; the first 0 of 0.
    expected = (0.05 + 0.15 + 0.8 + 2 * abs(0.5 - 0.16) + 0) / 6
    assert expected_calibration_error(confidences, is_correct) == pytest.approx(expected)
    assert expected_calibration_error([1.0, 1.0], [True, True]) == 0
    assert expected_calibration_error([0.5, 0.5], [True, False], bins=1) == 0


def test_log_loss_by_hand():
    assert log_loss([0.8, 0.4], [True, False]) == pytest.approx(-(math.log(0.8) + math.log(0.6)) / 2)
    assert math.isfinite(log_loss([1.0, 0.0], [False, True]))


def test_words_without_flags_are_refused():
    for confidences, flags in (([], []), ([0.5], [])):
        with pytest.raises(ValueError, match=f"got {len(confidences)} confidences and 0 flags"):
            expected_calibration_error(confidences, flags)


def test_the_temperature_that_made_the_data_is_found():
    chooser, lists = random.Random(0), []
    for _ in range(4000):
        scores = [0.0, -chooser.expovariate(0.1)]
        probability, _ = hypothesis_posteriors(scores, temperature=8)
        hypotheses = [spans(("YES", 0, 5)), spans(("NO", 0, 5))]
        lists.append(NBestList(hypotheses, scores, [chooser.random() < probability]))
    found = choose_temperature(lists, temperatures=(1, 2, 4, 8, 16, 32))
    assert found == 8
    is_correct = [nbest.is_correct[0] for nbest in lists]
    errors = {
        temperature: expected_calibration_error(
            [word_posteriors(nbest.hypotheses, nbest.scores, temperature)[0] for nbest in lists], is_correct
        )
        for temperature in (1, 8, 64)
    }
    assert errors[8] < 0.03 < min(errors[1], errors[64])
