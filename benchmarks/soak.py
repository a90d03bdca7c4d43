"""Long load and hard knocks by one command: `python -m benchmarks.soak --output runs/soak` (a quarter of an hour).

First every checkpoint at once at a share of what the service can do, for minutes: memory and temporary files must not
grow, and every answer must be right. Then, under half of that load: a worker is killed, clients hang up, bodies trickle
in, damaged files and texts come. None of it may cost another request its answer.
"""

import argparse
import asyncio
import http.client
import json
import multiprocessing
import os
import random
import signal
import statistics
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import psutil

from .http_load import Connections, Outcomes, Request, closed_loop, open_loop
from .load import row, table
from .served import CHECKPOINT_NAMES, bodies_of, hindsight, requests_to

SAMPLE_SECONDS = 5.0
NUM_DAMAGED = 1000
SHORT = b'{"inputs": "A dog runs now."}'


def processes() -> list[psutil.Process]:
    """Return the server's processes, not those that ask it."""
    children = psutil.Process().children(recursive=True)
    return [child for child in children if {"app.py", "serving.worker"} & set(child.cmdline())]


def memory() -> dict[str, float]:
    """Return the resident memory of each of the server's processes in MiB."""
    return {str(process.pid): round(process.memory_info().rss / 2**20, 1) for process in processes()}


async def watch(folder: Path, seconds: float) -> list[dict]:
    """Look at memory and temporary files again and again."""
    started, seen = time.monotonic(), []
    while time.monotonic() - started < seconds:
        files = sum(len(names) for _, _, names in os.walk(folder))
        moment, each = round(time.monotonic() - started, 1), memory()
        total = round(sum(each.values()), 1)
        seen.append({"seconds": moment, "mebibytes": total, "by_process": each, "temporary_files": files})
        await asyncio.sleep(SAMPLE_SECONDS)
    return seen


