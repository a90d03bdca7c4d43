"""The writing tab: a network goes on from a beginning, and each character shows how it came about."""

from collections.abc import Callable
from typing import Any

import gradio as gr
from gradio.components import Component

from tasks import Task

from .asking import scroll_to
from .char_handlers import NUM_OTHERS, QUIET, STARTING_LENGTH, CharHandlers, chosen_options
from .char_models import char_model, note_html
from .char_next import CHAR_NEXT_JS
from .char_passage import Run
from .char_text import CHAR_TEXT_JS, NOTHING, SURPRISE, UNIT, glyph
from .links import Field, Linked, one_of, option_fields, text_of
from .options import option_sliders
from .served import Checkpoints, or_refusal, or_refusal_at_any_time
from .snippets import base_url, boxed, curl_snippet, generation_client_snippet, program_boxes, python_snippet

LONGEST_SEED = 20
"""Digits of it in a link."""
STARTING_VALUES = {"temperature": 0.8, "top_p": 1.0, "top_k": 0, "max_new_tokens": STARTING_LENGTH}
COLOURS = [("Nothing", NOTHING), ("Surprise", SURPRISE), ("A unit", UNIT)]
HINT = "Choose a beginning, or write one and press Write; or look into a text of your own."
MAP = "Replace characters that the model never saw"
MAP_INFO = 'By the nearest that it knows: unknown_characters="map".'
UNIT_INFO = "Those that follow something, or any: memory or hidden, its layer from 1, its number from 0."
SEED_INFO = "Empty: a new one each time. The one that was used is named under the text."
PROGRAMS = "The same beginning with the same options, from a program; the client also as the text is written."
NO_MAP = "# text_generation cannot ask for unknown_characters: what the model never saw is refused here.\n"


def build_tab(task: Task, checkpoints: Checkpoints) -> Linked:
    """Lay the tab out and wire it.

    Args:
        task: the row in tasks.py.
        checkpoints: what answers.

    Returns:
        What a link to the tab holds.
    """
    with gr.Row():
        with gr.Column(scale=2, min_width=300):
            checkpoint, note = _choice_of_model(task)
            with gr.Tabs():
                with gr.Tab("Write", id="write"):
                    beginning, examples, write = _beginning(task.default_checkpoint)
                with gr.Tab("Look into your own text", id="look"):
                    own_text, look = _own_text(task.default_checkpoint)
            maps = gr.Checkbox(False, label=MAP, info=MAP_INFO, elem_id="char-map")
            with gr.Accordion("Options of the writing", open=False, elem_id="char-options"):
                sliders = option_sliders(task, STARTING_VALUES)
                # No gr.Number: an empty one comes up as 0.
                seed = gr.Textbox("", label="seed", info=SEED_INFO, max_lines=1, elem_id="char-seed")
        with gr.Column(scale=3, min_width=300, elem_id="char-written"):
            message = gr.HTML(visible=False, elem_id="char-message", elem_classes=["flush"])
            go_on, stop, colour_by, unit = _toolbar()
            text, scale, status, alternatives = _written()
    accordion, programs = program_boxes(PROGRAMS, "char-programs")
    passage, run = gr.State(), gr.State()

    colours, options = [run, colour_by, unit], [seed, *sliders]
    shown = [message, text, scale, status, alternatives, unit, stop, passage, run]
    silent = {"api_visibility": "private", "show_progress": "hidden"}
    handlers = CharHandlers(checkpoints)
    anew = or_refusal_at_any_time(handlers.write_anew, NUM_OTHERS)
    further = or_refusal_at_any_time(handlers.write_further, NUM_OTHERS)
    look_into = or_refusal(handlers.look_into_own_text, NUM_OTHERS)
    choose = or_refusal(handlers.choose_character, NUM_OTHERS)
    recolour = or_refusal(handlers.recolour, NUM_OTHERS)
    asked = [*colours, checkpoint, beginning, maps, *options]
    gr.on([write.click, beginning.submit], anew, asked, shown, trigger_mode="multiple", **silent)
    chosen = examples.click(choose_beginning, [examples, checkpoint], beginning, **silent)
    chosen.then(anew, asked, shown, trigger_mode="multiple", **silent)
    go_on.click(further, [*colours, passage, *options], shown, trigger_mode="multiple", **silent)
    stop.click(stop_writing, run, stop, queue=False, **silent)
    look.click(look_into, [*colours, checkpoint, own_text, maps], shown, **silent)
    alternatives.choose(choose, [*colours, passage], shown, **silent)
    gr.on([colour_by.input, unit.input], recolour, [*colours, passage], shown, **silent)
    asking = [write.click, examples.click, go_on.click, look.click]
    gr.on(asking, None, js=scroll_to("char-written", 0.4), api_visibility="private")
    switched = checkpoint.input(
        choose_model, [run, checkpoint], [note, beginning, own_text, examples, *shown], **silent
    )
    programmed, written_programs = [checkpoint, beginning, maps, *options], _programming(task)
    gr.on([write.click, accordion.expand], written_programs, programmed, programs, queue=False, **silent)
    for filled_in in (chosen, switched):
        filled_in.then(written_programs, programmed, programs, queue=False, **silent)
    return _linked(task, programmed, [note, beginning, own_text, examples])


def choose_beginning(index: int, checkpoint: str) -> str:
    """Return the example that was clicked."""
    return char_model(checkpoint).beginnings[index]


