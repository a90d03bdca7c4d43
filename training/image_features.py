"""What the backbone's frozen part makes of pictures: computed once, kept in a memory-mapped file."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.image_encoder import ImageEncoder

from .captioned_images import CaptionedImages

BATCH_SIZE = 32


@torch.inference_mode()
def kept_features(
    encoder: ImageEncoder, processor: Any, images: CaptionedImages, folder: Path, mirrored: bool = False
) -> np.memmap:
    """Return `encoder.begin` of every picture, from the file if another run has left it.

    Args:
        encoder: its frozen part is run.
        processor: makes `pixel_values`.
        images: the pictures.
        folder: where the files are kept; one of 6,000 pictures and 14 x 14 x 112 numbers has 264 MB.
        mirrored: whether left and right are exchanged first.

    Returns:
        float16 (pictures, channels, rows, columns).
    """
    path = folder / f"features-{_fingerprint(encoder, processor, images, mirrored)}.npy"
    if path.is_file():
        return np.load(path, mmap_mode="r")
    folder.mkdir(parents=True, exist_ok=True)
    part, features = path.with_suffix(".part"), None
    for start in range(0, len(images), BATCH_SIZE):
        indices = range(start, min(start + BATCH_SIZE, len(images)))
        found = encoder.begin(_pixels(encoder, processor, images, indices, mirrored)).half().cpu().numpy()
        if features is None:
            shape = (len(images), *found.shape[1:])
            features = np.lib.format.open_memmap(part, mode="w+", dtype=np.float16, shape=shape)
        features[start : start + len(found)] = found
    features.flush()
    part.replace(path)
    return np.load(path, mmap_mode="r")


def _pixels(
    encoder: ImageEncoder, processor: Any, images: CaptionedImages, indices: Sequence[int], mirrored: bool
) -> Tensor:
    pixels = processor([images.open(index) for index in indices], return_tensors="pt")["pixel_values"]
    return (pixels.flip(-1) if mirrored else pixels).to(next(encoder.parameters()).device)


def _fingerprint(encoder: ImageEncoder, processor: Any, images: CaptionedImages, mirrored: bool) -> str:
    """Tell apart what would give other features; the weights by the sums of the frozen ones."""
    frozen = [parameter for parameter in encoder.parameters() if not parameter.requires_grad]
    sums = [float(parameter.double().abs().sum()) for parameter in frozen]
    parts = (encoder.grid_layer, encoder.num_trained_blocks, sums, processor.to_json_string(), images.names, mirrored)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
