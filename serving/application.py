"""The HTTP service: routes, and nothing else."""

import html
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.concurrency import run_in_threadpool

import hub
from pipelines import pipeline_class

from .bodies import MAXIMUM_BYTES, read_request
from .checkpoints import RETRY_AFTER_SECONDS, ServedCheckpoint, ServedCheckpoints
from .documentation import PREDICT, describe_errors
from .errors import add_error_handlers


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

    @application.get("/health", summary="Whether the process is alive")
    async def health() -> dict:
        return {"status": "alive"}

    @application.get("/ready", summary="Whether every checkpoint is loaded and warm", responses=describe_errors(503))
    async def ready() -> Response:
        states = {checkpoint.folder.name: _state(checkpoint) for checkpoint in checkpoints}
        if all(state == "ready" for state in states.values()):
            return JSONResponse({"status": "ready", "checkpoints": states})
        headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
        return JSONResponse({"status": "not ready", "checkpoints": states}, 503, headers)

    @application.get("/models", summary="The served checkpoints, their options and their measured numbers")
    async def models() -> list[dict]:
        return [_describe(checkpoint) for checkpoint in checkpoints]

    @application.post("/models/{checkpoint}", **PREDICT)
    async def predict(checkpoint: str, request: Request) -> Response:
        served = checkpoints[checkpoint]
        inputs, parameters = await read_request(request, served.task.modality)
        return JSONResponse(await run_in_threadpool(served.answer, inputs, parameters))

    @application.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(_documentation_page(application))

    return application


def _state(checkpoint: ServedCheckpoint) -> str:
    return checkpoint.failure or ("ready" if checkpoint.ready else "loading")


def _describe(checkpoint: ServedCheckpoint) -> dict:
    task = checkpoint.task
    options = pipeline_class(task).options
    return {
        "name": checkpoint.folder.name,
        "task": task.name,
        "pipeline_tag": task.hub_pipeline_tag,
        "paper": task.paper,
        "ready": checkpoint.ready,
        "maximum_bytes": MAXIMUM_BYTES[task.modality],
        "parameters": {option.name: f"{option.description} {option.expectation()}" for option in options},
        "evaluation": hub.facts(checkpoint.folder),
    }


def _documentation_page(application: FastAPI) -> str:
    """List the routes; openapi.json has the details."""
    rows = [
        f"<li><code>{method.upper()} {html.escape(path)}</code> {html.escape(operation.get('summary', ''))}</li>"
        for path, operations in application.openapi()["paths"].items()
        for method, operation in operations.items()
    ]
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Hindsight: HTTP</title>'
        '<body style="font-family: sans-serif; max-width: 50em; margin: 2em auto; line-height: 1.6">'
        f"<h1>Hindsight over HTTP</h1><p>{html.escape(application.description)} The full description is "
        f'<a href="openapi.json">openapi.json</a>.</p><ul>{"".join(rows)}</ul></body></html>'
    )
