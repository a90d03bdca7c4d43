"""Options, hypotheses and scores of every family that writes its answer token by token.

References:
    Length and coverage penalty: Wu et al. 2016 (arXiv:1609.08144), equation 14.

Names of dimensions in this file:
    batch       inputs
    rows        answers written side by side: batch times hypotheses of an input, which lie together
    vocabulary  tokens
    source      positions that the attention weighs
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Literal, Protocol, Self

from torch import Tensor
from transformers import GenerationConfig


class DecoderState(Protocol):
    """What a decoder carries from step to step."""

    def select(self, rows: Tensor) -> Self:
        """Keep the given rows, int64 (new_rows)."""
        ...


class Memory(Protocol):
    """What a decoder reads of the inputs; no step changes it."""

    def select(self, items: Tensor) -> Self:
        """Keep the given inputs, int64 (kept)."""
        ...

    def padded(self, mask: Tensor, multiple: int) -> tuple[Self, Tensor]:
        """Lengthen sources to a multiple with positions that are never looked at, where sources differ in length.

        Args:
            mask: bool (batch, source), True on real positions.
            multiple: of the new length.

        Returns:
            The memory, and the mask that fits it.
        """
        ...


StepFunction = Callable[[Tensor, DecoderState, Memory], tuple[Tensor, DecoderState, Tensor]]
"""(token ids, int64 (rows); state; memory) to (logits (rows, vocabulary); state; attention (rows, source))."""


@dataclass(frozen=True)
class DecodingOptions:
    """How to search; names and meanings are those of transformers' GenerationConfig where it has them."""

    num_beams: int = 1
    num_return_sequences: int = 1
    length_penalty: float = 1.0
    length_normalization: Literal["power", "gnmt"] = "power"
    """Denominator of the score: length ** penalty, or ((5 + length) / 6) ** penalty."""
    coverage_penalty: float = 0.0
    """Weight of the sum over source positions of log(min(attention received, 1))."""
    max_new_tokens: int = 128
    min_new_tokens: int = 0
    no_repeat_ngram_size: int = 0
    early_stopping: bool | str = False
    """False, True or "never", as in transformers."""
    suppress_tokens: tuple[int, ...] = ()
    """Tokens that are never written."""
    prefix_ids: tuple[int, ...] = ()
    """Tokens that every hypothesis begins with."""

    @classmethod
    def with_defaults(cls, defaults: GenerationConfig, **options) -> Self:
        """Combine a checkpoint's defaults with the options that a caller names.

        Raises:
            TypeError: for an unknown option.
        """
        named = {field.name: getattr(defaults, field.name, None) for field in fields(cls)}
        combined = {name: value for name, value in named.items() if value is not None} | options
        return cls(**combined)

    def denominator(self, length: int) -> float:
        """Return what a hypothesis of `length` tokens has its log-probability divided by."""
        base = (5 + length) / 6 if self.length_normalization == "gnmt" else length
        return float(base**self.length_penalty)


@dataclass(frozen=True)
class Hypothesis:
    """One answer of the search and what the network looked at to write it."""

    token_ids: list[int]
    """Without the start; the end is its last token unless the length ran out."""
    token_log_probabilities: list[float]
    """Natural logarithms, one for each token."""
    attention: Tensor
    """float (tokens, source), on the CPU, the input's padding cut off; rows sum to 1, or are all 0 of a network without
    attention."""
    score: float
    """What the hypotheses are ranked by."""
    score_parts: dict[str, float]


def coverage_penalty(received: Tensor, weight: float) -> float:
    """Penalise source positions that were hardly looked at (Wu et al. 2016, equation 14).

    Args:
        received: float (source), each real position's attention, summed over the tokens.
        weight: beta.

    Returns:
        At most 0; a position counts as having received at least 1e-6.
    """
    return weight * float(received.clamp(min=1e-6, max=1.0).log().sum())
