"""Runs a speech recogniser over frames of features: whole pieces together, or one recording piece after piece.

Names of dimensions in this file:
    frames      of features
    features    width of a frame
    steps       frames of log-probabilities: `frames` over the model's subsampling, rounded up
    vocabulary  labels, the blank included
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor


@torch.inference_mode()
def read_together(model: Any, pieces: Sequence[np.ndarray]) -> list[Tensor]:
    """Score pieces as one batch, each as if it were alone.

    Args:
        model: the recogniser, in evaluation mode.
        pieces: normalised features, each float32 (frames, features).

    Returns:
        Log-probabilities of each, float (steps, vocabulary), on the CPU; float32 at least.
    """
    features = torch.nn.utils.rnn.pad_sequence([torch.from_numpy(piece) for piece in pieces], batch_first=True)
    lengths = torch.tensor([len(piece) for piece in pieces])
    mask = torch.arange(features.shape[1]) < lengths.unsqueeze(1)
    logits = model(features.to(model.device, model.dtype), mask.to(model.device)).logits
    num_steps = (-(-lengths // model.config.subsampling)).tolist()
    return [_log_probabilities(row[:steps]) for row, steps in zip(logits, num_steps, strict=True)]


class SpeechReader:
    """Reads one recording piece after piece with a network that only reads forwards.

    Together the pieces give what `read_together` makes of the whole. It keeps the states of the layers, and at most two
    steps' frames.
    """

    def __init__(self, model: Any):
        """Begin a recording; the model is in evaluation mode, and may be read by others meanwhile."""
        self._model = model
        self._frames = np.zeros((0, model.config.feature_size), np.float32)
        self._num_known_steps = 0
        self._states = None

    @torch.inference_mode()
    def read(self, frames: np.ndarray, is_last: bool = False) -> Tensor:
        """Score the steps whose frames are all there.

        Args:
            frames: normalised features, float32 (frames, features); may be none.
            is_last: score also the last step, whose frames need not be all there.

        Returns:
            Log-probabilities, float (steps, vocabulary), on the CPU; float32 at least.
        """
        subsampling = self._model.config.subsampling
        frames = np.concatenate([self._frames, frames])
        num_steps = -(-len(frames) // subsampling) if is_last else len(frames) // subsampling
        if num_steps == self._num_known_steps:
            self._frames = frames
            return torch.zeros(0, self._model.config.vocab_size)
        features = torch.from_numpy(frames[: num_steps * subsampling]).unsqueeze(0)
        features = features.to(self._model.device, self._model.dtype)
        logits, self._states = self._model.read_on(features, self._num_known_steps, self._states)
        self._num_known_steps = min(num_steps, self._model.front_end.context_steps)
        self._frames = frames[(num_steps - self._num_known_steps) * subsampling :].copy()
        return _log_probabilities(logits[0])


def _log_probabilities(logits: Tensor) -> Tensor:
    return logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(dim=-1).cpu()
