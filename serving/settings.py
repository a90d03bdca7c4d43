"""What an operator can set: every limit has a number here, and a variable of the environment that changes it."""

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PREFIX = "HINDSIGHT_"
MAY_BE_ZERO = ("workers", "gather_seconds", "requests_per_minute")


@dataclass(frozen=True)
class Settings:
    """Numbers of the service; `HINDSIGHT_QUEUE_SIZE=16` sets `queue_size`, and so on."""

    workers: int = 0
    """Processes that hold the models, each of them all; 0: this process does."""
    maximum_batch: int = 16
    """Requests for one checkpoint that go through its network together; 1 is no batching."""
    gather_seconds: float = 0.004
    """How long a request waits for others to go with, while others came with the last one."""
    queue_size: int = 64
    """Requests that wait for one checkpoint; the next one is refused with 429."""
    streams: int = 8
    """Answers of one checkpoint that are streamed at once; the next one is refused with 429."""
    deadline_seconds: float = 120.0
    """From a request's first byte to its answer; afterwards 504."""
    grace_seconds: float = 5.0
    """Given to what still runs when the process is told to stop."""

    text_bytes: int = 2**20
    """Largest body of a request to a task that reads text."""
    image_bytes: int = 16 * 2**20
    """Largest body of a request to a task that reads a picture."""
    audio_bytes: int = 32 * 2**20
    """Largest body of a request to a task that reads a recording."""
    pending_bytes: int = 256 * 2**20
    """Bodies of all requests that are being read or wait; what comes beyond that is refused with 429."""
    inputs_per_request: int = 32
    """Texts or files in one request."""
    text_characters: int = 50_000
    """Of all texts of one input; each task has a limit of its own below this."""
    image_pixels: int = 50_000_000
    """Width times height, as a picture's file declares them."""
    image_side: int = 30_000
    """Width or height in pixels, as a picture's file declares it."""
    audio_seconds: int = 3_600
    """Length of a recording."""
    num_beams: int = 200
    """Largest `num_beams` of a request."""
    num_return_sequences: int = 16
    """Largest `num_return_sequences` of a request."""
    max_new_tokens: int = 5_000
    """Largest `max_new_tokens` of a request."""

    tokens: tuple[str, ...] = ()
    """Bearer tokens, one of which a request must bring; none: everybody may ask."""
    tokens_file: str = ""
    """A file with more of them, one a line."""
    requests_per_minute: int = 0
    """Of one token or address, for answers; 0: no limit."""
    burst: int = 60
    """Requests that may come at once before the rate counts."""
    allowed_origins: tuple[str, ...] = ()
    """Web pages of other hosts whose programs may ask, such as "https://example.org"."""
    log_format: str = "text"
    """"json" for a line a request; no text, picture or sound of a request is ever logged."""

    @classmethod
    def from_environment(cls, variables: Mapping[str, str] = os.environ) -> "Settings":
        """Read the settings that the environment names.

        Raises:
            ValueError: naming the variable that cannot be read, or is none of ours.
        """
        fields = {field.name: field for field in dataclasses.fields(cls)}
        named = {name.removeprefix(PREFIX).lower(): text for name, text in variables.items() if name.startswith(PREFIX)}
        for name in named.keys() - fields.keys():
            known = ", ".join(f"{PREFIX}{field.upper()}" for field in fields)
            raise ValueError(f"There is no setting {PREFIX}{name.upper()}. Known: {known}.")
        return cls(**{name: _read(name, text, fields[name].default) for name, text in named.items()})

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value, may_be_zero = (
                getattr(self, field.name),
                field.name in ("workers", "gather_seconds", "requests_per_minute"),
            )
            if isinstance(value, int | float) and (value < 0 or (value == 0 and not may_be_zero)):
                raise ValueError(f"{field.name} must be {'0 or ' if may_be_zero else ''}more than 0; got {value}.")
        if self.log_format not in ("text", "json"):
            raise ValueError(f"log_format must be text or json; got {self.log_format!r}.")

    def all_tokens(self) -> tuple[str, ...]:
        """Return the tokens, those of the file too."""
        lines = Path(self.tokens_file).read_text(encoding="utf-8").split() if self.tokens_file else ()
        return *self.tokens, *lines

    def maximum_bytes(self, modality: str) -> int:
        """Return the largest body for a task's modality."""
        return getattr(self, f"{modality}_bytes")


def _read(name: str, text: str, default: Any) -> Any:
    try:
        if isinstance(default, tuple):
            return tuple(part.strip() for part in text.split(",") if part.strip())
        return type(default)(text)
    except ValueError as error:
        kind = "a whole number" if isinstance(default, int) else "a number"
        raise ValueError(f"{PREFIX}{name.upper()} must be {kind}; got {text!r}.") from error
