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


def _encoded(events: Iterable[dict], request_id: str) -> Iterator[str]:
    pending, sent = [], time.monotonic()
    try:
        for event in events:
            pending.append(_data(event))
            if time.monotonic() - sent >= FLUSH_SECONDS:
                yield "".join(pending)
                pending, sent = [], time.monotonic()
    except Exception:  # the status was sent long ago; what is left is to end with an event that says so
        logger.exception("Request %s failed while it was streamed.", request_id)
        pending.append(_data({"error": SERVER_FAULT, "error_type": "generation"}))
    yield "".join(pending)


def _data(content: dict) -> str:
    return f"data:{json.dumps(content, ensure_ascii=False)}\n\n"
