"""What a sound file says of itself, and whether that is true.

libsndfile decodes as much as a header declares and no more. So what is wrong in a WAV header, as programs leave it that
write to a pipe, or missing in an MP3 file is put right before.
"""

import re
import struct

from .pipeline_common import InputError

MAXIMUM_CHUNKS = 1_000
"""Of a WAV file; programs write a few."""
MAXIMUM_OGG_PAGES = 200_000
"""An hour with a page for each 20 milliseconds has 180,000."""
MAXIMUM_MP3_FRAMES = 160_000
"""More than in an hour at any rate."""

_SIGNATURES = (
    (re.compile(rb"(?:RIFF|RF64)....WAVE", re.DOTALL), "WAV"),
    (re.compile(rb"fLaC"), "FLAC"),
    (re.compile(rb"OggS"), "OGG"),
    (re.compile(rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb]"), "MP3"),
)
_OTHERS = (
    (re.compile(rb"....ftyp", re.DOTALL), "MP4 (M4A, AAC)"),
    (re.compile(rb"\x1aE\xdf\xa3"), "WebM or Matroska"),
    (re.compile(rb"\xff[\xf0\xf1\xf8\xf9]"), "AAC"),
    (re.compile(rb"\xff[\xf4\xf5\xfc\xfd]"), "MP2"),
    (re.compile(rb"FORM....AIF[FC]", re.DOTALL), "AIFF"),
    (re.compile(rb"NIST_1A"), "NIST SPHERE"),
    (re.compile(rb"#!AMR"), "AMR"),
    (re.compile(rb"0&\xb2u\x8ef\xcf\x11"), "WMA"),
    (re.compile(rb"\.snd"), "AU"),
    (re.compile(rb"caff"), "CAF"),
    (re.compile(rb"MThd"), "MIDI, notes without sound"),
    (re.compile(rb"\x89PNG|\xff\xd8\xff|GIF8|RIFF....WEBP", re.DOTALL), "a picture"),
    (re.compile(rb"%PDF"), "PDF, a document"),
    (re.compile(rb"[^\0-\x08\x0e-\x1f\xf8-\xff]*\Z"), "a text"),
)
_PRINTABLE_NAME = re.compile(rb"[ -~]{4}")
_MP3_HEADER = re.compile(
    rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb][%s]." % b"".join(b"\\x%x0-\\x%xb" % (bits, bits) for bits in range(1, 15)),
    re.DOTALL,
)
"""With a bitrate, the third byte's upper half, and a rate, the next two bits."""
_MP3_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
"""By the version's two bits: MPEG-1, 2 and 2.5."""
_MP3_KILOBITS = (
    (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),  # MPEG-1
    (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),  # MPEG-2 and 2.5
)
_LAST_PAGE = 4


def sound_format(content: bytes, name: str) -> str:
    """Return "WAV", "FLAC", "OGG" or "MP3" from a file's first bytes; the name it came under counts for nothing.

    Raises:
        InputError: for a file of another kind; says which if it is a common one.
    """
    position = _id3_bytes(content)
    start = content[position : position + 1000]
    for signature, kind in _SIGNATURES:
        if signature.match(start):
            return kind
    if content[:3] == b"ID3":
        return "MP3"
    kind = next((kind for signature, kind in _OTHERS if signature.match(start)), "something else")
    raise InputError(
        f"Expected a recording: WAV, FLAC, OGG (Vorbis, Opus) or MP3; {name} is {kind}. "
        "Convert it, for example with: ffmpeg -i FILE sound.wav"
    )


def mended(content: bytes, kind: str) -> tuple[bytes, bool]:
    """Make a file declare what it holds.

    Args:
        content: the whole file.
        kind: what `sound_format` returned.

    Returns:
        The file, and whether what it declared was not true.
    """
    try:
        if kind == "WAV":
            return _mended_wav(content)
        if kind == "MP3":
            return _mended_mp3(content), False
    except (struct.error, IndexError):  # cut off within the header; libsndfile will find it so, too
        pass
    return content, False


def is_cut_off(content: bytes, kind: str, name: str) -> bool:
    """Tell whether an OGG file lacks its last page (RFC 3533, section 6); other formats show it by decoding.

    Raises:
        InputError: for so many pages that they would keep a decoder busy.
    """
    if kind != "OGG":
        return False
    if content.count(b"OggS") > MAXIMUM_OGG_PAGES:
        raise InputError(
            f"Expected a recording; {name} is an OGG file of more than {MAXIMUM_OGG_PAGES:,} pages. Save it as FLAC."
        )
    page = content[content.rfind(b"OggS") :][: 27 + 255 + 255 * 255]
    if len(page) < 27:
        return True
    end_of_sizes = 27 + page[26]
    return len(page) < end_of_sizes + sum(page[27:end_of_sizes]) or not page[5] & _LAST_PAGE


