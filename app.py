"""Start everything: the demo at /, and the HTTP service beside it in the same process."""

import argparse
import os
import signal
import sys

# Before anything is imported that reads them. The demo runs offline and tells nobody that it does; one thread a
# model is fastest when several models share few cores.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import gradio
import uvicorn
from fastapi import FastAPI

from demo.application import CSS, HEAD, THEME, build_demo
from serving.application import create_application
from serving.checkpoints import ServedCheckpoints


def build_application() -> FastAPI:
    """Mount the demo beside the service; both ask the same checkpoints."""
    checkpoints = ServedCheckpoints.shipped()
    application = create_application(checkpoints)
    return gradio.mount_gradio_app(
        application, build_demo(checkpoints), path="/", theme=THEME, css=CSS, head=HEAD, show_error=False
    )


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line; inside a Space or a container the platform's variables are the defaults."""
    variables = os.environ
    host = variables.get("GRADIO_SERVER_NAME") or ("0.0.0.0" if "SPACE_ID" in variables else "127.0.0.1")
    port = int(variables.get("GRADIO_SERVER_PORT") or variables.get("PORT") or 7860)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default=host, help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=port, help="port to listen on (default: %(default)s)")
    return parser.parse_args(arguments)


def main() -> None:
    """Listen until somebody stops it; SIGTERM finishes what runs."""
    options = parse_arguments()
    # uvicorn finishes what runs and then sends itself the signal again, for this handler.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print(f"Hindsight: http://{options.host}:{options.port}", flush=True)
    uvicorn.run(
        build_application(), host=options.host, port=options.port, log_level="warning", timeout_graceful_shutdown=10
    )


if __name__ == "__main__":
    main()
