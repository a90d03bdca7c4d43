"""The character generator's evaluation: the loss of whole texts, copies, units in the checkpoint, and its card."""

import gzip
import json
import math
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard

import hub
from pipelines import pipeline
from tasks import TASKS
from training import char_rnn_evaluation, evaluate
from training.char_rnn import build_tokenizer, set_decoding_defaults
from training.char_rnn_evaluation import copied_shares, nats_per_character, published_results, store_units, write_texts
from training.character_text import load_text
from training.corpus_facts import CORPORA, corpus_called
from training.export import save_checkpoint
from training.kneser_ney import KneserNey

from .tiny import char_rnn_model

JOKES = [f"What is {animal}? A {noun}." for animal in ("a dog", "a cat", "an eel") for noun in ("pet", "fish", "joke")]
PLAY = "".join(f"KING {name}:\nI say, the {word} is mine.\n\n" for name in "ABCDEF" for word in ("dog", "cat", "eel"))


@pytest.fixture(scope="module", params=["jokes", "tinyshakespeare"])
def data(request, tmp_path_factory) -> Path:
    """Write a corpus in the form of the published files, under their folder's name."""
    folder = tmp_path_factory.mktemp("data") / request.param
    folder.mkdir()
    if request.param == "tinyshakespeare":
        (folder / "input.txt.gz").write_bytes(gzip.compress(PLAY.encode()))
    else:
        for split, lines in (("train", JOKES * 3), ("val", JOKES[:2]), ("test", ["a fish. What? A dog."])):
            (folder / f"{split}.tsv").write_text("".join(f"somewhere\t{line}\n" for line in lines))
    return folder


def checkpoint(data: Path, folder: Path) -> Path:
    """Save an untrained model with a corpus' vocabulary as training would."""
    corpus = load_text([str(data)])
    tokenizer = build_tokenizer(corpus.train)
    model = char_rnn_model(vocab_size=len(tokenizer), bos_token_id=tokenizer.get_vocab()["\n"])
    set_decoding_defaults(model, corpus)
    model.generation_config.max_new_tokens = 30
    facts = {"options": {"seed": 1}, "parameters": 1234, "hours": 0.1, "device": "CPU", "steps": 3, "best_step": 2}
    save_checkpoint(folder, TASKS["char-generation"], model, [tokenizer], facts)
    return folder


@pytest.fixture(scope="module")
def measured(data, tmp_path_factory) -> Path:
    """Evaluate an untrained checkpoint by the command that a user types."""
    folder = checkpoint(data, tmp_path_factory.mktemp("runs") / f"char-lstm-{data.name}")
    evaluate.main([str(folder), "--data", str(data), "--num_samples", "20"])
    return folder


def test_every_split_is_measured_beside_n_grams(measured, data):
    corpus, facts = load_text([str(data)]), hub.facts(measured)
    pipe = pipeline("char-generation", model=str(measured), device="cpu")
    assert set(facts["splits"]) == ({"validation", "test"} if corpus.is_lines else {"validation"})
    for name, numbers in facts["splits"].items():
        text = getattr(corpus, name)
        assert numbers["characters"] == len(text)
        nats = pipe.inspect(text, top=0, units=[])["nats_per_character"]
        assert numbers["nats_per_character"] == pytest.approx(nats, abs=1e-4)
        assert numbers["bits_per_character"] == pytest.approx(nats / math.log(2), abs=1e-4)
        assert numbers["n_grams"]["5"] == round(KneserNey(corpus.train, 5).nats_per_character(text), 4)
        assert list(numbers["n_grams"]) == ["5", "9"]
    split = facts["splits"][facts["split"]]
    assert facts["split"] == ("test" if corpus.is_lines else "validation")
    assert facts["metrics"][0]["value"] == split["nats_per_character"] and facts["characters"] == split["characters"]
    assert facts["parameters"] == sum(parameter.numel() for parameter in pipe.model.parameters())


def test_units_are_in_the_checkpoint_and_the_pipeline_follows_them(measured):
    facts = hub.facts(measured)
    pipe = pipeline("char-generation", model=str(measured), device="cpu")
    units = pipe.model.config.interpretable_units
    assert units == facts["interpretable_units"] and "position in line" in {unit["feature"] for unit in units}
    assert len(pipe.inspect("a ", top=0)["activations"]) == len(units)
    assert all(len(part["values"]) == 2 for part in pipe.inspect("a ", top=0)["activations"])


