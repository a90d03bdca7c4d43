"""A recording as people have it, to a mono waveform or an error that says what is wrong with it."""

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .audio_decoding import decode
from .audio_waveform import MAXIMUM_CHANNELS, WaveformBuilder, check_rate
from .pipeline_common import InputError, shown

MAXIMUM_BYTES = 128 * 2**20
"""Of a file: ten minutes of WAV in stereo with 16 bits at 48 kHz."""
EXPECTATION = 'Expected a recording: a path, bytes of a file, or {"raw": samples, "sampling_rate": hertz}'

_ARRAY_KEYS = ("raw", "array")
_FRAMES_AT_ONCE = 2**16
_URL = re.compile(r"\s*(?:[a-z][a-z0-9+.-]*://|data:)", re.IGNORECASE)


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
    content, name = _content(value)
    waveform, notices = decode(content, name, sampling_rate)
    return ReadAudio(waveform, notices)


def _content(value: Any) -> tuple[bytes, str]:
    """Return a file's bytes, and what to call it in an error."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        _check_num_bytes(memoryview(value).nbytes, "the recording")
        return bytes(value), "the recording"
    if isinstance(value, str) and _URL.match(value):
        raise InputError(f"{EXPECTATION}; got a URL, and no URL is fetched. Download the file and pass its bytes.")
    if isinstance(value, (str, os.PathLike)):
        path = Path(os.fsdecode(value))
        return _read_file(path), _short(repr(path.name))
    advice = f' Pass {{"raw": {_to_numpy(value)}, "sampling_rate": …}}.' if hasattr(value, "shape") else ""
    raise InputError(f"{EXPECTATION}; got {type(value).__name__}.{advice}")


def _read_file(path: Path) -> bytes:
    """Read a regular file that is not too large; a folder or a device is never opened."""
    name = _short(repr(path.name))
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise InputError(f"Expected the path of a recording; {name} is a folder. Pass the files in it.")
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"Expected the path of a recording; {name} is a device or a pipe. Pass its bytes.")
        _check_num_bytes(status.st_size, name)
        with path.open("rb") as file:
            content = file.read(MAXIMUM_BYTES + 1)
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"Expected the path of a recording; there is no file {name}.") from None
    except (OSError, ValueError):  # no permission; a name that is too long or has a zero byte
        raise InputError(f"Expected the path of a recording; the file {name} cannot be opened.") from None
    _check_num_bytes(len(content), name)
    return content


def _check_num_bytes(num_bytes: int, name: str) -> None:
    if num_bytes == 0:
        raise InputError(f"{EXPECTATION}; {name} is empty: it has 0 bytes.")
    if num_bytes > MAXIMUM_BYTES:
        raise InputError(
            f"Expected a recording of at most {MAXIMUM_BYTES:,} bytes; {name} has {num_bytes:,}. "
            "Save it in mono at 16 kHz, or as FLAC."
        )


def _short(name: str) -> str:
    return name if len(name) <= 60 else f"{name[:57]}…"


def _to_numpy(value: Any) -> str:
    return "tensor.numpy()" if type(value).__name__ == "Tensor" else "array"


def _from_mapping(value: Mapping, sampling_rate: int) -> ReadAudio:
    samples = next((value[key] for key in _ARRAY_KEYS if value.get(key) is not None), None)
    if samples is None:
        raise InputError(f"{EXPECTATION}; got the keys {shown(sorted(map(str, value)))}.")
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
