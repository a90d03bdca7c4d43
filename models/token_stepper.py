"""What a search asks of a network: read a token in every row, and name the best candidates for the next.

Names of dimensions in this file:
    rows        answers written side by side: batch times hypotheses of an input, which lie together
    count       candidates for a row's next token
    vocabulary  tokens
    source      positions that the attention weighs
"""

import math
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from .decoding import DecoderState, Memory, StepFunction


class Candidates(NamedTuple):
    """What may come next, and what the network looked at to say so."""

    log_probabilities: np.ndarray
    """float (rows, count), nats, best first; minus infinity for what is forbidden."""
    token_ids: np.ndarray
    """int64 (rows, count)."""
    attention: np.ndarray
    """float (rows, source)."""


class TokenStepper(Protocol):
    """A network with the state of every row."""

    def advance(
        self, tokens: np.ndarray, rows: np.ndarray | None, count: int, forbidden: np.ndarray | None
    ) -> Candidates:
        """Read one token in every row.

        Args:
            tokens: int64 (rows), what was written last.
            rows: int64 (rows), which row of the step before each one continues; None: each its own.
            count: how many candidates.
            forbidden: float32 (rows or 1, vocabulary), minus infinity at what must not come and 0 elsewhere; it does
                not change the others' probabilities. None: nothing is forbidden.
        """
        ...

    def keep(self, items: np.ndarray) -> None:
        """Go on with some of the inputs, int64 (kept), their places in rising order; the next `rows` are theirs."""
        ...


class TorchStepper:
    """A network that PyTorch runs, on any device."""

    def __init__(self, step: StepFunction, state: DecoderState, memory: Memory, device: torch.device):
        """Begin.

        Args:
            step: the network.
            state: its state before the first token.
            memory: what it reads of the inputs at every step.
            device: where all are.
        """
        self.step = step
        self.state = state
        self.memory = memory
        self.device = device

    def advance(
        self, tokens: np.ndarray, rows: np.ndarray | None, count: int, forbidden: np.ndarray | None
    ) -> Candidates:
        """Read one token in every row, as `TokenStepper` says."""
        logits, attention = self.read(tokens, rows)
        return _best(logits, logits.logsumexp(dim=-1, keepdim=True), attention, count, forbidden)

    def read(self, tokens: np.ndarray, rows: np.ndarray | None) -> tuple[Tensor, Tensor]:
        """Read one token in every row; return logits, float (rows, vocabulary), and attention, float (rows, source)."""
        if rows is not None:
            self.state = self.state.select(torch.from_numpy(rows).to(self.device))
        logits, self.state, attention = self.step(torch.from_numpy(tokens).to(self.device), self.state, self.memory)
        return logits if logits.dtype == torch.float64 else logits.float(), attention.float()

    def keep(self, items: np.ndarray) -> None:
        """Go on with some of the inputs, as `TokenStepper` says."""
        self.memory = self.memory.select(torch.from_numpy(items).to(self.device))


class EnsembleStepper:
    """Several networks that read the same tokens; the probability of the next one is the mean of theirs."""

    def __init__(self, members: Sequence[TorchStepper], num_attending: int):
        """Begin.

        Args:
            members: the networks before the first token, on one device.
            num_attending: how many have an attention; the others' weights are all 0, and do not count in the mean.
        """
        self.members = members
        self.num_attending = num_attending

    def advance(
        self, tokens: np.ndarray, rows: np.ndarray | None, count: int, forbidden: np.ndarray | None
    ) -> Candidates:
        """Read one token in every row, as `TokenStepper` says."""
        read = [member.read(tokens, rows) for member in self.members]
        every = torch.stack([logits.log_softmax(dim=-1) for logits, _ in read])
        log_probabilities = every.logsumexp(dim=0) - math.log(len(self.members))
        attention = torch.stack([attention for _, attention in read]).sum(dim=0) / max(1, self.num_attending)
        return _best(log_probabilities, torch.zeros_like(log_probabilities[:, :1]), attention, count, forbidden)

    def keep(self, items: np.ndarray) -> None:
        """Go on with some of the inputs, as `TokenStepper` says."""
        for member in self.members:
            member.keep(items)


def _best(
    logits: Tensor, normaliser: Tensor, attention: Tensor, count: int, forbidden: np.ndarray | None
) -> Candidates:
    """Name the best candidates; what is forbidden stays in the normaliser, float (rows, 1)."""
    if forbidden is not None:
        logits = logits + torch.from_numpy(forbidden).to(logits.device)
    best, token_ids = logits.topk(count, dim=-1)
    found = (best - normaliser, token_ids, attention)
    return Candidates(*(tensor.cpu().numpy() for tensor in found))
