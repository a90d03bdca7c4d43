"""The listening tab: a recording, transcripts, and when the network heard which letter of the one that is chosen."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import gradio as gr

import hub
from hub import CheckpointError
from pipelines.audio_input import MAXIMUM_BYTES, read_audio
from pipelines.ctc_beam_search import DecodingOptions
from tasks import Task

from .asking import read_upload, scroll_to
from .examples import attributions_html, read_samples
from .links import Field, Linked, option_fields, sample_field, text_of
from .options import named, option_sliders
from .posteriors import Posteriors, posteriors_of
from .recording import PLAYER_JS, SAMPLING_RATE, DrawnRecording, draw_recording, player_html
from .served import Checkpoints, ask, or_refusal
from .snippets import base_url, file_programs, program_boxes, recording_client_snippet
from .transcript import NOTHING, TRANSCRIPT_JS, signed, transcript_html

OPTION_NAMES = ("num_beams", "num_return_sequences", "language_model_weight", "hot_word_weight")
NUM_TRANSCRIPTS = 5
"""To choose from, unless the visitor wants another number."""
FILE_NAME = "recording.flac"
LONGEST_HOT_WORDS = 500
"""Characters of them in a link."""
NO_RECORDING = "Expected a recording; got none. Choose an example, or upload or record one."
HINT = "Choose an example; or upload or record something, and press Transcribe. Then choose words to hear them."
HOT_WORDS_INFO = "To listen for, with commas between them."
CREDITS = "Whose the examples are:"
NOTE = (
    "Trained on AN4 and nothing else: 66 Americans in 1991 who spell names and streets and say numbers, dates and a "
    "few control words (enter, rubout, erase, stop ...). Anything else you say is written in those words and letters."
)
PROGRAMS = (
    "The same question from a program, with the same options; but curl sends the recording's bytes alone, and gets the "
    "checkpoint's own options."
)


@dataclass(frozen=True)
class Answer:
    """What was found for a recording, as far as it is drawn."""

    recording: DrawnRecording
    posteriors: Posteriors
    transcripts: list[dict]
    """Results, best first, each with its `alignment` in place of all its evidence."""


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
            recording, button, clips, hot_words = _question()
            with gr.Accordion("Options of the search", open=False):
                sliders = option_sliders(task, starting_values(checkpoint))
        with gr.Column(scale=3, min_width=300, elem_id="ctc-answer"):
            message = gr.HTML(visible=False, elem_id="ctc-message", elem_classes=["flush"])
            player, drawing, transcripts = _evidence()
            gr.HTML(f'<p class="fine-print">{NOTE}</p>', elem_classes=["flush"])
    accordion, programs = program_boxes(PROGRAMS, "ctc-programs")
    answer = gr.State()

    asked, answered = [recording, hot_words, *sliders], [message, player, drawing, transcripts, answer]
    transcribe, write = _transcribing(checkpoint, checkpoints), _writing(task, checkpoint)
    visible = {"api_visibility": "private", "show_progress": "minimal"}
    silent = visible | {"show_progress": "hidden"}
    paths = _kept_clips(recording)
    pressed = gr.on([button.click, hot_words.submit], transcribe, asked, answered, **visible)
    chosen = clips.click(_choosing(paths), clips, recording, **silent)
    filled_in = chosen.then(transcribe, asked, answered, **visible)
    for done in (pressed, filled_in):
        done.then(None, js=scroll_to("ctc-answer"), api_visibility="private")
    gr.on([button.click, accordion.expand], write, [hot_words, *sliders], programs, queue=False, **silent)
    transcripts.input(show_transcript, [transcripts, answer], drawing, **silent)
    options = option_fields(task, dict(zip(OPTION_NAMES, sliders, strict=True)))
    return Linked(
        [
            sample_field(recording, paths),
            Field("hot_words", hot_words, text_of("hot_words", LONGEST_HOT_WORDS)),
            *options,
        ]
    )


def starting_values(checkpoint: str) -> dict[str, float]:
    """Return what the sliders stand at: the checkpoint's own options, and more than one transcript."""
    try:
        own = hub.decoding_defaults(checkpoint)
    except CheckpointError:  # it is not there; whoever asks it will read so
        own = {}
    values = asdict(DecodingOptions()) | own | {"num_return_sequences": NUM_TRANSCRIPTS}
    return {name: values[name] for name in OPTION_NAMES}


def chosen_options(hot_words: str | None, values: tuple[Any, ...]) -> dict[str, Any]:
    """Name what the visitor wants; no hot word is none."""
    words = [word.strip() for word in (hot_words or "").split(",") if word.strip()]
    return named(OPTION_NAMES, values) | ({"hot_words": words} if words else {})


