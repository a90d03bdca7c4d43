"""One shape for every error: {"error": sentence, "code": word, "request_id": id}; nothing of ours leaks."""

import logging

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from pipelines import InputError
from pipelines.served import NotNowError

logger = logging.getLogger("hindsight")

CODES = {404: "not_found", 405: "method_not_allowed"}
RETRY_AFTER_SECONDS = 2
SERVER_FAULT = "Something went wrong on our side; the log has it under this request's id."


class RequestError(Exception):
    """A request that is answered with an error, and how."""

    def __init__(self, status: int, code: str, message: str, headers: dict[str, str] | None = None):
        super().__init__(message)
        self.status = status
        self.code = code
        self.headers = headers or {}


class UnavailableError(RequestError, NotNowError):
    """A request that could be answered at another time."""


def busy(reason: str) -> UnavailableError:
    """Return the error of a request for which there is no place now."""
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
    return UnavailableError(429, "busy", f"The service is busy: {reason}. Try again in a moment.", headers)


def too_late() -> UnavailableError:
    """Return the error of a request that could not be answered in time."""
    return UnavailableError(504, "deadline", "The request was not answered in time. Ask for less, or try again later.")


def add_error_handlers(application: FastAPI) -> None:
    """Give every error the common shape."""

    @application.exception_handler(RequestError)
    async def refuse(request: Request, error: RequestError) -> Response:
        return error_response(request, error.status, error.code, str(error), error.headers)

    @application.exception_handler(InputError)
    async def correct(request: Request, error: InputError) -> Response:
        message = str(error) if error.field in str(error) else f"{error.field}: {error}"
        return error_response(request, 422, "invalid_input", message)

    application.add_exception_handler(HTTPException, not_here)


async def not_here(request: Request, error: HTTPException) -> Response:
    """Answer a request for which there is no route, or not with its method."""
    code = CODES.get(error.status_code, "http_error")
    message = f"{request.method} {request.scope['path']}: {error.detail}."
    return error_response(request, error.status_code, code, message, dict(error.headers or {}))


MOUNTED_ERROR_HANDLERS = {404: not_here, 405: not_here}
"""For an application that is mounted beside the routes: it answers whatever they do not."""


def error_response(
    request: Request, status: int, code: str, message: str, headers: dict[str, str] | None = None
) -> Response:
    """Build the body that interface.md promises."""
    request.state.error_code = code
    sendable = message.encode("utf-8", "backslashreplace").decode()  # it may quote half a character
    body = {"error": sendable, "code": code, "request_id": request.state.id}
    return JSONResponse(body, status, headers=headers)
