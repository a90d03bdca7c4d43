"""A checkpoint that is served: loaded, warmed, and asked through a bounded queue."""

import itertools
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import hub
from hub import CheckpointError
from pipelines import InputError, pipeline_class
from pipelines.served import Served
from tasks import Task

from .errors import RETRY_AFTER_SECONDS, RequestError, UnavailableError, busy, too_late
from .hosting import Worker, WorkerLost
from .limits import check_limits, group_of, largest_batch, length_of
from .metrics import Metrics
from .queueing import Job, RequestQueue, settle
from .settings import Settings

logger = logging.getLogger("hindsight")


class ServedCheckpoint:
    """One checkpoint: its folder, its task and, once loaded, the workers that hold it."""

    def __init__(self, folder: Path, task: Task, settings: Settings | None = None):
        self.folder = folder
        self.task = task
        self.settings = settings or Settings()
        self.metrics = Metrics()
        self.failure: str | None = None
        self.evaluation: dict = {}
        self._workers: list[Worker] = []
        self._streams = threading.BoundedSemaphore(self.settings.streams)
        self._turns = itertools.count()
        self._pipeline_class = pipeline_class(task)
        self.queue = RequestQueue(
            self.settings.queue_size,
            largest_batch(self._pipeline_class, self.settings),
            self.settings.gather_seconds,
            lambda seconds: self.metrics.queue_wait.labels(self.name).observe(seconds),
        )

    @property
    def name(self) -> str:
        """Under which it is served."""
        return self.folder.name

    @property
    def ready(self) -> bool:
        """Whether it has answered its first request."""
        return bool(self._workers)

    def load(self, worker: Worker) -> None:
        """Load it on a worker, which then takes what waits."""
        try:
            self.evaluation = hub.facts(self.folder)
            worker.load(self.name, self.folder, self.task.name)
        except CheckpointError as error:
            self.failure = str(error).replace(f"{self.folder.parent}{os.sep}", "")  # /ready shows it to everybody
            logger.error("Cannot serve %s: %s", self.name, error)
        except Exception:  # damage that hub.check does not know; the other checkpoints must load all the same
            self.failure = f"{self.name}: it could not be loaded; the log says why."
            logger.exception("Cannot serve %s.", self.name)
        else:
            self._workers.append(worker)
            threading.Thread(target=self._work, args=(worker,), daemon=True, name=f"answer-{self.name}").start()

    def submit(self, inputs: Any, parameters: dict | None, deadline: float) -> list[Job]:
        """Let a request wait for its answer: a job for each of its inputs.

        Raises:
            InputError: for more than a request may ask.
            RequestError: 429 when too many wait, 503 while there is no model.
        """
        self._check_loaded()
        many = inputs if isinstance(inputs, list) else [inputs]
        check_limits(many, parameters, self._pipeline_class.options, self.settings)
        group, jobs = group_of(parameters), []
        try:
            for item in many:
                jobs.append(Job(item, parameters, group, length_of(item), deadline))
                self.queue.put(jobs[-1])
        except RequestError:
            self.withdraw(jobs)
            raise
        return jobs

    def withdraw(self, jobs: Sequence[Job]) -> None:
        """Free the places of jobs that nobody waits for any more."""
        for job in jobs:
            if not job.future.done():
                self.queue.withdraw(job)

    def answer(self, inputs: Any, parameters: dict | None) -> Any:
        """Answer one request in the Hub's schema, when its turn comes.

        Raises:
            InputError: the caller's mistake.
            RequestError: 429 when too many wait, 503 while there is no model, 504 when it took too long.
        """
        deadline = time.monotonic() + self.settings.deadline_seconds
        jobs = self.submit(inputs, parameters, deadline)
        try:
            for job in jobs:
                job.future.exception(max(0.0, deadline - time.monotonic()))
        except TimeoutError as error:
            raise too_late() from error
        finally:
            self.withdraw(jobs)
        return answer_of(inputs, jobs)

    def stream(self, inputs: Any, parameters: dict | None) -> Iterator[dict]:
        """Answer one request in the events of the Hub's schema, as they are written.

        Raises:
            InputError: the caller's mistake, at once; also for a task that has no stream.
            RequestError: 429 when too many are streamed, 503 while there is no model.
        """
        self._check_loaded()
        check_limits([inputs], parameters, self._pipeline_class.options, self.settings)
        if not self._streams.acquire(blocking=False):
            raise busy(f"{self.settings.streams} answers of {self.name} are being written")
        try:
            events = self._next_worker().stream(self.name, inputs, parameters)
        except BaseException as error:
            self._streams.release()
            if isinstance(error, WorkerLost):
                raise busy("a worker is being started again") from error
            raise
        written = self.metrics.tokens.labels(self.name)
        return _Stream(events, time.monotonic() + self.settings.deadline_seconds, written.inc, self._streams.release)

    def inspect(self, inputs: Any, **options: Any) -> dict:
        """Look into an input with the pipeline's own `inspect`.

        Raises:
            InputError: the caller's mistake.
            RequestError: 503 while there is no model.
        """
        self._check_loaded()
        try:
            return self._next_worker().inspect(self.name, inputs, options)
        except WorkerLost as error:
            raise busy("a worker is being started again") from error

    def _next_worker(self) -> Worker:
        """Return one after the other, for what does not wait in the queue."""
        return self._workers[next(self._turns) % len(self._workers)]

    def _work(self, worker: Worker) -> None:
        """Take what waits, and let the worker answer it."""
        while True:
            worker.wait_until_ready()
            jobs = self.queue.take()
            if jobs is None:
                return
            started = time.monotonic()
            try:
                answers = worker.serve_together(self.name, [job.inputs for job in jobs], jobs[0].parameters)
            except WorkerLost:
                self.queue.put_back(jobs)
                continue
            except Exception as error:  # of ours, and of all of them; the thread must live on
                answers = [Served(error=error)] * len(jobs)
            self.metrics.answered(self.name, time.monotonic() - started, answers)
            for job, answer in zip(jobs, answers, strict=True):
                settle(job, answer.response if answer.error is None else answer.error)

    def _check_loaded(self) -> None:
        if self.failure is not None:
            raise UnavailableError(503, "checkpoint_failed", f"{self.name} cannot be served; GET /ready says why.")
        if not self._workers:
            headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
            raise UnavailableError(503, "not_ready", f"{self.name} is still being loaded; try again.", headers)


class _Stream(Iterator):
    """Events of an answer, which has a place among those that are streamed until it ends or is closed."""

    def __init__(
        self, events: Iterator[dict], deadline: float, count: Callable[[], None], give_back: Callable[[], None]
    ):
        self._events = events
        self._deadline = deadline
        self._count = count
        self._give_back = give_back
        self.is_open = True

    def __next__(self) -> dict:
        if time.monotonic() > self._deadline:
            self.close()
            raise too_late()
        try:
            event = next(self._events)
        except BaseException:
            self.close()
            raise
        self._count()
        return event

    def close(self) -> None:
        """End the work, and give the place back."""
        if self.is_open:
            self.is_open = False
            self._give_back()
            self._events.close()

    __del__ = close


def answer_of(inputs: Any, jobs: Sequence[Job]) -> Any:
    """Return the answer of a request all of whose jobs are done: one, or for a list of inputs a list.

    Raises:
        InputError: of the first input that cannot be answered, naming it.
    """
    if not isinstance(inputs, list):
        return jobs[0].future.result()
    answers = []
    for index, job in enumerate(jobs):
        try:
            answers.append(job.future.result())
        except InputError as error:
            raise InputError(f"Input {index}: {error}", field=f"inputs[{index}]") from error
    return answers
