"""What the service costs beside the model: `python -m benchmarks.overhead`, CPU milliseconds a request at batch 1.

One client asks the memory network, the lightest model, again and again. What the server's processes spent is compared
with what the same pipeline spends on the same requests in a process of its own.
"""

import argparse
import asyncio
import json
import time

import psutil
import torch

from pipelines import pipeline

from .http_load import Connections, Request
from .served import bodies_of, hindsight, requests_to

CHECKPOINT = "memn2n-babi"
REQUESTS = 1500
WARM_UP = 200
PAUSE_SECONDS = 0.002
"""About what the server does, and waits, between two requests of the client."""


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


def of_the_model(number: int, pause_seconds: float) -> float:
    """Return the CPU seconds that the pipeline alone takes for so many requests, with what it waits between them."""
    torch.set_num_threads(1)  # as the server has
    loaded, bodies = pipeline("memory-qa"), [json.loads(content)["inputs"] for content, _ in bodies_of(CHECKPOINT)]
    for index in range(WARM_UP):
        loaded.serve(bodies[index % len(bodies)])
    started = time.process_time()
    for index in range(number):
        time.sleep(pause_seconds)  # as in the server: after it the processor's caches hold something else
        loaded.serve(bodies[index % len(bodies)])
    return time.process_time() - started


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=0)
    options = parser.parse_args()
    with hindsight(workers=options.workers) as address:
        requests = requests_to(address, f"/models/{CHECKPOINT}", CHECKPOINT)
        asyncio.run(ask(address, requests, WARM_UP))
        idle, started = spent(), time.monotonic()
        time.sleep(5)
        background = (spent() - idle) / (time.monotonic() - started)
        before, started = spent(), time.monotonic()
        asyncio.run(ask(address, requests, REQUESTS))
        seconds = time.monotonic() - started
        service = spent() - before - background * seconds
    alone = of_the_model(REQUESTS, PAUSE_SECONDS)
    for name, value in (("server", service), ("pipeline alone", alone), ("added", service - alone)):
        print(f"{name}: {1000 * value / REQUESTS:.2f} ms of CPU a request")
    print(f"one client: {1000 * seconds / REQUESTS:.2f} ms a request; idle server: {1000 * background:.1f} ms a second")


if __name__ == "__main__":
    main()
