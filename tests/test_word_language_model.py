"""Word n-grams: the equations themselves, counted one by one; every history's distribution, enumerated."""

import itertools
import math
import random

import numpy as np
import pytest

from pipelines.word_ngrams import WordNGrams
from training.kneser_ney import discounts_of
from training.word_language_model import perplexity, train_word_ngrams

WORDS = ["YES", "NO", "GO", "A", "B"]


def sentences(seed: int, count: int) -> list[str]:
    """Write sentences in which words follow each other unequally."""
    chooser = random.Random(seed)
    written = []
    for _ in range(count):
        words = [chooser.choice(WORDS)]
        while chooser.random() < 0.7:
            words.append(WORDS[(WORDS.index(words[-1]) + chooser.choice([1, 1, 1, 2, 3])) % len(WORDS)])
        written.append(" ".join(words))
    return written


TRANSCRIPTS, OTHERS = sentences(1, 60), sentences(2, 20)


def marked_ngrams(order: int) -> list[tuple[str, ...]]:
    """List the n-grams of all sentences with their marks, those of a start alone left out."""
    found = []
    for sentence in TRANSCRIPTS:
        marked = ("<s>", *sentence.split(), "</s>")
        found += [
            ngram for ngram in zip(*(marked[first:] for first in range(order)), strict=False) if ngram != ("<s>",)
        ]
    return found


def count(ngram: tuple[str, ...], highest: int) -> int:
    """Return c(ngram) as Kneser and Ney count below the highest order."""
    seen = marked_ngrams(len(ngram))
    if len(ngram) == highest or ngram[0] == "<s>":
        return seen.count(ngram)
    return len({longer for longer in marked_ngrams(len(ngram) + 1) if longer[1:] == ngram})


def probability(history: tuple[str, ...], word: str, highest: int) -> float:
    """Return p(word | history), history and orders counted afresh at every call."""
    predicted = {ngram[-1] for ngram in marked_ngrams(1)} | {"<unk>"}
    order = len(history) + 1
    lower = 1 / len(predicted) if not history else probability(history[1:], word, highest)
    counts = {ngram: count(ngram, highest) for ngram in set(marked_ngrams(order))}
    following = {ngram: number for ngram, number in counts.items() if ngram[:-1] == history}
    if not following:
        return lower
    discounts = (0.0, *discounts_of(np.array(list(counts.values()))))
    taken = sum(discounts[min(number, 3)] for number in following.values())
    number = following.get((*history, word), 0)
    return (number - discounts[min(number, 3)] + taken * lower) / sum(following.values())


@pytest.mark.parametrize("order", [1, 2, 3])
def test_it_equals_the_equations(order):
    model = train_word_ngrams(TRANSCRIPTS, order)
    for text in ("", "A B", "YES GO GO NO", "B A MAYBE YES"):
        words = [word if word in WORDS else "<unk>" for word in text.split()]
        marked = ("<s>", *words, "</s>")
        expected = sum(
            math.log(probability(marked[max(0, last + 1 - order) : last], marked[last], order))
            for last in range(1, len(marked))
        )
        assert model.log_probability(text.split()) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_the_distribution_after_every_history_sums_to_one(order, tmp_path):
    train_word_ngrams(TRANSCRIPTS, order).write(tmp_path / "words.arpa")
    model = WordNGrams.read(tmp_path / "words.arpa")
    vocabulary = [*sorted(model.vocabulary), "MAYBE"]
    for length in range(4):
        for history, start in itertools.product(itertools.product(vocabulary, repeat=length), (False, True)):
            before = model.log_probability(history, start, end=False)
            after = [model.log_probability([*history, word], start, end=False) for word in vocabulary]
            after.append(model.log_probability(history, start, end=True))
            assert sum(math.exp(log - before) for log in after) == pytest.approx(1, abs=1e-5), (history, start)


def test_perplexity_is_the_mean_over_words_and_sentence_ends():
    model = train_word_ngrams(TRANSCRIPTS, 2)
    nats = model.log_probability(["YES", "NO"]) + model.log_probability(["GO"])
    assert perplexity(model, ["YES NO", "GO"]) == pytest.approx(math.exp(-nats / 5))


def test_a_longer_history_helps_on_other_sentences():
    found = [perplexity(train_word_ngrams(TRANSCRIPTS, order), OTHERS) for order in (1, 2)]
    assert found[1] < found[0] < len(WORDS) + 2


def test_the_order_of_the_transcripts_does_not_matter(tmp_path):
    for name, transcripts in (("first", TRANSCRIPTS), ("second", TRANSCRIPTS[::-1])):
        train_word_ngrams(transcripts, 3).write(tmp_path / name)
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()


def test_kenlm_reads_it(tmp_path):
    kenlm = pytest.importorskip("kenlm")
    model = train_word_ngrams(TRANSCRIPTS, 3)
    model.write(tmp_path / "words.arpa")
    theirs = kenlm.Model(str(tmp_path / "words.arpa"))
    for sentence in [*OTHERS, "MAYBE", "A MAYBE A", ""]:
        expected = theirs.score(sentence) * math.log(10)
        assert model.log_probability(sentence.split()) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(("transcripts", "order"), [([], 2), (["YES"], 0), (["YES </s> NO"], 2)])
def test_what_cannot_be_counted_is_refused(transcripts, order):
    with pytest.raises(ValueError, match=rf"got {len(transcripts)} transcripts with .* and order {order}"):
        train_word_ngrams(transcripts, order)


def test_a_handful_of_words_is_enough():
    model = train_word_ngrams(["YES"], 4)
    assert model.log_probability(["YES"]) > model.log_probability(["NO"])
