"""The listening tab, without a browser: a tiny recogniser behind it."""

import ast
import html
import json
import logging
import re
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest

import hub
from demo.ctc_transcription import (
    CREDITS,
    NO_RECORDING,
    NUM_TRANSCRIPTS,
    OPTION_NAMES,
    Answer,
    build_tab,
    chosen_options,
    show_transcript,
    starting_values,
    transcript_labels,
)
from demo.examples import SAMPLES, attributions_html, read_samples
from demo.posteriors import Posteriors, posteriors_of
from demo.recording import DrawnRecording, draw_recording, player_html
from demo.served import CANNOT_ANSWER
from demo.snippets import recording_client_snippet
from demo.transcript import transcript_html
from pipelines import pipeline, pipeline_class
from pipelines.audio_input import MAXIMUM_BYTES, read_audio
from pipelines.ctc_beam_search import DecodingOptions
from serving.checkpoints import ServedCheckpoints
from serving.served_checkpoint import ServedCheckpoint
from tasks import TASKS
from training.export import save_checkpoint

from .sounds import encoded
from .tiny import TINY

TASK = TASKS["ctc-transcription"]
TRANSCRIPT = {
    "text": "<A>",
    "score": -0.5,
    "score_parts": {"acoustic": -0.5},
    "chunks": [{"text": "<A>", "timestamp": [0.0, 0.04], "confidence": 0.9}],
    "alignment": [1],
}
DRAWN = DrawnRecording([(-1.0, 1.0)], 0.04, 0.04), Posteriors(("", "A"), 0.04, np.array([[0.1, 0.9]]))


@pytest.fixture(scope="module")
def tiny_recogniser(tmp_path_factory):
    """Serve a real but tiny model as if it were shipped; return its pipeline and the page that asks it."""
    shipped = tmp_path_factory.mktemp("checkpoints")
    folder = shipped / TASK.default_checkpoint
    model, processors = TINY[TASK.name].build(folder)
    save_checkpoint(folder, TASK, model, list(processors.values()), {})
    served = ServedCheckpoints([ServedCheckpoint(folder, TASK)])
    served.start()
    assert served.wait_until_loaded(60)
    with pytest.MonkeyPatch.context() as patch, gr.Blocks() as demo:
        patch.setattr(hub, "CHECKPOINTS", shipped)
        build_tab(TASK, served)
    return pipeline(TASK.name, model=str(folder), device="cpu"), demo


@pytest.fixture
def recording_file(tmp_path):
    """A second of noise in two channels, of which a notice tells."""
    path = tmp_path / "noise.wav"
    path.write_bytes(encoded(np.random.default_rng(0).uniform(-0.3, 0.3, (16000, 2))))
    return path


def handler(demo, name):
    """Return the function behind an event."""
    return next(event.fn for event in demo.fns.values() if event.fn is not None and event.fn.__name__ == name)


def block(demo, elem_id):
    """Return the only block of that name."""
    (found,) = [block for block in demo.blocks.values() if getattr(block, "elem_id", None) == elem_id]
    return found


def ask(demo, path, hot_words="", **options):
    """Ask as the page does."""
    return handler(demo, "transcribe")(path, hot_words, *[options.get(name) for name in OPTION_NAMES])


def test_the_page_draws_the_evidence_of_its_answer(tiny_recogniser, recording_file):
    pipe, demo = tiny_recogniser
    expected = pipe(recording_file.read_bytes(), num_beams=4, num_return_sequences=2, return_evidence=True)
    message, player, drawing, transcripts, answer = ask(demo, str(recording_file), num_beams=4, num_return_sequences=2)
    assert (message.visible, transcripts.visible, transcripts.value) == (False, True, 0)
    assert transcripts.choices == [(label, rank) for rank, label in enumerate(transcript_labels(expected))]

    waveform = read_audio(recording_file.read_bytes()).waveform
    assert player == player_html(waveform) and answer.recording == draw_recording(waveform)
    drawn = [answer.recording, posteriors_of(expected[0]["evidence"])]
    for rank, result in enumerate(expected):
        transcript = result | {"alignment": result["evidence"]["alignment"]}
        assert show_transcript(rank, answer) == transcript_html(*drawn, transcript)
    assert drawing == show_transcript(0, answer)


def test_what_was_not_used_of_a_file_is_said(tiny_recogniser, recording_file):
    _, _, drawing, _, _ = ask(tiny_recogniser[1], str(recording_file))
    assert "The mean of 2 channels was used." in drawing


