"""Drawing the next token from a small vocabulary, with transformers' meanings of the options.

Plain Python: for the hundred characters of a character model it is several times faster than calls of torch.

References:
    Top-p (nucleus) sampling: Holtzman et al. 2020 (arXiv:1904.09751), section 3.1.
    Top-k sampling: Fan, Lewis and Dauphin 2018 (arXiv:1805.04833).
"""

import math
from bisect import bisect_right
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import accumulate
from random import Random


@dataclass(frozen=True)
class SamplingOptions:
    """How to draw; names and meanings are those of transformers' GenerationConfig."""

    do_sample: bool = True
    """False: always the most probable token."""
    temperature: float = 1.0
    """What logits are divided by; 0 is the same as not to sample."""
    top_k: int = 0
    """Draw among this many most probable tokens; 0: among all."""
    top_p: float = 1.0
    """Draw among the fewest most probable tokens whose probabilities sum to at least this."""

    @property
    def is_greedy(self) -> bool:
        """Whether nothing is left to chance."""
        return not self.do_sample or self.temperature == 0


def log_probabilities(logits: Sequence[float]) -> list[float]:
    """Normalise logits; natural logarithms."""
    highest = max(logits)
    total = math.log(math.fsum(math.exp(logit - highest) for logit in logits)) + highest
    return [logit - total for logit in logits]


def sampling_weights(logits: Sequence[float], options: SamplingOptions, banned: Collection[int] = ()) -> list[float]:
    """Return what each token is drawn in proportion to: temperature first, then top-k, then top-p.

    Args:
        logits: one for each token.
        options: how to draw.
        banned: tokens that are never drawn.

    Raises:
        ValueError: when every token is banned.
    """
    allowed = list(logits)
    for token in banned:
        allowed[token] = -math.inf
    highest = max(allowed)
    if highest == -math.inf:
        raise ValueError("Every token is banned.")
    if options.is_greedy:
        best = allowed.index(highest)
        return [float(token == best) for token in range(len(allowed))]
    scale = options.temperature
    weights = [math.exp((logit - highest) / scale) for logit in allowed]
    if 0 < options.top_k < len(weights):
        least = sorted(weights)[-options.top_k]
        weights = [weight if weight >= least else 0.0 for weight in weights]
    if options.top_p < 1:
        weights = _nucleus(weights, options.top_p)
    return weights


def _nucleus(weights: list[float], top_p: float) -> list[float]:
    """Keep the fewest largest weights whose share is at least `top_p`."""
    wanted, received, kept = top_p * math.fsum(weights), 0.0, [0.0] * len(weights)
    for token in sorted(range(len(weights)), key=weights.__getitem__, reverse=True):
        kept[token] = weights[token]
        received += weights[token]
        if received >= wanted:
            break
    return kept


def draw(logits: Sequence[float], options: SamplingOptions, random: Random, banned: Collection[int] = ()) -> int:
    """Draw one token; the same numbers from `random`, the same token."""
    weights = sampling_weights(logits, options, banned)
    if options.is_greedy:
        return weights.index(1.0)
    cumulative = list(accumulate(weights))
    token = bisect_right(cumulative, random.random() * cumulative[-1])
    while token == len(weights) or weights[token] == 0:  # rounding can only lead past the end
        token -= 1
    return token
