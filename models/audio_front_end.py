"""What stands between a speech recogniser's features and its recurrent layers: fewer, wider frames.

Names of dimensions in this file:
    batch     utterances
    frames    of features, padded at an utterance's end
    steps     frames that come out, fewer
    features  width of a frame
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

KERNEL_SIZE = 3
STRIDE = 2
PADDING = 1


def mask_of_lengths(lengths: Tensor, size: int) -> Tensor:
    """Return bool (batch, size), True before each of the lengths, int64 (batch)."""
    return torch.arange(size, device=lengths.device) < lengths.unsqueeze(1)


class FrameStacking(nn.Module):
    """Puts `num_frames` frames side by side; zeros fill up the last step of an utterance."""

    context_steps = 0
    """How many steps before a step stand on frames that it reads, too."""

    def __init__(self, feature_size: int, num_frames: int):
        super().__init__()
        self.num_frames = num_frames
        self.output_size = feature_size * num_frames

    def output_lengths(self, lengths: Tensor | int) -> Tensor | int:
        """Return how many steps so many frames make."""
        return -(-lengths // self.num_frames)

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Stack frames.

        Args:
            features: float (batch, frames, features), 0 on padding.
            lengths: int64 (batch), frames of each utterance.

        Returns:
            float (batch, steps, output_size).
        """
        missing = -features.shape[1] % self.num_frames
        return F.pad(features, (0, 0, 0, missing)).unflatten(1, (-1, self.num_frames)).flatten(2)


class ConvolutionalFrontEnd(nn.Module):
    """Two convolutions of 3 x 3 with stride 2 over time and frequency, each rectified (as in Deep Speech 2).

    A step reads 7 frames: the 4 that it stands on, from the 4 * step-th, and 3 before them.
    """

    context_steps = 1

    def __init__(self, feature_size: int, channels: int):
        super().__init__()
        options = {"kernel_size": KERNEL_SIZE, "stride": STRIDE, "padding": PADDING}
        self.first = nn.Conv2d(1, channels, **options)
        self.second = nn.Conv2d(channels, channels, **options)
        self.output_size = channels * _halved(_halved(feature_size))

    def output_lengths(self, lengths: Tensor | int) -> Tensor | int:
        """Return how many steps so many frames make."""
        return _halved(_halved(lengths))

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Convolve over time and frequency; past an utterance's end there are zeros, as if it were alone.

        Args:
            features: float (batch, frames, features), 0 on padding.
            lengths: int64 (batch), frames of each utterance.

        Returns:
            float (batch, steps, output_size).
        """
        maps = self.first(features.unsqueeze(1)).relu()
        is_real = mask_of_lengths(_halved(lengths), maps.shape[2])
        maps = self.second(maps * is_real[:, None, :, None]).relu()
        return maps.transpose(1, 2).flatten(2)


def _halved(lengths: Tensor | int) -> Tensor | int:
    return (lengths + 1) // STRIDE
