"""Batches of like lengths."""

import random
from collections.abc import Iterator

from torch.utils.data import Sampler


class LengthBucketSampler(Sampler[int]):
    """Shuffles, sorts each pool of 50 batches by length, and shuffles the batches: little padding, little order.

    Batches that several processes train on at the same time are neighbours in length: none waits for another.
    """

    def __init__(self, lengths: list[int], batch_size: int, seed: int, processes: int = 1):
        self.lengths = lengths
        self.batch_size = batch_size
        self.seed = seed
        self.processes = processes
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch's order; Trainer calls it, also when it resumes."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        generator = random.Random(f"{self.seed}/{self.epoch}")
        order = list(range(len(self.lengths)))
        generator.shuffle(order)
        pool = 50 * self.batch_size
        batches = []
        for start in range(0, len(order), pool):
            by_length = sorted(order[start : start + pool], key=self.lengths.__getitem__)
            batches += [by_length[i : i + self.batch_size] for i in range(0, len(by_length), self.batch_size)]
        short = [batch for batch in batches if len(batch) < self.batch_size]
        batches = [batch for batch in batches if len(batch) == self.batch_size]
        together = [batches[i : i + self.processes] for i in range(0, len(batches), self.processes)]
        generator.shuffle(together)
        together.sort(key=lambda group: len(group) < self.processes)  # what is left over comes last
        for batch in [*(batch for group in together for batch in group), *short]:
            yield from batch
