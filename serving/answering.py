"""From a request to its response: read, wait for a turn; give up when nobody waits any more or it takes too long."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from .bodies import PendingBytes, Reading, read_request
from .errors import RequestError, too_late
from .queueing import Job
from .served_checkpoint import ServedCheckpoint, answer_of
from .settings import Settings
from .streaming import event_stream

WATCH_AFTER_SECONDS = 0.05
"""From when on a request's client is watched: most are answered before, and to watch takes as long as much else."""


class Answering:
    """Answers the requests of an application."""

    def __init__(self, settings: Settings):
        self._settings = settings
        self._pending = PendingBytes(settings.pending_bytes)

    async def respond(self, served: ServedCheckpoint, request: Request) -> Response:
        """Answer one request to a checkpoint.

        Raises:
            InputError: the caller's mistake.
            RequestError: every other reason not to answer.
        """
        modality, deadline = served.task.modality, time.monotonic() + self._settings.deadline_seconds
        with Reading(self._pending, self._settings.maximum_bytes(modality)) as reading:
            try:
                async with asyncio.timeout(self._settings.deadline_seconds):
                    inputs, parameters, stream = await read_request(request, modality, reading)
                    if stream:
                        return event_stream(await self._begin(served, inputs, parameters), request.state.id)
                    return JSONResponse(await _answer(served, request, inputs, parameters, deadline))
            except TimeoutError as error:
                raise too_late() from error

    @staticmethod
    async def _begin(served: ServedCheckpoint, inputs: Any, parameters: dict | None) -> Iterator[dict]:
        return await run_in_threadpool(served.stream, inputs, parameters)


async def _answer(
    served: ServedCheckpoint, request: Request, inputs: Any, parameters: dict | None, deadline: float
) -> Any:
    """Wait for the answer, or until the client hangs up."""
    jobs = served.submit(inputs, parameters, deadline)
    try:
        if not await _are_done(jobs, request):
            raise RequestError(400, "disconnected", "The client went away.")
        return answer_of(inputs, jobs)
    finally:
        served.withdraw(jobs)


async def _are_done(jobs: Sequence[Job], request: Request) -> bool:
    """Wait until all jobs are done; False when the client went away before."""
    if not jobs:
        return True
    loop, left = asyncio.get_running_loop(), len(jobs)
    outcome: asyncio.Future[bool] = loop.create_future()
    watch: list[asyncio.Task] = []

    def count() -> None:
        nonlocal left
        left -= 1
        if left == 0 and not outcome.done():
            outcome.set_result(True)

    def begin_to_watch() -> None:
        watch.append(loop.create_task(_tell_when_hung_up(request, outcome)))

    def tell(_: Future) -> None:  # on a worker's thread, which may end after the loop
        if not loop.is_closed():
            loop.call_soon_threadsafe(count)

    for job in jobs:
        job.future.add_done_callback(tell)
    timer = loop.call_later(WATCH_AFTER_SECONDS, begin_to_watch)
    try:
        return await outcome
    finally:
        timer.cancel()
        for task in watch:
            task.cancel()


async def _tell_when_hung_up(request: Request, outcome: asyncio.Future[bool]) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    if not outcome.done():
        outcome.set_result(False)
