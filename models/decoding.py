"""Options, hypotheses and scores of every family that writes its answer token by token.

References:
    Length and coverage penalty: Wu et al. 2016 (arXiv:1609.08144), equation 14.

Names of dimensions in this file:
    batch       inputs
    rows        answers written side by side: batch times hypotheses of an input, which lie together
    vocabulary  tokens
    source      positions that the attention weighs
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Literal, Protocol, Self

import torch
from torch import Tensor
from transformers import GenerationConfig, PreTrainedConfig


class DecoderState(Protocol):
    """What a decoder carries from step to step."""

    def select(self, rows: Tensor) -> Self:
        """Keep the given rows, int64 (new_rows)."""
        ...


StepFunction = Callable[[Tensor, DecoderState], tuple[Tensor, DecoderState, Tensor]]
"""(token ids, int64 (rows); state) to (logits (rows, vocabulary); state; attention (rows, source))."""


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
    """float (tokens, source), on the CPU, the input's padding cut off; rows sum to 1."""
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


def score_targets(
    step: StepFunction,
    state: DecoderState,
    mask: Tensor,
    targets: list[list[int]],
    options: DecodingOptions,
    config: PreTrainedConfig,
) -> list[Hypothesis]:
    """Score given answers, one for each input, as `beam_search` scores those that it finds.

    Args:
        step: the network.
        state: its state before the first token, one row an input.
        mask: bool (batch, source), True on real positions.
        targets: each input's tokens, at least one, the end included.
        options: the penalties.
        config: names the start token.
    """
    longest = max(len(target) for target in targets)
    padded = torch.tensor([target + [0] * (longest - len(target)) for target in targets], device=mask.device)
    tokens = mask.new_full((len(targets),), config.decoder_start_token_id, dtype=torch.long)
    log_probabilities, attentions = [], []
    for next_tokens in padded.unbind(dim=1):
        logits, state, attention = step(tokens, state)
        logits = logits if logits.dtype == torch.float64 else logits.float()
        log_probabilities.append(logits.log_softmax(dim=-1).gather(1, next_tokens.unsqueeze(1)).squeeze(1))
        attentions.append(attention.float())
        tokens = next_tokens
    lengths = zip(mask.sum(dim=1).tolist(), map(len, targets), strict=True)
    attention = torch.stack(attentions, dim=1).cpu()
    token_scores = torch.stack(log_probabilities, dim=1).cpu()
    return [
        _scored(targets[item], token_scores[item, :target], attention[item, :target, :source], options)
        for item, (source, target) in enumerate(lengths)
    ]


def _scored(token_ids: list[int], log_probabilities: Tensor, attention: Tensor, options: DecodingOptions) -> Hypothesis:
    total, denominator = math.fsum(log_probabilities.tolist()), options.denominator(len(token_ids))
    coverage = 0.0
    if options.coverage_penalty != 0.0:
        coverage = coverage_penalty(attention.sum(dim=0), options.coverage_penalty)
    parts = {"log_probability": total, "length_denominator": denominator, "coverage_penalty": coverage}
    return Hypothesis(token_ids, log_probabilities.tolist(), attention, total / denominator + coverage, parts)