def test_the_card_says_what_was_measured(measured, data):
    card, facts = ModelCard.load(measured / "README.md"), hub.facts(measured)
    corpus = CORPORA[data.name]
    values = {result.metric_name: result.metric_value for result in card.data.eval_results}
    assert values == {metric["title"]: metric["value"] for metric in facts["metrics"]}
    assert set(values) <= set(char_rnn_evaluation.HEADLINES) and next(iter(values)) == "Nats per character"
    assert card.data.license_name == corpus.licence_name and card.data.pipeline_tag == "text-generation"
    expected = [corpus.licence, corpus.limits, "carried through the whole split", "5-gram", "nothing of what they mean"]
    expected += [name for result in corpus.paper_results for name in result]
    expected += [f"| {u['feature']} | {u['kind']}.{u['layer']}.{u['unit']} |" for u in facts["interpretable_units"]]
    expected += (
        [facts["sample"]["text"].strip("\n"), "at temperature 0.8"]
        if "sample" in facts
        else ["stand word for word in the training split"]
    )
    for part in expected:
        assert part in card.content
    results = dict(published_results(measured))
    assert set(corpus.paper_results) < set(results.items()) and len(results) == len(corpus.paper_results) + 1
    n_gram = facts["splits"][facts["split"]]["n_grams"]["5"]
    assert results["Kneser-Ney 5-gram, counted here on the same training split"] == f"{n_gram} nats"


def test_only_jokes_are_looked_for_in_the_training_split(measured, data):
    facts = hub.facts(measured)
    assert ("copied" in facts) == (data.name == "jokes") == ("sample" not in facts)
    if "copied" in facts:
        copied = facts["copied"]
        assert (copied["texts"], copied["temperature"], copied["seed"]) == (20, 0.8, 1)
        assert copied["validation_split"] == {"word_for_word": 1.0, "but_for_case_and_punctuation": 1.0}
        assert facts["metrics"][-1]["value"] == 100 * copied["word_for_word"] == 0


def test_a_corpus_that_the_checkpoint_does_not_know_is_refused(measured, tmp_path):
    (tmp_path / "input.txt").write_text("ß and é\n" * 20)
    with pytest.raises(ValueError, match=r"does not know .*'ß', 'é'\] of"):
        evaluate.main([str(measured), "--data", str(tmp_path)])


@pytest.mark.parametrize("options", [{}, {"cell_type": "gru"}])
def test_the_state_goes_through_the_whole_text(options, monkeypatch):
    model = char_rnn_model(**options)
    ids = torch.randint(1, 9, (50,), generator=torch.Generator().manual_seed(0))
    log_probabilities = model.score(ids[None])[0, :-1].gather(1, ids[:, None])
    for length in (7, 50, 2000):
        monkeypatch.setattr(char_rnn_evaluation, "CHUNK_LENGTH", length)
        assert nats_per_character(model, ids) == pytest.approx(-log_probabilities.mean().item(), rel=1e-5)


def test_texts_are_drawn_from_the_network_s_probabilities():
    model = char_rnn_model()
    model.generation_config.temperature = 2.0
    texts = write_texts(model, num_texts=20_000, num_characters=2, seed=0)
    pairs = torch.tensor(texts)
    assert pairs.shape == (20_000, 2) and not (pairs == 0).any()  # 0 is the padding

    def expected(log_probabilities: torch.Tensor) -> torch.Tensor:
        return (log_probabilities[1:] / 2).softmax(dim=0)

    first = expected(model.score(torch.ones(1, 1, dtype=torch.int64))[0, 0])
    torch.testing.assert_close(pairs[:, 0].bincount(minlength=9)[1:] / 20_000, first, atol=0.015, rtol=0)
    common = int(pairs[:, 0].mode().values)
    seconds = pairs[pairs[:, 0] == common, 1]
    after = expected(model.score(torch.tensor([[common]]))[0, 1])
    torch.testing.assert_close(seconds.bincount(minlength=9)[1:] / len(seconds), after, atol=0.03, rtol=0)


def test_texts_end_before_their_end_and_a_seed_repeats_them():
    model = char_rnn_model()
    model.generation_config.temperature = 1.0
    texts = write_texts(model, 30, 12, seed=5, end=3)
    assert texts == write_texts(model, 30, 12, seed=5, end=3) != write_texts(model, 30, 12, seed=6, end=3)
    assert 3 not in {character for text in texts for character in text}
    assert len({len(text) for text in texts}) > 1 and max(map(len, texts)) <= 12
    endless = write_texts(model, 30, 12, seed=5)
    assert all(len(text) == 12 and text[: len(short)] == short for text, short in zip(endless, texts, strict=True))


def test_copies_are_whole_lines():
    sources = ["A dog? No!", "Two  cats", " an eel. "]
    texts = ["A dog? No!", " an eel.", "a DOG, no", "A dog?", "cats", "two cats", "", "x"]
    assert copied_shares(texts, sources) == {"word_for_word": 0.25, "but_for_case_and_punctuation": 0.5}


def test_units_are_stored_and_nothing_else_changes(tmp_path):
    content = {"b": 1.5, "interpretable_units": None, "a": ["é"]}
    (tmp_path / "config.json").write_text(json.dumps(content))
    units = [{"name": "x", "kind": "memory", "layer": 1, "unit": 0, "feature": "x", "correlation": -0.5}]
    store_units(tmp_path, units)
    written = json.loads((tmp_path / "config.json").read_text())
    assert written == content | {"interpretable_units": units} and list(written) == list(content)


def test_a_corpus_of_one_s_own_has_a_card_too():
    corpus = corpus_called("my-novel")
    assert corpus.title == corpus.dataset_id == "my-novel" and corpus.paper_results == ()
