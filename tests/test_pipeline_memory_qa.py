"""The memory network's pipeline: what it reads and refuses, where an answer stands, what its hops looked at."""

import json

import pytest

from pipelines import InputError, pipeline
from pipelines.story_reading import MAXIMUM_CONTEXT, MAXIMUM_SENTENCES, MAXIMUM_WORDS, read_story
from tasks import TASKS
from training.export import save_checkpoint

from .tiny import TINY

STORY = ["Mary went to the kitchen.", "John moved to the garden.", "Mary took the milk there."]
ITEM = {"context": " ".join(STORY), "question": "Where is the milk?"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("memory")
    task = TASKS["memory-qa"]
    model, processors = TINY[task.name].build(folder)
    assert model.config.memory_size == 4
    save_checkpoint(folder / "tiny", task, model, list(processors.values()), {})
    return folder / "tiny"


@pytest.fixture(scope="module")
def ask(folder):
    """Load the tiny checkpoint, whose memory holds four sentences."""
    return pipeline("memory-qa", model=str(folder), device="cpu")


class TestAnswers:
    def test_evidence_has_the_promised_shape(self, ask):
        for result in ask(ITEM, top_k=3, return_evidence=True):
            evidence = result["evidence"]
            assert evidence["sentences"] == STORY
            assert len(evidence["attention"]) == ask.model.config.num_hops
            for hop in evidence["attention"]:
                assert len(hop) == 3 and sum(hop) == pytest.approx(1.0, abs=1e-5)

    def test_scores_are_probabilities_and_the_best_comes_first(self, ask):
        results = ask(ITEM, top_k=100)
        scores = [result["score"] for result in results]
        assert len(results) == ask.model.config.num_labels and sum(scores) == pytest.approx(1.0, abs=1e-5)
        assert scores == sorted(scores, reverse=True) and len({result["answer"] for result in results}) == len(results)
        assert ask(ITEM) == results[:1] and ask(ITEM, top_k=2) == results[:2]

    def test_a_text_and_a_list_of_sentences_are_the_same_story(self, ask):
        text = ask(ITEM, return_evidence=True)
        assert ask(ITEM | {"context": STORY}, return_evidence=True) == text
        assert ask(ITEM | {"context": tuple(STORY)}, return_evidence=True) == text
        (unpunctuated,) = ask(
            {
                "context": "mary WENT to the kitchen\nJohn moved, to the garden!\n\nMary took the milk there",
                "question": "where is the milk",
            },
            return_evidence=True,
        )
        assert unpunctuated["evidence"]["attention"] == text[0]["evidence"]["attention"]

    def test_of_a_longer_story_the_newest_sentences_are_read_and_the_result_says_so(self, ask):
        long = STORY * 3
        (result,) = ask(ITEM | {"context": long}, return_evidence=True)
        assert result["dropped_sentences"] == 5 and result["evidence"]["sentences"] == long[-4:]
        (newest,) = ask(ITEM | {"context": long[-4:]}, return_evidence=True)
        assert "dropped_sentences" not in newest and newest["evidence"] == result["evidence"]
        assert newest["score"] == result["score"]

    def test_stories_of_different_lengths_in_one_batch(self, ask):
        items = [ITEM, ITEM | {"context": STORY[:1]}, ITEM | {"context": STORY * 3}]
        together = ask(items, batch_size=3, return_evidence=True)
        for some, item in zip(together, items, strict=True):
            (alone,), (result,) = ask(item, return_evidence=True), some
            assert result["score"] == pytest.approx(alone["score"], abs=1e-6)
            assert result["evidence"]["sentences"] == alone["evidence"]["sentences"]

    @pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
    def test_other_precisions_answer_too(self, ask, folder, dtype):
        other = pipeline("memory-qa", model=str(folder), device="cpu", dtype=dtype)
        assert str(other.model.dtype) == f"torch.{dtype}"
        assert other(ITEM, top_k=1)[0]["score"] == pytest.approx(ask(ITEM)[0]["score"], rel=0.1)


class TestPlaces:
    """Where an answer stands in the context."""

    def story(self, *sentences):
        return read_story({"context": list(sentences), "question": "Where?"})

    def test_the_sentence_that_was_looked_at_comes_first(self):
        story = self.story("Mary is in the kitchen.", "John is in the Kitchen.", "The kitchens are old.")
        assert story.place_of("kitchen", [1, 0, 2]) == (39, 46) and story.context[39:46] == "Kitchen"
        assert story.place_of("kitchen", [2, 0, 1]) == (15, 22)

    def test_only_whole_words_count_and_no_place_is_0_and_0(self):
        story = self.story("The kitchens are old.", "The n.w corner.")
        assert story.place_of("kitchen", [0, 1]) == story.place_of("n,w", [0, 1]) == (0, 0)
        assert story.place_of("n.w", [0, 1]) == (26, 29)

    def test_places_are_those_in_the_text_that_was_sent(self, ask):
        context = "  John moved to the garden.\n\n Mary went to the  kitchen ! "
        for result in ask({"context": context, "question": "Where is Mary?"}, top_k=5):
            place = context[result["start"] : result["end"]]
            assert place.lower() == (result["answer"] if result["answer"] in ("kitchen", "garden") else "")

    def test_sentences_begin_where_they_are_said_to(self):
        text = " Mary went to the kitchen...\nJohn? ! Fred took 1.5 apples"
        story = read_story({"context": text, "question": "Where?"})
        assert story.sentences == ("Mary went to the kitchen...", "John?", "Fred took 1.", "5 apples")
        for sentence, start in zip(story.sentences, story.starts, strict=True):
            assert text[start : start + len(sentence)] == sentence


class TestRefusals:
    def refused(self, ask, item, *words, field="inputs.context"):
        with pytest.raises(InputError) as caught:
            ask(item)
        assert caught.value.field == field
        for word in words:
            assert word in str(caught.value)

    def test_words_that_the_model_never_saw_are_named_with_their_nearest(self, ask):
        known = f"only read the {len(ask.known_words)} words"
        self.refused(
            ask, ITEM | {"context": "Mary went to the kitchenette. Zzyzx!"}, "(nearest: kitchen)", "'zzyzx'", known
        )
        self.refused(
            ask, ITEM | {"question": "Where is the mlik?"}, "never saw 'mlik' (nearest: milk)", field="inputs.question"
        )

    def test_many_unknown_words_and_a_very_long_one_make_a_short_sentence(self, ask):
        words = [f"qq{letter}qq" for letter in "abcdefghijklmnop"]
        self.refused(ask, ITEM | {"context": " ".join(words) + "."}, "'qqjqq' and 6 more")
        with pytest.raises(InputError) as caught:
            ask(ITEM | {"context": "x" * 40_000})
        assert len(str(caught.value)) < 200

    def test_what_stands_for_an_answer_is_no_word(self, ask):
        assert "<no>" in ask.tokenizer.get_vocab() and not any("<" in word for word in ask.known_words)
        self.refused(ask, ITEM | {"context": "Mary took <no>."}, "'no'")
        self.refused(ask, ITEM | {"context": "<pad> <unk>"}, "'pad'", "'unk'")

    @pytest.mark.parametrize(
        ("item", "message"),
        [
            ("Where is Mary?", "Expected an object with context and question; got 'Where is Mary?' (str)."),
            ({"context": "Mary."}, "Expected the keys context and question; got ['context']"),
            (ITEM | {"answer": "no"}, "'answer'"),
            ({}, "Expected the keys"),
        ],
    )
    def test_other_objects(self, ask, item, message):
        self.refused(ask, item, message, field="inputs")

    @pytest.mark.parametrize(
        ("context", "message"),
        [
            ("", "empty"),
            (" \n ", "empty"),
            ("... ! ?", "1 to 1,000 sentences; got 0"),
            ([], "1 to 1,000 sentences; got 0"),
            (["Mary went to the kitchen."] * (MAXIMUM_SENTENCES + 1), "1 to 1,000 sentences; got 1,001"),
            ("Mary. " * (MAXIMUM_SENTENCES + 1), "1 to 1,000 sentences; got 1,001"),
            ("x" * (MAXIMUM_CONTEXT + 1), "at most 50,000 characters; got 50,001"),
            (["Mary went to the kitchen."] * 999 + ["Mary " * 9000], "at most 50,000 characters"),
            (["Mary went to the kitchen.", ""], "Sentence 1: Expected a text; got an empty one."),
            (["Mary went to the kitchen.", "?"], "Expected words; got '?'"),
            (["Mary", 5], "Sentence 1: Expected a text; got 5"),
            ("Mary \ud800", "surrogate"),
            (["\udc00"], "surrogate"),
            ("Mary " * (MAXIMUM_WORDS + 1), "at most 50 words in a sentence; got 51"),
            (5, "Expected a text; got 5"),
            (None, "Expected a text; got None"),
        ],
    )
    def test_contexts_that_are_no_story(self, ask, context, message):
        self.refused(ask, ITEM | {"context": context}, message)

    @pytest.mark.parametrize(
        ("question", "message"),
        [
            ("", "empty"),
            ("???", "Expected words"),
            ("Mary " * 101, "at most 500 characters"),
            (None, "Expected a text"),
        ],
    )
    def test_questions_that_ask_nothing(self, ask, question, message):
        self.refused(ask, ITEM | {"question": question}, message, field="inputs.question")

    def test_the_longest_story_and_sentence_are_answered(self, ask):
        assert ask(ITEM | {"context": ["Mary went to the kitchen."] * MAXIMUM_SENTENCES})[0]["dropped_sentences"] == 996
        assert ask(ITEM | {"context": "Mary " * MAXIMUM_WORDS})


def test_a_list_of_questions_is_served_with_a_list_of_answers(ask):
    assert ask.serve([ITEM, ITEM]) == [ask(ITEM)[0]] * 2
    assert ask.serve([ITEM], {"top_k": 2}) == [ask(ITEM, top_k=2)]


def test_an_argument_of_the_command_line_is_json(ask):
    assert ask.read_argument(json.dumps(ITEM)) == ITEM
    for wrong in ("Where is Mary?", "{", "[" * 100_000):
        with pytest.raises(InputError, match="Expected JSON"):
            ask.read_argument(wrong)
