"""The speech recogniser's evaluation, on a tiny network and made-up clips."""

import itertools
import json
import random

import numpy as np
import pytest

import training.blstm_ctc_evaluation as evaluation
from pipelines import pipeline
from tasks import TASKS
from training.blstm_ctc import LanguageModelFile, build_tokenizer
from training.blstm_ctc_evaluation import Evaluation, bootstrap, confidences_of, listen
from training.evaluate import evaluate
from training.export import save_checkpoint
from training.transcribed_speech import load_split
from training.word_language_model import train_word_ngrams

from .sounds import encoded
from .tiny import BlstmCtcFeatureExtractor, blstm_ctc_model

TASK = TASKS["ctc-transcription"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Write clips of noise with transcripts, four a split."""
    folder, generator = tmp_path_factory.mktemp("speech"), random.Random(0)
    rows = []
    for index, split in enumerate(
        itertools.chain.from_iterable([name] * 4 for name in ("train", "validation", "test"))
    ):
        noise = np.random.default_rng(index).normal(scale=0.1, size=16000 + 1600 * index)
        (folder / f"c{index}.wav").write_bytes(encoded(noise.astype(np.float32)))
        text = " ".join(generator.choices(["HD", "DH", "TH"], k=3))
        rows.append({"id": f"c{index}", "audio": f"c{index}.wav", "speaker": f"s{index % 2}", "transcript": text})
        rows[-1]["split"] = split
    (folder / "manifest.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return [str(folder)]


@pytest.fixture
def folder(data, tmp_path):
    """Save a tiny checkpoint with a language model."""
    words = LanguageModelFile(train_word_ngrams(load_split(data, "train").transcripts, order=2))
    tokenizer = build_tokenizer(tmp_path / "vocabulary")
    model, extractor = blstm_ctc_model(vocab_size=len(tokenizer)), BlstmCtcFeatureExtractor(feature_size=6)
    save_checkpoint(tmp_path / "tiny", TASK, model, [tokenizer, extractor, words], {"options": {"seed": 1}})
    return tmp_path / "tiny"


def test_it_measures_tunes_and_writes_a_card(data, folder, monkeypatch):
    monkeypatch.setattr(evaluation, "LANGUAGE_MODEL_WEIGHTS", (0.5, 1.0))
    monkeypatch.setattr(evaluation, "WORD_BONUSES", (0.0, 1.0))
    monkeypatch.setattr(evaluation, "RESAMPLES", 20)
    monkeypatch.setattr(evaluation, "LONG_SECONDS", 40)
    measured = evaluate(folder, Evaluation(data=data, tune=True))

    assert [metric["title"] for metric in measured["metrics"]] == [
        f"{kind} %, {search}" for search in ("best path", "language model") for kind in ("WER", "CER")
    ]
    assert json.loads((folder / "evaluation.json").read_text())["clips"] == 4
    configuration = json.loads((folder / "config.json").read_text())
    assert configuration["decoding"]["num_beams"] == evaluation.NUM_BEAMS
    assert set(configuration["confidence_temperatures"]) == {"best_path", "beam_search"}
    for search in measured["searches"].values():
        low, high = search["intervals_95"]["wer"]
        assert low <= search["wer"] <= high and set(search["wer_by_speaker"]) == {"s0", "s1"}
    long = measured["long_recording"]
    assert long["words_that_differ"] == 0 and long["greatest_difference_of_a_probability"] < 1e-3
    card = (folder / "README.md").read_text()
    assert "| test | best path |" in card and "Computing for a second of sound" in card
    tuned = pipeline(TASK.name, model=str(folder), device="cpu")
    assert tuned.model.config.decoding == configuration["decoding"]


def test_the_bootstrap_holds_the_rate_and_narrows_with_more_clips():
    clips = np.tile([[1, 4, 2, 10], [0, 4, 0, 10]], (8, 1))
    low, high = bootstrap(clips, seed=0)["wer"]
    assert low < 12.5 < high
    narrow = bootstrap(np.tile(clips, (16, 1)), seed=0)["wer"]
    assert narrow[1] - narrow[0] < (high - low) / 2
    assert bootstrap(clips, seed=0) == bootstrap(clips, seed=0)


def test_a_confidence_for_each_recognised_word(data, folder):
    pipe = pipeline(TASK.name, model=str(folder), device="cpu")
    heard = listen(pipe, load_split(data, "test"))
    transcripts = [pipe.transcriber.transcribe(one, evaluation.DecodingOptions())[0] for one in heard.log_probabilities]
    confidences, correct = confidences_of(transcripts, [transcripts[0].text, *["X"] * 3])
    assert len(confidences) == len(correct) == sum(len(transcript.words) for transcript in transcripts)
    assert correct == [True] * len(transcripts[0].words) + [False] * (len(correct) - len(transcripts[0].words))
