"""Log-mel features against their definition, and on bad sound."""

import json
import math

import numpy as np
import pytest
import torch
from transformers.audio_utils import spectrogram

from models import feature_extraction_blstm_ctc as module
from models.feature_extraction_blstm_ctc import BlstmCtcFeatureExtractor

SMALL = {"feature_size": 4, "sampling_rate": 1000, "window_length": 20, "hop_length": 8, "fft_length": 32}


def sound(num_samples: int, seed: int = 0, level: float = 0.1) -> np.ndarray:
    """Return noise, float32 (samples)."""
    return (level * np.random.default_rng(seed).standard_normal(num_samples)).astype(np.float32)


def mel(hertz: float) -> float:
    """Kaldi's mel scale."""
    return 1127 * math.log(1 + hertz / 700)


def log_mel_by_definition(waveform: np.ndarray) -> list[list[float]]:
    """Follow Kaldi's feature-window.cc and mel-computations.cc with loops, for `SMALL`."""
    edges = np.linspace(mel(20), mel(500), 6)
    frames = []
    for start in range(0, len(waveform) - 20 + 1, 8):
        samples = [float(sample) for sample in waveform[start : start + 20]]
        samples = [sample - sum(samples) / 20 for sample in samples]
        samples = [sample - 0.97 * samples[max(index - 1, 0)] for index, sample in enumerate(samples)]
        window = [(0.5 - 0.5 * math.cos(2 * math.pi * index / 19)) ** 0.85 for index in range(20)]
        samples = [sample * weight for sample, weight in zip(samples, window, strict=True)]
        coefficients = [0.0] * 4
        for frequency in range(17):
            turns = [-2j * math.pi * frequency * index / 32 for index in range(20)]
            power = abs(sum(sample * np.exp(turn) for sample, turn in zip(samples, turns, strict=True))) ** 2
            place = mel(frequency * 1000 / 32)
            for index in range(4):
                left, centre, right = edges[index : index + 3]
                rising, falling = (place - left) / (centre - left), (right - place) / (right - centre)
                coefficients[index] += power * max(0.0, min(rising, falling))
        frames.append([math.log(max(coefficient, 1e-10)) for coefficient in coefficients])
    return frames


def test_features_equal_their_definition():
    waveform = sound(70)
    features = BlstmCtcFeatureExtractor(**SMALL).log_mel(waveform)
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, log_mel_by_definition(waveform), rtol=0, atol=1e-5)


def test_features_equal_transformers_frame_by_frame_ones(monkeypatch):
    monkeypatch.setattr(module, "FRAMES_AT_ONCE", 7)
    extractor, waveform = BlstmCtcFeatureExtractor(), sound(8123)
    expected = spectrogram(
        waveform,
        extractor.window,
        frame_length=400,
        hop_length=160,
        fft_length=512,
        power=2.0,
        center=False,
        preemphasis=0.97,
        mel_filters=extractor.mel_filters,
        log_mel="log",
        remove_dc_offset=True,
    )
    features = extractor.log_mel(waveform)
    assert features.shape == (extractor.num_frames(8123), 80)
    np.testing.assert_allclose(features, expected.T, rtol=0, atol=1e-4)


def test_each_utterance_is_normalised_whatever_its_level():
    extractor, waveform = BlstmCtcFeatureExtractor(), sound(5000)
    loud, quiet = (extractor(level * waveform, 16000)["input_features"][0] for level in (1.0, 0.01))
    np.testing.assert_allclose(loud.mean(axis=0), np.zeros(80), atol=1e-5)
    np.testing.assert_allclose(loud.std(axis=0), np.ones(80), atol=1e-4)
    np.testing.assert_allclose(loud, quiet, atol=1e-3)


def test_what_is_cut_to_zero_looks_like_a_quiet_room():
    waveform = np.concatenate([sound(4000), np.zeros(4000, np.float32)])
    extractor = BlstmCtcFeatureExtractor()
    levels = extractor.log_mel(waveform)
    assert levels.max() - levels.min() > 20
    apart = extractor.normalise(levels)[:20].mean() - extractor.normalise(levels)[-20:].mean()
    assert 1.5 < apart < 2.5


