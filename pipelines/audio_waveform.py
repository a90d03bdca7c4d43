"""From blocks of samples, as a file or an array has them, to one mono waveform.

Names of dimensions in this file:
    frames    instants of a recording, at its own sampling rate
    channels  samples of an instant
    samples   of the mono waveform, at the rate that is wanted
"""

from typing import Any

import numpy as np

from .pipeline_common import InputError

MINIMUM_SAMPLING_RATE, MAXIMUM_SAMPLING_RATE = 4_000, 192_000
"""Hertz; with less no speech is understood."""
MAXIMUM_CHANNELS = 8
MAXIMUM_SECONDS = 3_600
"""Of a recording. At 16 kHz the waveform then takes 230 MB."""
MAXIMUM_LEVEL = 16.0
"""Where 1 is full scale. Floats may well exceed 1, but 16 bits that somebody forgot to divide exceed this."""
CLIPPING_TOLERANCE = 1e-4
"""What is closer to full scale counts as clipped."""
CLIPPED_SHARE = 0.01
"""Of the samples; more deserve a notice. A sine at full scale has fewer."""


class WaveformBuilder:
    """Mixes, checks and resamples block by block, so that nothing is kept but the waveform."""

    def __init__(self, rate: int, num_channels: int, sampling_rate: int, name: str):
        """Begin a waveform.

        Args:
            rate: hertz, of what comes.
            num_channels: of what comes.
            sampling_rate: hertz, of the waveform.
            name: what to call the recording in an error.

        Raises:
            InputError: for a rate or a number of channels beyond the limits.
        """
        self._rate, self._num_channels, self._name = check_rate(rate, name), num_channels, name
        if not 1 <= num_channels <= MAXIMUM_CHANNELS:
            raise InputError(
                f"Expected a recording with at most {MAXIMUM_CHANNELS} channels; {name} has {num_channels:,}. "
                "Mix it to one."
            )
        self._resampler = None if rate == sampling_rate else _resampler(rate, sampling_rate)
        self._samples = bytearray()
        self._num_clipped = 0
        self.num_frames = 0
        """How many came so far."""

    @property
    def seconds(self) -> float:
        """How long what came so far lasts."""
        return self.num_frames / self._rate

    def add(self, block: np.ndarray) -> None:
        """Take the next frames.

        Args:
            block: float32 (frames, channels).

        Raises:
            InputError: for samples that are no numbers or far too large, and for a recording that is too long.
        """
        self.num_frames += len(block)
        if self.num_frames > MAXIMUM_SECONDS * self._rate:
            raise InputError(
                f"Expected a recording of at most {MAXIMUM_SECONDS:,} seconds; {self._name} is longer. Cut it in parts."
            )
        self._check_level(block)
        mono = block.mean(axis=1, dtype=np.float32)
        self._samples += (mono if self._resampler is None else self._resampler.resample_chunk(mono)).tobytes()

    def finish(self) -> tuple[np.ndarray, tuple[str, ...]]:
        """Return the waveform, float32 (samples), one sample at least; and sentences about what is not as it was."""
        if self._resampler is not None:
            self._samples += self._resampler.resample_chunk(np.zeros(0, np.float32), last=True).tobytes()
        waveform = np.frombuffer(self._samples or bytearray(4), np.float32)
        notices = []
        if self._num_channels > 1:
            notices.append(f"The mean of {self._num_channels} channels was used.")
        clipped = self._num_clipped / (self.num_frames * self._num_channels)
        if clipped > CLIPPED_SHARE:
            notices.append(
                f"{clipped:.0%} of the samples are at full scale: the recording was too loud and is clipped."
            )
        return waveform, tuple(notices)

    def _check_level(self, block: np.ndarray) -> None:
        levels = np.abs(block)
        if not np.isfinite(levels).all():
            raise InputError(
                f"Expected samples that are numbers; {self._name} has some that are infinite or not a number. "
                "Export the recording anew."
            )
        if levels.max() > MAXIMUM_LEVEL:
            raise InputError(
                f"Expected samples between -1 and 1; {self._name} has {levels.max():.6g}. "
                "Divide samples of 16 bits by 32768."
            )
        self._num_clipped += int(np.count_nonzero(np.abs(levels - 1) < CLIPPING_TOLERANCE))


def check_rate(rate: int, name: str) -> int:
    """Return a sampling rate within the limits, or raise an InputError."""
    if not MINIMUM_SAMPLING_RATE <= rate <= MAXIMUM_SAMPLING_RATE:
        raise InputError(
            f"Expected a sampling rate from {MINIMUM_SAMPLING_RATE:,} to {MAXIMUM_SAMPLING_RATE:,} Hz; "
            f"{name} has {rate:,}. Resample it."
        )
    return rate


def _resampler(rate: int, sampling_rate: int) -> Any:
    try:
        import soxr
    except (ImportError, OSError) as error:
        raise ImportError(
            f"Audio at {rate} Hz is resampled by the package soxr, which is not installed. "
            f"Install it (pip install soxr), or pass audio at {sampling_rate} Hz."
        ) from error
    return soxr.ResampleStream(rate, sampling_rate, 1, dtype="float32")
