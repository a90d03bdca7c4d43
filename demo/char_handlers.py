"""What happens on the writing tab: each handler returns what is to be seen now, the message first."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from html import escape
from random import SystemRandom
from typing import Any

import gradio as gr

from pipelines import InputError
from pipelines.pipeline_char_generation import MAXIMUM_CHARACTERS

from .char_next import next_characters_html
from .char_passage import Colouring, Passage, Run, coloured_text, look_again, look_into, write_on
from .char_text import NOTHING, UNIT, ColouredText, coloured_text_html, scale_html, signed
from .options import named
from .served import Checkpoints, refusal

OPTION_NAMES = ("seed", "temperature", "top_p", "top_k", "max_new_tokens")
STARTING_LENGTH = 300
LARGEST_DRAWN_SEED = 10**6
"""Seeds that the page draws are short enough to be typed."""
ANY_UNIT = "hidden.1.0"
"""A unit that every network has."""
NO_TEXT = "There is no text yet to go on from: press Write, or look into a text of your own."
NOT_OFFERED = "The text has changed, and this character is no longer on offer. Choose one of those below the text."

SAME = gr.skip()
QUIET = gr.update(visible=False)
NUM_OTHERS = 8
"""After the message: text, scale, status, next characters, unit, Stop, and the states passage and run."""


class CharHandlers:
    """Answers what visitors do."""

    def __init__(self, checkpoints: Checkpoints):
        self.checkpoints = checkpoints

    def write_anew(
        self,
        run: Run | None,
        colour_by: str,
        unit: str | None,
        checkpoint: str,
        beginning: str | None,
        maps: bool,
        *options: Any,
    ) -> Iterator[tuple]:
        """Write from a beginning."""
        passage = look_into(self.checkpoints, checkpoint, beginning or "", _unknown_characters(maps))
        yield from self._growing(run, Colouring(colour_by, unit), passage, options)

    def write_further(
        self, run: Run | None, colour_by: str, unit: str | None, passage: Passage | None, *options: Any
    ) -> Iterator[tuple]:
        """Go on from the text that there is."""
        if passage is None:
            raise InputError(NO_TEXT)
        yield from self._growing(run, Colouring(colour_by, unit), passage, options)

    def look_into_own_text(
        self, run: Run | None, colour_by: str, unit: str | None, checkpoint: str, text: str | None, maps: bool
    ) -> tuple:
        """Colour a text that the visitor wrote."""
        passage = look_into(self.checkpoints, checkpoint, text or "", _unknown_characters(maps))
        _supersede(run)
        return self._drawn(passage, Colouring(colour_by, unit))

    def choose_character(
        self, run: Run | None, colour_by: str, unit: str | None, passage: Passage | None, chosen: gr.EventData
    ) -> tuple:
        """Append the character that was clicked; it is the visitor's choice."""
        if passage is None or chosen.character not in [one.character for one in passage.next_characters]:
            raise InputError(NOT_OFFERED)
        text = passage.characters + chosen.character
        passage = look_into(self.checkpoints, passage.checkpoint, text, yours=passage.yours)
        _supersede(run)
        return self._drawn(passage, Colouring(colour_by, unit))

    def recolour(self, run: Run | None, colour_by: str, unit: str | None, passage: Passage | None) -> tuple:
        """Colour the same text otherwise; one that is being written, from its next characters on."""
        colouring = Colouring(colour_by, unit)
        if run is not None:
            run.colouring = colouring
        if passage is None or passage.looked is None:
            return (QUIET, *[SAME] * 4, gr.Dropdown(visible=colour_by == UNIT), *[SAME] * 3)
        text, scale, units = self._coloured(passage, colouring)
        return QUIET, text, scale, SAME, SAME, units, SAME, SAME, SAME

    def _growing(self, run: Run | None, colouring: Colouring, passage: Passage, options: tuple) -> Iterator[tuple]:
        parameters = _parameters(options, room=MAXIMUM_CHARACTERS - len(passage.characters))
        started = Run(colouring)
        with closing(write_on(self.checkpoints, passage, parameters, started)) as growing:
            _supersede(run)  # not before the new one is sure to begin
            for grown in growing:
                if started.superseded:
                    return
                passage = grown
                yield _growing_page(passage, started)
        passage = look_again(self.checkpoints, passage)
        if not started.superseded:
            yield self._drawn(passage, started.colouring, _repeatable(parameters))

    def _drawn(self, passage: Passage, colouring: Colouring, remark: str = "") -> tuple:
        try:
            message, (text, scale, units) = QUIET, self._coloured(passage, colouring)
        except InputError as error:  # a unit that there is not; it is no reason to lose a text
            message, (text, scale, _), units = refusal(error), self._coloured(passage, Colouring(NOTHING)), SAME
        alternatives = next_characters_html(passage.next_characters)
        stop = gr.Button(interactive=False)
        return message, text, scale, status_html(passage, remark), alternatives, units, stop, passage, None

    def _coloured(self, passage: Passage, colouring: Colouring) -> tuple[str, str, gr.Dropdown]:
        choices = unit_choices(passage)
        unit = (colouring.unit or "").strip() or (choices[0][1] if choices else ANY_UNIT)
        text = coloured_text(self.checkpoints, passage, Colouring(colouring.by, unit))
        name = next((name for name, address in choices if address == unit), unit)
        units = gr.Dropdown(choices, value=unit, allow_custom_value=True, visible=colouring.by == UNIT)
        return coloured_text_html(text, colouring.by), scale_html(colouring.by, text.is_shared, name), units


