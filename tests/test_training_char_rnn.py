"""The character generator from a text file to a checkpoint that writes."""

import functools
import gzip
import json

import pytest
import torch

import training.__main__ as command
from models.modeling_char_rnn import CharRnnForCausalLM
from pipelines import pipeline
from training.char_rnn import build_tokenizer, encode
from training.character_text import load_text
from training.text_streams import TextStreams, collate

TEXT = "the cat sat on the mat.\nthe dog lay on the log.\n" * 60
SMALL = {
    "batch_size": 4,
    "chunk_length": 16,
    "hidden_size": 24,
    "embedding_size": 8,
    "warmup_steps": 2,
    "average_decay": 0.5,
    "learning_rate": 0.02,
    "hidden_dropout": 0.1,
    "output_dropout": 0.1,
    "weight_dropout": 0.1,
    "log_to": "none",
    "cpu": True,
}


def arguments(data, output, **options):
    """Return the command line of a small training."""
    named = [f"--{name}={value}" for name, value in {**SMALL, **options}.items()]
    return ["char-generation", "--data", str(data), "--output", str(output), *named]


class TestText:
    def test_one_file_is_cut_as_nanogpt_cuts_it(self, tmp_path):
        (tmp_path / "input.txt.gz").write_bytes(gzip.compress(TEXT.encode()))
        (tmp_path / "other.txt").write_text(TEXT)
        for path in (tmp_path, tmp_path / "other.txt"):
            corpus = load_text([str(path)])
            assert len(corpus.train) == int(0.9 * len(TEXT)) and corpus.train + corpus.validation == TEXT
            assert corpus.test == "" and not corpus.is_lines
            assert set(corpus.checksums()) == {"train", "validation"}

    def test_published_splits_are_kept(self, tmp_path):
        for name, text in (("train", "abc\n"), ("val", "ab\n"), ("test", "cb\n")):
            (tmp_path / f"{name}.txt").write_text(text)
        corpus = load_text([str(tmp_path)])
        assert (corpus.train, corpus.validation, corpus.test) == ("abc\n", "ab\n", "cb\n")

    def test_lines_of_a_table_are_texts(self, tmp_path):
        for name in ("train", "val", "test"):
            (tmp_path / f"{name}.tsv.gz").write_bytes(gzip.compress(b"here\tWhy? So.\nthere\tHa.\n"))
        corpus = load_text([str(tmp_path)])
        assert corpus.train == "Why? So.\nHa.\n" and corpus.is_lines

    def test_what_is_missing_is_named(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"train\.txt"):
            load_text([str(tmp_path)])
        with pytest.raises(FileNotFoundError, match="--data"):
            load_text(None)
        for name, text in (("train", "abc\n"), ("val", "abz\n"), ("test", "ab\n")):
            (tmp_path / f"{name}.txt").write_text(text)
        with pytest.raises(ValueError, match="'z'"):
            load_text([str(tmp_path)])


class TestStreams:
    def test_each_stream_goes_on_where_its_last_chunk_ended(self):
        ids = torch.arange(103)
        streams = TextStreams(ids, num_streams=4, chunk_length=5)
        assert len(streams) == 4 * 5
        for stream in range(4):
            read = torch.cat([streams[chunk * 4 + stream] for chunk in range(5)])
            assert read.tolist() == list(range(25 * stream, 25 * stream + 25))

    def test_an_epoch_turns_the_text_and_tells_it_again(self):
        streams = TextStreams(torch.arange(100), 4, 5, seed=1)
        streams.set_epoch(3)
        turned = [streams[index].tolist() for index in range(20)]
        assert sorted(number for chunk in turned for number in chunk) == list(range(100)) and turned[0][0] != 0
        streams.set_epoch(4)
        assert streams[0].tolist() != turned[0]
        streams.set_epoch(3)
        assert streams[0].tolist() == turned[0]

    def test_a_short_text_is_refused(self):
        with pytest.raises(ValueError, match="10 characters do not fill 4 streams of 5"):
            TextStreams(torch.arange(10), 4, 5)

    def test_every_character_is_a_label(self):
        batch = collate([torch.tensor([1, 2]), torch.tensor([3, 4])])
        assert batch["input_ids"].tolist() == batch["labels"].tolist() == [[1, 2], [3, 4]]


