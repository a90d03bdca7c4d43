"""Requests that wait for a checkpoint: bounded, and taken in batches of those that go together.

A request is alone or goes with others of the same options and about the same length. While requests come one at a
time each goes at once; when several came together the last time, the first of the next ones waits a few milliseconds
for the others, as long as they keep coming.
"""

import threading
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from .errors import UnavailableError, busy, too_late

LULL = 0.25
"""Of the time that a request may wait for others: when so long none has come, the next will not be in time either."""
MAXIMUM_TRIES = 3
"""Workers that a request is given to, where they end before they answer."""


@dataclass(eq=False)
class Job:
    """A request that waits for its answer."""

    inputs: Any
    parameters: dict | None
    group: Hashable
    """Requests of one group can go together; None goes alone."""
    length: int
    """Of the input; those that go together are at most twice as long as each other."""
    deadline: float
    """On the clock of `time.monotonic`."""
    arrived: float = field(default_factory=time.monotonic)
    future: Future = field(default_factory=Future)
    tries: int = 0

    def goes_with(self, other: "Job") -> bool:
        """Whether both can be in one batch."""
        is_alike = self.group is not None and self.group == other.group
        return is_alike and max(self.length, other.length) <= 2 * min(self.length, other.length)


class RequestQueue:
    """The jobs of one checkpoint; several threads may take from it."""

    def __init__(
        self,
        maximum_jobs: int,
        maximum_batch: int,
        gather_seconds: float,
        observe_wait: Callable[[float], None] = lambda _: None,
    ):
        self._maximum_jobs = maximum_jobs
        self._maximum_batch = maximum_batch
        self._gather_seconds = gather_seconds
        self._observe_wait = observe_wait
        self._jobs: list[Job] = []
        self._last_batch = 1
        self._is_closed = False
        self._changed = threading.Condition()

    def __len__(self) -> int:
        return len(self._jobs)

    def put(self, job: Job) -> None:
        """Let a job wait.

        Raises:
            UnavailableError: 429 when the queue is full, 503 when it is closed.
        """
        with self._changed:
            if self._is_closed:
                raise UnavailableError(503, "stopping", "The service is being stopped.", {"Retry-After": "10"})
            self.check_room()
            self._jobs.append(job)
            self._changed.notify()

    def check_room(self) -> None:
        """Return if another job can wait.

        Raises:
            UnavailableError: 429 when the queue is full.
        """
        if len(self._jobs) >= self._maximum_jobs:
            raise busy(f"{self._maximum_jobs} requests wait already")

    def put_back(self, jobs: Sequence[Job]) -> None:
        """Let jobs be taken again, before all others: who had them ended without an answer."""
        with self._changed:
            for job in jobs:
                job.tries += 1
            lost = [job for job in jobs if job.tries >= MAXIMUM_TRIES]
            self._jobs[:0] = [job for job in jobs if job.tries < MAXIMUM_TRIES]
            self._changed.notify_all()
        for job in lost:
            error = UnavailableError(503, "worker_lost", f"{MAXIMUM_TRIES} workers ended over this request.")
            settle(job, error)

    def withdraw(self, job: Job) -> None:
        """Free the place of a job that nobody waits for any more; one that was taken is not stopped."""
        with self._changed:
            if job in self._jobs:
                self._jobs.remove(job)
        job.future.cancel()

    def take(self) -> list[Job] | None:
        """Wait for jobs that go together; None when the queue is closed and empty."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._jobs or self._is_closed)
                if not self._jobs:
                    return None
                self._gather()
                batch = self._pick()
            if batch:
                return batch

    def close(self) -> None:
        """Take no more jobs; those that wait are still taken."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def _gather(self) -> None:
        """Wait until as many have come as the last time, or no more come, or no longer."""
        if self._last_batch == 1 or self._gather_seconds == 0:
            return
        expected = min(self._last_batch, self._maximum_batch)
        while self._jobs and len(self._jobs) < expected and not self._is_closed:
            until = min(self._jobs[0].arrived, self._jobs[-1].arrived - (1 - LULL) * self._gather_seconds)
            remaining = until + self._gather_seconds - time.monotonic()
            if remaining <= 0 or not self._changed.wait(remaining):
                return

    def _pick(self) -> list[Job]:
        """Take the oldest job, and of those that go with it the nearest in length."""
        now = time.monotonic()
        late = [job for job in self._jobs if job.deadline <= now]
        self._jobs = [job for job in self._jobs if job.deadline > now]
        for job in late:
            settle(job, too_late())
        if not self._jobs:
            return []
        first = self._jobs[0]
        others = [job for job in self._jobs[1:] if first.goes_with(job)]
        others.sort(key=lambda job: abs(job.length - first.length))
        batch = [first, *others[: self._maximum_batch - 1]]
        self._jobs = [job for job in self._jobs if job not in batch]
        self._last_batch = len(batch)
        for job in batch:
            self._observe_wait(now - job.arrived)
        return batch


def settle(job: Job, outcome: Any) -> None:
    """Give a job its answer or its error, if anybody still waits for it."""
    if not job.future.set_running_or_notify_cancel():
        return
    if isinstance(outcome, BaseException):
        job.future.set_exception(outcome)
    else:
        job.future.set_result(outcome)
