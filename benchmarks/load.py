"""The load table by one command: `python -m benchmarks.load --output runs/load` (all checkpoints, about half an hour).

For each checkpoint and each server: one client that pauses after each answer, one that asks again at once, many such
clients, and then requests that come at random moments at rising rates, up to more than it can do. Servers: ours with
batches, ours without (maximum_batch 1), and the Hugging Face toolkit's way, one request at a time. Clients run on the
same machine and share its cores. Every answer is compared with the one that the same request got alone.
"""

import argparse
import asyncio
import json
from pathlib import Path
from typing import Any

from .http_load import Outcomes, Request, closed_loop, open_loop
from .load_summary import summary
from .served import CHECKPOINT_NAMES, hindsight, requests_to, toolkit

SHARES = (0.25, 0.5, 0.75, 1.0, 1.5)
"""Of the most that clients that wait were answered; what comes at these rates does not wait for anybody."""
PAUSE_SECONDS = 0.1
"""Of the client that pauses: it finds the machine as a visitor does, with other numbers in its caches."""
TOOLKIT = "toolkit's way"
SERVERS = {
    "batches": lambda checkpoint, workers: hindsight(workers=workers),
    "no batches": lambda checkpoint, workers: hindsight(workers=workers, maximum_batch=1),
    TOOLKIT: lambda checkpoint, workers: toolkit(checkpoint),
}
COLUMNS = ("server", "load", "answers/s", "p50 ms", "p95 ms", "p99 ms", "refused", "wrong", "lost")


def measure(address: str, requests: list[Request], num_clients: int, seconds: float) -> dict[str, Outcomes]:
    """Put a server under rising load."""
    asyncio.run(closed_loop(address, requests, num_clients, seconds / 4))  # warm, and memory at its size
    found = {"1 client that pauses": asyncio.run(closed_loop(address, requests, 1, seconds, PAUSE_SECONDS))}
    found["1 client"] = asyncio.run(closed_loop(address, requests, 1, seconds))
    found[f"{num_clients} clients"] = most = asyncio.run(closed_loop(address, requests, num_clients, seconds))
    for share in SHARES:
        rate = share * most.throughput
        found[f"{rate:.1f}/s ({share:.0%})"] = asyncio.run(open_loop(address, requests, rate, seconds))
    return found


def row(server: str, load: str, outcomes: Outcomes) -> dict[str, Any]:
    """Return a row of the table."""
    milliseconds = [round(outcomes.percentile(share), 1) for share in (0.5, 0.95, 0.99)]
    values = (round(outcomes.throughput, 2), *milliseconds, outcomes.statuses[429], outcomes.wrong, outcomes.lost)
    return dict(zip(COLUMNS, (server, load, *values), strict=True))


def table(rows: list[dict[str, Any]]) -> str:
    """Write rows as Markdown."""
    lines = [COLUMNS, ["---"] * len(COLUMNS), *([str(value) for value in each.values()] for each in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def measure_checkpoint(checkpoint: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure every server with one checkpoint."""
    rows = []
    for name in options.servers:
        with SERVERS[name](checkpoint, options.workers) as address:
            path = "/predict" if name == TOOLKIT else f"/models/{checkpoint}"
            requests = requests_to(address, path, checkpoint)
            found = measure(address, requests, options.clients, options.seconds)
        rows += [row(name, load, outcomes) for load, outcomes in found.items()]
        print(f"{checkpoint}\n{table(rows)}", flush=True)
    return rows


def main() -> None:
    """Measure, print, and keep what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoints", nargs="+", default=CHECKPOINT_NAMES, choices=CHECKPOINT_NAMES)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each round")
    parser.add_argument("--servers", nargs="+", default=list(SERVERS), choices=list(SERVERS))
    parser.add_argument("--workers", type=int, default=0, help="processes that hold the models")
    parser.add_argument("--output", type=Path, required=True, help="folder for load.json")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    path = options.output / "load.json"
    for checkpoint in options.checkpoints:
        found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        found[checkpoint] = measure_checkpoint(checkpoint, options)
        path.write_text(json.dumps(found, indent=1), encoding="utf-8")
    print(summary(found))


if __name__ == "__main__":
    main()
