"""A GPU that is lent for the length of a call: asked for where there are such, and nowhere else."""

import functools
import pickle
import sys
from types import ModuleType

import gradio as gr
import pytest

import demo.zero_gpu
import hub
import pipelines
from demo.zero_gpu import LentGpu, with_lent_gpu
from pipelines import InputError, pipeline
from tasks import TASKS


class Processor:
    """Stands for the checkpoints of the page's own process."""

    def answer(self, name, inputs, parameters=None):
        return "from the processor"

    stream = inspect = wait_until_loaded = None


@pytest.fixture
def spaces(monkeypatch):
    """Put a package in the place of `spaces`: it pickles what goes in and out, and hides errors, as that does."""
    module = ModuleType("spaces")
    module.__spec__ = pytest.__spec__  # that it is there
    module.started, module.lends, module.asked = [], True, []

    def GPU(duration):
        def decorate(function):
            def on_another_process(*arguments):
                module.asked.append(duration)
                if not module.lends:
                    raise gr.Error("No GPU was available")
                try:
                    return pickle.loads(pickle.dumps(function(*pickle.loads(pickle.dumps(arguments)))))
                except Exception as error:
                    raise gr.Error(type(error).__name__) from None

            return on_another_process

        return decorate

    module.GPU = GPU
    module.zero = ModuleType("zero")
    module.zero.startup = lambda: module.started.append(True)
    monkeypatch.setitem(sys.modules, "spaces", module)
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    return module


@pytest.fixture
def tiny(tiny_checkpoint_of, monkeypatch):
    """Ship a tiny checkpoint, which the processor plays the GPU for."""
    folder = tiny_checkpoint_of("attention-translation").folder
    monkeypatch.setattr(hub, "CHECKPOINTS", folder.parent)
    devices = []

    def on_the_processor(*arguments, device, **options):
        devices.append(device)
        return pipeline(*arguments, device="cpu", **options)

    monkeypatch.setattr(demo.zero_gpu, "pipeline", on_the_processor)
    demo.zero_gpu._loaded.cache_clear()
    yield folder.name, devices
    demo.zero_gpu._loaded.cache_clear()


@pytest.mark.parametrize("value", [None, "", "0", "false"])
def test_nothing_changes_elsewhere(spaces, monkeypatch, value):
    monkeypatch.delenv("SPACES_ZERO_GPU")
    if value is not None:
        monkeypatch.setenv("SPACES_ZERO_GPU", value)
    processor = Processor()
    assert with_lent_gpu(processor) is processor and spaces.started == []


def test_nothing_changes_without_the_package(monkeypatch):
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    monkeypatch.setitem(sys.modules, "spaces", None)
    monkeypatch.setattr(demo.zero_gpu, "find_spec", lambda name: None)
    processor = Processor()
    assert with_lent_gpu(processor) is processor


def test_questions_are_answered_on_it_and_it_is_loaded_once(spaces, tiny):
    name, devices = tiny
    checkpoints = with_lent_gpu(Processor())
    assert isinstance(checkpoints, LentGpu) and spaces.started == [True]
    parameters = {"num_beams": 2, "return_evidence": True}
    (best,) = checkpoints.answer(name, "A man rides.", parameters)
    assert best == pipeline("attention-translation", model=str(hub.CHECKPOINTS / name))("A man rides.", **parameters)[0]
    checkpoints.answer(name, "A man rides.")
    assert devices == ["cuda"] and spaces.asked == [demo.zero_gpu.SECONDS] * 2


def test_a_callers_mistake_stays_one(spaces, tiny):
    with pytest.raises(InputError, match="num_beams must be a whole number") as caught:
        with_lent_gpu(Processor()).answer(tiny[0], "A man rides.", {"num_beams": 99})
    assert caught.value.field == "num_beams"


def test_the_processor_answers_when_no_gpu_is_lent(spaces, tiny):
    spaces.lends = False
    assert with_lent_gpu(Processor()).answer(tiny[0], "A man rides.") == "from the processor"


def test_the_pages_own_process_keeps_to_the_processor(monkeypatch, tiny_checkpoint_of):
    asked = {}
    wrapped = functools.wraps(pipelines.transformers.pipeline)(lambda **arguments: asked.update(arguments))
    monkeypatch.setattr(pipelines.transformers, "pipeline", wrapped)
    folder = str(tiny_checkpoint_of("memory-qa").folder)
    for value, device, expected in (("true", None, "cpu"), ("true", "cuda", "cuda"), ("", None, None)):
        monkeypatch.setenv("SPACES_ZERO_GPU", value)
        asked.clear()
        pipeline("memory-qa", model=folder, **({} if device is None else {"device": device}))
        assert asked.get("device") == expected
    assert TASKS["memory-qa"].name == asked["task"]
