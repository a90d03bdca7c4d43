"""What is particular to pipeline("ctc-transcription"); tests/test_pipelines.py has what every pipeline promises."""

import base64
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import transformers

import pipelines.__main__ as command
from models.ctc import collapse
from models.feature_extraction_blstm_ctc import BlstmCtcFeatureExtractor
from pipelines import InputError, pipeline, pipeline_ctc_transcription
from pipelines.ctc_beam_search import DecodingOptions
from pipelines.ctc_confidence import word_posteriors
from pipelines.long_audio import log_probabilities_of
from pipelines.pipeline_ctc_transcription import LANGUAGE_MODEL_FILE
from tasks import TASKS
from training.blstm_ctc import LanguageModelFile, build_tokenizer
from training.export import save_checkpoint
from training.word_language_model import train_word_ngrams

from .tiny import TINY, blstm_ctc_model

TASK = TASKS["ctc-transcription"]
RECORDING = TINY[TASK.name].inputs[2]
ROOT = Path(__file__).parents[1]


def load(folder: Path, *further, **options):
    """Save a tiny model, with what else belongs to its checkpoint, and load it as a user would."""
    tokenizer = build_tokenizer(folder / "vocabulary")
    streams = {"feature_means": [-10.0] * 6, "feature_deviations": [4.0] * 6} if "bidirectional" in options else {}
    extractor = BlstmCtcFeatureExtractor(feature_size=6, **streams)
    model = blstm_ctc_model(vocab_size=len(tokenizer), **options)
    save_checkpoint(folder / "tiny", TASK, model, [tokenizer, extractor, *further], {})
    return pipeline(TASK.name, model=str(folder / "tiny"), device="cpu")


