"""A text as parallel streams of chunks, so that the state at a chunk's end is right for the next one's beginning."""

import random

import torch
from torch import Tensor
from torch.utils.data import Dataset


class TextStreams(Dataset):
    """Chunks for truncated back-propagation with the state carried over (Williams and Peng 1990).

    The text is a ring cut into `num_streams` equal streams; batch k holds the k-th chunk of each. A training epoch
    turns the ring by a random number of characters, so that chunks end elsewhere every time.
    """

    def __init__(self, ids: Tensor, num_streams: int, chunk_length: int, seed: int | None = None):
        """Cut a text.

        Args:
            ids: int64 (characters).
            num_streams: how many are read side by side; the batch size.
            chunk_length: characters of a chunk.
            seed: of the turns; None never turns.

        Raises:
            ValueError: for a text that does not fill a chunk in every stream.
        """
        if len(ids) < num_streams * chunk_length:
            raise ValueError(
                f"{len(ids)} characters do not fill {num_streams} streams of {chunk_length}; take fewer or shorter."
            )
        self.ids = ids
        self.num_streams = num_streams
        self.chunk_length = chunk_length
        self.seed = seed
        self.turn = 0

    def set_epoch(self, epoch: int) -> None:
        """Turn the ring for an epoch; the same epoch, the same turn."""
        if self.seed is not None:
            self.turn = random.Random(f"{self.seed}/{epoch}").randrange(len(self.ids))

    def __len__(self) -> int:
        return self.num_streams * (len(self.ids) // self.num_streams // self.chunk_length)

    def __getitem__(self, index: int) -> Tensor:
        """Return int64 (chunk_length): chunk `index // num_streams` of stream `index % num_streams`."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        chunk, stream = divmod(index, self.num_streams)
        start = self.turn + stream * (len(self.ids) // self.num_streams) + chunk * self.chunk_length
        return self.ids[torch.arange(start, start + self.chunk_length) % len(self.ids)]


def collate(chunks: list[Tensor]) -> dict[str, Tensor]:
    """Make a batch; every character is a label."""
    batch = torch.stack(chunks)
    return {"input_ids": batch, "labels": batch}
