"""Scores of given answers, the same that a search gives to those that it finds.

Names of dimensions in this file:
    rows        answers, one for each input
    vocabulary  tokens
    source      positions that the attention weighs
"""

import math

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedConfig

from .decoding import DecodingOptions, Hypothesis, coverage_penalty
from .token_stepper import TokenStepper


def score_targets(
    stepper: TokenStepper,
    mask: Tensor,
    targets: list[list[int]],
    options: DecodingOptions,
    config: PreTrainedConfig,
) -> list[Hypothesis]:
    """Score given answers, one for each input, as `beam_search` scores those that it finds.

    Args:
        stepper: the network before the first token, one row an input.
        mask: bool (batch, source), True on real positions.
        targets: each input's tokens, at least one, the end included.
        options: the penalties.
        config: names the start token, and how many tokens there are.
    """
    longest = max(len(target) for target in targets)
    padded = np.array([target + [0] * (longest - len(target)) for target in targets])
    tokens, scores = np.full(len(targets), config.decoder_start_token_id), np.zeros((len(targets), 1), np.float32)
    log_probabilities, attentions = [], []
    for next_tokens in padded.T:
        others = np.full((len(targets), config.vocab_size), -np.inf, np.float32)
        others[np.arange(len(targets)), next_tokens] = 0.0
        candidates = stepper.advance(tokens, None, scores, 1, others)
        log_probabilities.append(candidates.log_probabilities[:, 0])
        attentions.append(candidates.attention)
        tokens = next_tokens.copy()
    lengths = zip(mask.sum(dim=1).tolist(), map(len, targets), strict=True)
    attention = torch.from_numpy(np.stack(attentions, axis=1))
    token_scores = np.stack(log_probabilities, axis=1)
    return [
        _scored(targets[item], token_scores[item, :target].tolist(), attention[item, :target, :source], options)
        for item, (source, target) in enumerate(lengths)
    ]


def _scored(
    token_ids: list[int], log_probabilities: list[float], attention: Tensor, options: DecodingOptions
) -> Hypothesis:
    total, denominator = math.fsum(log_probabilities), options.denominator(len(token_ids))
    coverage = 0.0
    if options.coverage_penalty != 0.0:
        coverage = coverage_penalty(attention.sum(dim=0), options.coverage_penalty)
    parts = {"log_probability": total, "length_denominator": denominator, "coverage_penalty": coverage}
    return Hypothesis(token_ids, log_probabilities, attention, total / denominator + coverage, parts)
