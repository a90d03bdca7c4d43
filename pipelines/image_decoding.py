"""From the bytes of a picture to pixels, with limits that hold before anything is decoded."""

import io

from PIL import Image

from .image_colours import OVERSAMPLING, to_rgb
from .image_headers import declared_size, num_frames, picture_format
from .pipeline_common import InputError

MINIMUM_SIDE = 16
"""Pixels of the shorter side: less shows nothing."""
MAXIMUM_ASPECT_RATIO = 20
"""Longer to shorter side: beyond it a square of the picture shows nothing."""
MAXIMUM_SIDE = 30_000
"""Of the longer side."""
MAXIMUM_PIXELS = 50_000_000
TIFF_COMPRESSIONS = (
    "raw",
    "packbits",
    "tiff_lzw",
    "tiff_adobe_deflate",
    "tiff_deflate",
    "jpeg",
    "group3",
    "group4",
    "tiff_ccitt",
)
"""Pillow's names; libtiff has decoders for many more, which nobody needs and few have tested."""

_ORIENTATION_TAG = 0x0112
_TILE_WIDTH_TAG, _TILE_LENGTH_TAG = 322, 323
_TO_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode(content: bytes, name: str, target_side: int | None = None) -> tuple[Image.Image, tuple[str, ...]]:
    """Decode the first frame of a file.

    Args:
        content: the whole file.
        name: what to call it in an error.
        target_side: the network's, in pixels; see `read_image`.

    Returns:
        An upright RGB picture, and sentences about what was not used.

    Raises:
        InputError: for what is no picture, is damaged, or is too small, too long or too large.
    """
    kind = picture_format(content, name)
    size = declared_size(content, kind, name)
    if size is not None:
        check_size(size, name)
    try:
        image = Image.open(io.BytesIO(content), formats=(kind,))
        check_size(image.size, name)
        _check_tiff(image, name)
        if target_side:
            image.draft("RGB", (OVERSAMPLING * target_side,) * 2)  # a JPEG is then decoded at 1/2, 1/4 or 1/8
        image.load()
    except (InputError, MemoryError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise InputError(f"{_pixel_expectation()}; {name} declares many times more. {_ADVICE}") from None
    except Exception as error:  # a damaged file can raise anything in Pillow
        raise InputError(
            f"Expected a picture; {name} is a damaged {kind} file, or one that was cut off. Save or send it again."
        ) from error
    frames = num_frames(image, content)
    notices = (f"The first of {frames:,} frames was used.",) if frames > 1 else ()
    return upright(to_rgb(image, target_side), image), notices


def check_size(size: tuple[int, int], name: str) -> None:
    """Refuse what is too small, too long or too large.

    Args:
        size: width and height in pixels.
        name: what to call it in an error.

    Raises:
        InputError: with both numbers.
    """
    width, height = size
    came = f"{name} has {width:,} x {height:,} pixels"
    if min(size) < MINIMUM_SIDE:
        raise InputError(f"Expected a picture with sides of at least {MINIMUM_SIDE} pixels; {came}. Send a larger one.")
    if width * height > MAXIMUM_PIXELS:
        raise InputError(f"{_pixel_expectation()}; {came}. {_ADVICE}")
    if max(size) > MAXIMUM_SIDE:
        raise InputError(f"Expected a picture with sides of at most {MAXIMUM_SIDE:,} pixels; {came}. {_ADVICE}")
    if max(size) > MAXIMUM_ASPECT_RATIO * min(size):
        raise InputError(
            f"Expected a picture at most {MAXIMUM_ASPECT_RATIO} times as long as it is wide; {came}. Cut out a part."
        )


def upright(image: Image.Image, source: Image.Image) -> Image.Image:
    """Turn a picture as its camera was held.

    Args:
        image: pixels in the order of the file.
        source: the loaded picture that the pixels are from, with the camera's notes.
    """
    try:
        orientation = source.getexif().get(_ORIENTATION_TAG, 1)
        method = _TO_UPRIGHT.get(orientation)
    except Exception:  # damaged notes can raise anything in Pillow; the pixels are good
        return image
    return image if method is None else image.transpose(method)


_ADVICE = "Save it smaller: a side of 1,000 pixels is plenty."


def _pixel_expectation() -> str:
    return f"Expected a picture of at most {MAXIMUM_PIXELS:,} pixels"


def _check_tiff(image: Image.Image, name: str) -> None:
    """Refuse rare compressions, and tiles that are larger than any picture may be."""
    if image.format != "TIFF":
        return
    compression = image.info.get("compression", "raw")
    if compression not in TIFF_COMPRESSIONS:
        raise InputError(f"Expected a common TIFF; {name} is compressed as {compression}. Save it as PNG or JPEG.")
    tile = image.tag_v2.get(_TILE_WIDTH_TAG, 1) * image.tag_v2.get(_TILE_LENGTH_TAG, 1)
    if tile > MAXIMUM_PIXELS:
        raise InputError(f"{_pixel_expectation()}; {name} has a tile of {tile:,}. {_ADVICE}")
