"""A recording as people have it, to a mono waveform or an error that says what is wrong with it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .audio_decoding import decode
from .audio_waveform import MAXIMUM_CHANNELS, WaveformBuilder, check_rate
from .file_reading import FileKind
from .pipeline_common import InputError, shown

MAXIMUM_BYTES = 128 * 2**20
"""Of a file: ten minutes of WAV in stereo with 16 bits at 48 kHz."""
RECORDING = FileKind(
    "recording",
    'Expected a recording: a path, bytes of a file, or {"raw": samples, "sampling_rate": hertz}',
    MAXIMUM_BYTES,
    "Save it in mono at 16 kHz, or as FLAC.",
)

_ARRAY_KEYS = ("raw", "array")
_FRAMES_AT_ONCE = 2**16


@dataclass(frozen=True)
class ReadAudio:
    """A recording that a model can hear."""

    waveform: np.ndarray
    """float32 (samples), mono, one sample at least."""
    notices: tuple[str, ...] = ()
    """Sentences about what is not as it was, such as a second channel."""


def read_audio(value: Any, sampling_rate: int = 16000) -> ReadAudio:
    """Read one recording.

    Args:
        value: a path, the bytes of a file (WAV, FLAC, OGG with Vorbis or Opus, MP3), or a mapping with "raw" (or
            "array") and "sampling_rate": floats between -1 and 1 or integers of 8, 16 or 32 bits, (samples), or
            several channels, (samples, channels) or (channels, samples). No URL is fetched.
        sampling_rate: hertz, of the waveform that is wanted.

    Raises:
        InputError: says what was expected, what came and what to do; names a file without its folder.
        ImportError: when there is a file to read and no soundfile, or audio to resample and no soxr.
    """
    if isinstance(value, Mapping):
        return _from_mapping(value, sampling_rate)
    advice = f'Pass {{"raw": {_to_numpy(value)}, "sampling_rate": …}}.' if hasattr(value, "shape") else ""
    content, name = RECORDING.read(value, advice)
    waveform, notices = decode(content, name, sampling_rate)
    return ReadAudio(waveform, notices)


def _to_numpy(value: Any) -> str:
    return "tensor.numpy()" if type(value).__name__ == "Tensor" else "array"


def _from_mapping(value: Mapping, sampling_rate: int) -> ReadAudio:
    samples = next((value[key] for key in _ARRAY_KEYS if value.get(key) is not None), None)
    if samples is None:
        raise InputError(f"{RECORDING.expectation}; got the keys {shown(sorted(map(str, value)))}.")
    rate = check_rate(_whole_number(value.get("sampling_rate")), "the array")
    array = _two_dimensional(_as_array(samples))
    builder = WaveformBuilder(rate, array.shape[1], sampling_rate, "the array")
    for start in range(0, len(array), _FRAMES_AT_ONCE):
        builder.add(_to_float(array[start : start + _FRAMES_AT_ONCE]))
    return ReadAudio(*builder.finish())


def _whole_number(rate: Any) -> int:
    if isinstance(rate, (int, float, np.integer, np.floating)) and not isinstance(rate, bool) and rate % 1 == 0:
        return int(rate)
    raise InputError(f'Expected "sampling_rate" beside the samples, in hertz, such as 16000; got {shown(rate)}.')


def _as_array(samples: Any) -> np.ndarray:
    """Return an array of numbers; a list of whole numbers, which JSON makes of 0.0, is one of floats."""
    if not isinstance(samples, (np.ndarray, list, tuple)):
        advice = f" Pass {_to_numpy(samples)}." if hasattr(samples, "shape") else ""
        raise InputError(f"Expected samples as a NumPy array or a list; got {type(samples).__name__}.{advice}")
    try:
        array = np.asarray(samples)
    except (ValueError, OverflowError) as error:
        raise InputError("Expected samples as a list of numbers; got lists of different lengths in it.") from error
    if array.size == 0:
        raise InputError("Expected samples; got none: the array is empty.")
    if not isinstance(samples, np.ndarray) and array.dtype.kind in "iu":
        array = array.astype(np.float64)
    is_integer = array.dtype.kind in "iu" and array.dtype.itemsize <= 4
    if array.dtype.kind != "f" and not is_integer:
        raise InputError(
            f"Expected samples as floats between -1 and 1, or integers of 8, 16 or 32 bits; got {array.dtype}. "
            "Pass array.astype('float32')."
        )
    return array


def _two_dimensional(array: np.ndarray) -> np.ndarray:
    """Return (frames, channels); the channels are the shorter axis."""
    if array.ndim == 1:
        return array[:, np.newaxis]
    if array.ndim == 2 and min(array.shape) <= MAXIMUM_CHANNELS:
        return array if array.shape[1] <= array.shape[0] else array.T
    raise InputError(
        f"Expected an array (samples), or (samples, channels) with at most {MAXIMUM_CHANNELS} channels; "
        f"got {array.shape}. Pass one recording."
    )


def _to_float(array: np.ndarray) -> np.ndarray:
    """Return float32 where full scale is 1; unsigned integers have their middle at half of their range."""
    if array.dtype.kind == "f":
        with np.errstate(over="ignore"):  # float64 beyond float32 is infinite, and refused as such
            return array.astype(np.float32)
    full_scale = 2.0 ** (8 * array.dtype.itemsize - 1)
    middle = full_scale if array.dtype.kind == "u" else 0.0
    return ((array.astype(np.float64) - middle) / full_scale).astype(np.float32)
