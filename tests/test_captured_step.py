"""Recording a step; there is no GPU here, so that its graphs are stand-ins that note what they are asked for."""

import inspect
import logging
from contextlib import contextmanager

import pytest
import torch

from models.captured_step import WARM_UP_RUNS, CudaGraphStep, PlainStep, StepCache, record


class Machine:
    """What a CUDA device is asked to do, in order."""

    def __init__(self):
        self.log = []
        self.fails = False

    def graph_of(self):
        machine = self

        class Graph:
            def replay(self):
                machine.log.append("replay")

        return Graph()

    def stream_of(self, name):
        machine = self

        class Stream:
            def wait_stream(self, other):
                machine.log.append(f"{name} waits")

        return Stream()

    @contextmanager
    def inside(self, name):
        self.log.append(f"{name} begins")
        if self.fails and name == "recording":
            raise RuntimeError("operation not permitted when stream is capturing")
        yield
        self.log.append(f"{name} ends")


@pytest.fixture
def machine(monkeypatch):
    """Put stand-ins where torch has CUDA's streams and graphs; arguments are those that torch takes."""
    machine, graph = Machine(), inspect.signature(torch.cuda.graph)

    def recording(*arguments, **options):
        assert graph.bind(*arguments, **options).arguments["capture_error_mode"] == "thread_local"
        return machine.inside("recording")

    monkeypatch.setattr(torch.cuda, "device", lambda device: machine.inside("device"))
    monkeypatch.setattr(torch.cuda, "Stream", lambda: machine.stream_of("aside"))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: machine.stream_of("current"))
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: machine.inside("aside"))
    monkeypatch.setattr(torch.cuda, "CUDAGraph", machine.graph_of)
    monkeypatch.setattr(torch.cuda, "graph", recording)
    return machine


class OnCuda(torch.Tensor):
    """A tensor on the CPU that says that it is elsewhere."""

    device = torch.device("cuda", 0)


def cuda_frame():
    return (torch.zeros(1).as_subclass(OnCuda),)


def test_it_warms_up_aside_then_records_and_then_replays(machine):
    def step(frame):
        machine.log.append("step")

    recorded = record(step, cuda_frame())
    assert isinstance(recorded, CudaGraphStep)
    warm_up = ["aside waits", "aside begins", *["step"] * WARM_UP_RUNS, "aside ends", "current waits"]
    assert machine.log == ["device begins", *warm_up, "recording begins", "step", "recording ends", "device ends"]
    machine.log.clear()
    recorded.run(step)
    assert machine.log == ["device begins", "replay", "device ends"]


def test_where_it_cannot_be_recorded_it_is_called(machine, caplog):
    machine.fails = True
    with caplog.at_level(logging.WARNING):
        recorded = record(lambda frame: frame[0].add_(1), cuda_frame())
    assert isinstance(recorded, PlainStep) and "called instead" in caplog.text
    assert not StepCache.recording.locked()
    before = recorded.frame[0].item()
    recorded.run(lambda frame: frame[0].add_(1))
    assert recorded.frame[0].item() == before + 1


def test_every_request_begins_with_what_it_brings(machine):
    """Warming up changes the frame; what a request brings is copied in afterwards."""
    cache = StepCache()
    for value in (5.0, 7.0):
        with cache.taken(
            "key", lambda frame: frame[0].add_(1), (torch.full((1,), value).as_subclass(OnCuda),)
        ) as taken:
            assert isinstance(taken, CudaGraphStep) and taken.frame[0].item() == value
    assert machine.log.count("recording begins") == 1


def test_on_a_cpu_it_is_called():
    recorded = record(lambda frame: frame[0].add_(1), (torch.zeros(1),))
    assert isinstance(recorded, PlainStep) and recorded.frame[0].item() == 0
    recorded.run(lambda frame: frame[0].add_(1))
    assert recorded.frame[0].item() == 1


def test_an_error_gives_the_step_back():
    cache = StepCache()
    with pytest.raises(ValueError, match="no"), cache.taken("key", lambda frame: None, (torch.zeros(1),)):
        raise ValueError("no")
    with cache.taken("key", lambda frame: None, (torch.ones(1),)) as taken:
        assert taken.frame[0].item() == 1
