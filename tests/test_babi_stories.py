"""bAbI's files as published: stories, questions, answers and facts; and the words and numbers made of them."""

import hashlib
import io
import tarfile

import pytest
import torch

from training.babi_stories import Example, load_split, parse
from training.story_batches import NumberedQuestion, StoryCollator, StoryQuestions
from training.story_vocabulary import answer_token_id, answers_of, build_tokenizer, words_as_answers

TEXT = """1 Mary moved to the bathroom.
2 John went to the hallway.
3 Where is Mary? \tbathroom\t1
4 Mary got the milk there.
5 Mary took the apple.
6 What is Mary carrying? \tmilk,apple\t4 5
1 Bill gave the milk to Fred.
2 Who gave the milk to Fred?\tBill\t1
"""


def numbered(num_stories, questions_each=2):
    """Write a task's file of stories that are told apart by a word."""
    lines = []
    for story in range(num_stories):
        lines.append(f"1 Mary went to room{story}.")
        lines += [f"{2 + n} Where is Mary? \troom{story}\t1" for n in range(questions_each)]
    return "\n".join(lines) + "\n"


@pytest.fixture
def published(tmp_path):
    """Write a folder as published, with task 3 in part and an explanation, and an archive of it."""
    folder = tmp_path / "en"
    folder.mkdir()
    files = {
        "qa1_single-supporting-fact_train.txt": numbered(20),
        "qa1_single-supporting-fact_test.txt": TEXT,
        "qa3_three-supporting-facts_train.partial.txt": numbered(1),
        "qa3_three-supporting-facts_test.txt": numbered(2),
        "qa12_conjunction_train.txt": numbered(7, 3),
        "qa12_conjunction_test.txt": numbered(3),
        "README.txt": "not a task",
    }
    with tarfile.open(tmp_path / "en.tar.xz", "w:xz") as archive:
        for name, text in files.items():
            (folder / name).write_text(text)
            info = tarfile.TarInfo(f"en/{name}")
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    return tmp_path


def test_a_file_is_read_as_the_task_defines_it():
    first, second, third = parse(TEXT, 8)
    assert first == Example(
        8, 0, ("Mary moved to the bathroom.", "John went to the hallway."), "Where is Mary?", "bathroom", (0,)
    )
    assert second.sentences == (*first.sentences, "Mary got the milk there.", "Mary took the apple.")
    assert second.answer == "milk,apple" and second.supporting_facts == (2, 3)  # questions are no sentences
    assert third == Example(8, 1, ("Bill gave the milk to Fred.",), "Who gave the milk to Fred?", "Bill", (0,))


@pytest.mark.parametrize("line", ["Mary moved.", "4 Where is Mary?\tbathroom", "x Mary moved."])
def test_a_line_in_another_form_is_shown(line):
    with pytest.raises(ValueError, match="got '" + line.replace("\t", r"\\t").replace("?", r"\?")):
        list(parse(TEXT + line, 1))


@pytest.mark.parametrize("name", ["en", "en.tar.xz"])
def test_folder_and_archive_give_the_same_splits(published, name):
    train, validation, test = [load_split([str(published / name)], split) for split in ("train", "validation", "test")]
    assert [example.answer for example in test.of_task(1)] == ["bathroom", "milk,apple", "Bill"]
    assert sorted(test.sha256) == [1, 3, 12] and sorted(train.sha256) == [1, 12]
    # the last tenth; of 21 questions that would be 2, but a story is not cut in two
    assert [len(split.of_task(1)) for split in (train, validation)] == [36, 4]
    assert [len(split.of_task(12)) for split in (train, validation)] == [18, 3]
    assert {example.story for example in validation.of_task(1)} == {18, 19}
    facts = train.facts()
    assert facts["questions"] == 54 and facts["missing_tasks"] == [n for n in range(1, 21) if n not in (1, 12)]
    content = (published / "en/qa12_conjunction_train.txt").read_bytes()
    assert facts["tasks"]["12"] == {"questions": 18, "file_sha256": hashlib.sha256(content).hexdigest()}


def test_what_is_missing_is_named(published, tmp_path):
    data = [str(published / "en")]
    assert {example.task for example in load_split(data, "test", [12, 1]).examples} == {1, 12}
    with pytest.raises(FileNotFoundError, match=r"no file qaN_\*_train.txt of the tasks N = 3, 20"):
        load_split(data, "train", [1, 3, 20])
    with pytest.raises(FileNotFoundError, match=r"no folder or archive .*elsewhere"):
        load_split([str(tmp_path / "elsewhere")], "train")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="N = 1, 2, 3"):
        load_split([str(tmp_path / "empty")], "test")
    with pytest.raises(ValueError, match="one folder or archive of bAbI files; got 0"):
        load_split(None, "train")


