"""Recordings that the tests make, and how they are refused."""

import io
from typing import Any

import numpy as np
import pytest
import soundfile

from pipelines.audio_input import read_audio
from pipelines.pipeline_common import InputError

FORMATS = {
    "WAV": "PCM_16",
    "FLAC": "PCM_16",
    "OGG": "VORBIS",
    "OPUS": "OPUS",
    "MP3": "MPEG_LAYER_III",
}
"""Encoding of each kind of file; Opus is in an OGG file, too."""
TOLERANCES = {"WAV": 1e-4, "FLAC": 1e-4, "OGG": 0.1, "OPUS": 0.5, "MP3": 0.1}
"""Of a sample; Opus shifts phases where the tone changes."""


def tones(seconds: float = 1.0, rate: int = 16000, level: float = 0.3) -> np.ndarray:
    """Return a sequence of tones, a tenth of a second each: float32 (samples)."""
    time = np.arange(round(seconds * rate)) / rate
    hertz = 300.0 * (1 + (time // 0.1) % 5)
    return (level * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


def encoded(samples: np.ndarray, rate: int = 16000, kind: str = "WAV", encoding: str | None = None, **options) -> bytes:
    """Return the file of a recording, float (samples) or (samples, channels)."""
    file = io.BytesIO()
    container = "OGG" if kind == "OPUS" else kind
    soundfile.write(file, samples, rate, encoding or FORMATS.get(kind), format=container, **options)
    return file.getvalue()


def difference(found: np.ndarray, expected: np.ndarray) -> float:
    """Return the greatest difference of two waveforms of about one length."""
    length = min(len(found), len(expected))
    assert abs(len(found) - len(expected)) <= 1, (len(found), len(expected))
    return float(np.abs(found[:length] - expected[:length]).max())


def refusal(value: Any, *words: str) -> str:
    """Return the sentence with which a value is refused."""
    with pytest.raises(InputError) as caught:
        read_audio(value)
    for word in words:
        assert word in str(caught.value), str(caught.value)
    return str(caught.value)
