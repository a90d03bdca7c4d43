"""The translation tab: hypotheses, the alignment of the one that is chosen, and other words in its places."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.components import Component

import hub
from pipelines import pipeline_class
from pipelines.pipeline_attention_translation import MAXIMUM_CHARACTERS
from tasks import Task

from .links import Field, Linked, one_of, option_fields, text_of
from .options import named, option_sliders
from .served import Checkpoints, or_refusal
from .snippets import base_url, boxed, client_snippet, curl_snippet, program_boxes, python_snippet
from .translation_answer import FOCUS_WORD_JS, INSTEAD_JS, WORD_JS
from .translation_handlers import FROM_SOURCE, FROM_TARGET, TranslationHandlers, go_on_with, redraw, show
from .translation_languages import (
    fit_languages,
    is_of_several,
    language_choices,
    languages_of,
    lay_out_languages,
    swapped,
    title,
)

EXAMPLES = (
    "Two dogs chase a yellow ball across the wet grass.",
    "An old man in a straw hat reads a newspaper on a bench.",
    "A girl in a blue swimsuit jumps into the cold lake.",
    "Three musicians play guitar in front of a crowded café.",
    "The goalkeeper catches the ball while the fans cheer.",
)
"""At most 60 characters each: Gradio cuts longer ones."""
OTHER_EXAMPLES = ("Wo ist der nächste Bahnhof?", "Un chien court dans la neige.")
"""For a checkpoint of several languages."""
OPTION_NAMES = ("num_beams", "num_return_sequences", "length_penalty", "coverage_penalty", "no_repeat_ngram_size")
STARTING_VALUES = {"num_beams": 5, "num_return_sequences": 5, "coverage_penalty": 0.0, "no_repeat_ngram_size": 0}
LANGUAGES = ("src_lang", "tgt_lang")
WAYS = (
    ("From each translated word to your sentence", FROM_TARGET),
    ("From each word of your sentence to the translation", FROM_SOURCE),
)
VISIBLE = {"api_visibility": "private", "show_progress": "minimal"}
SILENT = VISIBLE | {"show_progress": "hidden"}
"""How events show that they take a while."""
PROGRAMS = "The same question with the same options, from a program. For the evidence too, add `return_evidence`."


@dataclass(frozen=True)
class _Question:
    """What the visitor asks with."""

    text: gr.Textbox
    checkpoint: gr.Radio
    source: gr.Dropdown
    target: gr.Dropdown
    swap: gr.Button
    button: gr.Button


@dataclass(frozen=True)
class _Evidence:
    """What the visitor sees of an answer."""

    column: gr.Column
    told: gr.HTML
    answer: gr.HTML
    alternatives: gr.HTML
    hypotheses: gr.Radio
    way: gr.Radio
    merged: gr.Checkbox
    picture: gr.HTML


def build_tab(task: Task, checkpoints: Checkpoints) -> Linked:
    """Lay the tab out and wire it.

    Args:
        task: the row in tasks.py.
        checkpoints: what answers.

    Returns:
        What a link to the tab holds.
    """
    question = _question(task)
    message = gr.HTML(visible=False, elem_id="message")
    examples = gr.Examples(
        [[example] for example in _examples(task)],
        [question.text],
        cache_examples=False,
        label="Examples",
        api_visibility="private",
    )
    sliders, prefix = _options(task)
    evidence = _evidence()
    results, asked_state, offered = gr.State([]), gr.State(), gr.State()
    accordion, programs = program_boxes(PROGRAMS, "programs")

    handlers = TranslationHandlers(checkpoints)
    asked = [question.text, question.checkpoint, question.source, question.target, prefix, *sliders]
    translate = {
        "fn": _translation(handlers),
        "inputs": [evidence.merged, evidence.way, *asked],
        "outputs": [
            *(message, evidence.column, evidence.told, evidence.answer, evidence.alternatives),
            *(evidence.hypotheses, evidence.picture, results, asked_state, offered),
        ],
    }
    write = {"fn": _writing(task), "inputs": asked, "outputs": programs, "queue": False, **SILENT}
    asking = [question.button.click, question.text.submit]
    gr.on(asking, **translate, **VISIBLE)
    gr.on([*asking, accordion.expand], **write)

    menus = [question.source, question.target, question.swap]
    chosen = [question.checkpoint, question.source, question.target]
    question.source.input(fit_languages, chosen, menus, **SILENT).then(**write)
    question.target.input(**write)
    length_penalty = sliders[OPTION_NAMES.index("length_penalty")]
    switched = question.checkpoint.input(_length_penalty, question.checkpoint, length_penalty, **SILENT).then(
        fit_languages, chosen, menus, **SILENT
    )
    swapping = [*chosen, evidence.hypotheses, results]
    swap = question.swap.click(swapped, swapping, [question.text, *menus], **SILENT)
    detecting = examples.load_input_event.then(fit_languages, question.checkpoint, menus, **SILENT)
    for filled_in in (switched.then, swap.success, detecting.then):
        filled_in(**translate, **VISIBLE).then(**write)

    _wire_evidence(evidence, handlers, message, results, asked_state, offered)
    return _linked(task, question, dict(zip((*OPTION_NAMES, "target_prefix"), (*sliders, prefix), strict=True)))


def _wire_evidence(
    evidence: _Evidence,
    handlers: TranslationHandlers,
    message: gr.HTML,
    results: gr.State,
    asked: gr.State,
    offered: gr.State,
) -> None:
    """Let the visitor look at an answer otherwise, and choose other words in it."""
    drawing = [evidence.hypotheses, results, evidence.merged, evidence.way]
    evidence.hypotheses.input(show, drawing, [evidence.answer, evidence.picture, evidence.alternatives], **SILENT)
    gr.on([evidence.merged.input, evidence.way.input], redraw, drawing, evidence.picture, **SILENT)
    evidence.answer.word(
        or_refusal(handlers.look_at_word, num_others=2),
        [evidence.hypotheses, results, asked],
        [message, evidence.alternatives, offered],
        trigger_mode="always_last",
        **SILENT,
    )
    evidence.alternatives.choose(
        or_refusal(go_on_with, num_others=5),
        [results, asked, offered, evidence.merged, evidence.way],
        [message, evidence.answer, evidence.alternatives, evidence.hypotheses, evidence.picture, results],
        **SILENT,
    ).then(None, js=FOCUS_WORD_JS, api_visibility="private")


def _question(task: Task) -> _Question:
    # One line, so that Enter submits; it grows with the text.
    text = gr.Textbox(label="Your sentence", lines=1, max_lines=5, value=EXAMPLES[0], elem_id="source")
    checkpoint = gr.Radio(
        [(title(name), name) for name in task.checkpoints],
        value=task.default_checkpoint,
        label="Model",
        show_label=False,
        container=False,
        elem_id="direction",
    )
    with gr.Row(elem_id="languages"):
        source, target, swap = lay_out_languages(task)
        button = gr.Button("Translate", variant="primary", elem_id="translate", scale=3, min_width=200)
    return _Question(text, checkpoint, source, target, swap, button)


def _examples(task: Task) -> tuple[str, ...]:
    if is_of_several(task.default_checkpoint):
        return (*EXAMPLES[:3], *OTHER_EXAMPLES)
    return EXAMPLES


def _options(task: Task) -> tuple[list[gr.Slider], gr.Textbox]:
    (prefix_option,) = (option for option in pipeline_class(task).options if option.name == "target_prefix")
    values = STARTING_VALUES | {"length_penalty": _length_penalty(task.default_checkpoint)}
    with gr.Accordion("Options of the search", open=False):
        sliders = option_sliders(task, {name: values[name] for name in OPTION_NAMES})
        prefix = gr.Textbox(
            label="target_prefix",
            value="",
            info=prefix_option.description,
            max_lines=1,
            max_length=int(prefix_option.maximum),
        )
    return sliders, prefix


def _evidence() -> _Evidence:
    with gr.Column(visible=False) as column:
        told = gr.HTML(elem_id="told")
        answer = gr.HTML(js_on_load=WORD_JS, elem_id="answer")
        alternatives = gr.HTML(js_on_load=INSTEAD_JS, elem_id="instead")
        with gr.Row():
            with gr.Column(scale=3, min_width=280):
                hypotheses = gr.Radio(
                    [],
                    label="Hypotheses, best first",
                    info="In brackets the score; the nearer to 0, the better.",
                    elem_id="hypotheses",
                    elem_classes=["hypotheses"],
                )
            with gr.Column(scale=7, min_width=300):
                way = gr.Radio(list(WAYS), value=FROM_TARGET, label="Alignment", elem_id="way")
                merged = gr.Checkbox(False, label="Merge pieces into words", elem_id="merge", container=False)
                picture = gr.HTML(elem_id="picture")
    return _Evidence(column, told, answer, alternatives, hypotheses, way, merged, picture)


def _linked(task: Task, question: _Question, options: dict[str, Component]) -> Linked:
    """Return what a link to the tab holds; one that names no length penalty gets what the checkpoint was tuned to."""

    def follow(values: dict[str, Any]) -> dict[Component, Any]:
        checkpoint = values.get("checkpoint", task.default_checkpoint)
        menus = fit_languages(checkpoint, *(values.get(name) for name in LANGUAGES))
        filled = dict(zip((question.source, question.target, question.swap), menus, strict=True))
        if "length_penalty" not in values:
            filled[options["length_penalty"]] = _length_penalty(checkpoint)
        return filled

    languages = languages_of(*task.checkpoints)
    fields = [
        Field("checkpoint", question.checkpoint, one_of("checkpoint", task.checkpoints)),
        Field("text", question.text, text_of("text", MAXIMUM_CHARACTERS)),
        Field("src_lang", question.source, one_of("src_lang", languages)),
        Field("tgt_lang", question.target, one_of("tgt_lang", languages)),
        *option_fields(task, options),
    ]
    return Linked(fields, [question.swap], follow)


def _translation(handlers: TranslationHandlers) -> Callable:
    """Return the handler that translates: a visible answer, or a sentence that says why there is none."""

    def translate(merged: bool, way: str, text: str, checkpoint: str, *values: Any) -> tuple:
        return handlers.translate(merged, way, checkpoint, text or "", _parameters(checkpoint, *values))

    return or_refusal(translate, num_others=9)


def _writing(task: Task) -> Callable:
    """Return the handler that writes programs which ask what the page asks."""

    def write(request: gr.Request, text: str, checkpoint: str, *values: Any) -> list[str]:
        address, parameters, text = base_url(request), _parameters(checkpoint, *values), text or ""
        return boxed(
            python_snippet(task.name, checkpoint, text, parameters),
            curl_snippet(address, checkpoint, text, parameters),
            client_snippet(address, checkpoint, task.hub_pipeline_tag, text, parameters),
        )

    return write


def _parameters(
    checkpoint: str, source: str | None, target: str | None, prefix: str | None, *values: Any
) -> dict[str, Any]:
    """Name what the page asks with; languages that the checkpoint does not leave open are not named."""
    source_menu, target_menu, _ = language_choices(checkpoint, source, target)
    languages = (source_menu["value"], target_menu["value"])
    return named((*OPTION_NAMES, "target_prefix", *LANGUAGES), (*values, prefix, *languages))


def _length_penalty(checkpoint: str) -> float:
    """Return what the checkpoint was tuned to; checkpoints differ in it."""
    return hub.decoding_defaults(checkpoint)["length_penalty"]
