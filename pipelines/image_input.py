"""A picture as people have it, to an upright RGB picture or an error that says what is wrong with it."""

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from .image_colours import array_to_rgb, to_rgb
from .image_decoding import check_size, decode, upright
from .image_fetch import fetch
from .pipeline_common import InputError

MAXIMUM_BYTES = 16 * 2**20
"""Of a file, before it is decoded."""
EXPECTATION = "Expected a picture: a path, bytes, a PIL image or a NumPy array"

_URL = re.compile(r"\s*(?:[a-z][a-z0-9+.-]*://|data:)", re.IGNORECASE)


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
    content, name = _content(value, allowed_hosts)
    image, notices = decode(content, name, target_side)
    return ReadImage(image, notices)


def _content(value: Any, allowed_hosts: tuple[str, ...]) -> tuple[bytes, str]:
    """Return a file's bytes, and what to call it in an error."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        content = bytes(value)
        _check_num_bytes(len(content), "the picture")
        return content, "the picture"
    if isinstance(value, str) and _URL.match(value):
        if not allowed_hosts:
            raise InputError(f"{EXPECTATION}; got a URL, and no URL is fetched. Download the file and pass its bytes.")
        return fetch(value, allowed_hosts, MAXIMUM_BYTES), "the picture"
    if isinstance(value, (str, os.PathLike)):
        path = Path(os.fsdecode(value))
        return _read_file(path), repr(path.name)
    kind = type(value).__name__
    advice = " Pass tensor.permute(1, 2, 0).numpy()." if kind == "Tensor" else ""
    raise InputError(f"{EXPECTATION}; got {kind}.{advice}")


def _read_file(path: Path) -> bytes:
    """Read a regular file that is not too large; a folder or a device is never opened."""
    name = repr(path.name)
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise InputError(f"Expected the path of a picture; {name} is a folder. Pass the files in it.")
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"Expected the path of a picture; {name} is a device or a pipe. Pass its bytes.")
        _check_num_bytes(status.st_size, name)
        with path.open("rb") as file:
            content = file.read(MAXIMUM_BYTES + 1)
    except FileNotFoundError:
        raise InputError(f"Expected the path of a picture; there is no file {name}.") from None
    except (OSError, ValueError) as error:  # no permission; a name that is too long or has a zero byte
        if isinstance(error, InputError):
            raise
        raise InputError(f"Expected the path of a picture; the file {_short(name)} cannot be opened.") from None
    _check_num_bytes(len(content), name)
    return content


def _check_num_bytes(num_bytes: int, name: str) -> None:
    if num_bytes == 0:
        raise InputError(f"{EXPECTATION}; {name} is empty: it has 0 bytes.")
    if num_bytes > MAXIMUM_BYTES:
        raise InputError(
            f"Expected a picture of at most {MAXIMUM_BYTES:,} bytes; {name} has {num_bytes:,}. "
            "Save it smaller: a side of 1,000 pixels is plenty."
        )


def _short(name: str) -> str:
    return name if len(name) <= 60 else f"{name[:57]}…"


def _from_pil(image: Image.Image, target_side: int | None) -> ReadImage:
    """Convert a copy; the caller's picture stays as it is."""
    check_size(image.size, "the picture")
    try:
        image.load()
        num_frames = getattr(image, "n_frames", 1) if image.tell() == 0 else 1
    except Exception as error:  # a damaged file can raise anything in Pillow
        raise InputError(f"{EXPECTATION}; the PIL image cannot be decoded. Is its file damaged or cut off?") from error
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
