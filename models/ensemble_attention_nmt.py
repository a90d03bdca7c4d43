"""Several attention NMT networks that answer as one.

Reference:
    Sutskever, Vinyals and Le 2014 (arXiv:1409.3215), section 3.6: networks that differ in their random beginnings.

At every step the probabilities of the next piece are averaged: the arithmetic mean, so that what one network takes for
impossible stays possible. The attention is the mean of those networks that have one.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from .beam_search import beam_search
from .decoding import DecodingOptions, Hypothesis
from .target_scoring import score_targets
from .token_stepper import EnsembleStepper


class AttentionNmtEnsemble:
    """Translates as `AttentionNmtForConditionalGeneration` does, with the first member's decoding defaults."""

    def __init__(self, members: Sequence[PreTrainedModel]):
        """Join networks; they may have any shape.

        Args:
            members: at least one, all of one vocabulary and on one device.

        Raises:
            ValueError: where they do not translate between the same languages, or have not as many pieces.
        """
        self.members = list(members)
        self.config, self.generation_config = self.members[0].config, self.members[0].generation_config
        self.device = self.members[0].device
        self.attends = any(member.attends for member in self.members)
        for name in ("vocab_size", "source_language", "target_language", "directions", "decoder_start_token_id"):
            first, *others = (getattr(member.config, name) for member in self.members)
            for other in others:
                if other != first:
                    raise ValueError(f"The members of an ensemble must have the same {name}; got {first} and {other}.")

    @torch.inference_mode()
    def translate(self, input_ids: Tensor, attention_mask: Tensor, **options: Any) -> list[list[Hypothesis]]:
        """Find the best translations: as a model's own `translate`."""
        options = DecodingOptions.with_defaults(self.generation_config, **options)
        stepper = self._stepper(input_ids, attention_mask)
        return beam_search(stepper, attention_mask.bool(), options, self.config)

    @torch.inference_mode()
    def score(
        self, input_ids: Tensor, attention_mask: Tensor, target_ids: list[list[int]], **options: Any
    ) -> list[Hypothesis]:
        """Score given targets: as a model's own `score`."""
        options = DecodingOptions.with_defaults(self.generation_config, **options)
        stepper = self._stepper(input_ids, attention_mask)
        return score_targets(stepper, attention_mask.bool(), target_ids, options, self.config)

    def _stepper(self, input_ids: Tensor, attention_mask: Tensor) -> EnsembleStepper:
        steppers = [member.stepper(input_ids, attention_mask) for member in self.members]
        return EnsembleStepper(steppers, sum(member.attends for member in self.members))
