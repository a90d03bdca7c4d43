"""ARPA files: what is read, what is written, what is refused; and back-off, by hand and as KenLM has it."""

import math
import random

import pytest

from pipelines.word_ngrams import WordNGrams

ARPA = """made by hand
\\data\\
ngram 1=5
ngram 2=3
ngram 3=1

\\1-grams:
-99 <s> -0.3
-0.8\t</s>
-1.5\t<unk>\t-0.05
-0.5\tYES\t-0.2
-0.7\tNO\t-0.1

\\2-grams:
-0.25\t<s> YES\t-0.4
-0.6\tYES NO\t-0.15
-0.3\tNO </s>

\\3-grams:
-0.1\t<s> YES NO

\\end\\
whatever
"""


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "words.arpa"
    file.write_text(ARPA, encoding="utf-8")
    return file


def test_back_off_by_hand(path):
    model = WordNGrams.read(path)
    assert model.order == 3 and model.vocabulary == {"YES", "NO"}

    def log10(text: str, **options: bool) -> float:
        return model.log_probability(text.split(), **options) / math.log(10)

    assert log10("YES NO", end=False) == pytest.approx(-0.25 - 0.1)
    assert log10("YES NO") == pytest.approx(-0.25 - 0.1 + (-0.15 - 0.3))  # the weight of YES NO, then NO </s>
    assert log10("NO YES", end=False) == pytest.approx((-0.3 - 0.7) + (-0.1 - 0.5))
    assert log10("YES NO", start=False, end=False) == pytest.approx(-0.5 - 0.6)
    assert log10("") == pytest.approx(-0.3 - 0.8)
    assert log10("", start=False, end=False) == 0
    assert log10("MAYBE", end=False) == log10("<s>", end=False) == pytest.approx(-0.3 - 1.5)
    assert log10("MAYBE NO", start=False, end=False) == pytest.approx(-1.5 - 0.05 - 0.7)


def test_without_an_entry_an_unknown_word_is_hardly_possible(path):
    path.write_text(ARPA.replace("-1.5\t<unk>\t-0.05\n", "").replace("ngram 1=5", "ngram 1=4"), encoding="utf-8")
    found = WordNGrams.read(path).log_probability(["MAYBE"], start=False, end=False)
    assert found == pytest.approx(-100 * math.log(10))


def test_what_is_written_is_read_again_and_is_sorted(path, tmp_path):
    model = WordNGrams.read(path)
    first, second = tmp_path / "first.arpa", tmp_path / "second.arpa"
    model.write(first)
    WordNGrams(dict(reversed(model.ngrams.items()))).write(second)
    assert first.read_bytes() == second.read_bytes()
    assert WordNGrams.read(first).ngrams == model.ngrams


def test_kenlm_has_the_same_scores(path):
    kenlm = pytest.importorskip("kenlm")
    ours, chooser = WordNGrams.read(path), random.Random(0)
    ours.write(path)  # KenLM wants nothing before the head
    theirs = kenlm.Model(str(path))
    for _ in range(200):
        words = chooser.choices(["YES", "NO", "MAYBE"], k=chooser.randint(0, 5))
        start, end = chooser.random() < 0.5, chooser.random() < 0.5
        expected = theirs.score(" ".join(words), bos=start, eos=end) * math.log(10)
        assert ours.log_probability(words, start, end) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("\\end\\\nwhatever\n", "", r"ends in line 21 without \\end\\"),
        ("\\data\\\n", "", r"ends in line 22 without \\data\\"),
        ("ngram 2=3", "ngram 2=4", "line 17: expected 4 2-grams; got 3"),
        ("ngram 3=1", "ngram 4=1", r"orders 1, 2 and so on; got those of \[1, 2, 4\]"),
        ("ngram 3=1\n", "", "3-grams that the file's head does not count"),
        ("ngram 3=1", "ngrams: 1", "line 5: expected a count"),
        ("\\2-grams:", "\\bigrams:", "line 14: expected the heading of a section"),
        ("\\3-grams:", "\\2-grams:", "line 19: .* was there before"),
        ("-0.7\tNO\t-0.1", "0.7\tNO\t-0.1", "line 12: expected a logarithm of at most 0"),
        ("-0.7\tNO\t-0.1", "nan\tNO\t-0.1", "line 12"),
        ("-0.7\tNO\t-0.1", "-0.7\tNO\tinf", "line 12"),
        ("-0.6\tYES NO\t-0.15", "-0.6\tYES", "line 16.*words as many as 2"),
        ("-0.6\tYES NO\t-0.15", "-0.6\tYES NO NO\t-0.15", "line 16"),
        ("-0.6\tYES NO\t-0.15", "-0.6\tYES PERHAPS\t-0.15", "line 16.*a word that no 1-gram has"),
        ("-0.7\tNO\t-0.1", "-0.7\tYES\t-0.1", "line 12.*was there before"),
        ("</s>", "END", "there is no </s>"),
    ],
)
def test_a_damaged_file_is_refused_by_its_line(path, old, new, message):
    assert old in ARPA
    path.write_text(ARPA.replace(old, new), encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        WordNGrams.read(path)


def test_what_is_not_text_is_refused(path):
    path.write_bytes(ARPA.encode().replace(b"MAYBE", b"").replace(b"-0.7\tNO", b"-0.7\t\xff"))
    with pytest.raises(ValueError, match="line 12: expected UTF-8"):
        WordNGrams.read(path)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="ends in line 0"):
        WordNGrams.read(path)