@pytest.fixture(scope="module")
def listen(tmp_path_factory):
    return load(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def listen_with_words(tmp_path_factory):
    """A checkpoint that has a language model and decodes with it."""
    words = LanguageModelFile(train_word_ngrams(["HD DH", "DH HD HD", "TH HD"], order=2))
    decoding = {"num_beams": 8, "language_model_weight": 1.0, "word_bonus": 0.5}
    return load(tmp_path_factory.mktemp("words"), words, decoding=decoding)


def written(evidence: dict) -> str:
    """Return what an alignment writes."""
    return "".join(evidence["labels"][label] for label in collapse(evidence["alignment"], 0))


class TestResults:
    def test_one_beam_is_the_best_path(self, listen):
        (result,) = listen(RECORDING, num_beams=1, return_evidence=True)
        evidence = result["evidence"]
        best = np.argmax(evidence["log_probabilities"], axis=1).tolist()
        text = "".join(evidence["labels"][label] for label in collapse(best, 0))
        assert result["text"] == " ".join(text.split()) == written(evidence)
        assert evidence["alignment"] == best
        assert result["score_parts"] == {"acoustic": result["score"]}

    @pytest.mark.parametrize("options", [{"num_beams": 1}, {"num_beams": 5, "num_return_sequences": 5}])
    def test_the_evidence_belongs_to_its_text(self, listen_with_words, options):
        results = listen_with_words(RECORDING, return_evidence=True, **options)
        assert len({result["text"] for result in results}) == len(results)
        for result in results:
            evidence = result["evidence"]
            assert written(evidence) == result["text"]
            log_probabilities = torch.tensor(evidence["log_probabilities"])
            assert torch.allclose(log_probabilities.exp().sum(dim=1), torch.ones(len(log_probabilities)), atol=1e-5)
            assert len(evidence["alignment"]) == len(log_probabilities)
            assert evidence["frame_seconds"] == 0.04
            assert result["score"] == pytest.approx(sum(result["score_parts"].values()))
        assert [result["score"] for result in results] == sorted((r["score"] for r in results), reverse=True)

    def test_words_and_characters_have_times(self, listen_with_words):
        words, characters = (
            listen_with_words(RECORDING, return_timestamps=unit, return_evidence=True)[0] for unit in ("word", "char")
        )
        assert " ".join(chunk["text"] for chunk in words["chunks"]) == words["text"] != ""
        assert "".join(chunk["text"] for chunk in characters["chunks"]) == words["text"]
        for result in (words, characters):
            times = [time for chunk in result["chunks"] for time in chunk["timestamp"]]
            assert times == sorted(times) and times[0] >= 0 and times[-1] <= 1.2
            assert all(0 <= chunk["confidence"] <= 1 for chunk in result["chunks"])
        first = next(step for step, label in enumerate(words["evidence"]["alignment"]) if label)
        assert words["chunks"][0]["timestamp"][0] == pytest.approx(first * 0.04)

    def test_the_hubs_truth_values_for_timestamps(self, listen):
        assert listen(RECORDING, return_timestamps=True) == listen(RECORDING)
        assert "chunks" not in listen(RECORDING, return_timestamps=False)[0]

    def test_a_words_confidence_is_the_posterior_of_its_hypotheses(self, listen):
        options = DecodingOptions(num_beams=64, lexicon=frozenset({"HD", "DH"}))
        (log_probabilities,) = listen.listen([listen.check_input(RECORDING)])
        found = listen.transcriber.hypotheses(log_probabilities, options)
        expected = word_posteriors([one.words for one in found], [one.score for one in found], 1.0)
        (result,) = listen(RECORDING, num_beams=64, lexicon=["HD DH"])
        assert [chunk["confidence"] for chunk in result["chunks"]] == pytest.approx(expected)
        assert len(found) > 1 and min(expected) > 0


class TestSearch:
    def test_a_hot_word_is_heard(self, listen):
        plain = listen(RECORDING)[0]["text"]
        other = listen(RECORDING, num_return_sequences=8)[7]["text"]
        assert other != plain
        hot = listen(RECORDING, hot_words=[other.lower()], hot_word_weight=50, return_evidence=True)[0]
        assert hot["text"] == other and hot["score_parts"]["hot_words"] == 50

    def test_nothing_outside_the_lexicon_is_heard(self, listen):
        for result in listen(RECORDING, lexicon=["hd dh", "TDH"], num_beams=64, num_return_sequences=8):
            assert set(result["text"].split()) <= {"HD", "DH", "TDH"}

    def test_the_checkpoints_language_model_counts(self, listen_with_words):
        (result,) = listen_with_words(RECORDING, return_evidence=True)
        parts = result["score_parts"]
        assert parts["language_model"] < 0 and parts["word_bonus"] == 0.5 * len(result["text"].split())
        without = listen_with_words(RECORDING, language_model_weight=0, word_bonus=0, return_evidence=True)[0]
        assert without["score_parts"]["language_model"] == 0

    def test_a_saved_pipeline_keeps_its_language_model(self, listen_with_words, tmp_path):
        listen_with_words.save_pretrained(tmp_path)
        assert (tmp_path / LANGUAGE_MODEL_FILE).is_file()
        assert pipeline(TASK.name, model=str(tmp_path), device="cpu")(RECORDING) == listen_with_words(RECORDING)

    def test_without_the_package_there_is_the_best_path(self, listen, monkeypatch):
        monkeypatch.setitem(sys.modules, "ctc_beam_decoder", None)
        monkeypatch.setattr(pipeline_ctc_transcription.importlib.util, "find_spec", lambda name: None)
        (result,) = listen(RECORDING)
        assert result.pop("notices") == [pipeline_ctc_transcription.NO_BEAM_SEARCH]
        assert [result] == listen(RECORDING, num_beams=1)

    @pytest.mark.parametrize(
        ("options", "field", "sentence"),
        [
            ({"language_model_weight": 1.0}, "language_model_weight", "no language model"),
            ({"num_beams": 2, "num_return_sequences": 3}, "num_return_sequences", "at most num_beams, 2; got 3"),
            ({"num_beams": 1, "hot_words": "HD"}, "hot_words", "needs a beam search"),
            ({"num_beams": 1, "lexicon": "HD"}, "lexicon", "needs a beam search"),
            ({"hot_words": ["naïve"]}, "hot_words", "in the letters ABC"),
            ({"lexicon": " "}, "lexicon", "in the letters"),
            ({"return_timestamps": "sentence"}, "return_timestamps", "one of word, char, none"),
        ],
    )
    def test_what_contradicts_itself_is_refused(self, listen, options, field, sentence):
        with pytest.raises(InputError, match=sentence) as caught:
            listen(RECORDING, **options)
        assert caught.value.field == field


class TestAlign:
    def test_a_text_that_was_found_is_where_it_was_found(self, listen):
        found = listen(RECORDING, num_beams=1, return_evidence=True)[0]
        assert listen.align(RECORDING, found["text"].lower()) == found

    def test_any_text_can_be_aligned(self, listen):
        result = listen.align(RECORDING, "AB BA", return_timestamps="char")
        assert written(result["evidence"]) == "AB BA" == "".join(chunk["text"] for chunk in result["chunks"])

    @pytest.mark.parametrize(
        ("text", "sentence"), [("A" * 40, "too short"), ("ÄB", "letters"), ("", "empty"), ("A" * 10_001, "10,000")]
    )
    def test_what_cannot_be_aligned(self, listen, text, sentence):
        with pytest.raises(InputError, match=sentence):
            listen.align(RECORDING, text)


class TestRecordings:
    def test_a_path_bytes_and_an_array_are_one(self, listen, tmp_path):
        path = tmp_path / "recording.wav"
        path.write_bytes(RECORDING)
        samples, rate = soundfile.read(path, dtype="float32")
        expected = listen(RECORDING)
        assert listen(str(path)) == listen(path) == listen({"raw": samples, "sampling_rate": rate}) == expected

    @pytest.mark.parametrize("level", [0.0, 1e-5])
    def test_silence_is_answered_with_numbers(self, listen, level):
        noise = level * np.random.default_rng(0).normal(size=16000)
        (result,) = listen({"raw": noise, "sampling_rate": 16000}, return_evidence=True)
        assert np.isfinite(result["evidence"]["log_probabilities"]).all() and np.isfinite(result["score"])

    def test_one_sample(self, listen):
        (result,) = listen({"raw": [0.5], "sampling_rate": 16000}, return_evidence=True)
        assert len(result["evidence"]["alignment"]) == 1

    def test_what_was_not_used_is_said(self, listen):
        stereo = np.stack([np.ones(16000), np.zeros(16000)], axis=1) * 0.1
        (result,) = listen({"raw": stereo, "sampling_rate": 16000})
        assert "channels" in result["notices"][0]
        assert "notices" not in listen(RECORDING)[0]

    def test_no_text_of_a_request_is_a_path(self, listen, tmp_path):
        path = tmp_path / "recording.wav"
        path.write_bytes(RECORDING)
        with pytest.raises(InputError, match="base64"):
            listen.serve(str(path))
        encoded = base64.b64encode(RECORDING).decode()
        best = listen.serve(encoded, {"num_return_sequences": 3})
        first, *others = listen(RECORDING, num_return_sequences=3)
        assert best == first | {"alternatives": others}
        assert listen.serve([encoded]) == [listen(RECORDING)[0]]

    def test_the_command_line_reads_a_file(self, listen, tmp_path, capsys):
        path = tmp_path / "recording.wav"
        path.write_bytes(RECORDING)
        assert command.main([TASK.name, str(path), "--model", listen.model.name_or_path, "--num-beams", "1"]) == 0
        assert json.loads(capsys.readouterr().out)[0]["text"] == listen(RECORDING, num_beams=1)[0]["text"]


class TestSession:
    def test_it_writes_what_the_whole_recording_would_give(self, tmp_path):
        listen = load(tmp_path, bidirectional=False)
        samples = np.random.default_rng(1).normal(scale=0.1, size=16000).astype(np.float32)
        session = listen.session()
        for start in range(0, len(samples), 999):
            session.feed(samples[start : start + 999])
        (whole,) = listen({"raw": samples, "sampling_rate": 16000}, num_beams=1)
        assert session.finish().text == whole["text"] != ""

    def test_a_network_that_reads_both_ways_cannot(self, listen):
        with pytest.raises(InputError, match="reads both ways"):
            listen.session()


@pytest.fixture(scope="module")
def shipped():
    return pipeline(TASK.name, device="cpu")


class TestShipped:
    """The checkpoint that `pipeline("ctc-transcription")` loads."""

    def test_the_stock_task_hears_the_best_path(self, shipped):
        stock = transformers.pipeline("automatic-speech-recognition", model=shipped.model.name_or_path, device="cpu")
        for path in sorted((ROOT / "demo/samples").glob("*.flac")):
            (ours,) = shipped(str(path), num_beams=1)
            sound = shipped.check_input(path)
            theirs = stock({"raw": sound.waveform, "sampling_rate": 16000}, return_timestamps="word")
            assert " ".join(theirs["text"].split()) == ours["text"] != ""  # theirs keeps gaps between no words
            assert [chunk["text"] for chunk in theirs["chunks"]] == [chunk["text"] for chunk in ours["chunks"]]

    @pytest.mark.parametrize("seconds", [0.2, 2.0, 12.0])
    def test_nothing_is_heard_in_silence(self, shipped, seconds):
        (result,) = shipped({"raw": np.zeros(round(16000 * seconds)), "sampling_rate": 16000})
        assert result["text"] == "" and result["chunks"] == []

    @pytest.mark.parametrize("level", [1e-4, 1e-3, 1e-2])
    def test_nothing_is_heard_in_noise(self, shipped, level):
        noise = np.random.default_rng(0).normal(scale=level, size=32000)
        assert shipped({"raw": noise, "sampling_rate": 16000})[0]["text"] == ""

    def test_a_long_recording_is_the_sum_of_its_clips(self, shipped):
        clips = [shipped.check_input(path) for path in sorted((ROOT / "demo/samples").glob("an4*.flac"))] * 8
        waveform = np.concatenate([clip.waveform for clip in clips])
        assert len(waveform) > 60 * 16000
        whole = log_probabilities_of(shipped.network, shipped.feature_extractor, [waveform], chunk_seconds=1000)[0]
        expected = shipped.transcriber.transcribe(whole, DecodingOptions(num_beams=1))[0].text
        (result,) = shipped({"raw": waveform, "sampling_rate": 16000}, num_beams=1)
        assert result["text"] == expected
        assert result["chunks"][-1]["timestamp"][1] <= len(waveform) / 16000
