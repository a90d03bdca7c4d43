"""An application on a port of this process, for as long as a context lasts."""

import socket
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

START_SECONDS = 60.0


@contextmanager
def running_server(application: Any, **options: Any) -> Iterator[int]:
    """Serve, with uvicorn's options; yield the port. Raises with the server's stack if it does not start."""
    configuration = uvicorn.Config(application, **{"log_level": "warning"} | options)
    configuration.load()  # here and not in the thread, as what follows: they import
    configuration.get_loop_factory()
    server = uvicorn.Server(configuration)
    with socket.create_server(("127.0.0.1", 0), backlog=configuration.backlog) as listening:
        thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        deadline = time.monotonic() + START_SECONDS
        while not server.started:
            if not thread.is_alive() or time.monotonic() > deadline:
                raise RuntimeError(f"The server has not started in {START_SECONDS:g} s: {_stack(thread)}")
            time.sleep(0.01)
        try:
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()


def _stack(thread: threading.Thread) -> str:
    frame = sys._current_frames().get(thread.ident)
    return "".join(traceback.format_stack(frame)) if frame else "its thread has ended"
