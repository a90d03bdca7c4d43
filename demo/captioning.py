"""The captioning tab: a picture, captions, and where the network looked for each word of the one that is chosen."""

import html
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr

import hub
from pipelines.image_input import MAXIMUM_BYTES, read_image
from tasks import Task

from .alignment import END
from .asking import read_upload, scroll_to
from .examples import attributions_html, read_samples
from .image_attention import LONGEST_SIDE, DrawnPicture, draw_picture, image_attention_html
from .links import Linked, option_fields, sample_field
from .options import named, option_sliders
from .served import Checkpoints, ask, or_refusal
from .snippets import base_url, file_programs, picture_client_snippet, program_boxes

OPTION_NAMES = ("num_beams", "num_return_sequences", "length_penalty", "max_new_tokens")
STARTING_VALUES = {"num_beams": 5, "num_return_sequences": 5}
FILE_NAME = "picture.jpg"
NO_PICTURE = "Expected a picture; got none. Choose an example, or upload, paste or take one."
HINT = "Choose an example; or upload, paste or take a picture, and press Caption. Then choose words of the caption."
NOTE = (
    "Trained on Flickr8k and nothing else: 6,000 photographs, most of people and dogs outdoors. Whatever else a "
    "picture shows is described as if it were one of those, just as fluently: see the cats and the rocket."
)
CREDITS = "Examples, reduced in size:"
PROGRAMS = (
    "The same question from a program; in Python with the same options. The other two send the picture's bytes alone, "
    "and get the checkpoint's own options."
)


@dataclass(frozen=True)
class Answer:
    """What was found for a picture."""

    picture: DrawnPicture
    results: list[dict]


def build_tab(task: Task, checkpoints: Checkpoints) -> Linked:
    """Lay the tab out and wire it.

    Args:
        task: the row in tasks.py.
        checkpoints: what answers.

    Returns:
        What a link to the tab holds.
    """
    checkpoint = task.default_checkpoint
    with gr.Row():
        with gr.Column(scale=2, min_width=300):
            picture, button, samples = _question()
        with gr.Column(scale=3, min_width=300, elem_id="caption-answer"):
            message = gr.HTML(visible=False, elem_id="caption-message", elem_classes=["flush"])
            drawing, captions = _evidence()
            gr.HTML(f'<p class="fine-print">{NOTE}</p>', elem_classes=["flush"])
    with gr.Accordion("Options of the search", open=False):
        defaults = hub.decoding_defaults(checkpoint) | STARTING_VALUES
        sliders = option_sliders(task, {name: defaults[name] for name in OPTION_NAMES})
    accordion, programs = program_boxes(PROGRAMS, "caption-programs")
    answer = gr.State()

    asked, answered = [picture, *sliders], [message, drawing, captions, answer]
    caption, write = _captioning(checkpoint, checkpoints), _writing(task, checkpoint)
    visible = {"api_visibility": "private", "show_progress": "minimal"}
    silent = visible | {"show_progress": "hidden"}
    paths = [item["image"]["path"] for item in samples.value]  # Gradio's copies, which it may show
    pressed = button.click(caption, asked, answered, **visible)
    chosen = samples.select(_choosing(paths), None, picture, **silent)
    filled_in = chosen.then(caption, asked, answered, **visible)
    for done in (pressed, filled_in):
        done.then(None, js=scroll_to("caption-answer"), api_visibility="private")
    gr.on([button.click, accordion.expand], write, sliders, programs, queue=False, **silent)
    captions.input(show, [captions, answer], drawing, **silent)
    options = option_fields(task, dict(zip(OPTION_NAMES, sliders, strict=True)))
    return Linked([sample_field(picture, paths), *options])


def show(rank: int | None, answer: Answer | None) -> str:
    """Show another caption of the same answer; nothing is computed anew."""
    if answer is None or rank is None or rank >= len(answer.results):
        raise gr.Error("The server no longer has this answer. Press Caption again.")
    return drawing_html(answer.results[rank], answer.picture)


