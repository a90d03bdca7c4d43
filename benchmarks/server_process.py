"""A server in a process of its own: a port for it, and until when it is starting."""

import socket
import subprocess
import time
import urllib.error
import urllib.request

STARTING_SECONDS = 240


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def wait_until_ready(process: subprocess.Popen, address: str) -> None:
    """Wait until every checkpoint answers.

    Raises:
        RuntimeError: when the process ended.
        TimeoutError: after STARTING_SECONDS.
    """
    deadline = time.monotonic() + STARTING_SECONDS
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"{address}/ready").close()
            return
        except (urllib.error.URLError, ConnectionError):
            if process.poll() is not None:
                raise RuntimeError(f"The server ended with {process.returncode} while it was starting.") from None
            time.sleep(0.2)
    raise TimeoutError(f"The server was not ready after {STARTING_SECONDS} seconds.")
