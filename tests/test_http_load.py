"""The load generator counts what it gets."""

import asyncio
import json
import random

import pytest

from benchmarks.http_load import Connections, Outcomes, Request, closed_loop, open_loop
from benchmarks.load import COLUMNS, row, table
from benchmarks.load_summary import summary
from benchmarks.served import CHECKPOINT_NAMES, bodies_of, said
from benchmarks.soak import damaged, slope


@pytest.fixture(scope="module")
def tiny_checkpoint(tiny_checkpoint_of):
    return tiny_checkpoint_of("attention-translation")


@pytest.fixture(scope="module")
def right(tiny_checkpoint):
    expected = said(json.dumps(tiny_checkpoint.pipeline().serve("A dog runs.")).encode())
    return Request("/models/tiny", b'{"inputs": "A dog runs."}', check=lambda answer: said(answer) == expected)


def test_clients_that_wait_and_requests_that_do_not(address, right):
    wrong = Request(right.path, right.content, check=lambda _: False)
    outcomes = asyncio.run(closed_loop(address, [right, wrong], 3, 0.5))
    assert outcomes.statuses[200] == len(outcomes.latencies) >= 3 and 0 < outcomes.wrong < outcomes.statuses[200]
    assert outcomes.seconds >= 0.5 and outcomes.throughput == len(outcomes.latencies) / outcomes.seconds

    outcomes = asyncio.run(closed_loop(address, [right], 1, 0.5, pause_seconds=0.2))
    assert 2 <= outcomes.statuses[200] <= 3 and outcomes.wrong == 0

    outcomes = asyncio.run(open_loop(address, [right], rate=40, seconds=1))
    assert 20 < outcomes.statuses[200] < 65 and outcomes.wrong == 0
    assert outcomes.percentile(0.5) <= outcomes.percentile(0.99) <= 1000 * max(outcomes.latencies)


def test_errors_and_closed_connections_are_no_answers(address):
    requests = [Request("/models/none", b"{}"), Request("/health", b"", method="GET")]
    outcomes = asyncio.run(closed_loop(address, requests, 2, 0.2))
    assert set(outcomes.statuses) == {404, 200} and len(outcomes.latencies) == outcomes.statuses[200]
    assert asyncio.run(Connections("http://127.0.0.1:1").send(requests[0])) == (0, b"")


def test_a_connection_that_the_server_closed_meanwhile_is_not_used_again():
    async def answer_once(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        writer.close()

    async def ask_twice():
        async with await asyncio.start_server(answer_once, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            connections, answers = Connections(f"http://127.0.0.1:{port}"), []
            for _ in range(2):
                answers.append(await connections.send(Request("/", b"", method="GET")))
                await asyncio.sleep(0.1)
            connections.close()
            return answers

    assert asyncio.run(ask_twice()) == [(200, b"ok")] * 2


def test_a_row_says_what_became_of_them():
    outcomes = Outcomes(2.0, [0.1, 0.2, 0.3, 0.4])
    outcomes.statuses.update({200: 4, 429: 3, 0: 1, 504: 1})
    found = row("ours", "4 clients", outcomes)
    assert list(found) == list(COLUMNS) and list(found.values()) == [
        "ours",
        "4 clients",
        2.0,
        250.0,
        385.0,
        397.0,
        3,
        0,
        2,
    ]
    assert table([found]).splitlines()[2] == "| ours | 4 clients | 2.0 | 250.0 | 385.0 | 397.0 | 3 | 0 | 2 |"


def test_a_summary_has_a_row_for_each_server():
    outcomes = Outcomes(1.0, [0.1, 0.1])
    outcomes.statuses.update({200: 2, 429: 3})
    loads = ("1 client that pauses", "1 client", "16 clients", "4.0/s (50%)", "12.0/s (150%)")
    lines = summary({"tiny": [row(server, load, outcomes) for server in ("a", "b") for load in loads]}).splitlines()
    assert lines[2:] == [
        f"| `tiny` | {server} | 100.0 | 2.0, 100.0 | 2.0 | 100.0 | 2.0, 3 | 0, 0 |" for server in ("a", "b")
    ]


def test_every_checkpoint_is_asked_something():
    for name in CHECKPOINT_NAMES:
        bodies = bodies_of(name)
        assert len(bodies) > 2 and all(isinstance(content, bytes) and content for content, _ in bodies)


def test_answers_are_compared_without_their_numbers():
    assert (
        said(b'[{"text": "a", "score": -0.1}]') == said(b'[{"text": "a", "score": -0.2}]') != said(b'[{"text": "b"}]')
    )


def test_damage_is_damage_and_growth_is_seen():
    content, chance = bytes(range(256)), random.Random(0)
    assert all(damaged(content, chance) != content for _ in range(50))
    seen = [{"seconds": second, "mebibytes": 100 + 0.5 * second} for second in range(10)]
    assert slope(seen) == pytest.approx(30)