def test_silence_has_an_answer(tiny_recogniser, tmp_path):
    (tmp_path / "silence.wav").write_bytes(encoded(np.zeros(8000)))
    message, _, drawing, transcripts, answer = ask(tiny_recogniser[1], str(tmp_path / "silence.wav"))
    assert not message.visible and transcripts.visible and "<svg" in drawing
    assert answer.recording.seconds == 0.5


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, NO_RECORDING),
        (b"", "it has 0 bytes"),
        (b"no recording", "Expected a recording"),
        (b"\0" * (MAXIMUM_BYTES + 1), "Expected a recording of at most"),
        (b"fLaC", "Expected a recording"),
    ],
    ids=["none", "empty", "text", "large", "cut off"],
)
def test_a_mistake_is_a_sentence_and_everything_else_stays(tiny_recogniser, tmp_path, content, sentence):
    path = None
    if content is not None:
        path = tmp_path / "file.wav"
        path.write_bytes(content)
    message, *others = ask(tiny_recogniser[1], path and str(path))
    assert message.visible and 'role="alert"' in message.value and sentence in html.unescape(message.value)
    assert others == [gr.skip()] * 4


def test_contradicting_options_are_a_sentence(tiny_recogniser, recording_file):
    message, *_ = ask(tiny_recogniser[1], str(recording_file), num_beams=2, num_return_sequences=3)
    assert "num_return_sequences must be at most num_beams" in message.value


def test_a_hot_word_in_other_letters_is_a_sentence(tiny_recogniser, recording_file):
    message, *_ = ask(tiny_recogniser[1], str(recording_file), hot_words="<ÿ>", num_beams=2)
    assert "hot_words must be" in message.value and "<ÿ>" not in message.value


def test_a_fault_of_ours_says_nothing_about_the_inside_but_the_log_does(tiny_recogniser, tmp_path, caplog):
    with caplog.at_level(logging.ERROR):
        message, *_ = ask(tiny_recogniser[1], str(tmp_path / "gone.wav"))
    assert CANNOT_ANSWER in html.unescape(message.value) and "gone" not in message.value
    assert "FileNotFoundError" in caplog.text


def test_hot_words_are_a_list_and_nothing_is_none():
    values = (8, None, 0.5, "")
    assert chosen_options(" enter, rub out ,,", values) == {
        "num_beams": 8,
        "language_model_weight": 0.5,
        "hot_words": ["enter", "rub out"],
    }
    assert "hot_words" not in chosen_options(" , ", values) and "hot_words" not in chosen_options(None, values)


def test_the_file_goes_to_the_pipeline_as_it_was_sent(tiny_recogniser, tmp_path):
    """Gradio would fail to open some files before anybody could say what is wrong with them."""
    recording = block(tiny_recogniser[1], "source-recording")
    path = tmp_path / "broken.ogg"
    path.write_bytes(b"broken")
    assert recording.preprocess(SimpleNamespace(path=str(path), url=None, orig_name="broken.ogg")) == str(path)
    assert recording.preprocess(None) is None
    assert path.read_bytes() == b"broken"


def test_an_example_is_the_clip_at_its_place(tiny_recogniser):
    choose = handler(tiny_recogniser[1], "choose_clip")
    for index, sample in enumerate(read_samples(".flac")):
        with open(choose(index), "rb") as file:
            assert file.read() == sample.path.read_bytes()


def test_a_chosen_transcript_is_shown_with_its_own_words_and_letters():
    other = TRANSCRIPT | {"text": "A", "chunks": [TRANSCRIPT["chunks"][0] | {"text": "A"}], "alignment": [0]}
    answer = Answer(*DRAWN, [TRANSCRIPT, other])
    assert show_transcript(1, answer) == transcript_html(*DRAWN, other) != transcript_html(*DRAWN, TRANSCRIPT)
    assert "<b>&lt;A&gt;</b>" in show_transcript(0, answer) and "<b>A</b>" in show_transcript(1, answer)
    assert "letter said" in show_transcript(0, answer) and "letter said" not in show_transcript(1, answer)


