"""What is done to training speech so that there is more of it: speed, gain, noise and masks; and silence, to know it.

Speed is changed on the waveform, once. All else is done anew each time, on log-mel features before they are normalised
(gain, noise) or after (masks). Noise is added as power; the cross term of the two sounds, which is 0 on average, is
left out.

References:
    Speed: Ko et al. 2015, "Audio augmentation for speech recognition".
    Masks: Park et al. 2019, SpecAugment (arXiv:1904.08779), without the time warp.

Names of dimensions in this file:
    samples   of a waveform
    frames    of an utterance
    features  log-mel coefficients of a frame
"""

from dataclasses import dataclass

import numpy as np
import soxr

NOISE_SECONDS = 20.0
DECIBELS_PER_NAT = 10 / np.log(10)
SWELL, SWELL_FRAMES = 4.0, 25
"""Decibels, the deviation of a silence's noise from its level; and frames from one to the next, about."""


@dataclass(frozen=True)
class Augmentation:
    """How much is done; the defaults do nothing."""

    noise_share: float = 0.0
    """How often noise is added."""
    background_share: float = 0.0
    """How often another clip is added."""
    least_ratio: float = 10.0
    """Decibels of the speech above what is added; drawn evenly between the two."""
    greatest_ratio: float = 30.0
    gain: float = 0.0
    """Decibels, up or down at most; of no effect where each utterance is normalised by itself."""
    frequency_masks: int = 0
    frequency_mask_size: int = 15
    """Coefficients at most."""
    time_masks: int = 0
    time_mask_size: int = 10
    """Frames at most."""
    time_mask_share: float = 0.2
    """Of the utterance, at most, in one mask."""
    silence_share: float = 0.0
    """How often nothing is said: a clip gives way to noise, or to digital silence, with no transcript."""
    digital_silence_share: float = 0.2
    """Of those."""
    least_level: float = -80.0
    """Decibels of the noise where nothing is said, relative to what was made beforehand; drawn between the two."""
    greatest_level: float = 0.0


def change_speed(waveform: np.ndarray, factor: float, sampling_rate: int) -> np.ndarray:
    """Play float32 (samples) `factor` times as fast; pitch and formants rise with it."""
    return waveform if factor == 1.0 else soxr.resample(waveform, sampling_rate * factor, sampling_rate)


def noise(colour: str, num_samples: int, generator: np.random.Generator) -> np.ndarray:
    """Return float32 (samples) of standard deviation 0.1: "white", or "pink" with a power of 1 / frequency."""
    spectrum = np.fft.rfft(generator.standard_normal(num_samples))
    if colour == "pink":
        spectrum /= np.sqrt(np.maximum(np.arange(len(spectrum)), 1))
    samples = np.fft.irfft(spectrum, num_samples)
    return (0.1 * samples / samples.std()).astype(np.float32)


def add_sound(
    features: np.ndarray, other: np.ndarray, ratio_decibels: float, generator: np.random.Generator
) -> np.ndarray:
    """Add another sound at a level below the speech.

    Args:
        features: float32 (frames, features), not normalised.
        other: the same of the other sound, of any length; a random stretch of it, repeated if it is too short.
        ratio_decibels: mean power of the speech over that of the other sound, both after the mel filters.
        generator: draws the stretch.
    """
    start = generator.integers(len(other))
    stretch = other[np.arange(start, start + len(features)) % len(other)]
    level = _mean_power(features) - _mean_power(stretch) - ratio_decibels / DECIBELS_PER_NAT
    return np.logaddexp(features, stretch + level).astype(np.float32)


def _mean_power(features: np.ndarray) -> float:
    """Return the logarithm of the mean power."""
    return float(np.log(np.exp(features.astype(np.float64)).mean()))


def mask(features: np.ndarray, options: Augmentation, generator: np.random.Generator) -> np.ndarray:
    """Set random stretches of time and bands of frequency to 0, the mean.

    Args:
        features: float32 (frames, features), normalised, without padding; left as it is.
        options: how many masks and how wide; each width is drawn evenly from 0 on.
        generator: draws the masks.
    """
    masked = features.copy()
    num_frames, num_features = features.shape
    widest = min(options.time_mask_size, int(options.time_mask_share * num_frames))
    for _ in range(options.time_masks):
        start, width = _stretch(num_frames, widest, generator)
        masked[start : start + width] = 0.0
    for _ in range(options.frequency_masks):
        start, width = _stretch(num_features, min(options.frequency_mask_size, num_features), generator)
        masked[:, start : start + width] = 0.0
    return masked


def _stretch(size: int, widest: int, generator: np.random.Generator) -> tuple[int, int]:
    width = int(generator.integers(widest + 1))
    return int(generator.integers(size - width + 1)), width


class Augmenter:
    """Does to log-mel features what `Augmentation` says, with noises that were made beforehand."""

    def __init__(self, options: Augmentation, noises: list[np.ndarray], mel_floor: float = 1e-10):
        """Prepare.

        Args:
            options: how much is done.
            noises: float32 (frames, features) of each, not normalised.
            mel_floor: least power of a mel filter, as in the feature extractor.
        """
        self.options = options
        self.noises = noises
        self.silent = np.float32(np.log(mel_floor))

    def before_normalisation(
        self, features: np.ndarray, background: np.ndarray, generator: np.random.Generator
    ) -> np.ndarray:
        """Change the level, and add noise or another clip at random.

        Args:
            features: float32 (frames, features), not normalised.
            background: the same of another clip.
            generator: of all that is random.
        """
        options = self.options
        for share, sounds in ((options.noise_share, self.noises), (options.background_share, [background])):
            if generator.random() < share:
                ratio = generator.uniform(options.least_ratio, options.greatest_ratio)
                features = add_sound(features, sounds[generator.integers(len(sounds))], ratio, generator)
        return features + np.float32(generator.uniform(-options.gain, options.gain) / DECIBELS_PER_NAT)

    def is_silent(self, generator: np.random.Generator) -> bool:
        """Draw whether nothing is said in the next example."""
        return generator.random() < self.options.silence_share

    def silence(self, num_frames: int, num_features: int, generator: np.random.Generator) -> np.ndarray:
        """Make features of a recording in which nobody speaks: float32 (frames, features), not normalised.

        Noise swells and falls slowly, so that what grows louder is not taken for speech.

        Args:
            num_frames: how long it lasts.
            num_features: coefficients of a frame.
            generator: of all that is random.
        """
        options = self.options
        if generator.random() < options.digital_silence_share:
            return np.full((num_frames, num_features), self.silent)
        sound = self.noises[generator.integers(len(self.noises))]
        start = generator.integers(len(sound))
        stretch = sound[np.arange(start, start + num_frames) % len(sound)]
        level = generator.uniform(options.least_level, options.greatest_level)
        marks = generator.normal(scale=SWELL, size=2 + num_frames // SWELL_FRAMES)
        swell = np.interp(np.linspace(0, len(marks) - 1, num_frames), np.arange(len(marks)), marks)
        louder = (level + swell) / DECIBELS_PER_NAT
        return np.maximum(stretch + louder[:, np.newaxis], self.silent).astype(np.float32)

    def after_normalisation(self, features: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Mask time and frequency in float32 (frames, features), normalised."""
        return mask(features, self.options, generator)
