"""The models of a process, by the names of their checkpoints: loaded, warmed, and asked."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from pipelines import EvidencePipeline, InputError, audio_waveform, image_decoding, pipeline
from pipelines.served import Served

from .settings import Settings


class WorkerLost(Exception):
    """A worker ended before it answered, or has not loaded what it is asked for."""


class WorkerFault(Exception):
    """A fault of ours in another process; its text is the traceback there."""


class Worker(Protocol):
    """Holds models, in this process or in one of its own."""

    def load(self, name: str, folder: Path, task: str) -> None:
        """Load a checkpoint and let it answer once, so that no visitor waits for what only happens once."""
        ...

    def serve_together(self, name: str, requests: Sequence[Any], parameters: dict | None) -> list[Served]:
        """Answer several requests of the same parameters."""
        ...

    def inspect(self, name: str, inputs: Any, options: dict) -> dict:
        """Look into an input with the pipeline's own `inspect`."""
        ...

    def stream(self, name: str, inputs: Any, parameters: dict | None) -> Iterator[dict]:
        """Answer in events; raise InputError at once. To close the iterator is to end the work."""
        ...

    def wait_until_ready(self) -> None:
        """Wait while what was loaded is being loaded again."""
        ...

    def stop(self) -> None:
        """End."""
        ...


class ModelHost:
    """Holds models in this process."""

    def __init__(self, settings: Settings):
        self._pipelines: dict[str, EvidencePipeline] = {}
        self._runtime = settings.runtime
        image_decoding.MAXIMUM_PIXELS = settings.image_pixels
        image_decoding.MAXIMUM_SIDE = settings.image_side
        audio_waveform.MAXIMUM_SECONDS = settings.audio_seconds

    def load(self, name: str, folder: Path, task: str) -> None:
        """Load a checkpoint and warm it up.

        Raises:
            CheckpointError: for one that is missing or damaged.
        """
        loaded = pipeline(task, model=str(folder), runtime=self._runtime)
        loaded(loaded.example_input)
        self._pipelines[name] = loaded

    def serve_together(self, name: str, requests: Sequence[Any], parameters: dict | None) -> list[Served]:
        """Answer several requests of the same parameters."""
        return self._of(name).serve_together(requests, parameters)

    def inspect(self, name: str, inputs: Any, options: dict) -> dict:
        """Look into an input."""
        return self._of(name).inspect(inputs, **options)

    def stream(self, name: str, inputs: Any, parameters: dict | None) -> Iterator[dict]:
        """Answer in events."""
        loaded = self._of(name)
        if not hasattr(loaded, "serve_stream"):
            raise InputError(f"stream must be false: {loaded.task} answers all at once.", field="stream")
        return loaded.serve_stream(inputs, parameters)

    def _of(self, name: str) -> EvidencePipeline:
        if name not in self._pipelines:
            raise WorkerLost(f"{name} is not loaded.")
        return self._pipelines[name]

    def wait_until_ready(self) -> None:
        """Return: there is nothing to wait for."""

    def stop(self) -> None:
        """Return: what runs ends with the process."""
