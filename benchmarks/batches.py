"""What batches bring, by one command: `python -m benchmarks.batches --output runs/batches` (a few minutes).

All servers of `benchmarks.load` run at once and are asked in turns, round after round, so that whatever else happens on
the machine meets every one; medians of the rounds are printed. Those that are not asked wait, and cost memory alone.
"""

import argparse
import asyncio
import json
import statistics
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path

from .http_load import Outcomes, Request, closed_loop, open_loop
from .load import PAUSE_SECONDS, SERVERS, TOOLKIT
from .served import CHECKPOINT_NAMES, requests_to

COLUMNS = (
    "server",
    "a client that pauses: p50, p95 ms",
    "1 client: p50, p95 ms",
    "16 clients: answers/s",
    "half of that: p50, p95 ms",
    "refused, wrong, lost",
)
CLIENTS = 16


class Measured:
    """What the rounds of a server gave."""

    def __init__(self, address: str, requests: list[Request]):
        self._ask = address, requests
        self._numbers: dict[str, list[float]] = defaultdict(list)
        self.refused = self.wrong = self.lost = 0

    def round(self, seconds: float) -> None:
        """Ask: alone with pauses, alone without, with many clients, and at random moments half as often as that."""
        self._note("pauses", asyncio.run(closed_loop(*self._ask, 1, seconds, PAUSE_SECONDS)))
        self._note("alone", asyncio.run(closed_loop(*self._ask, 1, seconds)))
        self._note("many", asyncio.run(closed_loop(*self._ask, CLIENTS, seconds)))
        self._note("half", asyncio.run(open_loop(*self._ask, self.median("many", "throughput") / 2, seconds)))

    def _note(self, load: str, outcomes: Outcomes) -> None:
        self._numbers[f"{load} throughput"].append(outcomes.throughput)
        self._numbers[f"{load} p50"].append(outcomes.percentile(0.5))
        self._numbers[f"{load} p95"].append(outcomes.percentile(0.95))
        self.refused += outcomes.statuses[429]
        self.wrong += outcomes.wrong
        self.lost += outcomes.lost

    def median(self, load: str, what: str) -> float:
        """Return a median over the rounds so far."""
        return statistics.median(self._numbers[f"{load} {what}"])

    def _waits(self, load: str) -> str:
        return f"{self.median(load, 'p50'):.1f}, {self.median(load, 'p95'):.1f}"

    def row(self, server: str) -> list[str]:
        """Return a row of the table."""
        return [
            server,
            self._waits("pauses"),
            self._waits("alone"),
            f"{self.median('many', 'throughput'):.0f}",
            self._waits("half"),
            f"{self.refused}, {self.wrong}, {self.lost}",
        ]

    @property
    def numbers(self) -> dict[str, list[float]]:
        """Return what every round gave."""
        return dict(self._numbers)


def main() -> None:
    """Measure, print, and keep what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", default="attention-nmt-en-de", choices=CHECKPOINT_NAMES)
    parser.add_argument("--parameters", type=json.loads, help='JSON, such as {"num_beams": 1}; else its own')
    parser.add_argument("--workers", type=int, default=1, help="processes that hold the models")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=2.5, help="of each load in a round")
    parser.add_argument("--output", type=Path, required=True, help="folder for batches.json")
    options = parser.parse_args()
    with ExitStack() as running:
        servers = {}
        for name, start in SERVERS.items():
            address = running.enter_context(start(options.checkpoint, options.workers))
            path = "/predict" if name == TOOLKIT else f"/models/{options.checkpoint}"
            requests = requests_to(address, path, options.checkpoint, options.parameters)
            asyncio.run(closed_loop(address, requests, CLIENTS, options.seconds))  # warm
            servers[name] = Measured(address, requests)
        for _ in range(options.rounds):
            for server in servers.values():
                server.round(options.seconds)
    rows = [COLUMNS, ["---"] * len(COLUMNS), *(server.row(name) for name, server in servers.items())]
    print("\n".join(f"| {' | '.join(row)} |" for row in rows))
    batches, single = servers["batches"], servers["no batches"]
    gain = batches.median("many", "throughput") / single.median("many", "throughput")
    half = batches.median("half", "p95")
    (of_pauses, of_pauses_95), (of_one, of_one_95) = (
        (half / batches.median(load, "p50"), half / batches.median(load, "p95")) for load in ("pauses", "alone")
    )
    print(
        f"With {CLIENTS} clients {gain:.2f} times as many answers as without batches. The p95 at half of that is\n"
        f"{of_pauses:.1f} times the p50 and {of_pauses_95:.1f} times the p95 of a client that pauses, and\n"
        f"{of_one:.1f} times the p50 and {of_one_95:.1f} times the p95 of one that never does."
    )
    options.output.mkdir(parents=True, exist_ok=True)
    found = {name: server.numbers for name, server in servers.items()}
    (options.output / "batches.json").write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