def show_transcript(rank: int | None, answer: Answer | None) -> str:
    """Show another transcript of the same answer; nothing is computed anew."""
    if answer is None or rank is None or rank >= len(answer.transcripts):
        raise gr.Error("The server no longer has this answer. Press Transcribe again.")
    return transcript_html(answer.recording, answer.posteriors, answer.transcripts[rank])


def transcript_labels(transcripts: list[dict]) -> list[str]:
    """Name transcripts for a list: the text and the score."""
    return [
        f"{rank}. {transcript['text'] or NOTHING} ({signed(transcript['score'])})"
        for rank, transcript in enumerate(transcripts, start=1)
    ]


def _question() -> tuple[gr.Audio, gr.Button, gr.Dataset, gr.Textbox]:
    samples = read_samples(".flac")
    # With this type and no format the file itself goes to the pipeline, which knows what is wrong with it.
    recording = gr.Audio(
        label="Recording",
        type="filepath",
        sources=["upload", "microphone"],
        buttons=[],
        elem_id="source-recording",
    )
    button = gr.Button("Transcribe", variant="primary", elem_id="transcribe")
    clips = gr.Dataset(
        components=["textbox"],
        samples=[[sample.title] for sample in samples],
        label="Examples",
        type="index",
        elem_id="ctc-examples",
    )
    gr.HTML(attributions_html(samples, CREDITS), elem_classes=["flush"])
    hot_words = gr.Textbox("", label="hot_words", info=HOT_WORDS_INFO, max_lines=1, elem_id="ctc-hot-words")
    return recording, button, clips, hot_words


def _evidence() -> tuple[gr.HTML, gr.HTML, gr.Radio]:
    player = gr.HTML(js_on_load=PLAYER_JS, elem_id="ctc-player", elem_classes=["flush"])
    drawing = gr.HTML(
        f'<p class="hint">{HINT}</p>', js_on_load=TRANSCRIPT_JS, elem_id="ctc-drawing", elem_classes=["flush"]
    )
    transcripts = gr.Radio(
        [],
        label="Transcripts, best first",
        info="In brackets the score; the larger, the better.",
        visible=False,
        elem_id="transcripts",
        elem_classes=["hypotheses"],
    )
    return player, drawing, transcripts


def _kept_clips(recording: gr.Audio) -> list[str]:
    """Copy the examples to where Gradio may show them, and keep them when it clears up."""
    paths = [recording.move_resource_to_block_cache(sample.path) for sample in read_samples(".flac")]
    recording.keep_in_cache.update(paths)
    return paths


def _choosing(paths: list[str]) -> Callable:
    """Return the handler that fetches the example that was clicked."""

    def choose_clip(index: int) -> str:
        return paths[index]

    return choose_clip


def _transcribing(checkpoint: str, checkpoints: Checkpoints) -> Callable:
    """Return the handler that transcribes: a visible answer, or a sentence that says why there is none."""

    def transcribe(path: str | None, hot_words: str | None, *values: Any) -> tuple:
        content = read_upload(path, MAXIMUM_BYTES, NO_RECORDING)
        best = ask(checkpoints, checkpoint, content, chosen_options(hot_words, values))
        results = [best, *best.get("alternatives", [])]
        waveform = read_audio(content, SAMPLING_RATE).waveform
        transcripts = [_drawn_part(result) for result in results]
        answer = Answer(draw_recording(waveform), posteriors_of(best["evidence"]), transcripts)
        choices = [(label, rank) for rank, label in enumerate(transcript_labels(transcripts))]
        return (
            gr.HTML(visible=False),
            player_html(waveform),
            show_transcript(0, answer),
            gr.Radio(choices, value=0, visible=True),
            answer,
        )

    return or_refusal(transcribe, num_others=4)


def _drawn_part(result: dict) -> dict:
    """Return what is drawn of a result: its path in place of all its evidence."""
    parts = {name: result[name] for name in ("text", "score", "score_parts", "chunks", "notices") if name in result}
    return parts | {"alignment": result["evidence"]["alignment"]}


def _writing(task: Task, checkpoint: str) -> Callable:
    """Return the handler that writes programs which ask what the page asks."""

    def write_recording_programs(request: gr.Request, hot_words: str | None, *values: Any) -> list[str]:
        address, options = base_url(request), chosen_options(hot_words, values)
        client = recording_client_snippet(address, checkpoint, FILE_NAME, options)
        return file_programs(address, task.name, checkpoint, FILE_NAME, options, client)

    return write_recording_programs
