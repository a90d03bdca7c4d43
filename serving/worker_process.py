"""The near end of a worker process: calls it, and starts it again when it ended."""

import itertools
import logging
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

from pipelines import CheckpointError
from pipelines.served import Served

from .hosting import WorkerFault, WorkerLost
from .settings import Settings

logger = logging.getLogger("hindsight")

ROOT = Path(__file__).parents[1]
HANGING_DEADLINES = 3
"""Deadlines of a request after which a worker that has not answered is taken to answer nothing any more."""
RESTART_SECONDS = 1.0
"""Between the ends of a process that cannot be kept alive."""
MEMORY = {"MALLOC_ARENA_MAX": "2"}
"""Of its environment, unless that says otherwise. Else glibc keeps what a thread has freed for it, and a worker has
many."""
LOADING_TRIES = 3
"""Processes that a checkpoint is given to, where they end before they have loaded it."""


class WorkerProcess:
    """Holds models in a process of its own."""

    def __init__(self, settings: Settings):
        self._settings = settings
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._calls: dict[int, Future] = {}
        self._streams: dict[int, queue.Queue] = {}
        self._loaded: dict[str, tuple[Path, str]] = {}
        self._ready = threading.Event()
        self._is_stopping = False
        self._start()
        self._ready.set()
        threading.Thread(target=self._read, daemon=True, name="read-worker").start()

    @property
    def process_id(self) -> int:
        """Of the process that is running now."""
        return self._process.pid

    def load(self, name: str, folder: Path, task: str) -> None:
        """Load a checkpoint there, and again whenever the process is started again.

        Raises:
            CheckpointError: for one that is missing or damaged.
            WorkerLost: when process after process ended over it.
        """
        for left in reversed(range(LOADING_TRIES)):
            self.wait_until_ready()
            try:
                self._call("load", name, folder.resolve(), task)
            except WorkerLost:
                if not left or self._is_stopping:
                    raise
                time.sleep(RESTART_SECONDS)
            else:
                self._loaded[name] = (folder, task)
                return

    def serve_together(self, name: str, requests: Sequence[Any], parameters: dict | None) -> list[Served]:
        """Answer several requests of the same parameters.

        Raises:
            WorkerLost: when the process ended; nothing was answered.
        """
        return self._call("serve_together", name, requests, parameters)

    def inspect(self, name: str, inputs: Any, options: dict) -> dict:
        """Look into an input."""
        return self._call("inspect", name, inputs, options)

    def stream(self, name: str, inputs: Any, parameters: dict | None) -> Iterator[dict]:
        """Answer in events."""
        number, events = next(self._numbers), queue.Queue()
        self._streams[number] = events
        self._send(number, "stream", (name, inputs, parameters))
        kind, value = self._next(events)
        if kind == "error":
            del self._streams[number]
            raise value
        return self._events(number, events)

    def _next(self, events: queue.Queue) -> tuple[str, Any]:
        """Wait for what a stream says next; a worker that says nothing for long is killed."""
        try:
            return events.get(timeout=self._hanging_seconds)
        except queue.Empty:
            return "error", self._kill_what_hangs()

    def _events(self, number: int, events: queue.Queue) -> Iterator[dict]:
        try:
            while True:
                kind, value = self._next(events)
                if kind == "error":
                    raise value
                if kind == "end":
                    return
                yield from value
        finally:
            del self._streams[number]
            self._send(number, "close", ())

    def wait_until_ready(self) -> None:
        """Wait while the process is being started again."""
        self._ready.wait()

    def stop(self) -> None:
        """End the process."""
        self._is_stopping = True
        self._process.kill()
        self._process.wait()

    @property
    def _hanging_seconds(self) -> float:
        return HANGING_DEADLINES * self._settings.deadline_seconds

    def _kill_what_hangs(self) -> WorkerLost:
        logger.error("Worker %d hangs and is killed.", self._process.pid)
        self._ready.clear()  # before anybody tries again: who reads finds out a moment later
        self._process.kill()
        return WorkerLost()

    def _start(self) -> None:
        self._connection, far_end = Pipe()
        with far_end:
            command = [sys.executable, "-m", "serving.worker", str(far_end.fileno())]
            environment = MEMORY | os.environ
            self._process = subprocess.Popen(command, cwd=ROOT, env=environment, pass_fds=[far_end.fileno()])
        self._connection.send(self._settings)

    def _call(self, method: str, *arguments: Any) -> Any:
        number, future = next(self._numbers), Future()
        self._calls[number] = future
        self._send(number, method, arguments)
        try:
            return future.result(self._hanging_seconds)
        except TimeoutError as error:
            raise self._kill_what_hangs() from error

    def _send(self, number: int, method: str, arguments: tuple) -> None:
        try:
            with self._lock:  # the next process' connection does not come before this one is known to be dead
                try:
                    self._connection.send((number, method, arguments))
                except OSError:
                    self._ready.clear()  # before anybody tries again: who reads finds out a moment later
                    raise
        except OSError:
            self._fail(WorkerLost())

    def _read(self) -> None:
        while not self._is_stopping:
            try:
                number, kind, value = self._connection.recv()
            except (EOFError, OSError):
                self._restart()
            except Exception:  # unpickling raises whatever it likes; without this thread nothing is read any more
                logger.exception("What worker %d said cannot be read.", self._process.pid)
                self._restart()
            else:
                self._deliver(number, kind, value)

    def _deliver(self, number: int, kind: str, value: Any) -> None:
        if number in self._streams:
            self._streams[number].put((kind, value))
        elif number in self._calls:
            future = self._calls.pop(number)
            (future.set_exception if kind == "error" else future.set_result)(value)

    def _fail(self, error: Exception) -> None:
        """Tell all that wait."""
        for number in list(self._calls):
            if (future := self._calls.pop(number, None)) is not None:
                future.set_exception(error)
        for events in list(self._streams.values()):
            events.put(("error", error))

    def _restart(self) -> None:
        """Start another process; where that is not possible, nothing can be read from it, and this is called again."""
        self._ready.clear()
        self._process.kill()
        status = self._process.wait()
        self._fail(WorkerLost())  # now that it is gone: what is asked from here on finds nobody, and is told so
        if self._is_stopping:
            return
        logger.error("Worker %d ended with %s; another is started.", self._process.pid, status)
        time.sleep(RESTART_SECONDS)
        try:
            with self._lock:
                self._start()
        except OSError:
            logger.exception("A worker could not be started.")
            return
        threading.Thread(target=self._load_again, args=(self._process,), daemon=True).start()

    def _load_again(self, process: subprocess.Popen) -> None:
        for name, (folder, task) in self._loaded.items():
            try:
                self._call("load", name, folder.resolve(), task)
            except WorkerLost:
                return  # another start follows
            except (CheckpointError, WorkerFault):  # of this checkpoint alone
                logger.exception("A worker could not load %s again, which its predecessor had.", name)
        if process is self._process:
            self._ready.set()
