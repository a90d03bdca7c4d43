"""Every way in which a picture stores its colours, to RGB with 8 bits."""

import numpy as np
from PIL import Image

from .pipeline_common import InputError

OVERSAMPLING = 2
"""A reduced picture stays this many times larger than the network's, so that its resampling decides."""
_MANY_BITS = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")


def to_rgb(image: Image.Image, target_side: int | None = None) -> Image.Image:
    """Return a new RGB picture with transparency on white, reduced if it is several times larger than needed.

    Args:
        image: a loaded picture of any mode.
        target_side: see `reduced`.

    Raises:
        InputError: for a mode that stands for no colours that we know, or numbers out of its range.
    """
    try:
        return _on_white(reduced(_plain(image), target_side))
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"Expected a picture in grey, RGB, CMYK or with a palette; got the mode {image.mode}. Save it as RGB."
        ) from error


def reduced(image: Image.Image, target_side: int | None) -> Image.Image:
    """Average whole blocks of pixels while the shorter side stays at least `OVERSAMPLING * target_side`."""
    factor = min(image.size) // (OVERSAMPLING * target_side) if target_side else 1
    return image.reduce(factor) if factor > 1 else image


def array_to_rgb(array: np.ndarray) -> Image.Image:
    """Convert an array (height, width) or (height, width, 1, 3 or 4).

    Raises:
        InputError: for a dtype or for numbers that are no brightness.
    """
    eight_bits = _eight_bits(array)
    if eight_bits.ndim == 3 and eight_bits.shape[2] == 1:
        eight_bits = eight_bits[:, :, 0]
    return _on_white(Image.fromarray(np.ascontiguousarray(eight_bits)))


def _plain(image: Image.Image) -> Image.Image:
    """Return a mode whose pixels can be averaged."""
    if image.mode in _MANY_BITS:
        numbers = np.asarray(image)
        return Image.fromarray(_eight_bits(_sixteen_bits(numbers) if image.mode == "I" else numbers))
    if image.has_transparency_data:
        return image.convert("RGBA")
    return image.convert("RGB") if image.mode in ("P", "1") else image


def _on_white(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image.convert("RGB")
    white = Image.new("RGBA", image.size, "white")
    white.alpha_composite(image.convert("RGBA"))
    return white.convert("RGB")


def _sixteen_bits(numbers: np.ndarray) -> np.ndarray:
    """Narrow Pillow's 32-bit mode, in which it holds pictures of 16 bits."""
    if numbers.min() < 0 or numbers.max() > 0xFFFF:
        raise InputError(
            f"Expected grey from 0 to 65,535 in a picture of mode I; got {numbers.min():,} to {numbers.max():,}. "
            "Scale it to 16 or 8 bits."
        )
    return numbers.astype(np.uint16)


def _eight_bits(numbers: np.ndarray) -> np.ndarray:
    """Scale brightness of any dtype to 0..255."""
    if numbers.dtype == np.uint8:
        return numbers
    if numbers.dtype == np.bool_:
        return numbers.astype(np.uint8) * 255
    if numbers.dtype.kind == "u" and numbers.dtype.itemsize == 2:
        return ((numbers.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if numbers.dtype.kind == "f":
        return _from_fractions(numbers)
    raise InputError(
        f"Expected pixels as uint8, uint16, bool, or floats from 0 to 1; got {numbers.dtype}. "
        "Convert them: array.astype('uint8')."
    )


def _from_fractions(numbers: np.ndarray) -> np.ndarray:
    darkest, brightest = float(numbers.min()), float(numbers.max())
    if not (np.isfinite(darkest) and np.isfinite(brightest)):  # a NaN anywhere is both
        raise InputError("Expected floats from 0 to 1; got NaN or infinity among the pixels. Replace them.")
    if darkest < 0 or brightest > 1:
        raise InputError(
            f"Expected floats from 0 to 1; got {darkest:g} to {brightest:g}. "
            "Scale them; 0 to 255 becomes 0 to 1 by array / 255."
        )
    return np.rint(numbers.astype(np.float32) * 255).astype(np.uint8)