def _mended_wav(content: bytes) -> tuple[bytes, bool]:
    """Correct the length of the samples, and cut off the chunks after them."""
    if content[:4] != b"RIFF":  # RF64 keeps its lengths elsewhere
        return content, False
    start = _start_of_samples(content)
    held, declared = len(content) - start, int.from_bytes(content[start - 4 : start], "little")
    end = start + declared + declared % 2
    if held == 0 or (declared <= held and _are_chunks(content, end)):
        return content[:end], False
    return content[: start - 4] + struct.pack("<I", held) + content[start:], True


def _start_of_samples(content: bytes) -> int:
    position = 12
    for _ in range(MAXIMUM_CHUNKS):
        name, num_bytes = struct.unpack_from("<4sI", content, position)
        position += 8
        if name == b"data":
            return position
        position += num_bytes + num_bytes % 2
    raise IndexError


def _are_chunks(content: bytes, position: int) -> bool:
    """Tell whether what follows the samples is as RIFF wants it: named chunks up to the end, or nothing."""
    for _ in range(MAXIMUM_CHUNKS):
        if position + 8 > len(content):
            break
        if not _PRINTABLE_NAME.match(content, position):
            return False
        position += 8 + int.from_bytes(content[position + 4 : position + 8], "little")
        position += position % 2
    return position <= len(content) + 1


def _mended_mp3(content: bytes) -> bytes:
    """Make the Xing or Info frame count at least the frames that there are; put one before a file that has none.

    mpg123 goes by its count; without one by the first frame's bitrate, which loses much where the rate varies.
    """
    first = _MP3_HEADER.search(content, _id3_bytes(content))
    if first is None:
        return content
    start = first.start()
    num_frames = _count_mp3_frames(content, start)
    frame = content[start : start + _mp3_frame_bytes(content, start)]
    place = start + max(frame.find(b"Xing"), frame.find(b"Info"))
    if place < start:
        return content[:start] + _info_frame(frame, num_frames) + content[start:]
    flags, declared = struct.unpack_from(">II", content, place + 4)
    if flags & 1 and declared < num_frames - 1:
        return content[: place + 8] + struct.pack(">I", num_frames - 1) + content[place + 12 :]
    return content


def _info_frame(frame: bytes, num_frames: int) -> bytes:
    """Make a silent frame like another one, with LAME's note of how many follow."""
    is_first_version, is_mono = frame[1] & 0x08, frame[3] >> 6 == 3
    side_bytes = (17 if is_mono else 32) if is_first_version else (9 if is_mono else 17)
    header = bytes([frame[0], frame[1] | 1, *frame[2:4]])  # without a checksum
    return (header + bytes(side_bytes) + b"Info" + struct.pack(">II", 1, num_frames)).ljust(len(frame), b"\0")


def _count_mp3_frames(content: bytes, position: int) -> int:
    num_frames = 0
    while num_frames < MAXIMUM_MP3_FRAMES and (found := _MP3_HEADER.search(content, position)) is not None:
        num_frames += 1
        position = found.start() + _mp3_frame_bytes(content, found.start())
    return num_frames


def _mp3_frame_bytes(content: bytes, position: int) -> int:
    """Return the length of a frame of layer 3 from its header (ISO 11172-3, section 2.4.2.3)."""
    version, bits = content[position + 1] >> 3 & 3, content[position + 2]
    kilobits = _MP3_KILOBITS[version != 3][bits >> 4]
    bytes_per_kilobit = 144_000 if version == 3 else 72_000
    return bytes_per_kilobit * kilobits // _MP3_RATES[version][bits >> 2 & 3] + (bits >> 1 & 1)


def _id3_bytes(content: bytes) -> int:
    """Return the length of the tag before the sound (id3.org, ID3v2.4, section 3.1)."""
    if content[:3] != b"ID3" or len(content) < 10:
        return 0
    seven_bits = [byte & 0x7F for byte in content[6:10]]
    return 10 + sum(bits << shift for bits, shift in zip(seven_bits, (21, 14, 7, 0), strict=True))
