"""What every request passes: an id, the right to be answered, headers that browsers heed, a count and a line."""

import logging
import time
import uuid
from collections.abc import Callable

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .access import MODELS, Access, asks_checkpoint, needs_token
from .errors import SERVER_FAULT, RequestError, error_response
from .logs import log_request
from .metrics import Metrics

logger = logging.getLogger("hindsight")

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(self), microphone=(self), geolocation=(), payment=(), usb=()",
    # The Hub shows a Space inside its own page; nobody else needs to.
    "Content-Security-Policy": "object-src 'none'; base-uri 'self'; "
    "frame-ancestors 'self' https://huggingface.co https://*.hf.space",
}

RAW_HEADERS = [(name.lower().encode(), value.encode()) for name, value in SECURITY_HEADERS.items()]


class Gate:
    """Stands around the whole application, the demo too."""

    def __init__(self, app: ASGIApp, access: Access, metrics: Metrics, check_room: Callable[[str], None]):
        """Stand there.

        Args:
            app: what is inside.
            access: who may ask.
            metrics: where it is counted.
            check_room: raises a RequestError when no more requests may wait for the checkpoint of that name. It is
                asked before anything is read: to refuse must cost little, or nothing is answered when many ask.
        """
        self.app = app
        self.access = access
        self.metrics = metrics
        self.check_room = check_room

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request, started, status = Request(scope), time.monotonic(), 0
        request.state.id = uuid.uuid4().hex

        async def send_marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = message["headers"]
                present = {name for name, _ in headers}
                headers.append((b"x-request-id", request.state.id.encode()))
                headers.extend(header for header in RAW_HEADERS if header[0] not in present)
            await send(message)

        try:
            self.access.check(scope)
            if asks_checkpoint(scope["method"], scope["path"]):
                self.check_room(scope["path"].removeprefix(MODELS))
            await self.app(scope, receive, send_marked)
        except RequestError as error:
            response = error_response(request, error.status, error.code, str(error), error.headers)
            await response(scope, receive, send_marked)
        except Exception:
            logger.exception("Request %s failed.", request.state.id, extra={"request_id": request.state.id})
            if status == 0:
                await error_response(request, 500, "internal", SERVER_FAULT)(scope, receive, send_marked)
        finally:
            self._count(request, status, time.monotonic() - started)

    def _count(self, request: Request, status: int, seconds: float) -> None:
        scope, code = request.scope, getattr(request.state, "error_code", None)
        route = _route_of(request)
        self.metrics.requests.labels(route, str(status)).inc()
        self.metrics.request_seconds.labels(route).observe(seconds)
        if code is not None:
            self.metrics.rejected.labels(code).inc()
        if route == "demo":
            return
        facts = {"route": route, "status": status, "milliseconds": round(1000 * seconds, 1)}
        name = scope.get("path_params", {}).get("checkpoint")
        if name is not None and status != 404:  # else it is only what somebody typed
            facts["checkpoint"] = name
        log_request(request_id=request.state.id, method=scope["method"], **facts)


def _route_of(request: Request) -> str:
    """Name a request's route, also of one that was refused before it was routed."""
    if "route" in request.scope:
        return request.scope["route"].path
    path = request.scope["path"]
    if needs_token(request.method, path):
        return "/models/{checkpoint}" if path.startswith("/models/") else path
    return "demo"
