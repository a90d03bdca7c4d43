"""What the shipped checkpoints promise: complete, measured, and as good as their cards say."""

import json

import numpy as np
import pytest
from huggingface_hub import ModelCard

import hub
from demo.examples import SAMPLES as FILES
from pipelines import pipeline
from tasks import TASKS

SHIPPED = [(task, name) for task in TASKS.values() for name in task.checkpoints]
BY_HEART = {
    "attention-nmt-en-de": ("A dog is running in the snow.", "Ein Hund rennt im Schnee."),
    "attention-nmt-en-fr": ("A dog is running in the snow.", "Un chien court dans la neige."),
}
"""Sentences so plain that a translation which differs in a word would be a fault."""


@pytest.mark.parametrize(("task", "name"), SHIPPED, ids=[name for _, name in SHIPPED])
class TestShipped:
    def test_it_is_complete(self, task, name):
        folder = hub.CHECKPOINTS / name
        assert hub.check(folder) is task
        assert {"README.md", "evaluation.json", "training.json"} <= {file.name for file in folder.iterdir()}
        facts = json.loads((folder / "training.json").read_text())
        assert {"options", "data", "hours", "device", "software", "parameters", "learning_curve"} <= set(facts)

    def test_the_card_gives_what_was_measured(self, task, name):
        card = ModelCard.load(hub.CHECKPOINTS / name / "README.md")
        measured = {(m["title"], m["value"], m["signature"]) for m in hub.facts(hub.CHECKPOINTS / name)["metrics"]}
        assert {(r.metric_name, r.metric_value, r.metric_config) for r in card.data.eval_results} == measured
        assert card.data.pipeline_tag == task.hub_pipeline_tag and card.data.license_name


@pytest.mark.parametrize("name", sorted(BY_HEART))
def test_plain_sentences_are_translated_right(name):
    source, target = BY_HEART[name]
    pipe = pipeline("attention-translation", model=name, device="cpu")
    assert pipe(source)[0]["translation_text"] == target
    assert pipe(source, num_beams=1)[0]["translation_text"] == target


def test_everyday_sentences_are_translated_whatever_their_language():
    pipe = pipeline("attention-translation", model="attention-nmt-tatoeba", device="cpu")
    for text, language, translation in (
        ("Wo ist der Bahnhof?", None, "Where is the station?"),
        ("Elle a peur du chien.", None, "She is afraid of the dog."),
        ("I am tired.", "de", "Ich bin müde."),
        ("I am tired.", "fr", "Je suis fatigué."),
    ):
        (best,) = pipe(text, tgt_lang=language, return_evidence=True)
        assert best["translation_text"] == translation and not best["evidence"]["unfamiliar"]
        assert best["evidence"]["direction"].endswith(language or "-en")


def test_evidence_of_speech_is_exact_where_the_quick_answer_is_rounded():
    quick, exact = (pipeline("ctc-transcription", device="cpu", runtime=runtime) for runtime in ("onnx", "torch"))
    recordings = sorted(map(str, FILES.glob("an4*.flac")))
    for ours, theirs in zip(*(pipe(recordings, return_evidence=True) for pipe in (quick, exact)), strict=True):
        (ours,), (theirs,) = ours, theirs
        posteriors, expected = (np.exp(one["evidence"]["log_probabilities"]) for one in (ours, theirs))
        assert np.abs(posteriors - expected).max() < 1e-4
        assert ours["text"] == theirs["text"] and ours["evidence"]["alignment"] == theirs["evidence"]["alignment"]
    (aligned,) = [quick.align(recordings[0], quick(recordings[0], return_evidence=True)[0]["text"])]
    assert aligned["evidence"] == quick(recordings[0], return_evidence=True)[0]["evidence"]


SAMPLES = {
    "skateboarder.jpg": ("boy", "man", "person"),
    "tennis.jpg": ("player", "man", "woman"),
}
"""Words of which the caption of a picture must have one: no more is to be asked of 6,000 training pictures."""


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_people_are_seen_in_plain_pictures(name):
    pipe = pipeline("captioning", device="cpu")
    (result,) = pipe(hub.CHECKPOINTS.parent / "demo" / "samples" / name, return_evidence=True)
    assert any(word in result["generated_text"] for word in SAMPLES[name]), result["generated_text"]
    assert result["evidence"]["grid"] == [7, 7]
