"""The same service on Ray Serve, for more than one machine: a deployment for each checkpoint, and one for HTTP.

`python -m serving.ray_serve --port 8000 --maximum-replicas 4` on a machine, or on the head of a cluster with
`RAY_ADDRESS=auto`. Routes, limits, errors and the models' code are those of app.py; batches, replicas, queues and
restarts are Ray's. It needs requirements-scale.txt.
"""

import argparse
import asyncio
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from fastapi import FastAPI
from ray import serve
from ray.exceptions import RayActorError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError
from ray.serve.handle import DeploymentHandle

import hub
from pipelines import InputError, pipeline_class
from pipelines.served import Served
from tasks import TASKS, Task

from .application import create_application
from .checkpoints import ServedCheckpoints
from .errors import RequestError, busy
from .hosting import ModelHost
from .limits import check_limits, group_of, largest_batch
from .queueing import MAXIMUM_TRIES
from .served_checkpoint import ServedCheckpoint
from .settings import Settings

APPLICATION = "hindsight"
TARGET_ONGOING_REQUESTS = 4
"""Of a replica; above this more of them are started."""


@dataclass(frozen=True)
class Scale:
    """How far each deployment grows."""

    minimum_replicas: int = 1
    maximum_replicas: int = 1
    cpus: float = 1.0
    """Cores that Ray sets aside for a replica."""
    gpus: float = 0.0


class Model:
    """A replica of one checkpoint."""

    def __init__(self, folder: str, task: str, settings: Settings):
        self._name = Path(folder).name
        self._host = ModelHost(settings)
        self._host.load(self._name, Path(folder), task)
        self._answer_together.set_max_batch_size(largest_batch(pipeline_class(TASKS[task]), settings))
        self._answer_together.set_batch_wait_timeout_s(settings.gather_seconds)

    async def answer(self, inputs: Any, parameters: dict | None) -> Served:
        """Answer one request, with others that come at the same time."""
        return await self._answer_together((inputs, parameters))

    @serve.batch
    async def _answer_together(self, requests: list[tuple[Any, dict | None]]) -> list[Served]:
        groups: dict[Any, list[int]] = {}
        for number, (_, parameters) in enumerate(requests):
            groups.setdefault(group_of(parameters) or number, []).append(number)
        answers: list[Served] = [Served()] * len(requests)
        for numbers in groups.values():
            inputs, parameters = [requests[number][0] for number in numbers], requests[numbers[0]][1]
            found = await asyncio.to_thread(self._host.serve_together, self._name, inputs, parameters)
            for number, answer in zip(numbers, found, strict=True):
                answers[number] = answer
        return answers

    def stream(self, inputs: Any, parameters: dict | None) -> Iterator[dict]:
        """Answer in events; what cannot be begun is an event of its own."""
        try:
            events = self._host.stream(self._name, inputs, parameters)
        except InputError as error:
            yield {"refused": error}
            return
        yield {"begun": True}
        yield from events


@dataclass(frozen=True)
class _Asked:
    """A request that Ray has, in the place of a job of our own queue."""

    future: asyncio.Future


class RayCheckpoint(ServedCheckpoint):
    """A checkpoint that is served by replicas somewhere."""

    def __init__(self, folder: Path, task: Task, settings: Settings, handle: DeploymentHandle):
        super().__init__(folder, task, settings)
        self.evaluation = hub.facts(folder)
        self._handle = handle

    @property
    def ready(self) -> bool:
        """Ray sends nothing before the replicas are there."""
        return True

    def submit(self, inputs: Any, parameters: dict | None, deadline: float) -> list[_Asked]:
        """Send a request to Ray: each of its inputs."""
        many = inputs if isinstance(inputs, list) else [inputs]
        check_limits(many, parameters, self._pipeline_class.options, self.settings)
        return [_Asked(asyncio.ensure_future(self._ask(item, parameters))) for item in many]

    def withdraw(self, jobs: Sequence[_Asked]) -> None:
        """Tell Ray that nobody waits any more."""
        for job in jobs:
            job.future.cancel()

    def stream(self, inputs: Any, parameters: dict | None) -> Iterator[dict]:
        """Answer one request in events."""
        check_limits([inputs], parameters, self._pipeline_class.options, self.settings)
        events = iter(self._handle.options(stream=True).stream.remote(inputs, parameters))
        first = next(events)
        if "refused" in first:
            raise first["refused"]
        return events

    async def _ask(self, item: Any, parameters: dict | None) -> Any:
        """Ask a replica, and another one if it ends before it answers."""
        for _ in range(MAXIMUM_TRIES):
            try:
                served = await self._handle.answer.remote(item, parameters)
            except RayActorError:
                continue
            except BackPressureError as error:
                raise busy(f"{self.settings.queue_size} requests wait already") from error
            except DeploymentUnavailableError as error:
                raise RequestError(503, "checkpoint_failed", f"{self.name} has no replica.") from error
            self.metrics.used(self.name, [served])  # how long it took, and with how many others, Ray's own metrics tell
            if served.error is not None:
                raise served.error
            return served.response
        raise RequestError(503, "worker_lost", f"{MAXIMUM_TRIES} replicas ended over this request.")


