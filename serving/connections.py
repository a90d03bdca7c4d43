"""Connections to the port: what must come soon, and how much of it, while there is no request yet to be refused.

After an answer uvicorn closes a connection that is idle. One that sends nothing, a part of a head, or on and on what
nobody reads, it keeps open; and of a head it keeps whatever comes.
"""

import asyncio
import json
import uuid
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .logs import log_request
from .metrics import Metrics
from .settings import Settings

AFTER_DEADLINE_SECONDS = 5.0
"""Who reads a body refuses one that is late; where nobody reads it the connection ends so much later."""
REFUSALS = {
    400: ("not_http", "Expected a request of HTTP/1.1; what came cannot be read as one."),
    408: ("deadline", "The request's line and headers must come within {seconds:g} seconds; they have not ended yet."),
    431: ("too_large", "The request's line and headers must be at most {most:,} bytes; more came, without an end."),
}


def uvicorn_options(settings: Settings, metrics: Metrics) -> dict[str, Any]:
    """Return how uvicorn must treat connections; `metrics` count what is refused here."""
    return {
        "http": type("Connection", (BoundedConnection,), {"settings": settings, "metrics": metrics}),
        "ws": "none",  # nothing here speaks WebSocket
        "timeout_keep_alive": settings.keep_alive_seconds,
        "server_header": False,
    }


class BoundedConnection(HttpToolsProtocol):
    """A connection that ends when no request begins, or when a request's head or body does not end."""

    settings: Settings
    metrics: Metrics

    _timer: asyncio.TimerHandle | None = None
    _head_bytes: int | None = None
    """Of the head that is coming, in parts after the one that it began in; None: none is coming."""
    _in_body = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a request as long as after an answer."""
        super().connection_made(transport)
        self._wait(self.settings.keep_alive_seconds, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read a part of a request; refuse one whose head is too long."""
        if self._head_bytes is not None:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._head_bytes is not None and self._head_bytes > self.settings.head_bytes:
            self._refuse(431)

    def on_message_begin(self) -> None:
        """Wait for the head of a request."""
        super().on_message_begin()
        self._head_bytes = 0
        self._wait(self.settings.head_seconds, self._refuse_late_head)

    def on_headers_complete(self) -> None:
        """Wait for the body."""
        self._head_bytes, self._in_body = None, True
        self._wait(self.settings.deadline_seconds + AFTER_DEADLINE_SECONDS, self.transport.abort)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Wait for nothing: the request is there, and its answer has a deadline of its own."""
        self._in_body = False
        self._stop_waiting()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Wait for the rest of a body that nobody wanted; else for the next request, whatever else comes."""
        super().on_response_complete()
        if self.cycle.response_complete and self._head_bytes is None and not self.transport.is_closing():
            seconds = self.settings.head_seconds if self._in_body else self.settings.keep_alive_seconds
            self._wait(seconds, self.transport.abort)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP as everything else is refused."""
        self._refuse(400)

    def _refuse_late_head(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self._refuse(408)
        else:  # it came before the answer to the one before
            self._wait(self.settings.head_seconds, self._refuse_late_head)

    def _refuse(self, status: int) -> None:
        code, message = REFUSALS[status]
        number = uuid.uuid4().hex
        sentence = message.format(seconds=self.settings.head_seconds, most=self.settings.head_bytes)
        content = json.dumps({"error": sentence, "code": code, "request_id": number}).encode()
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
            "Content-Type: application/json",
            f"Content-Length: {len(content)}",
            f"X-Request-Id: {number}",
            "Connection: close",
        )
        self.transport.write("\r\n".join((*head, "", "")).encode() + content)
        self.transport.close()
        self.metrics.requests.labels("connection", str(status)).inc()
        self.metrics.rejected.labels(code).inc()
        log_request(request_id=number, route="connection", status=status)

    def _wait(self, seconds: float, then: Callable[[], None]) -> None:
        self._stop_waiting()
        self._timer = self.loop.call_later(seconds, then)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
