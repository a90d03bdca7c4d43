"""Character n-grams: the equations themselves, counted and summed one by one."""

import math
import random
from collections import Counter

import numpy as np
import pytest

from training.kneser_ney import FALLBACK_DISCOUNTS, KneserNey, discounts_of, largest_order

TEXT = "".join(random.Random(4).choices(["the ", "cat ", "sat ", "on ", "a ", "mat.\n", "that ", "no "], k=400))
OTHER = "".join(random.Random(5).choices(["the ", "cat ", "sat ", "on ", "a ", "mat.\n", "that ", "no "], k=100))


def probability(text: str, order: int, context: str, character: str) -> float:
    """Return p(character | context) of an order, from the equations; `context` has `order - 1` characters."""
    return _recursive(["\n" + text], order, order, context, character)


def _recursive(text: list[str], highest: int, order: int, context: str, character: str) -> float:
    vocabulary = set(text[0])
    if order == 0:
        return 1 / len(vocabulary)
    counts = _raw_counts(text[0], order) if order == highest else _continuation_counts(text[0], order)
    lower = _recursive(text, highest, order - 1, context[1:], character)
    following = {ngram: count for ngram, count in counts.items() if ngram[:-1] == context}
    if not following:
        return lower
    discounts = (0.0, *discounts_of(np.array(list(counts.values()))))
    total = sum(following.values())
    taken = sum(discounts[min(count, 3)] for count in following.values())
    count = following.get(context + character, 0)
    return (count - discounts[min(count, 3)] + taken * lower) / total


def _raw_counts(text: str, order: int) -> Counter:
    first = max(order, 2)  # the line end that the text begins after is read, not predicted
    return Counter(text[end - order : end] for end in range(first, len(text) + 1))


def _continuation_counts(text: str, order: int) -> Counter:
    """Count before how many different characters each n-gram was seen after."""
    return Counter(longer[1:] for longer in set(_raw_counts(text, order + 1)))


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_it_equals_the_equations(order):
    text, other = TEXT[:300], OTHER[:40]
    found = KneserNey(text, order).log_probabilities(other)
    read = "\n" + other
    for place, log_probability in enumerate(found, start=1):
        context = read[max(place - order + 1, 0) : place]
        if len(context) == order - 1:
            expected = probability(text, order, context, read[place])
        else:  # at the beginning: the lower order of the same model
            expected = _recursive(["\n" + text], order, len(context) + 1, context, read[place])
        assert log_probability == pytest.approx(math.log(expected), rel=1e-12), place


@pytest.mark.parametrize("context", ["", "th", "the c", "cat sat on a ma", "zzzz", "...t.", "\n", "a\n\n\n"])
def test_probabilities_sum_to_one(context):
    model = KneserNey(TEXT + "z")
    total = sum(math.exp(model.log_probabilities(context + character)[-1]) for character in model.vocabulary)
    assert total == pytest.approx(1, abs=1e-12)


def test_longer_contexts_help_on_another_text():
    nats = [KneserNey(TEXT, order).nats_per_character(OTHER) for order in (1, 2, 3, 5)]
    assert nats == sorted(nats, reverse=True) and nats[-1] < 0.6 * nats[0]
    assert nats[0] < math.log(len(set(TEXT)))


def test_every_character_is_scored_and_the_text_begins_after_a_line_end():
    model = KneserNey("ab\nab\nab\n" * 5, order=3)
    log_probabilities = model.log_probabilities("ab")
    assert log_probabilities.shape == (2,) and log_probabilities.dtype == np.float64
    assert math.exp(model.log_probabilities("b")[0]) < math.exp(log_probabilities[0])
    assert model.nats_per_character("ab") == pytest.approx(-log_probabilities.mean())


def test_discounts_by_hand():
    # n1 to n4 are 4, 2, 1 and 1: Y = 4 / 8; 1 - 2 Y 2/4, 2 - 3 Y 1/2, 3 - 4 Y 1/1.
    assert discounts_of(np.array([1, 1, 1, 1, 2, 2, 3, 4, 9])) == pytest.approx((0.5, 1.25, 1.0))


@pytest.mark.parametrize("counts", [[5, 6], [1, 2, 3], [1, 2, 3, 3, 3, 4], [1, 1, 2, 3, 4, 4, 4]])
def test_discounts_that_cannot_be_estimated_fall_back(counts):
    assert discounts_of(np.array(counts)) == FALLBACK_DISCOUNTS


def test_what_cannot_be_counted_or_scored_is_refused():
    for text, order in (("", 5), ("abc", 0), (TEXT, 99)):
        with pytest.raises(ValueError, match=rf"order from 1 to \d+.*got {len(text)} characters and order {order}"):
            KneserNey(text, order)
    with pytest.raises(ValueError, match=r"got \['é'\]"):
        KneserNey(TEXT).nats_per_character("thé")
    with pytest.raises(ValueError, match="an empty one"):
        KneserNey(TEXT).nats_per_character("")


def test_a_text_of_line_ends_alone_is_no_exception():
    assert KneserNey("\n\n\n").nats_per_character("\n") == pytest.approx(0, abs=1e-12)


def test_the_longest_n_gram_still_fits():
    text = "".join(map(chr, range(10, 110))) * 20  # 100 different characters
    assert largest_order(text) == 9 and 100**9 < 2**63 < 100**10
    assert KneserNey(text, 9).nats_per_character(text) < 0.2
