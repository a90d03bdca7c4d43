"""What the service costs beside the model: `python -m benchmarks.overhead`, CPU milliseconds a request at batch 1.

One client asks the memory network, the lightest model, again and again. What the server's processes spent is compared
with what the same pipeline spends on the same requests in a process of its own: without a pause between them, and with
one as long as the server's model waits for the next request, after which the processor's caches hold something else.
All three take turns, a block of requests each, since a machine's speed changes by the minute; medians are printed.
"""

import argparse
import asyncio
import json
import statistics
import time

import psutil
import torch

from pipelines import pipeline

from .http_load import Connections, Request
from .served import bodies_of, hindsight, requests_to

CHECKPOINT = "memn2n-babi"
BLOCKS = 21
REQUESTS = 100
"""In a block."""
WARM_UP = 200


def spent() -> float:
    """Return the CPU seconds that the server's processes have used."""
    times = [process.cpu_times() for process in psutil.Process().children(recursive=True)]
    return sum(time.user + time.system for time in times)


async def ask(address: str, requests: list[Request], number: int) -> None:
    """Send requests one after the other."""
    connections = Connections(address)
    for index in range(number):
        status, _ = await connections.send(requests[index % len(requests)])
        assert status == 200, status
    connections.close()


class Alone:
    """The pipeline by itself."""

    def __init__(self):
        torch.set_num_threads(1)  # as the server has
        self.pipeline = pipeline("memory-qa")
        self.bodies = [json.loads(content)["inputs"] for content, _ in bodies_of(CHECKPOINT)]

    def answer(self, number: int, pause_seconds: float) -> float:
        """Answer so many requests, with a pause before each; return the CPU seconds that it took."""
        started = time.process_time()
        for index in range(number):
            if pause_seconds:
                time.sleep(pause_seconds)
            self.pipeline.serve(self.bodies[index % len(self.bodies)])
        return time.process_time() - started


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=0)
    options = parser.parse_args()
    alone, rows = Alone(), []
    with hindsight(workers=options.workers) as address:
        requests = requests_to(address, f"/models/{CHECKPOINT}", CHECKPOINT)
        asyncio.run(ask(address, requests, WARM_UP))
        alone.answer(WARM_UP, 0)
        idle, started = spent(), time.monotonic()
        time.sleep(5)
        background = (spent() - idle) / (time.monotonic() - started)
        for _ in range(BLOCKS):
            before, started = spent(), time.monotonic()
            asyncio.run(ask(address, requests, REQUESTS))
            seconds = time.monotonic() - started
            service = spent() - before - background * seconds
            steadily = alone.answer(REQUESTS, 0)
            pause = max(0.0, seconds - steadily) / REQUESTS
            paused = alone.answer(REQUESTS, pause)
            rows.append((service, steadily, paused, service - steadily, service - paused, seconds, pause * REQUESTS))
    names = ("server", "pipeline", "pipeline with pauses", "added", "added, beside the pipeline with pauses")
    *values, seconds, pause = (1000 * statistics.median(column) / REQUESTS for column in zip(*rows, strict=True))
    for name, value in zip(names, values, strict=True):
        print(f"{name}: {value:.2f} ms of CPU a request")
    print(f"one client: {seconds:.2f} ms a request; pauses {pause:.2f} ms; idle {1000 * background:.1f} ms a second")


if __name__ == "__main__":
    main()