class TestVocabulary:
    def test_words_are_lower_case_without_punctuation(self):
        tokenizer = build_tokenizer(list(parse(TEXT, 1)))
        assert tokenizer.pad_token_id == 0 and tokenizer.unk_token_id == 1
        ids = tokenizer("MARY, moved to the   bathroom!")["input_ids"]
        assert tokenizer.convert_ids_to_tokens(ids) == ["mary", "moved", "to", "the", "bathroom"]
        assert tokenizer("Mary flew.")["input_ids"][1] == 1

    def test_an_answer_that_no_text_has_is_no_word_of_a_text(self):
        examples = list(parse(TEXT, 1))
        tokenizer = build_tokenizer(examples)
        joined = answer_token_id(tokenizer, "milk,apple")
        assert tokenizer.convert_ids_to_tokens(joined) == "<milk,apple>" and joined == len(tokenizer) - 1
        for text in ("milk,apple", "<milk,apple>", "< milk , apple >"):
            assert joined not in tokenizer(text)["input_ids"]
        assert tokenizer.convert_ids_to_tokens(answer_token_id(tokenizer, "Bill")) == "bill"

    def test_answers_are_those_of_the_data_or_all_words(self):
        examples = list(parse(TEXT, 1))
        tokenizer = build_tokenizer(examples)
        assert answers_of(examples) == {0: "Bill", 1: "bathroom", 2: "milk,apple"}
        words = words_as_answers(tokenizer, examples)
        assert list(words) == list(range(len(tokenizer) - 2))
        assert {"Bill", "milk,apple", "moved"} <= set(words.values()) and "bill" not in words.values()
        assert [answer_token_id(tokenizer, word) for word in words.values()] == list(range(2, len(tokenizer)))

    def test_the_tokenizer_is_the_same_after_being_saved(self, tmp_path):
        from transformers import AutoTokenizer

        tokenizer = build_tokenizer(list(parse(TEXT, 1)))
        tokenizer.save_pretrained(tmp_path)
        loaded = AutoTokenizer.from_pretrained(tmp_path)
        assert loaded("Where is Mary?")["input_ids"] == tokenizer("where is mary")["input_ids"]
        assert loaded.pad_token_id == 0


class TestBatches:
    @pytest.fixture
    def questions(self):
        examples = list(parse(TEXT, 1))
        return StoryQuestions(examples, build_tokenizer(examples), {0: "bathroom", 1: "milk,apple"}, memory_size=3)

    def test_the_newest_sentences_are_kept(self, questions):
        assert [len(questions[index].story) for index in range(3)] == [2, 3, 1]
        assert questions[1].story[0] == questions[0].story[1]
        assert [questions[index].label for index in range(3)] == [0, 1, -100]

    def test_a_batch_reads_as_the_text(self, questions):
        examples = list(parse(TEXT, 1))
        tokenizer = build_tokenizer(examples)
        batch = StoryCollator()([questions[0], questions[1]])
        stories, asked = (questions.word_ids[numbers] for numbers in (batch.stories, batch.questions))
        for row, example in enumerate(examples[:2]):
            for place, sentence in enumerate(example.sentences[-3:]):
                ids = stories[row, place]
                assert ids[ids != 0].tolist() == tokenizer(sentence)["input_ids"]
            ids = asked[row]
            assert ids[ids != 0].tolist() == tokenizer(example.question)["input_ids"]
        assert (stories[0, 2] == 0).all() and batch.labels.tolist() == [0, 1]
        assert batch.ages.tolist() == [[1, 0, -1], [2, 1, 0]]

    def test_noise_adds_empty_memories_and_keeps_the_order(self):
        torch.manual_seed(0)
        stories = [NumberedQuestion(torch.arange(1, 31), 1, 0)] * 200 + [NumberedQuestion(torch.arange(1, 4), 1, 0)]
        batch = StoryCollator(noise_share=0.1)(stories)
        assert batch.stories[:200][batch.stories[:200] != 0].tolist() == list(range(1, 31)) * 200
        assert batch.stories[200][batch.stories[200] != 0].tolist() == [1, 2, 3]
        newest = (batch.stories[:200] == 30).nonzero()[:, 1]
        assert (batch.ages[:200][batch.stories[:200] == 30] == 0).all()
        oldest = (batch.stories[:200] == 1).nonzero()[:, 1]
        assert (batch.ages[:200][batch.stories[:200] == 1] == newest - oldest).all()
        assert (newest - 29).float().mean() == pytest.approx(3.0, abs=0.4)
        assert len(newest.unique()) > 4

    def test_noise_makes_gaps_among_the_ages_and_keeps_the_order(self):
        torch.manual_seed(0)
        stories = [NumberedQuestion(torch.arange(1, 31), 1, 0), NumberedQuestion(torch.arange(1, 3), 1, 0)] * 500
        batch = StoryCollator(noise_share=0.1, noise="gaps")(stories)
        assert batch.stories.shape == batch.ages.shape == (1000, 30)
        long, short = batch.ages[::2], batch.ages[1::2, :2]
        for ages, most in ((long, 32), (short, 2)):
            assert (ages.diff(dim=1) < 0).all() and ages.min() == 0 and ages.max() == most
        oldest = long[:, 0]  # 29 and the empty memories that are newer than it: 0 to 3 of them, all equally often
        assert (oldest - 29).float().mean() == pytest.approx(1.5 * 30 / 31, abs=0.15)
        assert (short == torch.tensor([1, 0])).all(dim=1).float().mean() == pytest.approx(2 / 3, abs=0.06)
