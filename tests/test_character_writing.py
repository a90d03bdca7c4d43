"""Writing: its ends, and words that nobody gets to see. The networks are tables of the next character."""

import math
from collections import Counter

import pytest
import torch

from pipelines.character_vocabulary import check_characters, map_characters
from pipelines.character_writing import CharacterWriter, WordFilter, WritingOptions
from pipelines.pipeline_common import InputError
from pipelines.sampling import SamplingOptions

CHARACTERS = ["", "\n", " ", ".", "a", "b", "d", "g", "o"]


def network(table):
    """Return a step whose state is the text so far; `table` says what may follow it, by its end."""

    def predict(text):
        following = next(after for end, after in table if text.endswith(end))
        logits = torch.full((len(CHARACTERS),), -30.0)
        for character, probability in following.items():
            logits[CHARACTERS.index(character)] = math.log(probability)
        return logits

    def step(token_id, text):
        text += CHARACTERS[token_id]
        return predict(text), text

    return predict, step


def write(table, prompt="", blocked=None, **options):
    predict, step = network(table)
    chosen = WritingOptions(
        **{"sampling": SamplingOptions(), "max_new_tokens": 40, "suppressed": frozenset({0}), "seed": 1, **options}
    )
    writer = CharacterWriter(step, CHARACTERS, chosen, None if blocked is None else WordFilter(blocked))
    written = list(writer.write(predict(prompt), prompt, prompt))
    return "".join(character.text for character in written), written


DOGS = [
    ("do", {"g": 1.0}),
    ("ba", {"d": 1.0}),
    ("b", {"a": 1.0}),
    ("dog", {" ": 0.8, ".": 0.2}),
    ("bad", {" ": 0.8, ".": 0.2}),
    ("d", {"o": 1.0}),
    ("", {"d": 0.4, "b": 0.6}),
]
DOGS = [("dog", DOGS[3][1]), ("bad", DOGS[4][1]), *DOGS[:3], *DOGS[5:]]


def test_the_length_ends_a_text():
    text, written = write(DOGS, max_new_tokens=7)
    assert len(text) == len(written) == 7
    assert [character.finish_reason for character in written] == [None] * 6 + ["length"]


def test_a_stop_string_ends_a_text_and_belongs_to_it():
    text, written = write(DOGS, stop=("d d", "g."), max_new_tokens=4000)
    assert text.endswith(("d d", "g.")) and text.count("g.") + text.count("d d") == 1
    assert written[-1].finish_reason == "stop_sequence"


def test_the_end_ends_a_text_and_does_not_belong_to_it():
    text, written = write(DOGS, ends=frozenset({CHARACTERS.index(".")}), max_new_tokens=4000)
    assert "." not in text and written[-1].text == "" and written[-1].finish_reason == "eos_token"


def test_a_blocked_word_is_never_written_whole_or_in_part():
    counts = Counter()
    for seed in range(40):
        text, written = write(DOGS, blocked=["bad"], seed=seed)
        counts.update(text.replace(".", " ").split())
        assert len(written) == 40
    assert set(counts) <= {"dog", "do", "d"} and counts["dog"] > 300


def test_a_greedy_text_finds_its_way_around_a_blocked_word():
    greedy = SamplingOptions(do_sample=False)
    assert write(DOGS, sampling=greedy)[0].startswith("bad bad")
    assert write(DOGS, sampling=greedy, blocked=["ba*"])[0].startswith("dog dog")


def test_a_word_that_the_prompt_began_is_blocked_too():
    table = [("bad", {" ": 1.0}), ("bag", {" ": 1.0}), ("ba", {"d": 0.99, "g": 0.01}), ("", {"a": 1.0})]
    for seed in range(20):
        assert write(table, prompt="ba", blocked=["bad"], seed=seed)[0].startswith("g")


def test_a_filter_changes_nothing_where_nothing_is_blocked():
    for seed in range(10):
        assert write(DOGS, seed=seed)[0] == write(DOGS, blocked=["cat"], seed=seed)[0]


def test_the_filter_knows_words_not_letters():
    words = WordFilter(["bad", "ugl*"])
    assert words.blocks("BAD") and words.blocks("ugly") and words.blocks("ugl")
    assert not words.blocks("badge") and not words.blocks("a")
    assert words.find("What a badge, what an Ugliness!") == "Ugliness"
    assert words.find("a badge") is None and WordFilter([]).find("bad") is None


def test_log_probabilities_are_the_networks_own_whatever_the_temperature():
    _, hot = write(DOGS, sampling=SamplingOptions(temperature=3.0), max_new_tokens=1)
    expected = math.log(0.4 if hot[0].text == "d" else 0.6)
    assert hot[0].log_probability == pytest.approx(expected)


def test_strange_characters_are_named_with_the_known_ones():
    known = [*map(chr, range(97, 123)), "\n", " ", "!", "A"]
    check_characters("all is well!", known)
    with pytest.raises(InputError, match=r"'é', '☃'.*a-z, line end, space, ! A\..*unknown_characters"):
        check_characters("é ☃!", known)
    with pytest.raises(InputError, match="…"):
        check_characters("0123456789BC", known)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("café", "cafe"),
        ("\u201cA\u201d", "'A'"),
        ("it\u2019s", "it's"),
        ("B", "b"),
        ("É", "e"),
        ("x\u2026", "x..."),
        ("☃", " "),
        ("ß", "ss"),
        ("ﬁ", "fi"),
    ],
)
def test_what_is_near_stands_for_a_strange_character(text, expected):
    known = [*map(chr, range(97, 123)), " ", "'", ".", "A"]
    assert map_characters(text, known) == expected
