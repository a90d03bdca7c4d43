"""From the bytes of a sound file to a waveform, block by block: a header's word never reserves memory."""

import io
from typing import Any

import numpy as np

from .audio_headers import is_cut_off, mended, sound_format
from .audio_waveform import WaveformBuilder
from .pipeline_common import InputError

BLOCK_FRAMES = 4096
"""What is decoded at a time; at most this much is lost before a damaged place."""
UNKNOWN_FRAMES = 2**63 - 1
"""What libsndfile says of FLAC that was written to a pipe."""
ENCODINGS = {
    "WAV": ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"),
    "WAVEX": ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"),
    "RF64": ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"),
    "FLAC": ("PCM_S8", "PCM_16", "PCM_24"),
    "OGG": ("VORBIS", "OPUS"),
    "MP3": ("MPEG_LAYER_III",),
}
"""soundfile's names; libsndfile has decoders for many more, which nobody needs and few have tested."""


def decode(content: bytes, name: str, sampling_rate: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """Decode a file.

    What can be read of a damaged file is read, and a notice says so.

    Args:
        content: the whole file.
        name: what to call it in an error.
        sampling_rate: hertz, of the waveform.

    Returns:
        A mono waveform, float32 (samples), and sentences about what is not as it was.

    Raises:
        InputError: for what is no sound, is damaged from the beginning, empty, or beyond a limit.
        ImportError: when a package is missing.
    """
    kind = sound_format(content, name)
    soundfile = _soundfile()
    cut_off = is_cut_off(content, kind, name)
    content, was_false = mended(content, kind)
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as file:
            _check_encoding(file, name)
            builder = WaveformBuilder(file.samplerate, file.channels, sampling_rate, name)
            cut_off |= not _read(file, builder, soundfile.SoundFileError)
    except soundfile.SoundFileError as error:
        raise _damaged(name, kind) from error
    if builder.num_frames == 0:
        if cut_off:
            raise _damaged(name, kind)
        raise InputError(f"Expected a recording; {name} has no samples in it. Record it again.")
    waveform, notices = builder.finish()
    if cut_off:
        notices += (f"The recording is damaged or cut off: its first {builder.seconds:.1f} seconds were used.",)
    elif was_false:
        notices += (f"The header declares another length; all {builder.seconds:.1f} seconds that are there were used.",)
    return waveform, notices


def _read(file: Any, builder: WaveformBuilder, decoding_error: type[Exception]) -> bool:
    """Decode up to the end or to a damaged place; return whether as much came as the file declares."""
    file.seekable = lambda: False  # else soundfile seeks after each block, in MP3 to another place
    block = np.empty((BLOCK_FRAMES, file.channels), np.float32)
    try:
        while num_frames := len(file.read(out=block[: file.frames - builder.num_frames])):
            builder.add(block[:num_frames])
    except decoding_error:
        return False
    return builder.num_frames == file.frames or file.frames == UNKNOWN_FRAMES


def _check_encoding(file: Any, name: str) -> None:
    if file.subtype not in ENCODINGS.get(file.format, ()):
        raise InputError(
            f"Expected WAV (PCM, float, mu-law or A-law), FLAC, OGG (Vorbis, Opus) or MP3; {name} is {file.format} "
            f"encoded as {file.subtype}. Convert it, for example with: ffmpeg -i FILE sound.wav"
        )


def _damaged(name: str, kind: str) -> InputError:
    return InputError(
        f"Expected a recording; {name}, in the format {kind}, is damaged or cut off. Save or send it again."
    )


def _soundfile() -> Any:
    try:
        import soundfile
    except (ImportError, OSError) as error:  # OSError: it is there, libsndfile is not
        raise ImportError(
            "Sound files are read by the package soundfile, which is not installed. Install it (pip install "
            'soundfile), or pass {"raw": samples, "sampling_rate": hertz}.'
        ) from error
    return soundfile
