"""A text that a visitor and a network write together, and what the network thinks of it."""

import math
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

from .char_text import UNIT, Alternative, ColouredText
from .served import LOADING_SECONDS, Checkpoints

UPDATE_SECONDS = 0.08
"""Between two pictures of a growing text while it is short."""
SLOWER_AFTER = 1000
"""Characters that take a browser as long again to draw."""
PACE = 200
"""Characters a second: a network writes more than anybody could watch, or stop."""
NUM_ALTERNATIVES = 10


@dataclass(frozen=True)
class Passage:
    """A text and its numbers."""

    checkpoint: str
    characters: str
    yours: tuple[bool, ...]
    """For each character whether the visitor gave it; the network wrote the others."""
    log_probabilities: tuple[float, ...]
    """For each character, in nats."""
    looked: dict | None = None
    """What `inspect` says of it; None while it is being written."""
    finish_reason: str | None = None
    """Why the network ended it, where it did: TGI's word."""

    @property
    def bits(self) -> list[float]:
        """Return each character's surprise."""
        return [-value / math.log(2) for value in self.log_probabilities]

    @property
    def next_characters(self) -> list[Alternative]:
        """Return what the network expects after the text, the most probable first."""
        return _alternatives(self.looked["next"]) if self.looked else []

    def written_on(self, events: Iterable[dict]) -> "Passage":
        """Return it with what the network wrote, as its stream tells it."""
        tokens = [event["token"] for event in events if event["token"]["text"]]
        details = [event["details"] for event in events if event["details"]]
        return replace(
            self,
            characters=self.characters + "".join(token["text"] for token in tokens),
            yours=self.yours + (False,) * len(tokens),
            log_probabilities=self.log_probabilities + tuple(token["logprob"] for token in tokens),
            looked=None,
            finish_reason=details[-1]["finish_reason"] if details else None,
        )


@dataclass(frozen=True)
class Colouring:
    """What a text is coloured by."""

    by: str
    """`NOTHING`, `SURPRISE` or `UNIT`."""
    unit: str | None = None
    """The unit's address."""


@dataclass
class Run:
    """A writing that goes on, and what the visitor's other actions mean for it."""

    colouring: Colouring
    stopped: bool = False
    """It is to end, and to show what there is."""
    superseded: bool = False
    """Something else is on the page now: it is to end and show nothing."""

    def supersede(self) -> None:
        """End it without a word."""
        self.stopped = self.superseded = True


def look_into(
    checkpoints: Checkpoints, checkpoint: str, text: str, unknown_characters: str = "refuse", yours: tuple = ()
) -> Passage:
    """Ask what a network thinks of a text.

    Args:
        checkpoints: what answers.
        checkpoint: its name.
        text: the text.
        unknown_characters: "refuse" or "map", as for the pipeline.
        yours: for each of the first characters whether the visitor gave it; the rest counts as the visitor's.

    Raises:
        InputError: for a text that does not fit.
    """
    checkpoints.wait_until_loaded(LOADING_SECONDS)
    looked = checkpoints.inspect(checkpoint, text, top=NUM_ALTERNATIVES, unknown_characters=unknown_characters)
    characters = "".join(looked["characters"])
    yours += (True,) * (len(characters) - len(yours))
    return Passage(checkpoint, characters, yours, tuple(looked["log_probabilities"]), looked)


def look_again(checkpoints: Checkpoints, passage: Passage) -> Passage:
    """Ask what a network thinks of a passage that has grown."""
    looked = look_into(checkpoints, passage.checkpoint, passage.characters, yours=passage.yours)
    return replace(looked, finish_reason=passage.finish_reason)


def write_on(checkpoints: Checkpoints, passage: Passage, parameters: dict[str, Any], run: Run) -> Iterator[Passage]:
    """Let a network go on.

    Args:
        checkpoints: what answers.
        passage: what to go on from.
        parameters: options of the pipeline.
        run: who wants it.

    Returns:
        The passage as it grows, at first as it is, until the network is done or the run is stopped; then the server
        has stopped too.

    Raises:
        InputError: at once, for options that do not fit.
    """
    return _grow(checkpoints.stream(passage.checkpoint, passage.characters, parameters), passage, run)


def _grow(events: Generator[dict, None, None], passage: Passage, run: Run) -> Iterator[Passage]:
    with closing(events):
        yield passage
        for group in grouped(events, len(passage.characters)):
            passage = passage.written_on(group)
            yield passage
            if run.stopped:
                return


def grouped(events: Iterable[dict], drawn: int) -> Iterator[list[dict]]:
    """Group events by time: often enough to be seen growing, and no oftener than a page can follow.

    Args:
        events: one a character.
        drawn: how many characters are on the page already.
    """
    group, begun, seconds = [], time.monotonic(), _update_seconds(drawn)
    for event in events:
        group.append(event)
        if len(group) >= PACE * seconds:
            time.sleep(max(0, begun + seconds - time.monotonic()))
        if time.monotonic() >= begun + seconds:
            yield group
            drawn += len(group)
            group, begun, seconds = [], time.monotonic(), _update_seconds(drawn)
    if group:
        yield group


def _update_seconds(drawn: int) -> float:
    return UPDATE_SECONDS * (1 + drawn / SLOWER_AFTER)


def coloured_text(checkpoints: Checkpoints, passage: Passage, colouring: Colouring) -> ColouredText:
    """Return what is to be drawn of a passage that was looked into.

    Args:
        checkpoints: who knows units that the passage does not have yet.
        passage: the text.
        colouring: by what; a unit only if it has an address.

    Raises:
        InputError: for an address of no unit.
    """
    expected = [_alternatives(place) for place in passage.looked["top"]]
    values = _unit_values(checkpoints, passage, colouring.unit) if colouring.by == UNIT else None
    return ColouredText(passage.characters, passage.yours, passage.bits, expected, values)


def _unit_values(checkpoints: Checkpoints, passage: Passage, unit: str) -> list[float]:
    for activation in passage.looked["activations"]:
        if activation["unit"] == unit:
            return activation["values"]
    found = checkpoints.inspect(passage.checkpoint, passage.characters, top=0, units=[unit])
    return found["activations"][0]["values"]


def _alternatives(place: list[dict]) -> list[Alternative]:
    return [Alternative(one["character"], math.exp(one["log_probability"])) for one in place]
