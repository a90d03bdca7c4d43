"""Fixtures that several test files share: each family's tiny checkpoint, and the running demo."""

import os

# Before torch reads it: sums on other numbers of threads differ in their last bits, and processes are compared.
os.environ["OMP_NUM_THREADS"] = "1"

import functools
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from benchmarks.server_process import free_port, wait_until_ready
from pipelines import EvidencePipeline, pipeline
from serving.application import create_application
from serving.checkpoints import ServedCheckpoints
from serving.connections import uvicorn_options
from serving.served_checkpoint import ServedCheckpoint
from tasks import TASKS, Task
from training.export import save_checkpoint

from .running_server import running_server
from .tiny import TINY, TinyFamily

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class TinyCheckpoint:
    """A family's tiny model in a complete folder."""

    task: Task
    family: TinyFamily
    folder: Path

    def pipeline(self) -> EvidencePipeline:
        """Load it as a user would."""
        return pipeline(self.task.name, model=str(self.folder), device="cpu")


@pytest.fixture(scope="session")
def tiny_checkpoint_of(tmp_path_factory) -> Callable[[str], TinyCheckpoint]:
    """A task's tiny checkpoint, built when it is first asked for."""

    @functools.cache
    def build(task_name: str) -> TinyCheckpoint:
        folder = tmp_path_factory.mktemp(task_name)
        task, family = TASKS[task_name], TINY[task_name]
        model, processors = family.build(folder)
        save_checkpoint(folder / "tiny", task, model, list(processors.values()), {})
        return TinyCheckpoint(task, family, folder / "tiny")

    return build


@pytest.fixture(scope="session", params=sorted(TASKS))
def tiny_checkpoint(request, tiny_checkpoint_of) -> TinyCheckpoint:
    """Every family's tiny checkpoint, one after the other."""
    return tiny_checkpoint_of(request.param)


@pytest.fixture(scope="module")
def served(tiny_checkpoint) -> ServedCheckpoints:
    """What the service serves: a tiny checkpoint, unless a module says otherwise."""
    return ServedCheckpoints([ServedCheckpoint(tiny_checkpoint.folder, tiny_checkpoint.task)])


def is_close(one: Any, other: Any) -> bool:
    """Whether answers are the same but for the last bits of their numbers."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(is_close(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(is_close, one, other))
    return one == (pytest.approx(other, rel=1e-4, abs=1e-4) if isinstance(other, float) else other)


def pipeline_of(served: ServedCheckpoints, name: str) -> EvidencePipeline:
    """Return the pipeline that this process serves a checkpoint with."""
    return served.workers[0]._pipelines[name]


@pytest.fixture(scope="module")
def client(served) -> Iterator[TestClient]:
    """Ask the service without a port."""
    with TestClient(create_application(served), raise_server_exceptions=False) as client:
        assert served.wait_until_loaded(60)
        yield client


@pytest.fixture(scope="module")
def address(served) -> Iterator[str]:
    """Serve on a real port."""
    options = uvicorn_options(served.settings, served.metrics)
    with running_server(create_application(served), **options) as port:
        assert served.wait_until_loaded(60)
        yield f"http://127.0.0.1:{port}"


@dataclass(frozen=True)
class RunningApp:
    """`python app.py` on the shipped checkpoints."""

    process: subprocess.Popen
    address: str


@pytest.fixture(scope="session")
def start_app() -> Iterator[Callable[[], RunningApp]]:
    """Start the whole demo, as often as it is called; ended with the session."""
    processes = []

    def start() -> RunningApp:
        port = free_port()
        process = subprocess.Popen([sys.executable, "app.py", "--port", str(port)], cwd=ROOT)
        processes.append(process)
        app = RunningApp(process, f"http://127.0.0.1:{port}")
        wait_until_ready(process, app.address)
        return app

    yield start
    for process in processes:
        process.terminate()
    for process in processes:
        process.wait(timeout=30)


@pytest.fixture(scope="session")
def running_app(start_app) -> RunningApp:
    """The demo, started once."""
    return start_app()
