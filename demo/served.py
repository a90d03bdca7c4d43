"""What the demo asks of the service: answers, by checkpoint."""

from typing import Any, Protocol


class Checkpoints(Protocol):
    """Serves checkpoints by name."""

    def answer(self, name: str, inputs: Any, parameters: dict | None = None) -> Any:
        """Answer a request in the Hub's schema; raise InputError for the caller's mistake."""
        ...

    def wait_until_loaded(self, timeout_seconds: float) -> bool:
        """Wait until the checkpoints are there."""
        ...