def drawing_html(result: dict, picture: DrawnPicture) -> str:
    """Draw a caption, and what each of its words looked at."""
    evidence = result["evidence"]
    probabilities = [math.exp(value) for value in evidence["token_log_probabilities"]]
    notices = "".join(f'<p class="fine-print">{html.escape(notice)}</p>' for notice in result.get("notices", ()))
    return notices + image_attention_html(picture, evidence["tokens"], evidence["attention"], probabilities)


def caption_labels(results: list[dict]) -> list[str]:
    """Name captions for a list: the text, the score, and whether the longest caption allowed cut it off."""
    labels = []
    for rank, result in enumerate(results, start=1):
        score = f"{result['score']:.2f}".replace("-", "−")
        remark = "" if result["evidence"]["tokens"][-1] == END else ", cut off"
        labels.append(f"{rank}. {result['generated_text']} ({score}{remark})")
    return labels


def _question() -> tuple[gr.Image, gr.Button, gr.Gallery]:
    samples = read_samples(".jpg")
    picture = gr.Image(
        label="Picture",
        type="filepath",
        image_mode=None,
        sources=["upload", "clipboard", "webcam"],
        height=280,
        elem_id="source-picture",
        alt_text="The picture to caption",
    )
    # The file itself goes to the pipeline, which knows what is wrong with it; Gradio would only fail to open it.
    picture.preprocess = lambda payload: None if payload is None else payload.path
    button = gr.Button("Caption", variant="primary", elem_id="caption")
    gallery = gr.Gallery(
        [(str(sample.path), sample.title) for sample in samples],
        label="Examples",
        show_label=False,
        columns=3,
        height="auto",
        object_fit="cover",
        allow_preview=False,
        interactive=False,
        buttons=[],
        elem_id="samples",
    )
    gr.HTML(attributions_html(samples, CREDITS), elem_classes=["flush"])
    return picture, button, gallery


def _evidence() -> tuple[gr.HTML, gr.Radio]:
    drawing = gr.HTML(f'<p class="hint">{HINT}</p>', elem_id="gaze", elem_classes=["flush"])
    captions = gr.Radio(
        [],
        label="Captions, best first",
        info="In brackets the score; the nearer to 0, the better.",
        visible=False,
        elem_id="captions",
        elem_classes=["hypotheses"],
    )
    return drawing, captions


def _choosing(paths: list[str]) -> Callable:
    """Return the handler that fetches the example that was clicked."""

    def choose_sample(selected: gr.SelectData) -> str:
        return paths[selected.index]

    return choose_sample


def _captioning(checkpoint: str, checkpoints: Checkpoints) -> Callable:
    """Return the handler that captions: a visible answer, or a sentence that says why there is none."""

    def caption(path: str | None, *values: Any) -> tuple:
        content = read_upload(path, MAXIMUM_BYTES, NO_PICTURE)
        results = ask(checkpoints, checkpoint, content, named(OPTION_NAMES, values))
        picture = draw_picture(read_image(content, target_side=LONGEST_SIDE).image)
        choices = [(label, rank) for rank, label in enumerate(caption_labels(results))]
        return (
            gr.HTML(visible=False),
            drawing_html(results[0], picture),
            gr.Radio(choices, value=0, visible=True),
            Answer(picture, results),
        )

    return or_refusal(caption, num_others=3)


def _writing(task: Task, checkpoint: str) -> Callable:
    """Return the handler that writes programs which ask what the page asks."""

    def write_picture_programs(request: gr.Request, *values: Any) -> list[str]:
        address, options = base_url(request), named(OPTION_NAMES, values)
        client = picture_client_snippet(address, checkpoint, FILE_NAME)
        return file_programs(address, task.name, checkpoint, FILE_NAME, options, client)

    return write_picture_programs
