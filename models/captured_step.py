"""A step that is run again and again on the same tensors: on a CUDA device recorded once, and then replayed.

A step of a recurrent decoder is some fifty small kernels; to start them from Python takes longer than they run. A CUDA
graph starts all of them at once. It reads and writes always the same memory: the tensors of its frame, into which every
request copies what it brings, and which it has to itself until it is done.

Where nothing can be recorded (on a CPU, or where recording fails) the step is simply called.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

from .tensor_trees import copy_into, mapped, tensors_of

logger = logging.getLogger(__name__)

GRAPHS_KEPT = 16
"""For each model. Each keeps the memory of one step of its shape; sizes are rounded up, so that few shapes occur."""
WARM_UP_RUNS = 3
"""Before recording: libraries choose their kernels and take their memory in the first ones."""

StepInPlace = Callable[[Any], None]
"""Reads the tensors of a frame and writes into them; it asks for the value of none."""


class PlainStep:
    """A step that is called."""

    def __init__(self, frame: Any):
        self.frame = frame

    def run(self, step: StepInPlace) -> None:
        """Make one step."""
        step(self.frame)


class CudaGraphStep:
    """A step that was recorded; it keeps no reference to the function, and so none to the model."""

    def __init__(self, step: StepInPlace, frame: Any):
        """Record.

        Args:
            step: what to record.
            frame: tensors on one CUDA device, a copy of the caller's: warming up and recording change them.

        Raises:
            RuntimeError: where something in the step cannot be recorded, or memory is out.
        """
        self.frame = frame
        self.device = next(tensors_of(frame)).device
        with torch.cuda.device(self.device):
            aside = torch.cuda.Stream()
            aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(aside):
                for _ in range(WARM_UP_RUNS):
                    step(frame)
            torch.cuda.current_stream().wait_stream(aside)
            self.graph = torch.cuda.CUDAGraph()
            # thread_local: what other threads do on the device meanwhile does not spoil the recording.
            with torch.cuda.graph(self.graph, capture_error_mode="thread_local"):
                step(frame)

    def run(self, step: StepInPlace) -> None:
        """Make one step."""
        with torch.cuda.device(self.device):
            self.graph.replay()


class _Entry:
    """A step of one shape, and who has it."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.step: PlainStep | CudaGraphStep | None = None


class StepCache:
    """The recorded steps of a model, by their shapes; threads may share it."""

    recording = Lock()
    """One recording at a time, whatever the model."""

    def __init__(self, limit: int = GRAPHS_KEPT):
        """Begin.

        Args:
            limit: how many are kept; the one that was not used for longest goes, and its memory with it.
        """
        self.limit = limit
        self._lock = Lock()
        self._entries: OrderedDict[Hashable, _Entry] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    @contextmanager
    def taken(self, key: Hashable, step: StepInPlace, frame: Any) -> Iterator[PlainStep | CudaGraphStep]:
        """Have a step to oneself; another thread with the same key waits meanwhile.

        Args:
            key: all that the recording depends on.
            step: what it does.
            frame: what it begins with; it is copied, not changed.
        """
        with self._lock:
            entry = self._entries.setdefault(key, _Entry())
            self._entries.move_to_end(key)
            while len(self._entries) > self.limit:
                self._entries.popitem(last=False)
        with entry.lock:
            if entry.step is None:
                entry.step = record(step, mapped(frame, torch.clone))
            copy_into(entry.step.frame, frame)
            yield entry.step


def record(step: StepInPlace, frame: Any) -> PlainStep | CudaGraphStep:
    """Record a step where that is possible; it is called otherwise.

    Args:
        step: what to record.
        frame: its tensors; they are changed.
    """
    if next(tensors_of(frame)).device.type != "cuda":
        return PlainStep(frame)
    try:
        with StepCache.recording:
            return CudaGraphStep(step, frame)
    except RuntimeError:
        logger.warning("A step could not be recorded as a CUDA graph; it is called instead.", exc_info=True)
        return PlainStep(frame)


_CACHES: WeakKeyDictionary[nn.Module, StepCache] = WeakKeyDictionary()
_CACHES_LOCK = Lock()


def step_cache(model: nn.Module) -> StepCache:
    """Return a model's recorded steps; they go when the model goes."""
    with _CACHES_LOCK:
        if model not in _CACHES:
            _CACHES[model] = StepCache()
        return _CACHES[model]


def weights_of(model: nn.Module) -> tuple[int, ...]:
    """Return where a model's weights lie: a recording reads them there, and is void once they are moved."""
    return tuple(parameter.data_ptr() for parameter in model.parameters())