class TestTokenizer:
    def test_every_character_is_a_token_and_comes_back(self):
        text = "Q: Why?\tA\\B \n\n 'x' \"y\""
        tokenizer = build_tokenizer(text)
        ids = tokenizer(text)["input_ids"]
        assert len(ids) == len(text) and ids == encode(text, tokenizer).tolist()
        assert tokenizer.decode(ids) == text and tokenizer.pad_token_id == 0 and 0 not in ids

    def test_a_strange_character_is_an_error_not_a_silent_nothing(self):
        with pytest.raises(Exception, match=r"UNK|unk|Missing"):
            build_tokenizer("abc")("abz")


def test_the_state_is_carried_over_batches_and_forgotten_with_the_epoch(tmp_path, monkeypatch):
    began, forward = [], CharRnnForCausalLM.forward

    @functools.wraps(forward)  # Trainer reads its signature
    def spy(self, *args, past_key_values=None, **kwargs):
        began.append((self.training, past_key_values is None))
        if past_key_values is not None:
            assert not past_key_values.hidden[0].requires_grad
        return forward(self, *args, past_key_values=past_key_values, **kwargs)

    monkeypatch.setattr(CharRnnForCausalLM, "forward", spy)
    (tmp_path / "input.txt").write_text(TEXT)
    command.main(arguments(tmp_path, tmp_path / "run", epochs=2))
    batches = len(TextStreams(torch.arange(int(0.9 * len(TEXT))), 4, 16)) // 4
    training = [starts for is_training, starts in began if is_training]
    assert training == ([True] + [False] * (batches - 1)) * 2
    validation = [starts for is_training, starts in began if not is_training]
    assert validation == ([True] + [False] * (len(validation) // 2 - 1)) * 2


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("char")
    (folder / "input.txt").write_text(TEXT)
    command.main(arguments(folder, folder / "run", epochs=25))
    return folder


def test_a_tiny_training_leaves_a_checkpoint_that_writes_what_it_read(trained):
    facts = json.loads((trained / "run" / "training.json").read_text())
    assert facts["learning_curve"][-1]["eval_loss"] < 0.35
    assert facts["data"]["train"]["characters"] == int(0.9 * len(TEXT)) and facts["options"]["seed"] == 1
    write = pipeline(model=str(trained / "run"), device="cpu")
    text = write("the cat ", do_sample=False, max_new_tokens=16)[0]["generated_text"]
    assert text == "sat on the mat.\n"


def test_a_run_is_resumed_with_its_state(trained):
    command.main(arguments(trained, trained / "run", epochs=26, resume=True))
    facts = json.loads((trained / "run" / "training.json").read_text())
    assert facts["learning_curve"][-1]["epoch"] == 26 and facts["learning_curve"][-1]["eval_loss"] < 0.35


def test_jokes_end_with_their_line(tmp_path):
    for name in ("train", "val", "test"):
        (tmp_path / f"{name}.tsv").write_text("".join(f"x\t{line}\n" for line in TEXT.splitlines()))
    (tmp_path / "words.txt").write_text("# not these\nBad\nugl*\n")
    command.main(arguments(tmp_path, tmp_path / "run", epochs=25, blocked_words=tmp_path / "words.txt"))
    write = pipeline(model=str(tmp_path / "run"), device="cpu")
    (result,) = write("the dog", do_sample=False, max_new_tokens=100, details=True)
    assert write.model.config.blocked_words == ["bad", "ugl*"]
    assert result["generated_text"] == " lay on the log." and result["details"]["finish_reason"] == "eos_token"
