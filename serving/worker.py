"""A process that holds the models: `python -m serving.worker FD`, started by `WorkerProcess`, which asks it.

The first message to it are the service's settings. The others are (number, method, arguments); (number, "close", ())
ends a stream. Messages from it are (number, kind, value): "value" or "error" end a call; "begun", "events" and "end"
are a stream's. They are pickled: both ends are ours.
"""

import os
import signal
import sys
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from typing import Any

from pipelines import CheckpointError, InputError
from pipelines.served import Served

from .hosting import ModelHost, WorkerFault, WorkerLost
from .streaming import in_bursts

MAXIMUM_CALLS = 128


class _Answering:
    """Answers the calls that come over a connection, each on a thread of its own."""

    def __init__(self, connection: Connection, host: ModelHost):
        self._connection = connection
        self._host = host
        self._sending = threading.Lock()
        self._closed: set[int] = set()

    def answer(self, number: int, method: str, arguments: tuple) -> None:
        try:
            if method == "stream":
                self._stream(number, arguments)
            else:
                self._send(number, "value", _sendable(getattr(self._host, method)(*arguments)))
        except Exception as error:
            self._send(number, "error", _sendable_error(error))

    def close(self, number: int) -> None:
        self._closed.add(number)

    def _stream(self, number: int, arguments: tuple) -> None:
        events = self._host.stream(*arguments)
        self._send(number, "begun", None)
        for burst in in_bursts(events):
            if number in self._closed:
                break
            self._send(number, "events", burst)
        self._closed.discard(number)
        self._send(number, "end", None)

    def _send(self, number: int, kind: str, value: Any) -> None:
        with self._sending:
            self._connection.send((number, kind, value))


def _sendable(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    return [served if served.error is None else Served(error=_sendable_error(served.error)) for served in value]


def _sendable_error(error: Exception) -> Exception:
    """Return an error that survives pickling; one of ours as the text of its traceback."""
    if isinstance(error, InputError | CheckpointError | WorkerLost | WorkerFault):
        return error.with_traceback(None)
    return WorkerFault("".join(traceback.format_exception(error)))


def main() -> None:
    """Answer until the other end is closed."""
    for number in (signal.SIGINT, signal.SIGTERM):  # they go to the whole group; the parent says when to end
        signal.signal(number, signal.SIG_IGN)
    connection = Connection(int(sys.argv[1]))
    answering = _Answering(connection, ModelHost(connection.recv()))
    calls = ThreadPoolExecutor(MAXIMUM_CALLS)
    while True:
        try:
            number, method, arguments = connection.recv()
        except (EOFError, OSError):
            os._exit(0)
        if method == "close":
            answering.close(number)
        else:
            calls.submit(answering.answer, number, method, arguments)


if __name__ == "__main__":
    main()