@pytest.mark.parametrize("num_samples", [1, 399, 400, 560, 16000])
@pytest.mark.parametrize("level", [0.0, 0.1])
def test_silence_and_what_is_shorter_than_a_window_give_numbers(num_samples, level):
    features = BlstmCtcFeatureExtractor()(sound(num_samples, level=level), 16000, return_tensors="pt")
    expected_frames = 1 + max(0, num_samples - 400) // 160
    assert features["input_features"].shape == (1, expected_frames, 80)
    assert features["input_features"].isfinite().all() and features["input_features"].abs().max() < 50
    assert level > 0 or not features["input_features"].any()


def test_a_batch_is_padded_and_masked():
    extractor, waveforms = BlstmCtcFeatureExtractor(), [sound(1000), sound(3000)]
    batch = extractor(waveforms, sampling_rate=16000, return_tensors="pt")
    assert batch["input_features"].dtype == torch.float32 and batch["attention_mask"].dtype == torch.bool
    assert batch["attention_mask"].sum(dim=1).tolist() == [4, 17]
    alone = extractor(waveforms[0].tolist(), 16000, return_tensors="pt")["input_features"][0]
    torch.testing.assert_close(batch["input_features"][0, :4], alone)
    assert not batch["input_features"][0, 4:].any()
    longer = extractor(torch.from_numpy(waveforms[0]), 16000, padding="max_length", max_length=9, return_tensors="np")
    assert longer["input_features"].shape == (1, 9, 80) and longer["attention_mask"].sum() == 4
    assert "attention_mask" not in extractor(waveforms[0], 16000, return_attention_mask=False)


def test_statistics_of_the_training_data_can_normalise_instead():
    means, deviations = [float(n) for n in range(80)], [2.0] * 80
    extractor = BlstmCtcFeatureExtractor(feature_means=means, feature_deviations=deviations)
    waveform = sound(2000)
    features = extractor(waveform, 16000)["input_features"][0]
    np.testing.assert_allclose(features, (extractor.log_mel(waveform) - np.arange(80)) / 2, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(extractor(waveform[:1200], 16000)["input_features"][0], features[:6], atol=1e-5)
    with pytest.raises(ValueError, match="belong together"):
        BlstmCtcFeatureExtractor(feature_means=means)


@pytest.mark.parametrize(
    ("waveform", "rate", "message"),
    [
        (sound(500), 8000, r"audio at 16000 Hz; got sampling_rate=8000\. Resample to 16000 Hz"),
        (sound(500), None, "got sampling_rate=None"),
        (np.zeros((2, 500), np.float32), 16000, r"mono waveform.*shape \(2, 500\)"),
        (np.zeros(0, np.float32), 16000, "no samples"),
        ([], 16000, "no samples"),
        ([sound(500), np.zeros(0, np.float32)], 16000, "no samples"),
        (np.zeros(500, np.int16), 16000, "got int16: divide 16 bits by 32768"),
        (np.full(500, np.nan, np.float32), 16000, "not a number"),
        (np.full(500, np.inf, np.float32), 16000, "infinite"),
    ],
)
def test_bad_sound_is_refused(waveform, rate, message):
    with pytest.raises(ValueError, match=message):
        BlstmCtcFeatureExtractor()(waveform, rate)


def test_saved_and_loaded_it_makes_the_same_features(tmp_path):
    extractor = BlstmCtcFeatureExtractor(feature_size=40, dynamic_range=12.0)
    extractor.save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "preprocessor_config.json").read_text())
    assert saved["dynamic_range"] == 12.0 and "mel_filters" not in saved and "window" not in saved
    loaded, waveform = BlstmCtcFeatureExtractor.from_pretrained(tmp_path), sound(3000)
    first, second = (each(waveform, 16000)["input_features"][0] for each in (extractor, loaded))
    np.testing.assert_array_equal(first, second)
