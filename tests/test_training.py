"""Training from published files to a checkpoint that answers: the seam between the folders."""

import dataclasses
import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard

import hub
import training.__main__ as command
from pipelines import pipeline
from training import evaluate
from training.attention_nmt import Collator, Recipe, translate_lines
from training.attention_nmt_evaluation import Evaluation
from training.directed_text import Pair, load_directions
from training.length_buckets import LengthBucketSampler
from training.parallel_text import ParallelSplit, load_split
from training.translation_metrics import bleu_by_length, corpus_scores

from .tiny import SENTENCES, attention_nmt_model, sentencepiece_tokenizer

PAIRS = [Pair(*both) for both in zip(SENTENCES[:3], SENTENCES[3:], strict=True)]
SMALL = {
    "vocab_size": 60,
    "embedding_size": 16,
    "encoder_hidden_size": 16,
    "decoder_hidden_size": 16,
    "attention_size": 16,
    "batch_size": 4,
    "warmup_steps": 2,
    "average_decay": 0.5,
}


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> Path:
    """Write a folder in the form of the published Multi30k files, some gzipped."""
    folder = tmp_path_factory.mktemp("multi30k")
    for split, times in (("train", 8), ("val", 2), ("test_2016_flickr", 2)):
        for side, language in enumerate(("en", "de")):
            text = "".join(f"{pair[side]}\n" for pair in PAIRS * times)
            (folder / f"{split}.{language}.gz").write_bytes(gzip.compress(text.encode()))
    (folder / "val.en.gz").unlink()
    (folder / "val.en").write_text("".join(f"{pair.source}\n" for pair in PAIRS * 2))
    return folder


def arguments(published: Path, output: Path, **options) -> list[str]:
    """Return the command line of a small training."""
    flags = {"data": published, "output": output, "log_to": "none", "cpu": True, **SMALL, **options}
    return [word for name, value in flags.items() for word in (f"--{name}", str(value))]


@pytest.fixture(scope="module")
def trained(published, tmp_path_factory) -> Path:
    """Train for two epochs and evaluate, by the commands that a user types."""
    output = tmp_path_factory.mktemp("runs") / "tiny-nmt"
    command.main(["attention-translation", *arguments(published, output, epochs=2)])
    evaluate.main([str(output), "--data", str(published), "--tune", "--num_beams", "2"])
    return output


def test_the_folder_is_a_complete_checkpoint(trained):
    assert hub.check(trained).name == "attention-translation"
    assert not list(trained.glob("*.py"))
    with torch.no_grad():
        assert {tensor.dtype for tensor in _tensors(trained).values()} == {torch.float16}
    facts = json.loads((trained / "training.json").read_text())
    assert facts["options"]["epochs"] == 2 and facts["options"]["seed"] == 1
    assert facts["data"]["train"]["lines"] == 24 and len(facts["data"]["train"]["sha256"]) == 64
    assert facts["hours"] >= 0 and facts["software"]["torch"] and len(facts["learning_curve"]) == 2


def _tensors(folder):
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def test_it_answers(trained):
    pipe = pipeline("attention-translation", model=str(trained), device="cpu")
    assert pipe.model.generation_config.num_beams == 2
    assert isinstance(pipe("A dog runs.")[0]["translation_text"], str)
    assert pipe.model.config.target_language == "de"


def test_networks_to_compare_with_are_trained_by_their_options_alone(published, tmp_path):
    shape = {"attention_type": "none", "bidirectional_encoder": False, "reverse_source": True}
    kept = {"evaluations_per_epoch": 2, "checkpoints_kept": 4}
    command.main(["attention-translation", *arguments(published, tmp_path / "run", epochs=2, **shape, **kept)])
    assert len(list((tmp_path / "run").glob("checkpoint-*"))) == 4
    pipe = pipeline(model=str(tmp_path / "run"), device="cpu")
    assert {name: getattr(pipe.model.config, name) for name in shape} == shape
    assert pipe.network is pipe.model and not (tmp_path / "run" / "onnx").exists()
    assert isinstance(pipe("A dog runs.")[0]["translation_text"], str)


