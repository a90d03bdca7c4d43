"""What Prometheus reads at /metrics. One registry an application: several can live in a process."""

import os
from collections.abc import Callable, Sequence, Sized
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from pipelines.served import Served

SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120)
BATCHES = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """Counters of the service."""

    def __init__(self):
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "hindsight_requests", "Requests answered, by route and status.", ("route", "status"), registry=self.registry
        )
        self.rejected = Counter(
            "hindsight_rejected", "Requests refused, by the error's code.", ("code",), registry=self.registry
        )
        self.request_seconds = self._histogram("request_seconds", "From a request to its answer.", "route")
        self.queue_wait = self._histogram("queue_wait_seconds", "Waiting for a checkpoint.", "checkpoint")
        self.model_seconds = self._histogram("model_seconds", "A batch in its network.", "checkpoint")
        self.batch_size = self._histogram("batch_size", "Requests answered together.", "checkpoint", BATCHES)
        self.tokens = self._counter("tokens", "Pieces, words or characters written.")
        self.audio_seconds = self._counter("audio_seconds", "Seconds of recordings heard.")
        self.queue_depth = self._gauge("queue_depth", "Requests that wait.", ("checkpoint",))
        self.worker_memory = self._gauge("worker_memory_bytes", "Resident memory of a worker.", ("worker",))
        self._gauge("memory_bytes", "Resident memory of this process.").set_function(resident_bytes)

    def watch(self, checkpoint: str, queue: Sized) -> None:
        """Tell how many wait in a queue whenever somebody reads."""
        self.queue_depth.labels(checkpoint).set_function(lambda: len(queue))

    def watch_worker(self, number: int, process_id: Callable[[], int]) -> None:
        """Tell the memory of a worker process whenever somebody reads."""
        self.worker_memory.labels(str(number)).set_function(lambda: resident_bytes(process_id()))

    def answered(self, checkpoint: str, seconds: float, answers: Sequence[Served]) -> None:
        """Count a batch that took so long."""
        self.model_seconds.labels(checkpoint).observe(seconds)
        self.batch_size.labels(checkpoint).observe(len(answers))
        self.used(checkpoint, answers)

    def used(self, checkpoint: str, answers: Sequence[Served]) -> None:
        """Count what answers took and gave."""
        for answer in answers:
            for name, amount in answer.use.items():
                getattr(self, name).labels(checkpoint).inc(amount)

    def text(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self.registry)

    def _counter(self, name: str, meaning: str) -> Counter:
        return Counter(f"hindsight_{name}", meaning, ("checkpoint",), registry=self.registry)

    def _gauge(self, name: str, meaning: str, labels: Sequence[str] = ()) -> Gauge:
        return Gauge(f"hindsight_{name}", meaning, labels, registry=self.registry)

    def _histogram(self, name: str, meaning: str, label: str, buckets: Sequence[float] = SECONDS) -> Histogram:
        return Histogram(f"hindsight_{name}", meaning, (label,), buckets=buckets, registry=self.registry)


def resident_bytes(process_id: int | None = None) -> float:
    """Return a process's memory; 0 where the system does not tell."""
    try:
        pages = Path(f"/proc/{process_id or 'self'}/statm").read_text(encoding="ascii").split()[1]
    except (OSError, IndexError):
        return 0.0
    return float(int(pages) * os.sysconf("SC_PAGE_SIZE"))
