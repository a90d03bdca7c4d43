"""Start everything: the demo at /, and the HTTP service beside it in the same process."""

import argparse
import dataclasses
import math
import os
import signal
import threading

# Before anything is imported that reads them. The demo runs offline and tells nobody that it does; one thread a
# model is fastest when several models share few cores.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from large_imports import large_imports

with large_imports():
    import gradio
    import uvicorn
    from fastapi import FastAPI

    from demo.application import CSS, HEAD, THEME, build_demo
    from demo.limits import CLOSED_ROUTES, ERROR_HANDLERS, MAXIMUM_FILE_BYTES
    from serving.application import create_application
    from serving.checkpoints import ServedCheckpoints
    from serving.connections import uvicorn_options
    from serving.errors import MOUNTED_ERROR_HANDLERS
    from serving.logs import set_up_logging
    from serving.settings import Settings


def build_application(checkpoints: ServedCheckpoints) -> FastAPI:
    """Mount the demo beside the service; both ask the same checkpoints."""
    return gradio.mount_gradio_app(
        create_application(checkpoints),
        build_demo(checkpoints),
        path="/",
        app_kwargs={"exception_handlers": MOUNTED_ERROR_HANDLERS | ERROR_HANDLERS, "routes": CLOSED_ROUTES},
        theme=THEME,
        css=CSS,
        head=HEAD,
        show_error=False,
        max_file_size=MAXIMUM_FILE_BYTES,
        run_history=False,
        footer_links=[],
    )


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line; inside a Space or a container the platform's variables are the defaults."""
    variables = os.environ
    host = variables.get("GRADIO_SERVER_NAME") or ("0.0.0.0" if "SPACE_ID" in variables else "127.0.0.1")
    port = variables.get("GRADIO_SERVER_PORT") or variables.get("PORT") or "7860"
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default=host, help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=port, help="port to listen on (default: %(default)s)")
    parser.add_argument("--workers", type=int, help="processes that hold the models (HINDSIGHT_WORKERS; default: 0)")
    return parser.parse_args(arguments)


def read_settings(options: argparse.Namespace) -> Settings:
    """Read the environment; what stands on the command line counts more. What does not fit ends the process."""
    try:
        settings = Settings.from_environment()
        settings.all_tokens()
        return settings if options.workers is None else dataclasses.replace(settings, workers=options.workers)
    except (ValueError, OSError) as error:
        raise SystemExit(f"{error}") from error


def announce(checkpoints: ServedCheckpoints, host: str, port: int) -> None:
    """Say where it listens once the checkpoints are loaded."""
    checkpoints.wait_until_loaded()
    address = f"[{host}]" if ":" in host else host
    print(f"Hindsight: http://{address}:{port}", flush=True)


def main() -> None:
    """Listen until somebody stops it; SIGTERM lets what runs finish, if it soon does."""
    options = parse_arguments()
    settings = read_settings(options)
    set_up_logging(settings.log_format)
    checkpoints = ServedCheckpoints.shipped(settings)
    # uvicorn waits for what runs and then sends itself the signal again, for this handler; sys.exit would go on
    # waiting for a model that is at work, however long that takes.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    threading.Thread(target=announce, args=(checkpoints, options.host, options.port), daemon=True).start()
    uvicorn.run(
        build_application(checkpoints),
        host=options.host,
        port=options.port,
        log_level="warning",
        timeout_graceful_shutdown=math.ceil(settings.grace_seconds),
        **uvicorn_options(settings, checkpoints.metrics),
    )


if __name__ == "__main__":
    main()
