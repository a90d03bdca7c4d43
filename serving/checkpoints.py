"""The checkpoints that a process serves, by name: loaded in the background, by this process or by others."""

import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import hub
from tasks import TASKS

from .errors import RETRY_AFTER_SECONDS, RequestError
from .hosting import ModelHost, Worker
from .metrics import Metrics
from .served_checkpoint import ServedCheckpoint
from .settings import Settings
from .worker_process import WorkerProcess


class ServedCheckpoints:
    """All checkpoints of a process, by name."""

    def __init__(self, served: Iterable[ServedCheckpoint], settings: Settings | None = None, load: bool = True):
        """Serve some checkpoints.

        Args:
            served: all of them.
            settings: of the service.
            load: whether this process loads them, or has its own workers do it.
        """
        self.settings = settings or Settings()
        self.metrics = Metrics()
        self._served = {checkpoint.name: checkpoint for checkpoint in served}
        for checkpoint in self:
            checkpoint.metrics = self.metrics
            self.metrics.watch(checkpoint.name, checkpoint.queue)
        self._workers: list[Worker] = []
        self._loaded = threading.Event()
        self._thread = threading.Thread(target=self._load_all, daemon=True, name="load-checkpoints") if load else None

    @classmethod
    def shipped(cls, settings: Settings | None = None) -> "ServedCheckpoints":
        """Serve every shipped checkpoint that tasks.py names."""
        rows = [(hub.CHECKPOINTS / name, task) for task in TASKS.values() for name in task.checkpoints]
        return cls((ServedCheckpoint(folder, task, settings) for folder, task in rows), settings)

    def __iter__(self):
        return iter(self._served.values())

    def __getitem__(self, name: str) -> ServedCheckpoint:
        if name not in self._served:
            known = ", ".join(self._served)
            raise RequestError(404, "unknown_checkpoint", f"No checkpoint {name!r} is served here. Served: {known}.")
        return self._served[name]

    @property
    def workers(self) -> tuple[Worker, ...]:
        """Those that hold the models."""
        return tuple(self._workers)

    def start(self) -> None:
        """Begin to load, in the background; once is enough."""
        if self._thread is None:
            self._loaded.set()
        elif self._thread.ident is None:
            self._thread.start()

    def stop(self) -> None:
        """Take no more requests; end the processes of the workers."""
        for checkpoint in self:
            checkpoint.queue.close()
        for worker in self._workers:
            worker.stop()

    def _load_all(self) -> None:
        workers: list[Worker] = [WorkerProcess(self.settings) for _ in range(self.settings.workers)]
        for number, worker in enumerate(workers):
            self.metrics.watch_worker(number, lambda worker=worker: worker.process_id)
        workers = workers or [ModelHost(self.settings)]
        self._workers.extend(workers)
        with ThreadPoolExecutor(len(workers)) as pool:
            list(pool.map(self._load_on, workers))
        self._loaded.set()

    def _load_on(self, worker: Worker) -> None:
        for checkpoint in self:
            checkpoint.load(worker)

    def check_ready(self) -> None:
        """Return if every checkpoint answers.

        Raises:
            RequestError: 503, with what each of the others waits for or failed at.
        """
        loading = [checkpoint.name for checkpoint in self if not (checkpoint.ready or checkpoint.failure)]
        failures = [checkpoint.failure for checkpoint in self if checkpoint.failure]
        if loading:
            message = " ".join([f"Still being loaded: {', '.join(loading)}.", *failures])
            raise RequestError(503, "not_ready", message, {"Retry-After": str(RETRY_AFTER_SECONDS)})
        if failures:
            raise RequestError(503, "checkpoint_failed", " ".join(failures))

    def check_room(self, name: str) -> None:
        """Return if another request can wait for the checkpoint of that name, or if there is no such checkpoint.

        Raises:
            RequestError: 429 when too many wait.
        """
        if name in self._served:
            self._served[name].queue.check_room()

    def wait_until_loaded(self, timeout_seconds: float | None = None) -> bool:
        """Wait for the background loading; return whether it came to its end."""
        return self._loaded.wait(timeout_seconds)

    def answer(self, name: str, inputs: Any, parameters: dict | None = None) -> Any:
        """Answer one request to the checkpoint of that name."""
        return self[name].answer(inputs, parameters)

    def stream(self, name: str, inputs: Any, parameters: dict | None = None) -> Iterator[dict]:
        """Answer one request to the checkpoint of that name in events."""
        return self[name].stream(inputs, parameters)

    def inspect(self, name: str, inputs: Any, **options: Any) -> dict:
        """Look into an input with the checkpoint of that name."""
        return self[name].inspect(inputs, **options)
