"""On a Space whose GPUs are lent for the length of a call (ZeroGPU), a question is answered on one.

Elsewhere nothing changes: a pipeline takes the GPU that is there, or does without. There the package `spaces` runs a
function in a process of its own, which has a GPU; what goes in and comes out is pickled, and of an error no more than
its class comes out. The process of the page has none, and its checkpoints answer on the processor.
"""

import functools
import importlib
from importlib.util import find_spec
from typing import Any

import gradio as gr

import hub
from pipelines import EvidencePipeline, InputError, gpus_are_lent, pipeline

from .served import Checkpoints

SECONDS = 20
"""For which a GPU is asked at most; whoever asks for less waits less."""


def with_lent_gpu(checkpoints: Checkpoints) -> Checkpoints:
    """Return what answers: on ZeroGPU with a lent GPU, elsewhere the checkpoints themselves."""
    return LentGpu(checkpoints) if gpus_are_lent() and find_spec("spaces") else checkpoints


class LentGpu:
    """Answers on a lent GPU; what goes on character by character, and what is not lent, on the processor."""

    def __init__(self, checkpoints: Checkpoints):
        spaces = importlib.import_module("spaces")
        self._checkpoints = checkpoints
        self._answer_on_gpu = spaces.GPU(duration=SECONDS)(answer_on_gpu)
        self.stream = checkpoints.stream
        self.inspect = checkpoints.inspect
        self.wait_until_loaded = checkpoints.wait_until_loaded
        spaces.zero.startup()  # as Gradio's launch would do, which a page that is mounted never calls

    def answer(self, name: str, inputs: Any, parameters: dict | None = None) -> Any:
        """Answer a request in the Hub's schema; raise InputError for the caller's mistake."""
        try:
            response, refusal = self._answer_on_gpu(name, inputs, parameters)
        except gr.Error:  # none is free, or the visitor's share of them is used up
            return self._checkpoints.answer(name, inputs, parameters)
        if refusal is not None:
            raise InputError(*refusal)
        return response


def answer_on_gpu(name: str, inputs: Any, parameters: dict | None) -> tuple[Any, tuple[str, str] | None]:
    """Return a response, or the message and the field of the caller's mistake."""
    try:
        return _loaded(name).serve(inputs, parameters), None
    except InputError as error:
        return None, (str(error), error.field)


@functools.cache
def _loaded(name: str) -> EvidencePipeline:
    folder = hub.CHECKPOINTS / name
    return pipeline(hub.task_of(folder).name, model=str(folder), device="cuda")