def test_the_card_is_valid_and_says_what_was_measured(trained):
    card = ModelCard.load(trained / "README.md")
    measured = json.loads((trained / "evaluation.json").read_text())
    values = {result.metric_name: result.metric_value for result in card.data.eval_results}
    assert values == {metric["title"]: metric["value"] for metric in measured["metrics"]}
    assert all(result.metric_config for result in card.data.eval_results)
    assert card.data.pipeline_tag == "translation"
    assert measured["split"] == "test_2016_flickr" and measured["sentences"] == 6
    configuration = json.loads((trained / "config.json").read_text())
    assert configuration["unfamiliar_below"] == measured["tuning"]["unfamiliar_below"] < 0
    for expected in ("non-commercial", "38.1 BLEU", "trust_remote_code=True", "`nrefs:1\\|case:lc"):
        assert expected in card.content


def test_the_same_seed_gives_the_same_model_and_a_resumed_run_too(published, tmp_path):
    whole, again = tmp_path / "whole", tmp_path / "again"
    fixed = {"schedule": "constant", "sampling_alpha": 0}  # sentencepiece cannot rewind its own random numbers
    for output in (whole, again):
        command.main(["attention-translation", *arguments(published, output, epochs=2, **fixed)])
    for name, tensor in _tensors(whole).items():
        assert torch.equal(tensor, _tensors(again)[name]), name

    parts = tmp_path / "parts"
    command.main(["attention-translation", *arguments(published, parts, epochs=1, **fixed)])
    command.main(["attention-translation", *arguments(published, parts, epochs=2, resume=True, **fixed)])
    steps = [entry["step"] for entry in json.loads((parts / "training.json").read_text())["learning_curve"]]
    assert steps == [6, 12]
    best = [json.loads((run / "training.json").read_text())["best_step"] for run in (whole, parts)]
    assert best[0] == best[1]
    for name, tensor in _tensors(whole).items():
        torch.testing.assert_close(tensor, _tensors(parts)[name])


@pytest.fixture
def tatoeba(tmp_path) -> Path:
    """Write a folder in the form of Tatoeba's sentence pairs, two languages with English."""
    folder = tmp_path / "tatoeba"
    folder.mkdir()
    for code, greeting in (("deu", "Hallo"), ("fra", "Salut")):
        held_out = {"val": [("Hello, Tom!", f"{greeting}, Tom!")], "test": [("Hi, Ann.", f"{greeting}, Ann.")]}
        train = [(f"Hello number {index}.", f"{greeting} Nummer {index}.") for index in range(12)]
        train += [("Hey Tom!", f"{greeting} Tom."), ("Ann, hello.", f"{greeting.lower()} Ann")]
        for split, rows in (held_out | {"train": train}).items():
            text = "".join(f"{english}\t{other}\n" for english, other in rows)
            (folder / f"eng-{code}.{split}.tsv.gz").write_bytes(gzip.compress(text.encode()))
    return folder


def test_tatoeba_is_read_in_both_directions_without_what_is_held_out(tatoeba):
    forth, back = (load_split([str(tatoeba)], "train", *languages) for languages in (("en", "fr"), ("fr", "en")))
    assert (forth.sources[3], forth.targets[3]) == ("Hello number 3.", "Salut Nummer 3.")
    assert (back.sources, back.targets) == (forth.targets, forth.sources)
    assert len(forth) == 12  # two of 14 say in French what is in the other splits
    assert load_split([str(tatoeba)], "test", "de", "en") == ParallelSplit(["Hallo, Ann."], ["Hi, Ann."])
    with pytest.raises(ValueError, match="English and one of de, fr; got de-fr"):
        load_split([str(tatoeba)], "train", "de", "fr")
    with pytest.raises(FileNotFoundError, match=r"neither eng-deu\.val\.tsv nor"):
        (tatoeba / "eng-deu.val.tsv.gz").unlink()
        load_split([str(tatoeba)], "validation", "en", "de")


