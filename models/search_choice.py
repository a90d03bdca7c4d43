"""Which beam search runs: on a CUDA device the one that stays there, on a CPU the one in NumPy."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

from torch import Tensor, nn
from transformers import PreTrainedConfig

from .beam_search import beam_search
from .decoding import DecodingOptions, Hypothesis
from .device_beam_search import device_beam_search
from .token_stepper import TorchStepper

Search = Literal["host", "device", "recorded"]
"""In NumPy; on the device, each step called; on the device, each step recorded once (a CUDA graph) and replayed."""

_FORCED: ContextVar[Search | None] = ContextVar("forced_search", default=None)


@contextmanager
def forced_search(search: Search) -> Iterator[None]:
    """Search so inside the block, whatever the device; for tests and measurements. Other threads are not concerned."""
    token = _FORCED.set(search)
    try:
        yield
    finally:
        _FORCED.reset(token)


def chosen_search(device_type: str) -> Search:
    """Name the search for a device, such as "cuda"."""
    return _FORCED.get() or ("recorded" if device_type == "cuda" else "host")


def find_hypotheses(
    stepper: TorchStepper, mask: Tensor, options: DecodingOptions, config: PreTrainedConfig, model: nn.Module
) -> list[list[Hypothesis]]:
    """Find the best hypotheses of each input; see `beam_search`.

    Args:
        stepper: the network before the first token, with one row an input.
        mask: bool (batch, source), True on real positions.
        options: how to search.
        config: names the start and the end token, and how many tokens there are.
        model: whose step it is.
    """
    search = chosen_search(mask.device.type)
    if search == "host":
        return beam_search(stepper, mask, options, config)
    return device_beam_search(stepper, mask, options, config, model if search == "recorded" else None)
