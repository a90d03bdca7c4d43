"""The translation tab: hypotheses, and the alignment of the one that is chosen."""

import math
from collections.abc import Callable
from html import escape
from typing import Any

import gradio as gr
from gradio.components import Component

import hub
from pipelines import pipeline_class
from pipelines.pipeline_attention_translation import MAXIMUM_CHARACTERS
from tasks import Task

from .alignment import END, merge_words, word_groups
from .heat_map import heat_map_html
from .links import Field, Linked, one_of, option_fields, text_of
from .options import named, option_sliders
from .served import Checkpoints, ask, or_refusal
from .snippets import base_url, boxed, client_snippet, curl_snippet, program_boxes, python_snippet

LANGUAGES = {"en": "English", "de": "German", "fr": "French"}
EXAMPLES = (
    "Two dogs chase a yellow ball across the wet grass.",
    "An old man in a straw hat reads a newspaper on a bench.",
    "A girl in a blue swimsuit jumps into the cold lake.",
    "Three musicians play guitar in front of a crowded café.",
    "The goalkeeper catches the ball while the fans cheer.",
)
"""At most 60 characters each: Gradio cuts longer ones."""
OPTION_NAMES = ("num_beams", "num_return_sequences", "length_penalty", "coverage_penalty", "no_repeat_ngram_size")
STARTING_VALUES = {"num_beams": 5, "num_return_sequences": 5, "coverage_penalty": 0.0, "no_repeat_ngram_size": 0}
CAPTION = (
    "Each row is a {unit} of the translation, each column one of your sentence: the stronger the blue, the more "
    "attention. The bar beside a row is the probability the model gave it; ⏎ ends the sentence."
)
NO_ALIGNMENT = "<p>This network has no attention: it reads the whole sentence as one vector. There is no alignment.</p>"

PROGRAMS = "The same question with the same options, from a program. For the evidence too, add `return_evidence`."


def build_tab(task: Task, checkpoints: Checkpoints) -> Linked:
    """Lay the tab out and wire it.

    Args:
        task: the row in tasks.py.
        checkpoints: what answers.

    Returns:
        What a link to the tab holds.
    """
    text, checkpoint, button = _question(task)
    message = gr.HTML(visible=False, elem_id="message")
    examples = gr.Examples(
        [[example] for example in EXAMPLES], [text], cache_examples=False, label="Examples", api_visibility="private"
    )
    sliders, prefix = _options(task)
    evidence, answer, hypotheses, merged, picture = _evidence()
    results = gr.State([])
    accordion, programs = program_boxes(PROGRAMS, "programs")

    asked = [text, checkpoint, prefix, *sliders]
    answered = [message, evidence, answer, hypotheses, picture, results]
    asking = [button.click, text.submit]
    translate, write = _translation(checkpoints), _writing(task)
    visible = {"api_visibility": "private", "show_progress": "minimal"}
    silent = visible | {"show_progress": "hidden"}
    gr.on(asking, translate, [merged, *asked], answered, **visible)
    gr.on([*asking, accordion.expand], write, asked, programs, queue=False, **silent)
    gr.on([hypotheses.input, merged.input], show, [hypotheses, results, merged], [answer, picture], **silent)
    length_penalty = sliders[OPTION_NAMES.index("length_penalty")]
    switched = checkpoint.input(_length_penalty, checkpoint, length_penalty, **silent)
    for filled_in in (switched, examples.load_input_event):
        filled_in.then(translate, [merged, *asked], answered, **visible)
        filled_in.then(write, asked, programs, queue=False, **silent)
    return _linked(task, text, checkpoint, dict(zip((*OPTION_NAMES, "target_prefix"), (*sliders, prefix), strict=True)))


def show(rank: int, results: list[dict], merged: bool) -> tuple[str, str]:
    """Show another hypothesis of the same answer; nothing is computed anew."""
    if rank is None or rank >= len(results):
        raise gr.Error("The server no longer has this answer. Press Translate again.")
    return answer_html(results[rank]), picture_html(results[rank], merged)


def answer_html(result: dict) -> str:
    """Write a translation large."""
    return f'<p class="answer">{escape(result["translation_text"])}</p>'