def test_one_network_learns_several_directions_of_several_corpora(published, tatoeba, tmp_path):
    output = tmp_path / "several"
    several = arguments(published, output, epochs=1, input_feeding=False, evaluations_per_epoch=2)
    place = several.index("--data") + 2
    several[place:place] = [str(tatoeba)]
    several += ["--directions", "en-de", "de-en", "--repeats", "2", "1", "--bf16", "True"]
    command.main(["attention-translation", *several])
    facts = json.loads((output / "training.json").read_text())
    assert facts["data"]["train"]["tatoeba_de_en"]["lines"] == 12 and facts["options"]["data"][1] == "tatoeba"
    steps = [entry["step"] for entry in facts["learning_curve"]]
    assert steps == [15, 30]  # of 2 directions with 24 pairs, seen twice, and 12: 120 pairs, 4 a step
    assert {"eval_bleu", "eval_bleu_tatoeba_en_de"} <= facts["learning_curve"][0].keys()
    pipe = pipeline("attention-translation", model=str(output), device="cpu")
    assert pipe.model.config.directions == ["en-de", "de-en"] and not pipe.model.config.input_feeding
    assert pipe.tokenizer.guess_language("Hallo Nummer 3.", ["en", "de"])[0] == "de"
    assert pipe.tokenizer.encode_source("Hi.", "de")[0] == pipe.tokenizer.sp_model.piece_to_id("<2de>") != 3
    assert "<2de>" not in pipe.tokenizer.tokenize("<2de> Hi.")  # what somebody types is text
    evaluate.main([str(output), "--data", str(published), str(tatoeba), "--tune", "--num_beams", "2"])
    measured, card = json.loads((output / "evaluation.json").read_text()), (output / "README.md").read_text()
    titles = [metric["title"] for metric in measured["metrics"]]
    assert titles[1:3] == [f"BLEU, {published.name} de-en", "BLEU, Tatoeba en-de"] and len(titles) == 4
    assert "CC BY 2.0" in card and "Tatoeba en-de | 1 |" in card and "type: tatoeba" in card
    with pytest.raises(ValueError, match="no token for the language 'fr'"):
        pipe.tokenizer.encode_source("Hi.", "fr")
    with pytest.raises(ValueError, match="Name the folders"):
        load_directions(None, "train", ["en-de"])
    with pytest.raises(ValueError, match="a number for each folder of --data, 1; got 2"):
        load_directions([str(tatoeba)], "train", ["en-de"], [1, 2])


def test_the_command_names_its_tasks(capsys):
    with pytest.raises(SystemExit):
        command.main(["translation"])
    assert "attention-translation" in capsys.readouterr().err


def test_files_are_read_as_published(published):
    split = load_split([str(published)], "train", "en", "de")
    assert len(split) == 24 and (split.sources[1], split.targets[1]) == PAIRS[1][:2]
    with pytest.raises(FileNotFoundError, match=r"neither train\.fr nor train\.fr\.gz"):
        load_split([str(published)], "train", "en", "fr")


def test_a_pair_of_plain_files_is_split_without_overlap(tmp_path):
    for side, name in enumerate(("source.txt", "target.txt")):
        (tmp_path / name).write_text("".join(f"{index}-{side}\n" for index in range(100)))
    paths = [str(tmp_path / "source.txt"), str(tmp_path / "target.txt")]
    splits = {name: load_split(paths, name, "en", "de") for name in ("train", "validation", "test")}
    assert {name: len(split) for name, split in splits.items()} == {"train": 90, "validation": 5, "test": 5}
    assert len({line for split in splits.values() for line in split.sources}) == 100
    (tmp_path / "target.txt").write_text("one line\n")
    with pytest.raises(ValueError, match="got 100 and 1"):
        load_split(paths, "train", "en", "de")


def test_without_data_the_hubs_data_set_is_read(monkeypatch, tmp_path):
    rows = "".join(json.dumps({"en": pair.source, "de": pair.target}) + "\n" for pair in PAIRS)
    (tmp_path / "train.jsonl").write_text(rows)
    monkeypatch.setattr("training.parallel_text.HUB_DATASETS", {frozenset({"en", "de"}): str(tmp_path)})
    split = load_split(None, "train", "de", "en")
    assert [Pair(*both) for both in zip(split.targets, split.sources, strict=True)] == PAIRS
    with pytest.raises(ValueError, match="name the files with --data"):
        load_split(None, "train", "en", "fr")