def create_ray_application(folders: dict[str, tuple[str, str]], settings: Settings) -> FastAPI:
    """Build the HTTP service inside a replica of its own; the same routes as app.py's.

    Args:
        folders: of each checkpoint, by its name, the folder and the task.
        settings: of the service.
    """
    served = [
        RayCheckpoint(Path(folder), TASKS[task], settings, serve.get_deployment_handle(name, APPLICATION))
        for name, (folder, task) in folders.items()
    ]
    return create_application(ServedCheckpoints(served, settings, load=False))


def deploy(folders: dict[str, tuple[str, str]], settings: Settings, scale: Scale) -> DeploymentHandle:
    """Start every deployment, and wait until all of them answer.

    Args:
        folders: of each checkpoint, by its name, the folder and the task.
        settings: of the service; a deployment's queue is as long as `queue_size`.
        scale: of each deployment.
    """
    models = [
        serve.deployment(
            Model,
            name=name,
            max_ongoing_requests=4 * settings.maximum_batch,
            max_queued_requests=settings.queue_size,
            autoscaling_config={
                "min_replicas": scale.minimum_replicas,
                "max_replicas": scale.maximum_replicas,
                "target_ongoing_requests": TARGET_ONGOING_REQUESTS,
            },
            ray_actor_options={"num_cpus": scale.cpus, "num_gpus": scale.gpus},
            graceful_shutdown_timeout_s=settings.deadline_seconds,
        ).bind(folder, task, settings)
        for name, (folder, task) in folders.items()
    ]

    def build() -> FastAPI:  # in the replica: an application with its threads cannot be sent there
        return create_ray_application(folders, settings)

    @serve.deployment(name="http", ray_actor_options={"num_cpus": 0}, max_ongoing_requests=10_000)
    @serve.ingress(build)
    class Http:
        """Listens; the models are named so that they are deployed with it."""

        def __init__(self, *models: DeploymentHandle):
            self.models = models

    return serve.run(Http.bind(*models), name=APPLICATION, route_prefix="/")


def main() -> None:
    """Serve the shipped checkpoints until somebody stops it; what runs then is finished."""
    shipped = {name: task.name for task in TASKS.values() for name in task.checkpoints}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--checkpoints", nargs="+", choices=list(shipped), default=list(shipped))
    parser.add_argument("--minimum-replicas", type=int, default=Scale.minimum_replicas)
    parser.add_argument("--maximum-replicas", type=int, default=Scale.maximum_replicas)
    parser.add_argument("--cpus", type=float, default=Scale.cpus, help="of each replica")
    parser.add_argument("--gpus", type=float, default=Scale.gpus, help="of each replica")
    options = parser.parse_args()
    scale = Scale(options.minimum_replicas, options.maximum_replicas, options.cpus, options.gpus)
    folders = {name: (str(hub.CHECKPOINTS / name), shipped[name]) for name in options.checkpoints}
    start(options.host, options.port)
    deploy(folders, Settings.from_environment(), scale)
    print(f"Hindsight on Ray Serve: http://{options.host}:{options.port}", flush=True)
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    stopped.wait()
    serve.shutdown()


def start(host: str, port: int, **options: Any) -> None:
    """Join the cluster that RAY_ADDRESS names, or start one on this machine; then listen.

    Args:
        host: to listen on.
        port: to listen on.
        **options: of `ray.init`.
    """
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")  # otherwise it writes a token into the home directory
    path = os.pathsep.join([str(Path(__file__).parents[1]), *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
    environment = {"env_vars": {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}}
    ray.init(include_dashboard=False, runtime_env=environment, **options)
    serve.start(http_options={"host": host, "port": port})


if __name__ == "__main__":
    main()
