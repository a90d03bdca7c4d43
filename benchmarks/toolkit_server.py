"""A checkpoint served as the Hugging Face inference toolkit serves it: Starlette, and the repository's handler called
for one request at a time. `python -m benchmarks.toolkit_server CHECKPOINT PORT`

The toolkit pins a transformers that cannot be installed beside ours, so its contract is followed: a body of JSON is the
handler's argument, and a picture or a recording its "inputs".
"""

import sys
import threading
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

import hub
from pipelines import pipeline


def create_application(checkpoint: str) -> Starlette:
    """Load a checkpoint and serve it."""
    folder, one_at_a_time = hub.find(checkpoint), threading.Lock()
    loaded = pipeline(hub.task_of(folder).name, model=str(folder))
    loaded(loaded.example_input)

    def answer(body: dict[str, Any]) -> Any:
        with one_at_a_time:
            return loaded.serve(body["inputs"], body.get("parameters"))  # all that the repository's handler.py does

    async def predict(request: Request) -> JSONResponse:
        is_json = request.headers.get("content-type") == "application/json"
        body = await request.json() if is_json else {"inputs": await request.body()}
        return JSONResponse(await run_in_threadpool(answer, body))

    async def ready(_: Request) -> PlainTextResponse:
        return PlainTextResponse("Ok")

    return Starlette(routes=[Route("/predict", predict, methods=["POST"]), Route("/ready", ready)])


def main() -> None:
    """Serve until somebody stops it."""
    uvicorn.run(create_application(sys.argv[1]), port=int(sys.argv[2]), log_level="warning")


if __name__ == "__main__":
    main()
