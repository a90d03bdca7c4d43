"""Pictures that the tests make, and how they are refused."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipelines.image_input import read_image
from pipelines.pipeline_common import InputError

FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF")


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    """Return the file of a picture."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def noise(width: int = 64, height: int = 48) -> Image.Image:
    """Return a picture in which every pixel has another colour."""
    numbers = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(numbers)


def refusal(value: Any, *words: str, **options) -> str:
    """Return the sentence with which a value is refused."""
    with pytest.raises(InputError) as caught:
        read_image(value, **options)
    for word in words:
        assert word in str(caught.value), str(caught.value)
    return str(caught.value)
