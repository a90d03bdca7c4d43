"""What the page gives away of the machine: room for files, places in the queue, and no API of its own."""

from fastapi import Request
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.routing import Route

MAXIMUM_FILE_BYTES = 32 * 2**20
"""Of a visitor's file, which lies on the disk for a while; programs may send longer recordings to the service."""
DELETE_CACHE = (600, 3600)
"""Seconds: how often files of visitors are looked through, and how old they may get."""
MAXIMUM_WAITING = 64
"""Questions of all visitors together."""
AT_ONCE = 4
"""Of the same kind."""
POLL_SECONDS = 0.02
"""Gradio looks so often whether somebody waits; its own thousandth of a second takes 7 % of a core from the models."""
BUSY_SECONDS = 5
BUSY = "The demo is busy: too many are waiting already. Nothing is lost; please try again in a moment."


async def _refuse(_: Request) -> Response:
    raise HTTPException(404)


CLOSED_ROUTES = [
    Route(f"/gradio_api/{path}", _refuse, methods=["GET", "POST", "PUT", "DELETE"])
    for path in ("api/{rest:path}", "call/{rest:path}", "deep_link", "info", "info/", "openapi.json")
]
"""Gradio's ways to its functions that the page does not take; deep_link would also keep files for ever. Programs have
the service's own routes, which are documented, and limited by it."""


async def busy(_: Request, __: HTTPException) -> Response:
    """Tell a visitor that the queue is full: the page shows `detail` unless the status is 503."""
    return JSONResponse({"detail": BUSY}, 429, headers={"Retry-After": str(BUSY_SECONDS)})


ERROR_HANDLERS = {503: busy}
