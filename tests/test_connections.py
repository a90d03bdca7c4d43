"""Connections on which no request begins, or whose requests do not end, are closed; others are kept."""

import asyncio
import json
import logging
import socket
import time
from collections.abc import Callable, Iterator

import pytest

from serving import connections
from serving.connections import uvicorn_options
from serving.metrics import Metrics
from serving.settings import Settings

from .running_server import running_server

HEAD = b"POST /read HTTP/1.1\r\nHost: here\r\nContent-Length: 4\r\n\r\n"
SETTINGS = Settings(keep_alive_seconds=1.0, head_seconds=1.0, head_bytes=1000, deadline_seconds=0.5)
METRICS = Metrics()


async def application(scope, receive, send):
    """Answer with the number of bytes: at /ignore at once, at /slow after a while, else when all have come."""
    if scope["type"] == "lifespan":
        return
    num_bytes, more = 0, scope["path"] != "/ignore"
    while more:
        message = await receive()
        num_bytes, more = num_bytes + len(message.get("body", b"")), message.get("more_body", False)
    await asyncio.sleep(1.2 if scope["path"] == "/slow" else 0)
    content = f"{num_bytes} bytes".encode()
    headers = [(b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content})


@pytest.fixture(scope="module")
def connect() -> Iterator[Callable[[], socket.socket]]:
    """Open a connection to a server with these settings."""
    with running_server(application, log_level="error", **uvicorn_options(SETTINGS, METRICS)) as port:
        yield lambda: socket.create_connection(("127.0.0.1", port), timeout=20)


def read_all(connection: socket.socket) -> tuple[bytes, float]:
    """Read until the server closes the connection; return what came and how long that took."""
    started, content = time.monotonic(), b""
    try:
        while part := connection.recv(2**16):
            content += part
    except ConnectionResetError:
        pass
    return content, time.monotonic() - started


def trickle(connection: socket.socket, part: bytes, seconds: float = 15) -> float:
    """Send a part again and again until the connection is closed; return after how long it was."""
    started = time.monotonic()
    try:
        while time.monotonic() - started < seconds:
            connection.sendall(part)
            time.sleep(0.05)
    except OSError:
        pass
    return time.monotonic() - started


def refusal(content: bytes) -> tuple[int, str]:
    """Return the status and the code of the last answer."""
    head, _, body = content.rpartition(b"\r\n\r\n")
    status = head.rpartition(b"HTTP/1.1 ")[2].split()[0]
    error = json.loads(body)
    assert error.keys() == {"error", "code", "request_id"} and error["request_id"].encode() in head
    return int(status), error["code"]


def test_a_connection_that_sends_nothing_is_closed_as_an_idle_one(connect):
    with connect() as connection:
        content, seconds = read_all(connection)
    assert content == b"" and 0.9 < seconds < 3


def test_an_idle_connection_is_kept_so_long_and_no_longer(connect):
    with connect() as connection:
        connection.sendall(HEAD + b"body")
        time.sleep(0.4)
        connection.sendall(HEAD + b"body")
        content, seconds = read_all(connection)
    assert content.count(b"4 bytes") == 2 and 0.9 < seconds < 3


@pytest.mark.parametrize("answered", [False, True])
def test_empty_lines_do_not_keep_a_connection(connect, answered):
    with connect() as connection:
        connection.sendall((HEAD + b"body") * answered)
        assert 0.9 < trickle(connection, b"\r\n") < 3


@pytest.mark.parametrize("answered", [False, True])
def test_a_head_that_trickles_in_is_refused(connect, answered):
    with connect() as connection:
        connection.sendall((HEAD + b"body") * answered + HEAD[:-2])
        content, seconds = read_all(connection)
    assert refusal(content) == (408, "deadline") and 0.9 < seconds < 4


def test_a_head_that_is_too_long_is_refused(connect):
    with connect() as connection:
        connection.sendall(HEAD[:-2] + b"X: ")
        time.sleep(0.1)
        connection.sendall(1001 * b"a")
        content, _ = read_all(connection)
    assert refusal(content) == (431, "too_large")


def test_what_is_not_http_is_refused_and_counted(connect, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("hindsight"), "propagate", True)
    with connect() as connection, caplog.at_level(logging.INFO, "hindsight"):
        connection.sendall(b"hello\r\n\r\n")
        content, _ = read_all(connection)
    assert refusal(content) == (400, "not_http")
    counted = METRICS.text().decode()
    assert 'hindsight_requests_total{route="connection",status="400"} 1.0' in counted
    assert 'hindsight_rejected_total{code="not_http"} 1.0' in counted
    (line,) = caplog.records
    assert (line.route, line.status) == ("connection", 400) and line.request_id.encode() in content


def test_a_long_body_is_not_a_long_head(connect):
    with connect() as connection:
        connection.sendall(HEAD.replace(b" 4", b" 9000"))
        for _ in range(9):
            time.sleep(0.15)
            connection.sendall(1000 * b"a")
        assert b"9000 bytes" in read_all(connection)[0]


def test_a_body_that_nobody_waits_for_ends(connect, monkeypatch):
    """As those that Gradio reads, which has no deadline."""
    monkeypatch.setattr(connections, "AFTER_DEADLINE_SECONDS", 0.5)
    with connect() as connection:
        connection.sendall(HEAD.replace(b" 4", b" 9000"))
        assert SETTINGS.deadline_seconds + 0.4 < trickle(connection, b"a") < SETTINGS.deadline_seconds + 3


def test_the_rest_of_a_body_that_was_refused_ends(connect):
    with connect() as connection:
        connection.sendall(HEAD.replace(b"read", b"ignore").replace(b" 4", b" 9000"))
        assert 0.9 < trickle(connection, b"a") < 4


def test_a_request_that_comes_before_the_answer_does_not_cost_it(connect):
    with connect() as connection:
        connection.sendall(HEAD.replace(b"read", b"slow") + b"body" + HEAD[:-2])
        content, _ = read_all(connection)
    assert b"4 bytes" in content and refusal(content) == (408, "deadline")


def test_the_defaults_are_longer_than_what_proxies_keep():
    """60 s is what nginx and Amazon's load balancers begin with."""
    assert uvicorn_options(Settings(), Metrics())["timeout_keep_alive"] > 60
