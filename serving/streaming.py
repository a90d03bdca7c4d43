"""Answers that come as they are written: server-sent events, in the schema that the Hub's client reads."""

import json
import logging
import time
from collections.abc import Iterable, Iterator

from starlette.responses import StreamingResponse

from .errors import SERVER_FAULT

logger = logging.getLogger("hindsight")

FLUSH_SECONDS = 0.02
"""Events of this long go out together: one alone costs more to send than to write."""


def event_stream(events: Iterable[dict], request_id: str) -> StreamingResponse:
    """Send events as they come."""
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # a proxy that waits would spoil it
    return StreamingResponse(_encoded(events, request_id), media_type="text/event-stream", headers=headers)


def in_bursts(events: Iterable[dict]) -> Iterator[list[dict]]:
    """Put together what comes within FLUSH_SECONDS; the first event goes at once."""
    burst, due = [], 0.0
    for event in events:
        burst.append(event)
        if time.monotonic() >= due:
            yield burst
            burst, due = [], time.monotonic() + FLUSH_SECONDS
    if burst:
        yield burst


def _encoded(events: Iterable[dict], request_id: str) -> Iterator[str]:
    for burst in in_bursts(_to_the_end(events, request_id)):
        yield "".join(map(_data, burst))


def _to_the_end(events: Iterable[dict], request_id: str) -> Iterator[dict]:
    """Yield the events; the last one tells of a failure, for the status was sent long ago."""
    try:
        yield from events
    except Exception:
        logger.exception("Request %s failed while it was streamed.", request_id)
        yield {"error": SERVER_FAULT, "error_type": "generation"}


def _data(content: dict) -> str:
    return f"data:{json.dumps(content, ensure_ascii=False)}\n\n"