def slope(seen: list[dict]) -> float:
    """Return by how many MiB a minute the memory grows in the second half."""
    half = seen[len(seen) // 2 :]
    return 60 * statistics.linear_regression([s["seconds"] for s in half], [s["mebibytes"] for s in half]).slope


def ask_health(address: str, seconds: float) -> list[float]:
    """Ask whether the service is alive, twice a second; return the milliseconds of each answer.

    This runs in a process of its own: beside the load it would wait for the load's own reading and writing too.
    """
    connection, taken = http.client.HTTPConnection(address.removeprefix("http://")), []
    started = time.monotonic()
    while time.monotonic() - started < seconds:
        asked = time.monotonic()
        connection.request("GET", "/health")
        response = connection.getresponse()
        response.read()
        taken.append(1000 * (time.monotonic() - asked) if response.status == 200 else float("inf"))
        time.sleep(0.5)
    connection.close()
    return taken


async def soak(address: str, requests: list[Request], rate: float, seconds: float, folder: Path) -> dict:
    """Keep a load up and watch."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as apart:
        asking = asyncio.get_running_loop().run_in_executor(apart, ask_health, address, seconds)
        outcomes, seen, health = await asyncio.gather(
            open_loop(address, requests, rate, seconds), watch(folder, seconds), asking
        )
    return {
        "rate": round(rate, 2),
        "row": row("soak", f"{rate:.1f}/s, {seconds:.0f} s", outcomes),
        "statuses": dict(outcomes.statuses),
        "health_ms": {
            "median": round(statistics.median(health), 1),
            "p99": round(statistics.quantiles(health, n=100)[-1], 1),
            "most": round(max(health), 1),
        },
        "mebibytes": [seen[0]["mebibytes"], seen[-1]["mebibytes"]],
        "mebibytes_a_minute_in_the_second_half": round(slope(seen), 3),
        "temporary_files": [seen[0]["temporary_files"], seen[-1]["temporary_files"]],
        "seen": seen,
    }


async def kill_a_worker(_: str) -> str:
    """Kill one of the processes that hold the models."""
    workers = [process for process in processes() if "serving.worker" in process.cmdline()]
    os.kill(workers[0].pid, signal.SIGKILL)
    return f"killed 1 of {len(workers)}"


async def hang_up(address: str) -> str:
    """Send requests, and close the connections before the answers come."""
    for _ in range(50):
        _, writer = await _open(address)
        writer.write(_head("/models/attention-nmt-en-de", len(SHORT)) + SHORT)
        await writer.drain()
        writer.close()
        await asyncio.sleep(0.02)
    return "50 clients hung up"


async def trickle(address: str) -> str:
    """Send bodies a byte at a time, and never finish."""
    writers = [(await _open(address))[1] for _ in range(50)]
    for writer in writers:
        writer.write(_head("/models/attention-nmt-en-de", 1000))
    for _ in range(8):
        for writer in writers:
            writer.write(b" ")
        await asyncio.sleep(1)
    for writer in writers:
        writer.close()
    return "50 bodies trickled in for 8 s"


async def damage(address: str) -> str:
    """Send damaged files and texts to every checkpoint."""
    chance, statuses, connections = random.Random(0), Counter(), Connections(address)
    for number in range(NUM_DAMAGED):
        checkpoint = CHECKPOINT_NAMES[number % len(CHECKPOINT_NAMES)]
        content, media_type = chance.choice(bodies_of(checkpoint))
        request = Request(f"/models/{checkpoint}", damaged(content, chance), media_type)
        statuses[(await connections.send(request))[0]] += 1
    connections.close()
    return f"{NUM_DAMAGED} damaged requests: {dict(sorted(statuses.items()))}"


def damaged(content: bytes, chance: random.Random) -> bytes:
    """Change, cut or lengthen some bytes."""
    changed = bytearray(content)
    for _ in range(chance.randint(1, 20)):
        changed[chance.randrange(len(changed))] = chance.randrange(256)
    if chance.random() < 0.3:
        del changed[chance.randrange(len(changed)) :]
    return bytes(changed) + (chance.randbytes(100) if chance.random() < 0.2 else b"")


FAULTS = (kill_a_worker, hang_up, trickle, damage)


async def under_load(address: str, requests: list[Request], rate: float, fault: object) -> dict:
    """Do something bad, and see what becomes of the others."""
    load = asyncio.ensure_future(open_loop(address, requests, rate, 20))
    await asyncio.sleep(3)
    done = await fault(address)
    outcomes: Outcomes = await load
    status, _ = await Connections(address).send(requests[0])
    return {"fault": done, "row": row(fault.__name__, f"{rate:.1f}/s", outcomes), "afterwards": status}


async def _open(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = address.removeprefix("http://").partition(":")
    return await asyncio.open_connection(host, int(port))


def _head(path: str, length: int) -> bytes:
    lines = (f"POST {path} HTTP/1.1", "Host: x", "Content-Type: application/json", f"Content-Length: {length}")
    return "\r\n".join([*lines, "", ""]).encode()


def main() -> None:
    """Measure, print, and keep what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--share", type=float, default=0.8, help="of what the service can do")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--output", type=Path, required=True, help="folder for soak.json")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, hindsight(workers=options.workers, tmpdir=folder) as address:
        requests = [request for name in CHECKPOINT_NAMES for request in requests_to(address, f"/models/{name}", name)]
        random.Random(1).shuffle(requests)
        most = asyncio.run(closed_loop(address, requests, 16, 30)).throughput
        found = {"most": most, "soak": None, "faults": []}
        found["soak"] = asyncio.run(soak(address, requests, options.share * most, 60 * options.minutes, Path(folder)))
        print(json.dumps(found, indent=1), flush=True)
        for fault in FAULTS:
            found["faults"].append(asyncio.run(under_load(address, requests, most / 2, fault)))
            print(json.dumps(found["faults"][-1]), flush=True)
    (options.output / "soak.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    print(table([found["soak"]["row"], *(fault["row"] for fault in found["faults"])]))


if __name__ == "__main__":
    main()
