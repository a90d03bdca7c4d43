"""What an operator can set: every limit has a number here, and a variable of the environment that changes it."""

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.audio_waveform import MAXIMUM_SECONDS
from pipelines.image_decoding import MAXIMUM_PIXELS, MAXIMUM_SIDE
from pipelines.image_input import MAXIMUM_BYTES as MAXIMUM_IMAGE_BYTES
from pipelines.network_choice import RUNTIMES
from pipelines.pipeline_char_generation import MAXIMUM_NEW_TOKENS
from pipelines.story_reading import MAXIMUM_CONTEXT

PREFIX = "HINDSIGHT_"
MAY_BE_ZERO = ("workers", "gather_seconds", "requests_per_minute")


@dataclass(frozen=True)
class Settings:
    """Numbers of the service; `HINDSIGHT_QUEUE_SIZE=16` sets `queue_size`, and so on."""

    workers: int = 0
    """Processes that hold the models, each of them all; 0: this process does."""
    runtime: str = "auto"
    """What computes, as of a pipeline: "auto", "torch", "onnx" or "onnx-float32"."""
    maximum_batch: int = 16
    """Requests for one checkpoint that go through its network together; 1 is no batching."""
    gather_seconds: float = 0.002
    """How long a request waits for others to go with, while others came with the last one."""
    queue_size: int = 64
    """Requests that wait for one checkpoint; the next one is refused with 429."""
    streams: int = 8
    """Answers of one checkpoint that are streamed at once; the next one is refused with 429."""
    deadline_seconds: float = 120.0
    """From a request's first byte to its answer; afterwards 504."""
    grace_seconds: float = 5.0
    """Given to what still runs when the process is told to stop."""
    keep_alive_seconds: float = 75.0
    """How long a connection may be idle: longer than proxies keep theirs, or they send requests into closed ones."""
    head_seconds: float = 20.0
    """From the first byte of a request's line and headers to the last."""
    head_bytes: int = 2**16
    """Largest line and headers of a request, not counting what comes with their first byte."""

    text_bytes: int = 2**20
    """Largest body of a request to a task that reads text."""
    image_bytes: int = MAXIMUM_IMAGE_BYTES
    """Largest body of a request to a task that reads a picture."""
    audio_bytes: int = 32 * 2**20
    """Largest body of a request to a task that reads a recording."""
    pending_bytes: int = 256 * 2**20
    """Bodies of all requests that are being read or wait; what comes beyond that is refused with 429."""
    inputs_per_request: int = 32
    """Texts or files in one request."""
    text_characters: int = MAXIMUM_CONTEXT
    """Of all texts of one input; each task has a limit of its own below this."""
    image_pixels: int = MAXIMUM_PIXELS
    """Width times height, as a picture's file declares them."""
    image_side: int = MAXIMUM_SIDE
    """Width or height in pixels, as a picture's file declares it."""
    audio_seconds: int = MAXIMUM_SECONDS
    """Length of a recording."""
    num_beams: int = 200
    """Largest `num_beams` of a request."""
    num_return_sequences: int = 16
    """Largest `num_return_sequences` of a request."""
    max_new_tokens: int = MAXIMUM_NEW_TOKENS
    """Largest `max_new_tokens` of a request."""

    tokens: tuple[str, ...] = dataclasses.field(default=(), repr=False)
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
            value, may_be_zero = getattr(self, field.name), field.name in MAY_BE_ZERO
            if isinstance(value, int | float) and (value < 0 or (value == 0 and not may_be_zero)):
                raise ValueError(f"{field.name} must be {'0 or ' if may_be_zero else ''}more than 0; got {value}.")
        if self.runtime not in RUNTIMES:
            raise ValueError(f"runtime must be one of {', '.join(RUNTIMES)}; got {self.runtime!r}.")
        if self.log_format not in ("text", "json"):
            raise ValueError(f"log_format must be text or json; got {self.log_format!r}.")

    def all_tokens(self) -> tuple[str, ...]:
        """Return the tokens, those of the file too.

        Raises:
            ValueError: for a file without one.
        """
        if not self.tokens_file:
            return self.tokens
        lines = Path(self.tokens_file).read_text(encoding="utf-8").split()
        if not lines:
            raise ValueError(f"Expected a token a line in {PREFIX}TOKENS_FILE; the file is empty, and all could ask.")
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
