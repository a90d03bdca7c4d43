"""The translation tab: hypotheses, and the alignment of the one that is chosen."""

import math
from html import escape
from typing import Any

import gradio as gr

import hub
from pipelines import InputError, pipeline_class
from tasks import Task

from .alignment import END, merge_words, word_groups
from .heat_map import heat_map_html
from .served import Checkpoints
from .snippets import base_url, client_snippet, curl_snippet, python_snippet

LANGUAGES = {"en": "English", "de": "German", "fr": "French"}
EXAMPLES = (
    "Two dogs chase a yellow ball across the wet grass.",
    "An old man in a straw hat is reading a newspaper on a bench.",
    "A girl in a blue swimsuit jumps into the lake while her friends watch.",
    "Three musicians are playing guitar in front of a crowded café.",
    "A cyclist is riding down a narrow street between brick houses.",
)
OPTION_NAMES = ("num_beams", "num_return_sequences", "length_penalty", "coverage_penalty", "no_repeat_ngram_size")
STARTING_VALUES = {"num_beams": 5, "num_return_sequences": 5, "coverage_penalty": 0.0, "no_repeat_ngram_size": 0}
LOADING_SECONDS = 60


def build_tab(task: Task, checkpoints: Checkpoints) -> None:
    """Lay the tab out and wire it.

    Args:
        task: the row in tasks.py.
        checkpoints: what answers.
    """
    directions = [(_direction(name), name) for name in task.checkpoints]
    with gr.Row():
        with gr.Column(scale=3, min_width=300):
            text = gr.Textbox(label="Sentence in English", lines=2, value=EXAMPLES[0], elem_id="source", autofocus=True)
            gr.Examples([[example] for example in EXAMPLES], [text], cache_examples=False, label="Examples")
        with gr.Column(scale=1, min_width=220):
            checkpoint = gr.Radio(directions, value=task.default_checkpoint, label="Direction", elem_id="direction")
            button = gr.Button("Translate", variant="primary", elem_id="translate")
    message = gr.HTML(visible=False, elem_id="message")
    options, prefix = _options(task)
    results = gr.State([])
    with gr.Column(visible=False) as evidence:
        answer = gr.HTML(elem_id="answer")
        with gr.Row():
            with gr.Column(scale=3, min_width=300):
                hypotheses = gr.Radio([], label="Hypotheses, best first (score)", elem_id="hypotheses")
            with gr.Column(scale=5, min_width=300):
                merged = gr.Checkbox(False, label="Merge pieces into words", elem_id="merge", container=False)
                picture = gr.HTML(elem_id="picture")
    snippets = _snippets()

    def translate(text: str, checkpoint: str, merged: bool, prefix: str, request: gr.Request, *values: Any):
        parameters = _parameters(values, prefix)
        try:
            checkpoints.wait_until_loaded(LOADING_SECONDS)
            found = checkpoints.answer(checkpoint, text or "", parameters | {"return_evidence": True})
        except InputError as error:
            return _error(str(error)), *[gr.skip()] * 8
        address = base_url(request)
        return (
            gr.HTML(visible=False),
            gr.Column(visible=True),
            answer_html(found[0]),
            gr.Radio([(_label(rank, result), rank) for rank, result in enumerate(found)], value=0),
            picture_html(found[0], merged),
            found,
            python_snippet(task.name, checkpoint, text, parameters),
            curl_snippet(address, checkpoint, text, parameters),
            client_snippet(address, checkpoint, task.hub_pipeline_tag, text, parameters),
        )

    inputs = [text, checkpoint, merged, prefix, *options]
    outputs = [message, evidence, answer, hypotheses, picture, results, *snippets]
    gr.on(
        [button.click, text.submit, checkpoint.input],
        translate,
        inputs,
        outputs,
        api_name="translate",
        show_progress="minimal",
    )
    shown = [hypotheses, results, merged]
    gr.on([hypotheses.input, merged.input], show, shown, [answer, picture], api_name=False, show_progress="hidden")


def show(rank: int, results: list[dict], merged: bool) -> tuple[str, str]:
    """Show another hypothesis of the same answer; nothing is computed anew."""
    return answer_html(results[rank]), picture_html(results[rank], merged)


def answer_html(result: dict) -> str:
    """Write a translation large."""
    return f'<p class="answer">{escape(result["translation_text"])}</p>'


def picture_html(result: dict, merged: bool) -> str:
    """Draw the alignment of a hypothesis, of pieces or of words."""
    evidence = result["evidence"]
    sources, targets, weights = evidence["source_tokens"], evidence["target_tokens"], evidence["attention"]
    chances = [math.exp(value) for value in evidence["token_log_probabilities"]]
    notes = [f"chosen with probability {chance:.2f}" for chance in chances]
    if merged:
        groups = word_groups(targets)
        notes = [f"chosen with probability {math.prod(chances[index] for index in group):.2f}" for group in groups]
        sources, targets, weights = merge_words(sources, targets, weights)
    caption = "Rows: the translation. Columns: the sentence. The darker, the more attention; ⏎ is the sentence's end."
    return heat_map_html(sources, targets, weights, caption, notes)


def _options(task: Task) -> tuple[list[gr.Slider], gr.Textbox]:
    known = {option.name: option for option in pipeline_class(task).options}
    defaults = STARTING_VALUES | {"length_penalty": hub.decoding_defaults(task.default_checkpoint)["length_penalty"]}
    sliders = []
    with gr.Accordion("Options of the search", open=False):
        with gr.Row():
            for name in OPTION_NAMES:
                option = known[name]
                sliders.append(
                    gr.Slider(
                        option.minimum,
                        option.maximum,
                        value=defaults[name],
                        step=1 if option.kind == "int" else 0.05,
                        label=name,
                        info=option.description,
                        min_width=200,
                    )
                )
        prefix = gr.Textbox(label="target_prefix", value="", info=known["target_prefix"].description, max_lines=1)
    return sliders, prefix


def _snippets() -> list[gr.Code]:
    with gr.Accordion("Use via API", open=False):
        gr.Markdown("What you just asked, from a program:")
        kinds = (("Python", "python"), ("curl", "shell"), ("huggingface_hub's client", "python"))
        return [
            gr.Code(label=label, language=language, lines=1, interactive=False, wrap_lines=True)
            for label, language in kinds
        ]


def _parameters(values: tuple[Any, ...], prefix: str | None) -> dict[str, Any]:
    """Name the options; an emptied field leaves its option to the checkpoint."""
    parameters = dict(zip((*OPTION_NAMES, "target_prefix"), (*values, prefix), strict=True))
    return {name: value for name, value in parameters.items() if value not in (None, "")}


def _label(rank: int, result: dict) -> str:
    ended = "" if result["evidence"]["target_tokens"][-1] == END else ", cut off"
    return f"{rank + 1}. {result['translation_text']} ({result['score']:.2f}{ended})"


def _direction(checkpoint: str) -> str:
    source, target = checkpoint.split("-")[-2:]
    return f"{LANGUAGES[source]} → {LANGUAGES[target]}"


def _error(sentence: str) -> gr.HTML:
    return gr.HTML(f'<p class="message" role="alert">{escape(sentence)}</p>', visible=True)