def _growing_page(passage: Passage, run: Run) -> tuple:
    by = NOTHING if run.colouring.by == UNIT else run.colouring.by  # what units do is known at the end
    growing = ColouredText(passage.characters, passage.yours, passage.bits)
    text = coloured_text_html(growing, by, is_growing=True)
    status = f'<p class="fine-print">Writing: {len(passage.characters):,} characters.</p>'
    return QUIET, text, scale_html(by, True), status, "", SAME, gr.Button(interactive=True), passage, run


def unit_choices(passage: Passage) -> list[tuple[str, str]]:
    """Name the units that the checkpoint calls interpretable, and say how well they follow what they are named for."""
    return [
        (f"{unit['feature']} ({unit['unit']}, correlation {signed(unit['correlation'])})", unit["unit"])
        for unit in passage.looked["activations"]
    ]


def status_html(passage: Passage, remark: str = "") -> str:
    """Say how surprising a text is as a whole, and how to get it again."""
    looked = passage.looked
    sentences = [
        f"{len(passage.characters):,} characters, on average {looked['nats_per_character']:.3f} nats or "
        f"{looked['bits_per_character']:.3f} bits of surprise each.",
        "The network ended the text itself." if passage.finish_reason == "eos_token" else "",
        remark,
    ]
    return f'<p class="fine-print">{escape(" ".join(filter(None, sentences)))}</p>'


def chosen_options(values: Sequence[Any]) -> dict[str, Any]:
    """Name the options that are chosen; a seed is typed, and whatever is no number goes to the pipeline to refuse."""
    seed, *others = values
    seed = (seed or "").strip()
    return named(OPTION_NAMES, [int(seed) if seed.isdecimal() else seed, *others])


def _parameters(options: tuple, room: int) -> dict[str, Any]:
    """Name the options, draw a seed where there is none, and keep the text as short as can be looked into."""
    if room < 1:
        raise InputError(f"The text has {MAXIMUM_CHARACTERS:,} characters, and there is no more room. Begin a new one.")
    drawn = {"seed": SystemRandom().randrange(LARGEST_DRAWN_SEED), "max_new_tokens": STARTING_LENGTH}
    parameters = drawn | chosen_options(options)
    return parameters | {"max_new_tokens": min(parameters["max_new_tokens"], room)}


def _repeatable(parameters: dict[str, Any]) -> str:
    if parameters.get("temperature") == 0:
        return "Nothing was left to chance."
    return f"Seed {parameters['seed']}: with it, the same beginning and the same options give the same text again."


def _unknown_characters(maps: bool) -> str:
    return "map" if maps else "refuse"


def _supersede(run: Run | None) -> None:
    if run is not None:
        run.supersede()
