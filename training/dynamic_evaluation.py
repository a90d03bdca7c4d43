"""Dynamic evaluation: the network learns on from the text that it is tested on, each part after it was predicted.

No character is seen before it is predicted, so the number is a fair code length; but it is another question than what
the stored weights alone predict, and both numbers belong side by side.

References:
    Graves 2013 (arXiv:1308.0850), section 3.1, who reports both for character networks.
    Krause et al. 2018 (arXiv:1709.07432), section 3, in the form with plain stochastic gradient descent.
"""

import copy

import torch
from torch import Tensor

from models.modeling_char_rnn import CharRnnForCausalLM

SEGMENT_LENGTH = 20
"""Characters that are predicted with the same weights; what Krause et al. 2018 took for characters."""


def dynamic_nats_per_character(
    model: CharRnnForCausalLM, ids: Tensor, learning_rate: float, segment_length: int = SEGMENT_LENGTH
) -> float:
    """Return the loss on a text that is learnt from while it is read, once, with the state carried.

    Args:
        model: in evaluation mode; a copy of it learns, in float32.
        ids: int64 (characters).
        learning_rate: of one gradient step after every segment.
        segment_length: characters that are predicted with the same weights; the gradient ends at their beginning.
    """
    learner = copy.deepcopy(model).float().eval()
    parameters = list(learner.requires_grad_(True).parameters())
    total, state = 0.0, None
    for segment in ids.to(model.device).split(segment_length):
        output = learner(segment.unsqueeze(0), labels=segment.unsqueeze(0), past_key_values=state)
        total, state = total + output.loss.item() * len(segment), output.past_key_values.detach()
        gradients = torch.autograd.grad(output.loss, parameters)
        with torch.no_grad():
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.sub_(gradient, alpha=learning_rate)
    return total / len(ids)


def choose_learning_rate(
    model: CharRnnForCausalLM, ids: Tensor, candidates: tuple[float, ...] = (0.03, 0.1, 0.3)
) -> float:
    """Return the rate that is best on a text, which should be little or nothing of the reported one."""
    return min(candidates, key=lambda rate: dynamic_nats_per_character(model, ids, rate))
