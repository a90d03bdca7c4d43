"""From sound to what the speech recogniser reads: log-mel features, normalised.

They are Kaldi's filter bank features (compute-fbank-feats) without dither, on samples between -1 and 1.

Names of dimensions in this file:
    samples   of a waveform
    frames    windows of it
    features  log-mel coefficients of a frame
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import BatchFeature, SequenceFeatureExtractor
from transformers.audio_utils import mel_filter_bank, window_function

LOWEST_HERTZ = 20.0
PRE_EMPHASIS = 0.97
LEAST_DEVIATION = 0.01
"""Nats; what varies less over an utterance, such as digital silence, is not blown up."""
FRAMES_AT_ONCE = 2000
"""How much of a long recording is transformed at a time, for the memory's sake."""


class BlstmCtcFeatureExtractor(SequenceFeatureExtractor):
    """Turns mono waveforms into batches of normalised log-mel features."""

    model_input_names = ["input_features", "attention_mask"]

    def __init__(
        self,
        feature_size: int = 80,
        sampling_rate: int = 16000,
        padding_value: float = 0.0,
        window_length: int = 400,
        hop_length: int = 160,
        fft_length: int = 512,
        mel_floor: float = 1e-10,
        dynamic_range: float = 16.0,
        feature_means: list[float] | None = None,
        feature_deviations: list[float] | None = None,
        **kwargs: Any,
    ):
        """Choose the features.

        Args:
            feature_size: mel filters.
            sampling_rate: hertz, of every waveform.
            padding_value: what fills up a batch; the model does not read it.
            window_length: samples of a frame.
            hop_length: samples from one frame to the next.
            fft_length: samples of a frame with the zeros after it.
            mel_floor: least power of a mel filter.
            dynamic_range: nats; what is further below an utterance's loudest coefficient is raised to there, so that
                a recording with the noise cut out looks like one in a quiet room. Only without `feature_means`.
            feature_means: mean of each coefficient in the training data, for recognition while someone speaks; None:
                each utterance is normalised by its own means and deviations.
            feature_deviations: the standard deviations that belong to them.
            **kwargs: transformers' own, such as `padding_side`.
        """
        super().__init__(feature_size, sampling_rate, padding_value, **kwargs)
        if (feature_means is None) != (feature_deviations is None):
            raise ValueError("feature_means and feature_deviations belong together; got only one of them.")
        self.window_length = window_length
        self.hop_length = hop_length
        self.fft_length = fft_length
        self.mel_floor = mel_floor
        self.dynamic_range = dynamic_range
        self.feature_means = feature_means
        self.feature_deviations = feature_deviations
        self.window = window_function(window_length, "povey", periodic=False)
        self.mel_filters = mel_filter_bank(
            num_frequency_bins=fft_length // 2 + 1,
            num_mel_filters=feature_size,
            min_frequency=LOWEST_HERTZ,
            max_frequency=sampling_rate / 2,
            sampling_rate=sampling_rate,
            mel_scale="kaldi",
            triangularize_in_mel_space=True,
        )

    def num_frames(self, num_samples: int) -> int:
        """Return how many frames a waveform gives: whole windows, and one at least."""
        return 1 + max(0, num_samples - self.window_length) // self.hop_length

    def log_mel(self, waveform: np.ndarray) -> np.ndarray:
        """Compute features that are not normalised.

        Args:
            waveform: float (samples), between -1 and 1; zeros fill up what is shorter than a window.

        Returns:
            float32 (frames, features), natural logarithms of power.
        """
        samples = np.asarray(waveform, dtype=np.float32)
        if len(samples) < self.window_length:
            samples = np.pad(samples, (0, self.window_length - len(samples)))
        windows = np.lib.stride_tricks.sliding_window_view(samples, self.window_length)[:: self.hop_length]
        features = np.empty((len(windows), self.feature_size), np.float32)
        for some, into in zip(_blocks(windows), _blocks(features), strict=True):
            into[:] = self._log_mel_of_frames(torch.from_numpy(some.astype(np.float64)))
        return features

    def _log_mel_of_frames(self, frames: Tensor) -> Tensor:
        """Transform float64 (frames, window_length); transformers' `spectrogram` does the same, frame by frame."""
        frames = frames - frames.mean(dim=1, keepdim=True)
        before = torch.cat([frames[:, :1], frames[:, :-1]], dim=1)
        frames = (frames - PRE_EMPHASIS * before) * torch.from_numpy(self.window)
        power = torch.fft.rfft(frames, self.fft_length).abs().square()
        return (power @ torch.from_numpy(self.mel_filters)).clamp(min=self.mel_floor).log().float()

    def normalise(self, features: np.ndarray) -> np.ndarray:
        """Give each coefficient mean 0 and deviation 1, over the utterance or over the training data.

        Args:
            features: float32 (frames, features), what `log_mel` returned.
        """
        if self.feature_means is not None:
            return (features - np.float32(self.feature_means)) / np.float32(self.feature_deviations)
        features = np.maximum(features, features.max() - np.float32(self.dynamic_range))
        means, deviations = self._statistics(features)
        for some in _blocks(features):
            some[:] = (some - means) / deviations
        return features

    def _statistics(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return means and deviations, float64 (features)."""
        means = features.mean(axis=0, dtype=np.float64)
        variances = sum(np.square(some - means).sum(axis=0) for some in _blocks(features)) / len(features)
        return means, np.maximum(np.sqrt(variances), LEAST_DEVIATION)

    def __call__(
        self,
        raw_speech: np.ndarray | Tensor | list,
        sampling_rate: int | None = None,
        padding: bool | str = True,
        max_length: int | None = None,
        truncation: bool = False,
        pad_to_multiple_of: int | None = None,
        return_attention_mask: bool | None = None,
        return_tensors: str | None = None,
    ) -> BatchFeature:
        """Make a batch.

        Args:
            raw_speech: a waveform, float (samples) between -1 and 1, or a list of them.
            sampling_rate: hertz, of the waveforms; it is asked for so that nobody forgets to resample.
            padding, max_length, truncation, pad_to_multiple_of, return_attention_mask, return_tensors: as in
                `SequenceFeatureExtractor.pad`; lengths are in frames.

        Returns:
            `input_features`, float32 (batch, frames, features), and `attention_mask`, bool (batch, frames), True on
            real frames.

        Raises:
            ValueError: for another sampling rate, or a waveform that is empty, not mono or not made of finite floats.
        """
        if sampling_rate != self.sampling_rate:
            raise ValueError(
                f"The features are made of audio at {self.sampling_rate} Hz; got sampling_rate={sampling_rate}. "
                f"Resample to {self.sampling_rate} Hz first, and say so with sampling_rate={self.sampling_rate}."
            )
        features = [self.normalise(self.log_mel(waveform)) for waveform in _waveforms(raw_speech)]
        padded = self.pad(
            {"input_features": features},
            padding=padding,
            max_length=max_length,
            truncation=truncation,
            pad_to_multiple_of=pad_to_multiple_of,
            return_attention_mask=return_attention_mask,
        )
        if "attention_mask" in padded:
            padded["attention_mask"] = [mask.astype(bool) for mask in padded["attention_mask"]]
        return padded.convert_to_tensors(return_tensors)


def _blocks(array: np.ndarray) -> Iterator[np.ndarray]:
    """Yield views of `FRAMES_AT_ONCE` rows, one after the other."""
    for start in range(0, len(array), FRAMES_AT_ONCE):
        yield array[start : start + FRAMES_AT_ONCE]


def _waveforms(raw_speech: np.ndarray | Tensor | list) -> list[np.ndarray]:
    """Check waveforms, and list them."""
    is_many = isinstance(raw_speech, list | tuple) and len(raw_speech) > 0 and not np.isscalar(raw_speech[0])
    return [_checked(np.asarray(waveform)) for waveform in (raw_speech if is_many else [raw_speech])]


def _checked(waveform: np.ndarray) -> np.ndarray:
    if waveform.ndim != 1:
        raise ValueError(f"Expected a mono waveform, one row of samples; got an array of shape {waveform.shape}.")
    if waveform.size == 0:
        raise ValueError("The waveform has no samples.")
    if waveform.dtype.kind != "f":
        raise ValueError(f"Expected samples as floats between -1 and 1; got {waveform.dtype}: divide 16 bits by 32768.")
    if not np.isfinite(waveform).all():
        raise ValueError("The waveform has samples that are infinite or not a number.")
    return waveform
