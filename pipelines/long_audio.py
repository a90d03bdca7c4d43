"""Recordings of any length through the speech recogniser, with the memory of a short one.

A network that only reads forwards carries its state from part to part, and nothing changes. One that reads both ways is
shown overlapping chunks; of each, what lies near the cuts is context and dropped. The features are normalised over the
whole recording before: else each chunk would be heard at another level than in one pass, silence as loud as speech.

Measured with the default configuration on top of the samples (0.23 GB an hour at 16 kHz, the caller's): 0.17 GB for ten
minutes, 0.4 GB for an hour. 0.23 GB of it are that hour's features, twice while they are normalised; a batch of chunks
takes 0.15 GB however long the recording is.

Names of dimensions in this file:
    samples     of a waveform
    frames      of features
    features    width of a frame
    steps       frames of log-probabilities
    vocabulary  labels, the blank included
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .speech_reading import SpeechReader, read_together

CHUNK_SECONDS = 30.0
STRIDE_SECONDS = 10.0
"""Context on both sides of a chunk."""
CHUNKS_AT_ONCE = 8
"""Of one or several recordings, in one batch."""


def log_probabilities_of(
    model: Any,
    extractor: Any,
    waveforms: Sequence[np.ndarray],
    chunk_seconds: float = CHUNK_SECONDS,
    stride_seconds: float = STRIDE_SECONDS,
) -> list[Tensor]:
    """Score recordings; each gets what it would alone.

    Args:
        model: the recogniser, in evaluation mode.
        extractor: makes its features.
        waveforms: each float (samples), mono, at the extractor's rate; one sample at least.
        chunk_seconds: longest part that is scored; what is not longer goes through in one pass.
        stride_seconds: context on both sides of it; a network that only reads forwards needs none.

    Returns:
        Log-probabilities of each recording, float (steps, vocabulary), on the CPU; as many steps as in one pass.
    """
    steps_per_second = extractor.sampling_rate / (extractor.hop_length * model.config.subsampling)
    num_steps, num_context = (round(seconds * steps_per_second) for seconds in (chunk_seconds, stride_seconds))
    recordings = (extractor.normalise(extractor.log_mel(waveform)) for waveform in waveforms)
    if not model.config.bidirectional:
        return [_read_on(model, features, max(1, num_steps)) for features in recordings]
    chunks = (
        (index, chunk)
        for index, features in enumerate(recordings)
        for chunk in _chunks(features, model.config.subsampling, max(1, num_steps), num_context)
    )
    parts: list[list[Tensor]] = [[] for _ in waveforms]
    while batch := list(itertools.islice(chunks, CHUNKS_AT_ONCE)):
        scored = read_together(model, [chunk.features for _, chunk in batch])
        for (index, chunk), log_probabilities in zip(batch, scored, strict=True):
            parts[index].append(log_probabilities[chunk.kept].clone())
    return [torch.cat(some) for some in parts]


@dataclass(frozen=True)
class _Chunk:
    """A part of a recording with its context."""

    features: np.ndarray
    """float32 (frames, features), a view."""
    kept: slice
    """Its steps without the context's."""


def _chunks(features: np.ndarray, subsampling: int, num_steps: int, num_context: int) -> Iterator[_Chunk]:
    """Cut float32 (frames, features) between steps, so that the front end sees the same groups of frames."""
    total = -(-len(features) // subsampling)
    for start in range(0, total, num_steps):
        first, end = max(0, start - num_context), min(start + num_steps, total)
        frames = features[first * subsampling : (end + num_context) * subsampling]
        yield _Chunk(frames, slice(start - first, end - first))


def _read_on(model: Any, features: np.ndarray, num_steps: int) -> Tensor:
    """Read float32 (frames, features) forwards, so many steps at a time."""
    reader, size = SpeechReader(model), num_steps * model.config.subsampling
    parts = [reader.read(features[start : start + size]) for start in range(0, len(features), size)]
    return torch.cat([*parts, reader.read(features[:0], is_last=True)])
