"""What a search asks of a network: read a token in every row, and name the best candidates for the next.

Names of dimensions in this file:
    rows        answers written side by side: batch times hypotheses of an input, which lie together
    count       candidates for a row's next token
    vocabulary  tokens
    source      positions that the attention weighs
"""

from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from .decoding import DecoderState, Memory, StepFunction
from .precision import precise


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
        if rows is not None:
            self.state = self.state.select(torch.from_numpy(rows).to(self.device))
        logits, self.state, attention = self.step(torch.from_numpy(tokens).to(self.device), self.state, self.memory)
        forbidden = None if forbidden is None else torch.from_numpy(forbidden).to(self.device)
        found = (*best_tokens(logits, count, forbidden), attention.float())
        return Candidates(*(tensor.cpu().numpy() for tensor in found))

    def keep(self, items: np.ndarray) -> None:
        """Go on with some of the inputs, as `TokenStepper` says."""
        self.memory = self.memory.select(torch.from_numpy(items).to(self.device))


def best_tokens(logits: Tensor, count: int, forbidden: Tensor | None) -> tuple[Tensor, Tensor]:
    """Name the likeliest tokens of each row.

    Args:
        logits: float (rows, vocabulary).
        count: how many.
        forbidden: float32 (rows or 1, vocabulary), minus infinity at what must not come and 0 elsewhere, or None.

    Returns:
        Their log-probabilities, float32 or float64 (rows, count), best first; and the tokens, int64 (rows, count).
    """
    logits = precise(logits)
    normaliser = logits.logsumexp(dim=-1, keepdim=True)
    best, token_ids = (logits if forbidden is None else logits + forbidden).topk(count, dim=-1)
    return best - normaliser, token_ids
