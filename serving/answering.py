"""From a request to its response: read, wait for a turn; give up when nobody waits any more or it takes too long."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from .bodies import PendingBytes, Reading, read_request
from .errors import RequestError, too_late
from .served_checkpoint import ServedCheckpoint, answer_of
from .settings import Settings
from .streaming import event_stream


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
    answers = asyncio.gather(*(asyncio.wrap_future(job.future) for job in jobs), return_exceptions=True)
    hung_up = asyncio.ensure_future(_hung_up(request))
    try:
        await asyncio.wait((answers, hung_up), return_when=asyncio.FIRST_COMPLETED)
        if not answers.done():
            raise RequestError(400, "disconnected", "The client went away.")
        return answer_of(inputs, jobs)
    finally:
        hung_up.cancel()
        answers.cancel()
        served.withdraw(jobs)


async def _hung_up(request: Request) -> None:
    """Return when the client has gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