def picture_html(result: dict, merged: bool) -> str:
    """Draw the alignment of a hypothesis, of pieces or of words."""
    evidence = result["evidence"]
    sources, targets, weights = evidence["source_tokens"], evidence["target_tokens"], evidence["attention"]
    log_probabilities = evidence["token_log_probabilities"]
    if weights is None:
        return NO_ALIGNMENT
    if merged:
        log_probabilities = [sum(log_probabilities[index] for index in group) for group in word_groups(targets)]
        sources, targets, weights = merge_words(sources, targets, weights)
    probabilities = [math.exp(value) for value in log_probabilities]
    caption = CAPTION.format(unit="word" if merged else "piece")
    return heat_map_html(sources, targets, weights, caption, probabilities)


def hypothesis_labels(results: list[dict]) -> list[str]:
    """Name hypotheses for a list: the text, the score, and what two of the same text differ in."""
    labels, seen = [], set()
    for rank, result in enumerate(results):
        text = result["translation_text"]
        remarks = [f"{result['score']:.2f}".replace("-", "−")]
        if text in seen:
            remarks.append("other pieces")
        if result["evidence"]["target_tokens"][-1] != END:
            remarks.append("cut off")
        seen.add(text)
        labels.append(f"{rank + 1}. {text} ({', '.join(remarks)})")
    return labels


def _question(task: Task) -> tuple[gr.Textbox, gr.Radio, gr.Button]:
    directions = [(_direction(name), name) for name in task.checkpoints]
    # One line, so that Enter submits; it grows with the text.
    text = gr.Textbox(label="Sentence in English", lines=1, max_lines=5, value=EXAMPLES[0], elem_id="source")
    with gr.Row(equal_height=True):
        checkpoint = gr.Radio(
            directions,
            value=task.default_checkpoint,
            label="Direction",
            show_label=False,
            container=False,
            elem_id="direction",
            scale=3,
            min_width=300,
        )
        button = gr.Button("Translate", variant="primary", elem_id="translate", scale=1, min_width=200)
    return text, checkpoint, button


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


def _evidence() -> tuple[gr.Column, gr.HTML, gr.Radio, gr.Checkbox, gr.HTML]:
    with gr.Column(visible=False) as evidence:
        answer = gr.HTML(elem_id="answer")
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
                merged = gr.Checkbox(False, label="Merge pieces into words", elem_id="merge", container=False)
                picture = gr.HTML(elem_id="picture")
    return evidence, answer, hypotheses, merged, picture


def _linked(task: Task, text: gr.Textbox, checkpoint: gr.Radio, options: dict[str, Component]) -> Linked:
    """Return what a link to the tab holds; one that names no length penalty gets what the checkpoint was tuned to."""

    def follow(values: dict[str, Any]) -> dict[Component, Any]:
        return {options["length_penalty"]: _length_penalty(values.get("checkpoint", task.default_checkpoint))}

    fields = [
        Field("checkpoint", checkpoint, one_of("checkpoint", task.checkpoints)),
        Field("text", text, text_of("text", MAXIMUM_CHARACTERS)),
        *option_fields(task, options),
    ]
    return Linked(fields, follow=follow)


def _translation(checkpoints: Checkpoints) -> Callable:
    """Return the handler that translates: a visible answer, or a sentence that says why there is none."""

    def translate(merged: bool, text: str, checkpoint: str, prefix: str, *values: Any) -> tuple:
        found = ask(checkpoints, checkpoint, text or "", _parameters(values, prefix))
        choices = [(label, rank) for rank, label in enumerate(hypothesis_labels(found))]
        return (
            gr.HTML(visible=False),
            gr.Column(visible=True),
            answer_html(found[0]),
            gr.Radio(choices, value=0),
            picture_html(found[0], merged),
            found,
        )

    return or_refusal(translate, num_others=5)


def _writing(task: Task) -> Callable:
    """Return the handler that writes programs which ask what the page asks."""

    def write(request: gr.Request, text: str, checkpoint: str, prefix: str, *values: Any) -> list[str]:
        address, parameters, text = base_url(request), _parameters(values, prefix), text or ""
        return boxed(
            python_snippet(task.name, checkpoint, text, parameters),
            curl_snippet(address, checkpoint, text, parameters),
            client_snippet(address, checkpoint, task.hub_pipeline_tag, text, parameters),
        )

    return write


def _parameters(values: tuple[Any, ...], prefix: str | None) -> dict[str, Any]:
    return named((*OPTION_NAMES, "target_prefix"), (*values, prefix))


def _length_penalty(checkpoint: str) -> float:
    """Return what the checkpoint was tuned to; checkpoints differ in it."""
    return hub.decoding_defaults(checkpoint)["length_penalty"]


def _direction(checkpoint: str) -> str:
    source, target = checkpoint.split("-")[-2:]
    return f"{LANGUAGES[source]} → {LANGUAGES[target]}"