@pytest.mark.parametrize(
    ("rank", "answer"), [(0, None), (None, Answer(*DRAWN, [TRANSCRIPT])), (1, Answer(*DRAWN, [TRANSCRIPT]))]
)
def test_an_answer_that_the_server_forgot_is_asked_for_again(rank, answer):
    with pytest.raises(gr.Error, match="Press Transcribe again"):
        show_transcript(rank, answer)


def test_transcripts_are_told_apart():
    silent = TRANSCRIPT | {"text": "", "score": 2.0}
    assert transcript_labels([TRANSCRIPT, silent]) == ["1. <A> (−0.50)", "2. Nothing was heard. (2.00)"]


def test_options_start_within_the_pipelines_limits(tiny_recogniser):
    (event,) = [event for event in tiny_recogniser[1].fns.values() if event.api_name == "transcribe"]
    sliders = event.inputs[2:]
    assert tuple(slider.label for slider in sliders) == OPTION_NAMES
    values = {slider.label: slider.value for slider in sliders}
    assert values["num_return_sequences"] == NUM_TRANSCRIPTS <= values["num_beams"]
    known = {option.name: option for option in pipeline_class(TASK).options}
    for slider in sliders:
        assert (slider.minimum, slider.maximum) == (known[slider.label].minimum, known[slider.label].maximum)
        assert known[slider.label].check(slider.value) == slider.value


def test_options_start_at_the_checkpoints_own(tmp_path, monkeypatch):
    monkeypatch.setattr(hub, "CHECKPOINTS", tmp_path)
    assert starting_values("gone")["num_beams"] == DecodingOptions().num_beams
    (tmp_path / "own").mkdir()
    decoding = {"num_beams": 40, "language_model_weight": 0.7, "word_bonus": 1.0}
    (tmp_path / "own" / "config.json").write_text(json.dumps({"decoding": decoding}))
    expected = {"num_beams": 40, "num_return_sequences": NUM_TRANSCRIPTS, "language_model_weight": 0.7}
    assert starting_values("own") == expected | {"hot_word_weight": DecodingOptions().hot_word_weight}
    (tmp_path / "own" / "config.json").write_text(json.dumps({"decoding": None}))
    assert starting_values("own") == starting_values("gone")


def test_every_clip_is_attributed_small_and_readable():
    samples = read_samples(".flac")
    assert sorted(sample.path.name for sample in samples) == sorted(file.name for file in SAMPLES.glob("*.flac"))
    shown = html.unescape(re.sub(r"<[^>]+>", "", attributions_html(samples, CREDITS)))
    assert shown.startswith(CREDITS)
    for sample in samples:
        assert sample.title.partition(":")[0] in shown and sample.licence in shown
        assert sample.source.split(",")[0].replace("`", "") in shown
        assert sample.path.stat().st_size < 100_000
        assert read_audio(sample.path).notices == ()
    assert (SAMPLES / "LICENSE-AN4.txt").read_text("utf-8").count("Copyright (c) 1991-2005 Carnegie Mellon") == 1


def test_the_pictures_have_their_own_table():
    pictures = read_samples(".jpg")
    assert sorted(sample.path.name for sample in pictures) == sorted(file.name for file in SAMPLES.glob("*.jpg"))
    assert attributions_html(pictures, "").count('href="https://www.flickr.com/photo.gne?id=') == 4


def test_the_clients_program_is_a_program():
    options = {"num_beams": 8, "hot_words": ['"enter"']}
    program = recording_client_snippet("http://a:1", "blstm", "recording.flac", options)
    (call,) = [node for node in ast.walk(ast.parse(program)) if isinstance(node, ast.Call) and node.keywords][1:]
    assert ast.literal_eval(call.keywords[0].value) == options and call.keywords[0].arg == "extra_body"
    assert "extra_body" not in recording_client_snippet("http://a:1", "blstm", "recording.flac", {})


def test_the_page_writes_programs_for_what_it_shows(tiny_recogniser):
    request = SimpleNamespace(headers={"host": "demo:1"})
    write = handler(tiny_recogniser[1], "write_recording_programs")
    programs = write(request, "enter", 8, 2, None, 4.5)
    options = "num_beams=8, num_return_sequences=2, hot_word_weight=4.5, hot_words=['enter']"
    assert f'pipe("recording.flac", {options})' in programs[0]
    assert "--data-binary @recording.flac" in programs[1]
    assert "'hot_words': ['enter']" in programs[2]
    address = f"http://demo:1/models/{TASK.default_checkpoint}"
    assert [address in program for program in programs] == [False, True, True]
