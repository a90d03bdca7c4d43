"""CIDEr-D as a reward: hand-computed values, then pycocoevalcap's on a corpus where the two must agree."""

import math
import random

import pytest
from pycocoevalcap.cider.cider_scorer import CiderScorer

from training.cider_reward import CiderReward

WORDS = ["a", "dog", "cat", "runs", "on", "grass"]


def words(*captions: str) -> list[list[str]]:
    """Split captions at spaces."""
    return [caption.split() for caption in captions]


@pytest.fixture
def dog_and_cat() -> CiderReward:
    """Two pictures: "a" is in both's references and tells nothing, all else weighs log 2."""
    return CiderReward([words("a dog"), words("a cat")])


def random_corpus(num_images: int) -> tuple[list[list[str]], list[list[list[str]]]]:
    """Make captions, some of them empty, repetitive or with unseen words, and three references for each."""
    generator = random.Random(0)

    def caption(vocabulary: list[str], shortest: int) -> list[str]:
        return generator.choices(vocabulary, k=generator.randint(shortest, 9))

    references = [[caption(WORDS, 1) for _ in range(3)] for _ in range(num_images)]
    return [caption([*WORDS, "unseen"], 0) for _ in range(num_images)], references


def test_a_reference_itself_gets_all_of_the_orders_that_it_has(dog_and_cat):
    # One for words and one for pairs, nothing for the longer sequences that two words do not have.
    assert dog_and_cat.reward(words("a dog"), [0]) == pytest.approx([10 * 2 / 4])


def test_repeated_words_are_clipped_and_another_length_costs(dog_and_cat):
    # Words: min(2, 1) * 1 / (2 * 1). Pairs: "a dog" of "a dog" and the unseen "dog dog". One word too long.
    expected = 10 * (1 / 2 + 1 / math.sqrt(2)) / 4 * math.exp(-1 / 72)
    assert dog_and_cat.reward(words("a dog dog"), [0]) == pytest.approx([expected])


def test_a_caption_is_compared_with_its_own_picture(dog_and_cat):
    assert dog_and_cat.reward(words("a dog", "a dog", "a cat"), [1, 0, 1]) == pytest.approx([0, 5, 5])


def test_references_are_averaged():
    reward = CiderReward([words("dog", "cat"), words("tree")])
    assert reward.reward(words("dog"), [0]) == pytest.approx([10 * (1 + 0) / 2 / 4])


def test_equals_pycocoevalcap_where_the_scored_pictures_are_the_training_pictures():
    captions, references = random_corpus(40)
    scorer = CiderScorer()
    for caption, sentences in zip(captions, references, strict=True):
        scorer += (" ".join(caption), [" ".join(sentence) for sentence in sentences])
    _, expected = scorer.compute_score()

    found = CiderReward(references).reward(captions, list(range(40)))

    assert [] in captions
    assert len(set(found)) > 30
    assert found == pytest.approx(list(expected), abs=1e-9)


def test_a_caption_scores_the_same_alone_as_among_others():
    captions, references = random_corpus(20)
    reward = CiderReward(references)
    together = reward.reward(captions, list(range(20)))
    assert [reward.reward([caption], [index])[0] for index, caption in enumerate(captions)] == together


def test_a_caption_without_words_gets_nothing(dog_and_cat):
    assert dog_and_cat.reward([[]], [0]) == [0.0]


@pytest.mark.parametrize(
    ("references", "message"),
    [
        ([], "CIDEr needs the references of at least one picture; got none."),
        ([words("a dog"), []], "Picture 1 has no references; leave out pictures without captions."),
    ],
)
def test_missing_references_are_named(references, message):
    with pytest.raises(ValueError) as error:
        CiderReward(references)
    assert str(error.value) == message


def test_captions_and_pictures_must_be_as_many(dog_and_cat):
    with pytest.raises(ValueError, match="zip"):
        dog_and_cat.reward(words("a dog"), [0, 1])
