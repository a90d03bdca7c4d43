"""The checkpoints that a process serves: loaded in the background, warmed, and asked one request at a time."""

import logging
import os
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import hub
from hub import CheckpointError
from pipelines import EvidencePipeline, InputError, pipeline
from tasks import TASKS, Task

from .errors import RETRY_AFTER_SECONDS, RequestError

logger = logging.getLogger("hindsight")


class ServedCheckpoint:
    """One checkpoint: its folder, its task and, once loaded, its pipeline."""

    def __init__(self, folder: Path, task: Task):
        self.folder = folder
        self.task = task
        self.failure: str | None = None
        self.evaluation: dict = {}
        self._pipeline: EvidencePipeline | None = None
        self._lock = threading.Lock()

    @property
    def ready(self) -> bool:
        """Whether it has answered its first request."""
        return self._pipeline is not None

    def load(self) -> None:
        """Load and answer one request, so that no visitor waits for what only happens once."""
        try:
            self.evaluation = hub.facts(self.folder)
            loaded = pipeline(self.task.name, model=str(self.folder))
            loaded(loaded.example_input)
        except CheckpointError as error:
            self.failure = str(error).replace(f"{self.folder.parent}{os.sep}", "")  # /ready shows it to everybody
            logger.error("Cannot serve %s: %s", self.folder.name, error)
        except Exception:  # damage that hub.check does not know; the other checkpoints must load all the same
            self.failure = f"{self.folder.name}: it could not be loaded; the log says why."
            logger.exception("Cannot serve %s.", self.folder.name)
        else:
            self._pipeline = loaded

    def answer(self, inputs: Any, parameters: dict | None) -> Any:
        """Answer one request in the Hub's schema; others for this checkpoint wait.

        Raises:
            InputError: the caller's mistake.
            RequestError: 503 while there is no model.
        """
        loaded = self._loaded()
        with self._lock:
            return loaded.serve(inputs, parameters)

    def stream(self, inputs: Any, parameters: dict | None) -> Iterator[dict]:
        """Answer one request in the events of the Hub's schema, as they are written; nobody waits for them.

        Raises:
            InputError: the caller's mistake, at once; also for a task that has no stream.
            RequestError: 503 while there is no model.
        """
        loaded = self._loaded()
        if not hasattr(loaded, "serve_stream"):
            raise InputError(f"stream must be false: {self.task.name} answers all at once.", field="stream")
        return loaded.serve_stream(inputs, parameters)

    def inspect(self, inputs: Any, **options: Any) -> dict:
        """Look into an input with the pipeline's own `inspect`.

        Raises:
            InputError: the caller's mistake.
            RequestError: 503 while there is no model.
        """
        return self._loaded().inspect(inputs, **options)

    def _loaded(self) -> EvidencePipeline:
        if self.failure is not None:
            raise RequestError(503, "checkpoint_failed", f"{self.folder.name} cannot be served; GET /ready says why.")
        if self._pipeline is None:
            headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
            raise RequestError(503, "not_ready", f"{self.folder.name} is still being loaded; try again.", headers)
        return self._pipeline


class ServedCheckpoints:
    """All checkpoints of a process, by name."""

    def __init__(self, served: Iterable[ServedCheckpoint]):
        self._served = {checkpoint.folder.name: checkpoint for checkpoint in served}
        self._loaded = threading.Event()
        self._thread = threading.Thread(target=self._load_all, daemon=True, name="load-checkpoints")

    @classmethod
    def shipped(cls) -> "ServedCheckpoints":
        """Serve every shipped checkpoint that tasks.py names."""
        rows = [(hub.CHECKPOINTS / name, task) for task in TASKS.values() for name in task.checkpoints]
        return cls(ServedCheckpoint(folder, task) for folder, task in rows)

    def __iter__(self):
        return iter(self._served.values())

    def __getitem__(self, name: str) -> ServedCheckpoint:
        if name not in self._served:
            known = ", ".join(self._served)
            raise RequestError(404, "unknown_checkpoint", f"No checkpoint {name!r} is served here. Served: {known}.")
        return self._served[name]

    def start(self) -> None:
        """Begin to load, in the background; once is enough."""
        if self._thread.ident is None:
            self._thread.start()

    def _load_all(self) -> None:
        for checkpoint in self:
            checkpoint.load()
        self._loaded.set()

    def check_ready(self) -> None:
        """Return if every checkpoint answers.

        Raises:
            RequestError: 503, with what each of the others waits for or failed at.
        """
        loading = [checkpoint.folder.name for checkpoint in self if not (checkpoint.ready or checkpoint.failure)]
        failures = [checkpoint.failure for checkpoint in self if checkpoint.failure]
        if loading:
            message = " ".join([f"Still being loaded: {', '.join(loading)}.", *failures])
            raise RequestError(503, "not_ready", message, {"Retry-After": str(RETRY_AFTER_SECONDS)})
        if failures:
            raise RequestError(503, "checkpoint_failed", " ".join(failures))

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
