"""Scores of captions: hand-computed values, sacreBLEU's, our CIDEr-D's; METEOR and the tokeniser where Java is."""

import math
import os

import pytest
from sacrebleu.metrics import BLEU

from training import caption_metrics
from training.caption_metrics import caption_scores, java_runs, tokenise_with_java, tokenise_without_java
from training.cider_reward import CiderReward

HYPOTHESES = ["A dog runs.", "A cat sat on a mat .", "two men on the the the grass"]
REFERENCES = [
    ["a dog runs fast", "The dog runs on grass!"],
    ["a cat sat on the mat", "there is a cat"],
    ["two men sit on the green grass", "Men, on the grass"],
]

needs_java = pytest.mark.skipif(not java_runs(), reason="there is no Java")


@pytest.fixture
def without_java(monkeypatch):
    """Pretend that there is no Java."""
    monkeypatch.setattr(caption_metrics, "java_runs", lambda: False)


def values(hypotheses: list[str], references: list[list[str]]) -> dict[str, float]:
    """Score captions; return the values by their titles."""
    return {metric.title: metric.value for metric in caption_scores(hypotheses, references)}


def test_one_caption_by_hand(without_java):
    found = values(HYPOTHESES[:1], REFERENCES[:1])
    # All words and pairs are in the first reference; the closest length is 4 where the caption has 3 words.
    penalty = math.exp(1 - 4 / 3)
    assert found["BLEU-1"] == found["BLEU-2"] == pytest.approx(100 * penalty, abs=0.005)
    assert found["BLEU-1, no brevity penalty"] == found["BLEU-2, no brevity penalty"] == 100
    # Three of the caption's 3 words are in order in the first reference, which has 4; beta is 1.2.
    precision, recall = 3 / 3, 3 / 4
    assert found["ROUGE-L"] == pytest.approx(
        100 * (1 + 1.44) * precision * recall / (recall + 1.44 * precision), abs=0.005
    )


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_bleu_equals_sacrebleu(without_java, order):
    found = values(HYPOTHESES, REFERENCES)
    columns = [tokenise_without_java(list(column)) for column in zip(*REFERENCES, strict=True)]
    bleu = BLEU(tokenize="none", smooth_method="none", max_ngram_order=order)
    score = bleu.corpus_score(tokenise_without_java(HYPOTHESES), columns)

    assert score.bp < 1
    assert found[f"BLEU-{order}"] == pytest.approx(score.score, abs=0.005)
    assert found[f"BLEU-{order}, no brevity penalty"] == pytest.approx(score.score / score.bp, abs=0.005)
    assert found[f"BLEU-{order}"] > 10


def test_the_brevity_penalty_is_the_whole_corpus_s(without_java):
    found = values(["a dog", "a cat sat on a mat"], [["a dog runs fast"], ["a cat sat on"]])
    # Eight words against eight: what one caption lacks the other has too many.
    assert found["BLEU-1"] == found["BLEU-1, no brevity penalty"] == pytest.approx(100 * 6 / 8)


def test_cider_equals_our_own(without_java):
    words = [[text.split() for text in tokenise_without_java(texts)] for texts in REFERENCES]
    rewards = CiderReward(words).reward([text.split() for text in tokenise_without_java(HYPOTHESES)], [0, 1, 2])
    assert values(HYPOTHESES, REFERENCES)["CIDEr"] == pytest.approx(sum(rewards) / 3, abs=5e-5)
    assert min(rewards) > 0


def test_without_java_the_signatures_say_so_and_meteor_is_left_out(without_java):
    metrics = caption_scores(HYPOTHESES, REFERENCES)
    plain = [f"BLEU-{order}" for order in range(1, 5)]
    unpenalised = [f"{title}, no brevity penalty" for title in plain]
    assert [metric.title for metric in metrics] == [*plain, *unpenalised, "ROUGE-L", "CIDEr"]
    assert all("|tok:own-no-punctuation|" in metric.signature for metric in metrics)
    signatures = {metric.title: metric.signature for metric in metrics}
    assert signatures["BLEU-4"] == "nrefs:2|case:lc|tok:own-no-punctuation|bp:closest|version:pycocoevalcap-1.2"
    assert "|bp:none|" in signatures["BLEU-4, no brevity penalty"]
    assert "|variant:CIDEr-D|" in signatures["CIDEr"]


def test_pictures_may_have_different_numbers_of_references(without_java):
    metrics = caption_scores(HYPOTHESES, [REFERENCES[0][:1], *REFERENCES[1:]])
    assert {metric.signature.split("|")[0] for metric in metrics} == {"nrefs:var"}


def test_our_tokeniser_drops_punctuation():
    texts = ['The "big" dog (brown) - it\'s\nrunning , fast!', " ... "]
    assert tokenise_without_java(texts) == ["the big dog brown it's running fast", ""]


def test_no_java_on_the_path_is_noticed(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert not java_runs()


@pytest.mark.parametrize(
    ("tokenise", "message"),
    [
        ('cat "$last"', "METEOR's Java process broke off; it asks for 2 GB of memory."),
        ("exit 1", "Java's tokeniser broke off: it returned 1 of 9 captions."),
    ],
    ids=["in METEOR", "in the tokeniser"],
)
def test_a_java_that_breaks_off_is_an_error(monkeypatch, tmp_path, tokenise, message):
    script = f"""#!/bin/sh
    for last; do :; done
    case "$*" in
    -version) exit 0 ;;
    *PTBTokenizer*) {tokenise} ;;
    *) while read -r line; do echo "Out of memory"; done ;;
    esac
    """
    (tmp_path / "java").write_text(script)
    (tmp_path / "java").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    with pytest.raises(RuntimeError) as error:
        caption_scores(HYPOTHESES, REFERENCES)
    assert str(error.value) == message


@needs_java
def test_java_s_tokeniser_keeps_captions_apart():
    texts = ["A dog\nruns, doesn't it?", "", "one\u2028two\r three", "The man's T-shirt -- red.", ""]
    assert tokenise_with_java(texts) == ["a dog runs does n't it", "", "one two three", "the man 's t-shirt red", ""]


@needs_java
@pytest.mark.timeout(600)  # METEOR reads its paraphrases for some seconds, and for minutes on a busy machine.
def test_with_java_a_copy_of_a_reference_gets_full_marks(monkeypatch):
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-XX:+UseSerialGC")  # half the time, where there are few cores
    metrics = caption_scores([texts[0] for texts in REFERENCES], REFERENCES)
    found = {metric.title: metric.value for metric in metrics}
    assert found["METEOR"] == found["ROUGE-L"] == found["BLEU-4"] == 100
    assert all("|tok:ptb-corenlp-3.4.1-no-punctuation|" in metric.signature for metric in metrics)


@pytest.mark.parametrize(
    ("hypotheses", "references", "message"),
    [
        ([], [], "got 0 captions and the references of 0 pictures"),
        (["a dog"], [["a dog"], ["a cat"]], "got 1 captions and the references of 2 pictures"),
        (["a dog", "a cat"], [["a dog"], []], "Picture 1 has no references; leave out pictures without captions."),
    ],
)
def test_what_cannot_be_scored_is_named(hypotheses, references, message):
    with pytest.raises(ValueError, match=message):
        caption_scores(hypotheses, references)
