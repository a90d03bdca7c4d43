"""What a picture's file says of itself, read without decoding it and in a time that grows with its length only.

Pillow needs some of this, too, but reads it at a price: a GIF's comments and a TIFF's pages in quadratic time, and a
WebP's size only after it has reserved the memory for it.
"""

import re
import struct

from PIL import Image

from .pipeline_common import InputError

MAXIMUM_COMMENT_BYTES = 2**16
"""Of a GIF."""
MAXIMUM_JPEG_SCANS = 100
"""Passes over the whole picture; encoders make about 10."""

_SIGNATURES = (
    (re.compile(rb"\xff\xd8\xff"), "JPEG"),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "PNG"),
    (re.compile(rb"GIF8[79]a"), "GIF"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "WEBP"),
    (re.compile(rb"BM"), "BMP"),
    (re.compile(rb"II[*+]\0|MM\0[*+]"), "TIFF"),
)
_OTHERS = (
    (re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:(?:<\?xml|<!--|<!DOCTYPE svg)[^\0]*?)?<svg"), "SVG, a drawing"),
    (re.compile(rb"....ftyp(?:heic|heix|hevc|heim|heis|mif1|msf1)", re.DOTALL), "HEIC"),
    (re.compile(rb"....ftypavi[fs]", re.DOTALL), "AVIF"),
    (re.compile(rb"%PDF"), "PDF, a document"),
    (re.compile(rb"[^\0-\x08\x0e-\x1f]*\Z"), "a text"),
)
_JPEG_MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")
_END_OF_IMAGE, _START_OF_SCAN, _WITHOUT_LENGTH = 0xD9, 0xDA, (0x01, 0xD8)
_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def picture_format(content: bytes, name: str) -> str:
    """Return Pillow's name of a file's format, from its first bytes; the name it came under counts for nothing.

    Raises:
        InputError: for a file of another kind; says which if it is a common one.
    """
    for signature, kind in _SIGNATURES:
        if signature.match(content):
            return kind
    start = content[:1000]
    kind = next((kind for signature, kind in _OTHERS if signature.match(start)), "something else")
    raise InputError(
        f"Expected a picture: JPEG, PNG, GIF, WebP, BMP or TIFF; {name} is {kind}. Export it as PNG or JPEG."
    )


def declared_size(content: bytes, kind: str, name: str) -> tuple[int, int] | None:
    """Return the width and height that a file declares; None where only Pillow can tell.

    Args:
        content: the whole file.
        kind: what `picture_format` returned.
        name: what to call it in an error.

    Raises:
        InputError: for a file that is made to keep a decoder busy.
    """
    try:
        if kind == "PNG":
            return _png_size(content)
        if kind == "WEBP":
            return _webp_size(content)
        if kind == "GIF":
            return _gif_size(content)
        if kind == "JPEG":
            return _jpeg_size(content)
    except struct.error:  # cut off; Pillow will find it so, too
        return None
    except ValueError as error:
        raise InputError(
            f"Expected a picture; {name} is a damaged {kind} file, with {error}. Save it anew as PNG."
        ) from error
    return None


def num_frames(image: Image.Image, content: bytes) -> int:
    """Count the frames of an animation, or the pages of a TIFF.

    Args:
        image: as Pillow opened it.
        content: the whole file.
    """
    if image.format == "GIF":
        return _walk_gif(content)[0]
    if image.format == "TIFF":
        return _count_tiff_pages(content)
    return getattr(image, "n_frames", 1)


def _png_size(content: bytes) -> tuple[int, int] | None:
    return struct.unpack(">II", content[16:24]) if content[12:16] == b"IHDR" else None


def _webp_size(content: bytes) -> tuple[int, int] | None:
    """Read the size from the first chunk, of which there are three kinds (RFC 9649, sections 2.5 to 2.7)."""
    chunk = content[12:16]
    if chunk == b"VP8X" and len(content) >= 30:
        return 1 + int.from_bytes(content[24:27], "little"), 1 + int.from_bytes(content[27:30], "little")
    if chunk == b"VP8L":
        (bits,) = struct.unpack("<I", content[21:25])
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if chunk == b"VP8 ":
        width, height = struct.unpack("<HH", content[26:30])
        return width & 0x3FFF, height & 0x3FFF
    return None


def _gif_size(content: bytes) -> tuple[int, int]:
    _, comment_bytes = _walk_gif(content)
    if comment_bytes > MAXIMUM_COMMENT_BYTES:
        raise ValueError(f"comments of more than {MAXIMUM_COMMENT_BYTES:,} bytes")
    return struct.unpack("<HH", content[6:10])


def _jpeg_size(content: bytes) -> tuple[int, int] | None:
    size, num_scans = _walk_jpeg(content)
    if num_scans > MAXIMUM_JPEG_SCANS:
        raise ValueError(f"{num_scans:,} scans, of at most {MAXIMUM_JPEG_SCANS}")
    return size


def _walk_jpeg(content: bytes) -> tuple[tuple[int, int] | None, int]:
    """Return the size, and how often the picture is gone over, from marker to marker (ITU T.81, annex B)."""
    size, num_scans, position = None, 0, 2
    while (found := _JPEG_MARKER.search(content, position)) is not None:
        marker, position = found[1][0], found.end()
        if marker == _END_OF_IMAGE:
            break
        if marker in _WITHOUT_LENGTH:
            continue
        segment = content[position : position + 7]
        if marker in _FRAME_HEADERS and size is None and len(segment) == 7:
            height, width = struct.unpack(">HH", segment[3:])
            size = width, height
        num_scans += marker == _START_OF_SCAN
        position += int.from_bytes(segment[:2], "big")
    return size, num_scans


def _walk_gif(content: bytes) -> tuple[int, int]:
    """Count the frames, and the bytes that comments take before the first; what is cut off does not count.

    Raises:
        ValueError: for what is no block before the first frame, which Pillow would search for one byte by byte.
    """
    num_frames = comment_bytes = 0
    try:
        position = 13 + _palette_bytes(content[10])
        while content[position] != ord(";"):
            start = position
            if content[position] == ord(","):
                num_frames += 1
                position += 11 + _palette_bytes(content[position + 9])
            elif content[position] == ord("!"):
                position += 2
            elif num_frames:
                break
            else:
                raise ValueError(f"a byte {content[position]} where a block begins")
            while num_bytes := content[position]:
                position += 1 + num_bytes
            position += 1
            if not num_frames and content[start + 1] == 0xFE:
                comment_bytes += position - start
    except IndexError:
        pass
    return num_frames, comment_bytes


def _palette_bytes(flags: int) -> int:
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0


def _count_tiff_pages(content: bytes) -> int:
    """Follow the chain of directories: TIFF 6.0, section 2; BigTIFF has wider numbers."""
    order, is_big = "<" if content[:2] == b"II" else ">", b"+" in content[:4]
    count, entry_bytes, link = (f"{order}Q", 20, f"{order}Q") if is_big else (f"{order}H", 12, f"{order}I")
    seen: set[int] = set()
    try:
        (position,) = struct.unpack_from(link, content, 8 if is_big else 4)
        while position and position not in seen:
            (num_entries,) = struct.unpack_from(count, content, position)
            seen.add(position)
            (position,) = struct.unpack_from(
                link, content, position + struct.calcsize(count) + entry_bytes * num_entries
            )
    except (struct.error, OverflowError):  # a link that leads out of the file is no page
        pass
    return len(seen)
