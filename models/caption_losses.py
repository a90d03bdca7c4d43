"""What the captioner's attention is charged for in training, beside the words.

References:
    Xu et al. 2015 (arXiv:1502.03044), sections 4.1 and 4.2.1.

Names of dimensions in this file:
    growing  captions that have a word at a step; the first ones of `texts`, fewer at each step
    texts    captions
    places   cells of the picture's grid
"""

import torch
from torch import Tensor


def doubly_stochastic_penalty(probabilities: list[Tensor]) -> Tensor:
    """Charge captions for places not looked at just once: sum over i of (1 - sum over t of alpha_ti)^2.

    Args:
        probabilities: for each step float (growing, places).

    Returns:
        Scalar: the second term of equation 14 without lambda, summed over the captions.
    """
    return (1 - _sum_of_steps(probabilities)).square().sum()


def hard_attention_loss(
    advantages: Tensor,
    probabilities: list[Tensor],
    places: list[Tensor],
    is_sampled: Tensor,
    reward_weight: float,
    entropy_weight: float,
) -> Tensor:
    """Return the loss whose gradient is REINFORCE's estimate for the places looked at (section 4.1).

    The gradient through the words is the cross-entropy's; this is the rest of the learning rule:
    lambda_r (log p(y | s) - b) d log p(s | a) + lambda_e d H[s], with the sign turned.

    Args:
        advantages: float (texts), log p(y | s) - b, without a gradient.
        probabilities: alpha, for each step float (growing, places).
        places: what was read, for each step float (growing, places): one place has 1 where it was sampled.
        is_sampled: bool (texts): captions that read samples; the others count nothing.
        reward_weight: lambda_r.
        entropy_weight: lambda_e.

    Returns:
        Scalar, summed over the captions.
    """
    tiny = torch.finfo(advantages.dtype).tiny
    logs = [step.clamp_min(tiny).log() for step in probabilities]
    of_places = _sum_of_steps([(place * log).sum(-1, keepdim=True) for place, log in zip(places, logs, strict=True)])
    entropies = _sum_of_steps(
        [-(step * log).sum(-1, keepdim=True) for step, log in zip(probabilities, logs, strict=True)]
    )
    gain = reward_weight * advantages * of_places.squeeze(1) + entropy_weight * entropies.squeeze(1)
    return -gain[is_sampled].sum()


def _sum_of_steps(steps: list[Tensor]) -> Tensor:
    """Add steps of ever fewer captions: [(growing, width)] to (texts, width)."""
    total = steps[0].new_zeros(steps[0].shape)
    padded = [torch.cat([step, step.new_zeros(len(total) - len(step), total.shape[1])]) for step in steps]
    return torch.stack(padded).sum(dim=0)
