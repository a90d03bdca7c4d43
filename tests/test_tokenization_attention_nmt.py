"""The translation tokenizer: which language a text is in, and what no piece covers."""

import json
import math
import random
from collections import Counter

import pytest

from models.tokenization_attention_nmt import AttentionNmtTokenizer, written_counts
from training.attention_nmt import train_tokenizer
from training.directed_text import DirectedText
from training.language_counts import add_counts, count_pieces, sources_by_language
from training.parallel_text import ParallelSplit

from .tiny import attention_nmt_config, sentencepiece_tokenizer

SYLLABLES = {"aa": ("ka", "mo", "ti"), "bb": ("zu", "fe", "ti")}
"""Of two made-up languages, which have one syllable in common."""


def text_of(language: str, sentences: int, seed: int) -> list[str]:
    """Write sentences of three words in a made-up language."""
    rng = random.Random(f"{language} {seed}")

    def word() -> str:
        return "".join(rng.choices(SYLLABLES[language], k=rng.randint(1, 3)))

    return [f"{word()} {word()} {word()}" for _ in range(sentences)]


@pytest.fixture(scope="module")
def training_texts():
    """English is not among them: one language has three times as many sentences as the other."""
    return {"aa": text_of("aa", 300, 0), "bb": text_of("bb", 100, 0)}


@pytest.fixture(scope="module")
def tokenizer(training_texts, tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    made = train_tokenizer([*training_texts["aa"], *training_texts["bb"]], 30, folder, ["aa", "bb"])
    made.set_piece_counts(count_pieces(made, training_texts))
    return made


def test_the_language_of_new_sentences_is_guessed(tokenizer):
    for language in SYLLABLES:
        for sentence in text_of(language, 50, seed=1):
            if any(syllable in sentence for syllable in SYLLABLES[language][:2]):
                guessed, probability = tokenizer.guess_language(sentence)
                assert guessed == language and 0.5 <= probability <= 1


def test_a_guess_is_naive_bayes(tokenizer, training_texts):
    counts = count_pieces(tokenizer, training_texts)
    pieces = tokenizer.sp_model.encode("ti mo")
    likelihoods = {
        language: math.prod((counted[piece] + 1) / (counted.total() + tokenizer.vocab_size) for piece in pieces)
        for language, counted in counts.items()
    }
    guessed, probability = tokenizer.guess_language("ti mo")
    assert guessed == max(likelihoods, key=likelihoods.get)
    assert probability == pytest.approx(likelihoods[guessed] / sum(likelihoods.values()))
    assert tokenizer.guess_language("ti mo", ["bb"]) == ("bb", 1.0)


@pytest.mark.parametrize("text", ["ka mo", " ka  mo ", "▁ka 😀", "k\ta\nm", "", "ﬁ é <2aa>"])
def test_pieces_are_those_of_a_call(tokenizer, text):
    assert tokenizer.pieces_of(text) == tokenizer(text, add_special_tokens=False)["input_ids"]


def test_a_special_token_that_somebody_types_is_text(tokenizer):
    special = {tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id}
    assert not special & set(tokenizer.pieces_of("<s> ka</s> mo<pad>"))


def test_what_no_piece_covers_says_nothing(tokenizer):
    assert tokenizer.guess_language("ka mo😀") == tokenizer.guess_language("ka mo")
    assert tokenizer.unknown_parts("ka 😀 mo 漢字 😀") == ["😀", "漢字"]
    assert tokenizer.unknown_parts("ka mo") == []


def test_counts_are_saved_on_one_line_and_loaded_again(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    written = json.loads((tmp_path / "tokenizer_config.json").read_text())["piece_counts"]
    assert written.keys() == {"aa", "bb"} and all(isinstance(counts, str) for counts in written.values())
    loaded = AttentionNmtTokenizer.from_pretrained(tmp_path)
    assert loaded.counted_languages == ("aa", "bb")
    for sentence in text_of("bb", 5, seed=2):
        assert loaded.guess_language(sentence) == tokenizer.guess_language(sentence)
    loaded.save_pretrained(tmp_path / "again")
    assert json.loads((tmp_path / "again" / "tokenizer_config.json").read_text())["piece_counts"] == written


def test_counts_are_of_known_pieces_alone():
    assert written_counts(Counter({7: 20, 4: 1533})) == "4:1533 7:20"


def test_a_tokenizer_without_counts_says_so_and_saves_none(tmp_path):
    plain = sentencepiece_tokenizer(tmp_path)
    assert plain.counted_languages == ()
    with pytest.raises(ValueError, match="cannot guess"):
        plain.guess_language("A dog.")
    plain.save_pretrained(tmp_path / "saved")
    assert "piece_counts" not in json.loads((tmp_path / "saved" / "tokenizer_config.json").read_text())


def test_a_language_that_was_not_counted_is_not_guessed(tokenizer):
    with pytest.raises(ValueError, match="cannot guess among"):
        tokenizer.guess_language("ka", ["aa", "cc"])


def test_each_language_is_counted_where_it_is_a_source():
    texts = [
        DirectedText("one", "aa-bb", ParallelSplit(["ka"], ["zu"])),
        DirectedText("one", "bb-aa", ParallelSplit(["zu"], ["ka"])),
        DirectedText("two", "aa-cc", ParallelSplit(["mo"], ["?"])),
    ]
    assert sources_by_language(texts) == {"aa": ["ka", "mo"], "bb": ["zu"]}


def test_a_finished_checkpoint_is_given_counts(tokenizer, training_texts, tmp_path, monkeypatch):
    tokenizer.save_pretrained(tmp_path)
    config = attention_nmt_config(directions=["aa-bb", "bb-aa"], source_language="", target_language="")
    config.save_pretrained(tmp_path)
    path = tmp_path / "tokenizer_config.json"
    before = json.loads(path.read_text())
    del before["piece_counts"]
    path.write_text(json.dumps(before))
    texts = [DirectedText("one", f"{one}-?", ParallelSplit(texts, texts)) for one, texts in training_texts.items()]
    monkeypatch.setattr("training.language_counts.load_directions", lambda *_: texts)
    add_counts(tmp_path, ["data"])
    assert {name: value for name, value in json.loads(path.read_text()).items() if name != "piece_counts"} == before
    loaded = AttentionNmtTokenizer.from_pretrained(tmp_path)
    assert loaded.guess_language("zu fe") == tokenizer.guess_language("zu fe")
    attention_nmt_config().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="one direction"):
        add_counts(tmp_path, ["data"])
