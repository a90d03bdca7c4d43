"""Load on an HTTP endpoint: clients that wait for their answers, and requests that come whether or not it can keep up.

A client of its own, of few instructions: on a machine with few cores what asks must not cost as much as what answers.
"""

import asyncio
import random
import statistics
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Request:
    """A request, and what its answer must be."""

    path: str
    content: bytes
    media_type: str = "application/json"
    check: Callable[[bytes], bool] = lambda _: True
    method: str = "POST"


@dataclass
class Outcomes:
    """What became of the requests of a round."""

    seconds: float = 0.0
    """From the first request to the last answer."""
    latencies: list[float] = field(default_factory=list)
    """Seconds, of the requests that were answered with 200, from when they were due."""
    statuses: Counter = field(default_factory=Counter)
    wrong: int = 0
    """Answers with 200 that are not right."""

    @property
    def throughput(self) -> float:
        """Answers a second."""
        return len(self.latencies) / self.seconds if self.seconds else 0.0

    @property
    def lost(self) -> int:
        """Requests that were neither answered nor refused because too many waited."""
        return sum(number for status, number in self.statuses.items() if status not in (200, 429))

    def percentile(self, share: float) -> float:
        """Return a percentile of the latencies, in milliseconds."""
        if len(self.latencies) < 2:
            return 1000 * sum(self.latencies)
        return 1000 * statistics.quantiles(self.latencies, n=1000, method="inclusive")[round(1000 * share) - 1]


class Connections:
    """Keeps connections open and uses each for one request at a time."""

    def __init__(self, address: str):
        parts = urlsplit(address)
        self._host, self._port = parts.hostname, parts.port
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def send(self, request: Request) -> tuple[int, bytes]:
        """Send a request; return the status and the body. A connection that was closed has the status 0."""
        try:
            reader, writer = await self._connection()
            head = (
                f"{request.method} {request.path} HTTP/1.1",
                f"Host: {self._host}",
                f"Content-Type: {request.media_type}",
                f"Content-Length: {len(request.content)}",
            )
            writer.write("\r\n".join([*head, "", ""]).encode() + request.content)
            status, content = await self._answer(reader)
        except (OSError, asyncio.IncompleteReadError, ValueError):
            return 0, b""
        self._idle.append((reader, writer))
        return status, content

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof():  # a server closes what was idle for some seconds
                return reader, writer
            writer.close()
        return await asyncio.open_connection(self._host, self._port, limit=2**24)

    @staticmethod
    async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0])
        return int(head.split(b" ", 2)[1]), await reader.readexactly(length)

    def close(self) -> None:
        """Close what is open."""
        for _, writer in self._idle:
            writer.close()


async def closed_loop(
    address: str, requests: Sequence[Request], num_clients: int, seconds: float, pause_seconds: float = 0.0
) -> Outcomes:
    """Let clients ask again as soon as they are answered, or some time after."""
    outcomes, started = Outcomes(), time.monotonic()

    async def client(number: int, connections: Connections) -> None:
        index = number
        while time.monotonic() - started < seconds:
            await _ask(connections, requests[index % len(requests)], time.monotonic(), outcomes)
            index += num_clients
            await asyncio.sleep(pause_seconds)

    await _with_connections(address, lambda connections: _all(client(n, connections) for n in range(num_clients)))
    outcomes.seconds = time.monotonic() - started
    return outcomes


async def open_loop(address: str, requests: Sequence[Request], rate: float, seconds: float, seed: int = 0) -> Outcomes:
    """Send requests at random moments, so many a second on average, whatever becomes of those before."""
    outcomes, started, chance = Outcomes(), time.monotonic(), random.Random(seed)

    async def send(connections: Connections) -> None:
        running, due, index = [], chance.expovariate(rate), 0
        while due < seconds:
            await asyncio.sleep(max(0.0, started + due - time.monotonic()))
            request = requests[index % len(requests)]
            running.append(asyncio.ensure_future(_ask(connections, request, started + due, outcomes)))
            due, index = due + chance.expovariate(rate), index + 1
        await asyncio.gather(*running)

    await _with_connections(address, send)
    outcomes.seconds = max(time.monotonic() - started, seconds)
    return outcomes


async def _ask(connections: Connections, request: Request, due: float, outcomes: Outcomes) -> None:
    status, content = await connections.send(request)
    outcomes.statuses[status] += 1
    if status == 200:
        outcomes.latencies.append(time.monotonic() - due)
        outcomes.wrong += not request.check(content)


async def _all(awaitables: Sequence[Awaitable]) -> None:
    await asyncio.gather(*awaitables)


async def _with_connections(address: str, use: Callable[[Connections], Awaitable[None]]) -> None:
    connections = Connections(address)
    try:
        await use(connections)
    finally:
        connections.close()
