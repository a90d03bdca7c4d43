"""What a search asks of a network: read a token in every row, and name the best continuations of each input.

Names of dimensions in this file:
    batch       inputs
    width       hypotheses of an input
    rows        answers written side by side: batch times width; those of an input lie together
    count       continuations of an input
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
from .precision import precise


class Candidates(NamedTuple):
    """How each input's hypotheses may go on, and what the network looked at to say so."""

    totals: np.ndarray
    """float (batch, count), nats, best first: what a hypothesis has then; minus infinity for what is forbidden."""
    log_probabilities: np.ndarray
    """float (batch, count), nats, of the next tokens."""
    token_ids: np.ndarray
    """int64 (batch, count)."""
    parents: np.ndarray
    """int64 (batch, count), which of the input's hypotheses they continue."""
    attention: np.ndarray
    """float (rows, source)."""


class TokenStepper(Protocol):
    """A network with the state of every row."""

    def advance(
        self, tokens: np.ndarray, rows: np.ndarray | None, scores: np.ndarray, count: int, forbidden: np.ndarray | None
    ) -> Candidates:
        """Read one token in every row.

        Args:
            tokens: int64 (rows), what was written last.
            rows: int64 (rows), which row of the step before each one continues; None: each its own.
            scores: float (batch, width), nats, what each row has so far.
            count: how many continuations of each input; fewer come where there are no more.
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
        self, tokens: np.ndarray, rows: np.ndarray | None, scores: np.ndarray, count: int, forbidden: np.ndarray | None
    ) -> Candidates:
        """Read one token in every row, as `TokenStepper` says."""
        logits, attention = self.read(tokens, rows)
        return _best(logits.log_softmax(dim=-1), attention, scores, count, forbidden)

    def read(self, tokens: np.ndarray, rows: np.ndarray | None) -> tuple[Tensor, Tensor]:
        """Read one token in every row; return logits, float (rows, vocabulary), and attention, float (rows, source)."""
        if rows is not None:
            self.state = self.state.select(torch.from_numpy(rows).to(self.device))
        logits, self.state, attention = self.step(torch.from_numpy(tokens).to(self.device), self.state, self.memory)
        return precise(logits), attention.float()

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
        self, tokens: np.ndarray, rows: np.ndarray | None, scores: np.ndarray, count: int, forbidden: np.ndarray | None
    ) -> Candidates:
        """Read one token in every row, as `TokenStepper` says."""
        read = [member.read(tokens, rows) for member in self.members]
        every = torch.stack([logits.log_softmax(dim=-1) for logits, _ in read])
        log_probabilities = every.logsumexp(dim=0) - math.log(len(self.members))
        attention = torch.stack([attention for _, attention in read]).sum(dim=0) / max(1, self.num_attending)
        return _best(log_probabilities, attention, scores, count, forbidden)

    def keep(self, items: np.ndarray) -> None:
        """Go on with some of the inputs, as `TokenStepper` says."""
        for member in self.members:
            member.keep(items)


def _best(
    log_probabilities: Tensor, attention: Tensor, scores: np.ndarray, count: int, forbidden: np.ndarray | None
) -> Candidates:
    """Name the best continuations of each input; what is forbidden keeps its share of the probability."""
    if forbidden is not None:
        log_probabilities = log_probabilities + torch.from_numpy(forbidden).to(log_probabilities.device)
    vocab_size = log_probabilities.shape[1]
    before = torch.from_numpy(scores).to(log_probabilities).unsqueeze(-1)
    totals = (log_probabilities.view(*scores.shape, vocab_size) + before).flatten(1)
    best, places = totals.topk(min(count, totals.shape[1]), dim=1)
    chosen = log_probabilities.view(len(scores), -1).gather(1, places)
    found = (best, chosen, places % vocab_size, places // vocab_size, attention)
    return Candidates(*(tensor.cpu().numpy() for tensor in found))
