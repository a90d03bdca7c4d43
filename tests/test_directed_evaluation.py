"""Scores of a network for several directions: each source once, with all its references."""

import pytest
from sacrebleu.metrics import BLEU

from training.directed_evaluation import grouped, title
from training.directed_text import DirectedText
from training.parallel_text import ParallelSplit


def text(*pairs):
    sources, targets = zip(*pairs, strict=True)
    return DirectedText("tatoeba", "en-de", ParallelSplit(list(sources), list(targets)), "de")


def test_a_source_is_translated_once_and_has_all_its_references():
    sources, references = grouped(text(("Hi.", "Hallo."), ("Go!", "Geh!"), ("Hi.", "Guten Tag."), ("Hi.", "Hi.")))
    assert sources == ["Hi.", "Go!"]
    assert references == [["Hallo.", "Geh!"], ["Guten Tag.", None], ["Hi.", None]]


def test_any_of_the_references_will_do():
    long, other = "Das ist ein schöner Tag für uns.", "Heute haben wir einen wirklich schönen Tag."
    _, references = grouped(
        text(("It is a nice day.", long), ("It is a nice day.", other), ("Go on and on!", "Weiter!"))
    )
    metric = BLEU(effective_order=True)
    for said in (long, other):
        assert metric.corpus_score([said, "Weiter!"], references).score == pytest.approx(100)
    assert "nrefs:var" in str(metric.get_signature())


def test_a_score_is_named_after_its_corpus_and_direction():
    assert title(text(("Hi.", "Hallo."))) == "BLEU, Tatoeba en-de"
