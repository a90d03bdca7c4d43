"""What transformers' generation has to know of a model whose cache is a recurrent state."""

from typing import Any

from torch import Tensor
from transformers import GenerationMixin


class RecurrentGenerationMixin(GenerationMixin):
    """GenerationMixin for models that return a state with `select` as `past_key_values`.

    Such a state cannot be cut back to an earlier step, and is never one of transformers' own caches.
    """

    _is_stateful = True

    @classmethod
    def _supports_default_dynamic_cache(cls) -> bool:
        return False

    @staticmethod
    def _reorder_cache(past_key_values: Any, beam_idx: Tensor) -> Any:
        return past_key_values.select(beam_idx)
