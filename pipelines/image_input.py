"""A picture as people have it, to an upright RGB picture or an error that says what is wrong with it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from .file_reading import FileKind, is_url
from .image_colours import array_to_rgb, to_rgb
from .image_decoding import check_size, decode, upright
from .image_fetch import fetch
from .pipeline_common import InputError

MAXIMUM_BYTES = 16 * 2**20
"""Of a file, before it is decoded."""
PICTURE = FileKind(
    "picture",
    "Expected a picture: a path, bytes, a PIL image or a NumPy array",
    MAXIMUM_BYTES,
    "Save it smaller: a side of 1,000 pixels is plenty.",
)


@dataclass(frozen=True)
class ReadImage:
    """A picture that a model can be shown."""

    image: Image.Image
    """RGB and upright."""
    notices: tuple[str, ...] = ()
    """Sentences about what was not used, such as an animation's other frames."""


def read_image(value: Any, target_side: int | None = None, allowed_hosts: tuple[str, ...] = ()) -> ReadImage:
    """Read one picture.

    Transparency is put on white. Grey with 16 bits is scaled to 8, and never clipped.

    Args:
        value: a path, the bytes of a file, a PIL image (the frame it stands at), or a NumPy array (height, width)
            or (height, width, 1, 3 or 4) of uint8, uint16, bool, or floats from 0 to 1.
        target_side: what the network reads, in pixels; a picture several times larger is reduced while it is decoded.
        allowed_hosts: from where a URL may be fetched: "host", or "host:port" for a port that is not the scheme's.
            Without it no URL is. Never let a request choose it.

    Raises:
        InputError: says what was expected, what came and what to do; names a file without its folder.
    """
    if isinstance(value, Image.Image):
        return _from_pil(value, target_side)
    if isinstance(value, np.ndarray):
        return ReadImage(_from_array(value))
    if allowed_hosts and is_url(value):
        content, name = fetch(value, allowed_hosts, MAXIMUM_BYTES), "the picture"
    else:
        advice = "Pass tensor.permute(1, 2, 0).numpy()." if type(value).__name__ == "Tensor" else ""
        content, name = PICTURE.read(value, advice)
    image, notices = decode(content, name, target_side)
    return ReadImage(image, notices)


def _from_pil(image: Image.Image, target_side: int | None) -> ReadImage:
    """Convert a copy; the caller's picture stays as it is."""
    check_size(image.size, "the picture")
    try:
        image.load()
        num_frames = getattr(image, "n_frames", 1) if image.tell() == 0 else 1
    except Exception as error:  # a damaged file can raise anything in Pillow
        raise InputError(
            f"{PICTURE.expectation}; the PIL image cannot be decoded. Is its file damaged or cut off?"
        ) from error
    notices = (f"The first of {num_frames:,} frames was used.",) if num_frames > 1 else ()
    return ReadImage(upright(to_rgb(image, target_side), image), notices)


def _from_array(array: np.ndarray) -> Image.Image:
    if array.ndim == 3 and array.shape[0] in (1, 3, 4) and array.shape[2] not in (1, 3, 4):
        raise InputError(
            f"Expected an array (height, width, channels); got {array.shape}, channels first. "
            "Pass array.transpose(1, 2, 0)."
        )
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        raise InputError(
            f"Expected an array (height, width) or (height, width, 1, 3 or 4); got {array.shape}. Pass one picture."
        )
    check_size((array.shape[1], array.shape[0]), "the array")
    return array_to_rgb(array)