def test_batches_hold_like_lengths_and_every_example_once():
    lengths = [(index * 37) % 50 for index in range(1000)]
    sampler = LengthBucketSampler(lengths, batch_size=10, seed=1)
    order = list(sampler)
    assert sorted(order) == list(range(1000))
    spans = [[lengths[index] for index in order[start : start + 10]] for start in range(0, 1000, 10)]
    assert sum(max(span) - min(span) for span in spans) / len(spans) < 3
    assert list(sampler) == order
    sampler.set_epoch(1)
    assert list(sampler) != order


def test_batches_that_processes_train_on_together_are_of_like_lengths():
    lengths = list(range(200))
    order = list(LengthBucketSampler(lengths, batch_size=10, seed=1, processes=2))
    assert sorted(order) == lengths
    pairs = [order[start : start + 20] for start in range(0, 200, 20)]
    assert all(max(pair) - min(pair) == 19 for pair in pairs)  # two neighbours, a batch for each process


def test_a_batch_is_padded_and_sampling_changes_only_the_cuts(tmp_path):
    tokenizer = sentencepiece_tokenizer(tmp_path)
    batch = Collator(tokenizer, sampling_alpha=0.0)(PAIRS)
    assert batch["input_ids"].shape == batch["attention_mask"].shape
    assert (batch["input_ids"][~batch["attention_mask"]] == tokenizer.pad_token_id).all()
    assert tokenizer.decode(batch["input_ids"][1], skip_special_tokens=True) == PAIRS[1][0]
    assert batch["labels"][0].tolist().count(-100) == batch["labels"].shape[1] - (batch["labels"][0] != -100).sum()
    sampled = Collator(tokenizer, sampling_alpha=0.01)
    cuts = {tuple(sampled(PAIRS)["input_ids"][1].tolist()) for _ in range(20)}
    assert len(cuts) > 1
    assert {tokenizer.decode(list(cut), skip_special_tokens=True) for cut in cuts} == {PAIRS[1][0]}


def test_translations_come_back_in_the_order_of_their_sources(tmp_path):
    tokenizer = sentencepiece_tokenizer(tmp_path)
    model = attention_nmt_model(vocab_size=len(tokenizer))
    sources = [SENTENCES[1], SENTENCES[0], SENTENCES[2]]
    together = translate_lines(model, tokenizer, sources, batch_size=3, max_new_tokens=9)
    assert together == [translate_lines(model, tokenizer, [source], max_new_tokens=9)[0] for source in sources]


def test_scores_are_sacrebleus_with_signatures():
    references = ["Ein Hund rennt durch den Schnee.", "Zwei Kinder spielen mit einem Ball."]
    lower = [line.lower() for line in references]
    perfect, lowered = corpus_scores(references, references), corpus_scores(lower, references)
    assert [metric.value for metric in perfect] == [100.0, 100.0, 100.0]
    assert lowered[0].value == 100.0 and lowered[1].value < 100.0
    assert "case:lc" in perfect[0].signature and "case:mixed" in perfect[1].signature
    buckets = bleu_by_length(["a b c", "a " * 9], references, references)
    assert [(row["first"], row["sentences"], row["bleu_lc"]) for row in buckets] == [(1, 1, 100.0), (8, 1, 100.0)]


def test_recipes_fields_that_the_model_has_reach_it():
    from training.attention_nmt import _configuration

    recipe = dataclasses.replace(Recipe(), encoder_layers=2, label_smoothing=0.3, target_language="fr")
    config = _configuration(recipe, vocab_size=77)
    assert (config.encoder_layers, config.label_smoothing, config.target_language) == (2, 0.3, "fr")
    assert config.vocab_size == 77
    assert Evaluation().num_beams == 5


def test_several_processes_train_one_model(published, tmp_path):
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command_line = ["-m", "training", "attention-translation", *arguments(published, tmp_path / "run", epochs=1)]
    done = subprocess.run(
        [*torchrun, *command_line],
        cwd=hub.CHECKPOINTS.parent,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert hub.check(tmp_path / "run").name == "attention-translation"
    facts = json.loads((tmp_path / "run" / "training.json").read_text())
    assert facts["steps"] == 3  # 24 examples, 4 a process, two processes