def choose_model(run: Run | None, checkpoint: str) -> tuple:
    """Put another model's examples on the page, which begins afresh."""
    if run is not None:
        run.supersede()
    page = (_hint(), "", "", "", gr.Dropdown(choices=[], value=None), gr.Button(interactive=False), None, None)
    return *model_page(checkpoint), QUIET, *page


def model_page(checkpoint: str) -> tuple[str, str, str, gr.Dataset]:
    """Return what the page says of a model, a beginning, a text to look into, and the beginnings to try."""
    model = char_model(checkpoint)
    return note_html(checkpoint), model.beginnings[0], model.own_text, gr.Dataset(**_samples(checkpoint))


def stop_writing(run: Run | None) -> gr.Button:
    """Let the network stop; what it wrote stays."""
    if run is not None:
        run.stopped = True
    return gr.Button(interactive=False)


def _linked(task: Task, asked: list[Component], page: list[Component]) -> Linked:
    """Return what a link to the tab holds.

    Args:
        task: the row in tasks.py.
        asked: checkpoint, beginning, whether to map characters, seed, and the sliders.
        page: what changes with the checkpoint.
    """
    checkpoint, beginning, maps, seed, *sliders = asked

    def follow(values: dict[str, Any]) -> dict[Component, Any]:
        filled = dict(zip(page, model_page(values.get("checkpoint", task.default_checkpoint)), strict=True))
        return {one: value for one, value in filled.items() if one is not beginning or "text" not in values}

    fields = [
        Field("checkpoint", checkpoint, one_of("checkpoint", task.checkpoints)),
        Field("text", beginning, text_of("text")),
        Field("map", maps, one_of("map", {"true": True, "false": False})),
        Field("seed", seed, text_of("seed", LONGEST_SEED)),
        *option_fields(task, dict(zip(STARTING_VALUES, sliders, strict=True))),
    ]
    return Linked(fields, [component for component in page if component is not beginning], follow)


def _choice_of_model(task: Task) -> tuple[gr.Radio, gr.HTML]:
    choices = [(char_model(name).title, name) for name in task.checkpoints]
    checkpoint = gr.Radio(choices, value=task.default_checkpoint, label="Model", elem_id="char-model")
    note = gr.HTML(note_html(task.default_checkpoint), elem_id="char-note", elem_classes=["flush"])
    return checkpoint, note


def _beginning(checkpoint: str) -> tuple[gr.Textbox, gr.Dataset, gr.Button]:
    model = char_model(checkpoint)
    beginning = gr.Textbox(model.beginnings[0], label="Beginning", lines=2, max_lines=8, elem_id="char-beginning")
    examples = gr.Dataset(
        components=["textbox"],
        label="Beginnings to try",
        type="index",
        elem_id="char-examples",
        **_samples(checkpoint),
    )
    return beginning, examples, gr.Button("Write", variant="primary", elem_id="char-write")


def _samples(checkpoint: str) -> dict[str, list]:
    beginnings = char_model(checkpoint).beginnings
    labels = ["".join(glyph(one) if one in "\n\t" else one for one in beginning) for beginning in beginnings]
    return {"samples": [[beginning] for beginning in beginnings], "sample_labels": labels}


def _own_text(checkpoint: str) -> tuple[gr.Textbox, gr.Button]:
    text = char_model(checkpoint).own_text
    own_text = gr.Textbox(text, label="Your text", lines=6, max_lines=14, elem_id="char-own-text")
    return own_text, gr.Button("Look into it", variant="primary", elem_id="char-look")


def _toolbar() -> tuple[gr.Button, gr.Button, gr.Radio, gr.Dropdown]:
    with gr.Row(equal_height=True):
        colour_by = gr.Radio(COLOURS, value=SURPRISE, label="Colour by", elem_id="char-colour", scale=2, min_width=280)
        unit = gr.Dropdown(
            [],
            value=None,
            label="Unit",
            info=UNIT_INFO,
            allow_custom_value=True,
            visible=False,
            elem_id="char-unit",
            scale=3,
            min_width=280,
        )
    with gr.Row():
        go_on = gr.Button("Write on", elem_id="char-go-on", min_width=120)
        stop = gr.Button("Stop", variant="stop", interactive=False, elem_id="char-stop", min_width=120)
    return go_on, stop, colour_by, unit


def _written() -> tuple[gr.HTML, gr.HTML, gr.HTML, gr.HTML]:
    text = gr.HTML(_hint(), js_on_load=CHAR_TEXT_JS, elem_id="char-text", elem_classes=["flush"])
    scale = gr.HTML(elem_id="char-scale", elem_classes=["flush"])
    status = gr.HTML(elem_id="char-status", elem_classes=["flush"])
    alternatives = gr.HTML(js_on_load=CHAR_NEXT_JS, elem_id="char-next", elem_classes=["flush"])
    return text, scale, status, alternatives


def _hint() -> str:
    return f'<p class="hint">{HINT}</p>'


def _programming(task: Task) -> Callable:
    """Return the handler that writes programs which ask what the page asks."""

    def write_generation_programs(
        request: gr.Request, checkpoint: str, text: str | None, maps: bool, *options: Any
    ) -> list[str]:
        address, text, parameters = base_url(request), text or "", chosen_options(options)
        mapped = parameters | ({"unknown_characters": "map"} if maps else {})
        return boxed(
            python_snippet(task.name, checkpoint, text, mapped),
            curl_snippet(address, checkpoint, text, mapped),
            (NO_MAP if maps else "") + generation_client_snippet(address, checkpoint, text, parameters),
        )

    return write_generation_programs
