"""What is done to training speech, measured."""

import numpy as np
import pytest

from models.feature_extraction_blstm_ctc import BlstmCtcFeatureExtractor
from training.audio_augmentation import Augmentation, Augmenter, add_sound, change_speed, mask, noise

RATE = 16000


def peak_hertz(waveform: np.ndarray) -> float:
    """Return the frequency of the greatest power."""
    return float(np.abs(np.fft.rfft(waveform)).argmax() * RATE / len(waveform))


@pytest.mark.parametrize("factor", [0.9, 1.0, 1.1])
def test_speed_changes_length_and_pitch(factor):
    tone = np.sin(2 * np.pi * 500 * np.arange(16000) / RATE).astype(np.float32)
    faster = change_speed(tone, factor, RATE)
    assert len(faster) == pytest.approx(16000 / factor, abs=1) and faster.dtype == np.float32
    assert peak_hertz(faster) == pytest.approx(500 * factor, abs=2)


@pytest.mark.parametrize(("colour", "decibels_per_octave"), [("white", 0.0), ("pink", -3.01)])
def test_noise_has_its_colour(colour, decibels_per_octave):
    samples = noise(colour, 160000, np.random.default_rng(0))
    assert samples.std() == pytest.approx(0.1, rel=1e-3) and samples.dtype == np.float32
    power = np.abs(np.fft.rfft(samples)) ** 2
    octaves = [power[start : 2 * start].mean() for start in (5000, 10000, 20000, 40000)]
    slopes = np.diff(10 * np.log10(octaves))
    np.testing.assert_allclose(slopes, decibels_per_octave, atol=0.3)


def test_sound_is_added_at_its_level_and_as_power():
    extractor, generator = BlstmCtcFeatureExtractor(), np.random.default_rng(0)
    tone = np.sin(2 * np.pi * 500 * np.arange(40000) / RATE) * (np.arange(40000) % 9000 < 6000)
    speech, other = tone.astype(np.float32), noise("white", 200000, generator)
    features, others = extractor.log_mel(speech), extractor.log_mel(other)
    for ratio in (0.0, 20.0):
        mixed = add_sound(features, others, ratio, generator)
        added = np.exp(mixed.astype(np.float64)) - np.exp(features.astype(np.float64))
        found = 10 * np.log10(np.exp(features.astype(np.float64)).mean() / added.mean())
        assert found == pytest.approx(ratio, abs=0.05) and (mixed >= features).all()
    level = np.exp(features.astype(np.float64)).mean() / np.exp(others.astype(np.float64)).mean()
    together = extractor.log_mel(speech + np.float32(level**0.5) * other[: len(speech)])
    mixed = add_sound(features, others[: len(features)], 0.0, np.random.default_rng(1))
    assert abs(np.median(together - mixed)) < 0.1  # the cross term is 0 on average
    assert add_sound(features, others[:3], 10.0, generator).shape == features.shape  # repeated where it is short


def test_masks_are_random_stretches_of_zeros():
    options = Augmentation(frequency_masks=1, frequency_mask_size=12, time_masks=1, time_mask_size=20)
    generator, features = np.random.default_rng(0), np.ones((200, 80), np.float32)
    widths, covered = {"time": [], "frequency": []}, np.zeros((200, 80))
    for _ in range(2000):
        masked = mask(features, options, generator)
        widths["time"].append(np.count_nonzero(~masked.any(axis=1)))
        widths["frequency"].append(np.count_nonzero(~masked.any(axis=0)))
        covered += masked == 0
    assert features.all()  # left as it was
    assert (min(widths["time"]), max(widths["time"])) == (0, 20)
    assert (min(widths["frequency"]), max(widths["frequency"])) == (0, 12)
    assert np.mean(widths["time"]) == pytest.approx(10, abs=0.5)
    assert np.mean(widths["frequency"]) == pytest.approx(6, abs=0.3)
    assert covered.min() > 0
    short = [np.count_nonzero(~mask(features[:20], options, generator).any(axis=1)) for _ in range(200)]
    assert max(short) == 4  # a fifth of the utterance


def test_noise_and_gain_come_as_often_and_as_far_as_asked():
    sounds = [np.zeros((50, 8), np.float32)]
    options = Augmentation(noise_share=0.3, least_ratio=5, greatest_ratio=15, gain=6.0)
    augmenter, generator = Augmenter(options, sounds), np.random.default_rng(0)
    features = np.zeros((20, 8), np.float32)
    results = [augmenter.before_normalisation(features, features, generator) for _ in range(1000)]
    silent = Augmenter(Augmentation(gain=6.0), sounds)
    gains = [silent.before_normalisation(features, features, generator)[0, 0] * 10 / np.log(10) for _ in range(1000)]
    assert -6 <= min(gains) < -5.8 and 5.8 < max(gains) <= 6 and np.mean(gains) == pytest.approx(0, abs=0.4)
    assert all(result.dtype == np.float32 and result.shape == (20, 8) for result in results)
    never = Augmenter(Augmentation(), sounds)
    np.testing.assert_array_equal(never.before_normalisation(features, features, generator), features)
    loud = Augmenter(Augmentation(noise_share=0.3), sounds)
    changed = [(loud.before_normalisation(features, features, generator) > 0).all() for _ in range(1000)]
    assert np.mean(changed) == pytest.approx(0.3, abs=0.05)


def test_silence_is_noise_at_many_levels_or_nothing_at_all():
    generator = np.random.default_rng(0)
    sounds = [generator.normal(size=(50, 4)).astype(np.float32)]
    augmenter = Augmenter(Augmentation(silence_share=0.3), sounds)
    assert 250 < sum(augmenter.is_silent(generator) for _ in range(1000)) < 350
    assert not any(Augmenter(Augmentation(), sounds).is_silent(generator) for _ in range(100))

    made = [augmenter.silence(120, 4, generator) for _ in range(300)]
    assert {one.shape for one in made} == {(120, 4)} and {one.dtype for one in made} == {np.dtype(np.float32)}
    digital = [one for one in made if (one == augmenter.silent).all()]
    assert 40 < len(digital) < 80
    levels = [one.mean() for one in made if one.min() > augmenter.silent]
    assert min(levels) < -15 and max(levels) > -3
