"""What becomes of a request to a service."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


class NotNowError(Exception):
    """A service cannot answer at the moment, and not through the caller's doing; says what to do."""


@dataclass(frozen=True)
class Served:
    """An answer in the Hub's schema, or why there is none."""

    response: Any = None
    use: dict[str, float] = field(default_factory=dict)
    """What it took: "tokens" that were written, "audio_seconds" that were heard."""
    error: Exception | None = None
    """An InputError is the caller's mistake, any other is ours."""


def attempt(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Return what a function returns, or the exception that it raises."""
    try:
        return function(*arguments, **options)
    except Exception as error:
        return error
