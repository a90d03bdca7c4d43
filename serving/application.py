"""The HTTP service: routes, and nothing else."""

import html
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import FastAPI, Path, Request
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import HTMLResponse, Response
from fastapi.routing import APIRoute
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from pipelines import pipeline_class

from .access import Access, needs_token
from .answering import Answering
from .checkpoints import ServedCheckpoints
from .documentation import PREDICT, describe_errors
from .errors import add_error_handlers
from .gate import Gate
from .served_checkpoint import ServedCheckpoint


def create_application(checkpoints: ServedCheckpoints) -> FastAPI:
    """Build the service for some checkpoints; it begins to load them when it starts."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        checkpoints.start()
        yield

    application = FastAPI(
        title="Hindsight",
        description="Sequence models that show why they answer so. Inference in the Hugging Face Hub's schemas.",
        version="0.1.0",
        lifespan=lifespan,
        docs_url=None,  # FastAPI's page loads its program from another host
        redoc_url=None,
    )
    add_error_handlers(application)
    settings = checkpoints.settings
    answering, access = Answering(settings), Access(settings)
    if settings.allowed_origins:
        application.add_middleware(
            CORSMiddleware, allow_origins=settings.allowed_origins, allow_methods=["GET", "POST"], allow_headers=["*"]
        )
    application.add_middleware(Gate, access=access, metrics=checkpoints.metrics, check_room=checkpoints.check_room)

    named = {"enum": [checkpoint.name for checkpoint in checkpoints]}

    async def predict(checkpoint: Annotated[str, Path(json_schema_extra=named)], request: Request) -> Response:
        return await answering.respond(checkpoints[checkpoint], request)

    application.router.add_api_route(
        "/models/{checkpoint}", predict, methods=["POST"], route_class_override=_PlainRoute, **PREDICT
    )

    @application.get("/health", summary="Whether the process is alive")
    async def health() -> dict:
        return {"status": "alive"}

    @application.get("/ready", summary="Whether every checkpoint is loaded and warm", responses=describe_errors(503))
    async def ready() -> dict:
        checkpoints.check_ready()
        return {"status": "ready", "checkpoints": {checkpoint.name: "ready" for checkpoint in checkpoints}}

    @application.get("/models", summary="The served checkpoints, their options and their measured numbers")
    async def models() -> list[dict]:
        return [_describe(checkpoint) for checkpoint in checkpoints]

    @application.get("/metrics", summary="Counters in Prometheus' text format", response_class=Response)
    def metrics() -> Response:
        return Response(checkpoints.metrics.text(), media_type=CONTENT_TYPE_LATEST)

    @application.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(_documentation_page(application, access.has_tokens))

    _refuse_other_methods(application)
    return application


class _PlainRoute(APIRoute):
    """Calls its function with the request as it is: to do it FastAPI's way takes longer than all the rest."""

    def __init__(self, path: str, endpoint: Callable[..., Awaitable[Response]], **options: Any):
        super().__init__(path, endpoint, **options)
        self.app = self._call

    async def _call(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self.endpoint(request=Request(scope, receive), **scope["path_params"])
        await response(scope, receive, send)


class _OtherMethods:
    """Refuses a path's other methods, which would otherwise fall through to what is mounted at /."""

    def __init__(self, allowed: set[str]):
        self.allowed = ", ".join(sorted(allowed))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raise HTTPException(405, headers={"Allow": self.allowed})


def _refuse_other_methods(application: FastAPI) -> None:
    for route in [route for route in application.routes if isinstance(route, APIRoute)]:
        application.router.routes.append(Route(route.path, _OtherMethods(route.methods), include_in_schema=False))


def _describe(checkpoint: ServedCheckpoint) -> dict:
    task = checkpoint.task
    options = pipeline_class(task).options
    return {
        "name": checkpoint.name,
        "task": task.name,
        "pipeline_tag": task.hub_pipeline_tag,
        "paper": task.paper,
        "ready": checkpoint.ready,
        "maximum_bytes": checkpoint.settings.maximum_bytes(task.modality),
        "parameters": {option.name: f"{option.description} {option.expectation()}" for option in options},
        "evaluation": checkpoint.evaluation,
    }


def _documentation_page(application: FastAPI, has_tokens: bool) -> str:
    """List the routes, and which of them need a token; openapi.json has the details."""
    rows = [
        f"<li><code>{method.upper()} {html.escape(path)}</code> {html.escape(operation.get('summary', ''))}"
        f"{' <b>needs a token</b>' if has_tokens and needs_token(method.upper(), path) else ''}</li>"
        for path, operations in application.openapi()["paths"].items()
        for method, operation in operations.items()
    ]
    tokens = "All others, the demo too, need none." if has_tokens else "No route needs a token."
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Hindsight: HTTP</title>'
        '<body style="font-family: sans-serif; max-width: 50em; margin: 2em auto; line-height: 1.6">'
        f"<h1>Hindsight over HTTP</h1><p>{html.escape(application.description)} The full description is "
        f'<a href="openapi.json">openapi.json</a>.</p><ul>{"".join(rows)}</ul><p>{tokens}</p></body></html>'
    )
