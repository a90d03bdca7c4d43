"""The captioning tab, without a browser: a tiny captioner behind it."""

import ast
import html
import io
import json
import logging
import re
import shlex
from types import SimpleNamespace

import gradio as gr
import pytest
from PIL import Image

import hub
from demo.application import build_demo
from demo.captioning import (
    CREDITS,
    NO_PICTURE,
    OPTION_NAMES,
    Answer,
    caption_labels,
    drawing_html,
    show,
)
from demo.examples import SAMPLES, attributions_html, read_samples
from demo.image_attention import DrawnPicture
from demo.served import CANNOT_ANSWER
from demo.snippets import file_curl_snippet, picture_client_snippet
from pipelines import pipeline, pipeline_class
from serving.checkpoints import ServedCheckpoints
from serving.served_checkpoint import ServedCheckpoint
from tasks import TASKS
from training.export import save_checkpoint

from .tiny import TINY

TASK = TASKS["captioning"]
PICTURE = DrawnPicture("data:image/jpeg;base64,AAAA", 1.5)
RESULT = {
    "generated_text": "a <dog>",
    "score": -0.5,
    "evidence": {
        "tokens": ["a", "<dog>", "</s>"],
        "attention": [[[0.5, 0.5]], [[0.25, 0.75]], [[1.0, 0.0]]],
        "grid": [1, 2],
        "token_log_probabilities": [-0.1, -0.2, -0.3],
    },
}


@pytest.fixture(scope="module")
def tiny_captioner(tmp_path_factory):
    """Serve a real but tiny model as if it were shipped; return its pipeline and the page that asks it."""
    shipped = tmp_path_factory.mktemp("checkpoints")
    for task in TASKS.values():  # the other tabs only read how theirs decode
        for name in task.checkpoints:
            (shipped / name).mkdir()
            (shipped / name / "generation_config.json").write_text(json.dumps({"length_penalty": 1.0}))
    folder = shipped / TASK.default_checkpoint
    model, processors = TINY[TASK.name].build(folder)
    model.generation_config.update(num_beams=5, length_penalty=0.9, max_new_tokens=12)
    save_checkpoint(folder, TASK, model, list(processors.values()), {})
    served = ServedCheckpoints([ServedCheckpoint(folder, TASK)])
    served.start()
    assert served.wait_until_loaded(60)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hub, "CHECKPOINTS", shipped)
        demo = build_demo(served)
    return pipeline(TASK.name, model=str(folder), device="cpu"), demo


@pytest.fixture
def picture_file(tmp_path):
    """A picture that must be turned to stand upright: 60 x 40 pixels as stored, 40 x 60 as seen."""
    path = tmp_path / "turned.jpg"
    image = Image.new("RGB", (60, 40), "red")
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(path, exif=exif)
    return path


def handler(demo, name):
    """Return the function behind an event."""
    return next(event.fn for event in demo.fns.values() if event.fn is not None and event.fn.__name__ == name)


def block(demo, **attributes):
    """Return the only block of which this is true."""
    (found,) = [
        block
        for block in demo.blocks.values()
        if all(getattr(block, name, None) == value for name, value in attributes.items())
    ]
    return found


def ask(demo, path, **options):
    """Ask as the page does."""
    return handler(demo, "caption")(path, *[options.get(name) for name in OPTION_NAMES])


def test_the_page_draws_the_evidence_of_its_answer(tiny_captioner, picture_file):
    pipe, demo = tiny_captioner
    expected = pipe(picture_file.read_bytes(), num_beams=3, num_return_sequences=2, return_evidence=True)
    message, drawing, captions, answer = ask(demo, str(picture_file), num_beams=3, num_return_sequences=2)
    assert answer.results == expected
    assert (message.visible, captions.visible, captions.value) == (False, True, 0)
    assert captions.choices == [(label, rank) for rank, label in enumerate(caption_labels(expected))]
    assert drawing == drawing_html(expected[0], answer.picture)
    assert drawing.count('type="radio"') == len(expected[0]["evidence"]["tokens"])
    assert answer.picture.ratio == pytest.approx(40 / 60)


def test_what_was_not_used_of_a_file_is_said(tiny_captioner, tmp_path):
    frames = [Image.new("RGB", (40, 40), colour) for colour in ("red", "green", "blue")]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    _, drawing, _, answer = ask(tiny_captioner[1], str(tmp_path / "moving.gif"))
    (notice,) = answer.results[0]["notices"]
    assert "3 frames" in notice and html.escape(notice) in drawing


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, NO_PICTURE),
        (b"", "it has 0 bytes"),
        (b"no picture", "Expected a picture: JPEG"),
        (b"\xff" * (16 * 2**20 + 1), "Expected a picture of at most"),
        (b"GIF89a", "Expected a picture"),
    ],
    ids=["none", "empty", "text", "large", "cut off"],
)
def test_a_mistake_is_a_sentence_and_everything_else_stays(tiny_captioner, tmp_path, content, sentence):
    path = None
    if content is not None:
        path = tmp_path / "file.jpg"
        path.write_bytes(content)
    message, *others = ask(tiny_captioner[1], path and str(path))
    assert message.visible and 'role="alert"' in message.value and sentence in html.unescape(message.value)
    assert others == [gr.skip()] * 3


def test_contradicting_options_are_a_sentence(tiny_captioner, picture_file):
    message, *_ = ask(tiny_captioner[1], str(picture_file), num_beams=2, num_return_sequences=3)
    assert "num_return_sequences must be at most num_beams" in message.value


def test_a_fault_of_ours_says_nothing_about_the_inside_but_the_log_does(tiny_captioner, tmp_path, caplog):
    with caplog.at_level(logging.ERROR):
        message, *_ = ask(tiny_captioner[1], str(tmp_path / "gone.jpg"))
    assert CANNOT_ANSWER in html.unescape(message.value) and "gone" not in message.value
    assert "FileNotFoundError" in caplog.text


def test_the_file_goes_to_the_pipeline_as_it_was_sent(tiny_captioner, tmp_path):
    """Gradio would fail to open some files before anybody could say what is wrong with them."""
    picture = block(tiny_captioner[1], elem_id="source-picture")
    path = tmp_path / "broken.png"
    path.write_bytes(b"broken")
    assert picture.preprocess(SimpleNamespace(path=str(path), url=None, orig_name="broken.png")) == str(path)
    assert picture.preprocess(None) is None


def test_an_example_is_the_sample_at_its_place(tiny_captioner):
    choose = handler(tiny_captioner[1], "choose_sample")
    for index, sample in enumerate(read_samples(".jpg")):
        with open(choose(SimpleNamespace(index=index)), "rb") as file:
            assert file.read() == sample.path.read_bytes()


def test_a_chosen_caption_is_shown_with_its_own_evidence():
    other = RESULT | {"evidence": RESULT["evidence"] | {"tokens": ["a", "cat", "</s>"]}}
    answer = Answer(PICTURE, [RESULT, other])
    assert show(1, answer) == drawing_html(other, PICTURE) != drawing_html(RESULT, PICTURE)
    assert "cat" in show(1, answer) and "&lt;dog&gt;" in show(0, answer) and "<dog>" not in show(0, answer)
    assert "probability 0.82" in show(0, answer)  # exp(-0.2)


@pytest.mark.parametrize(
    ("rank", "answer"), [(0, None), (None, Answer(PICTURE, [RESULT])), (1, Answer(PICTURE, [RESULT]))]
)
def test_an_answer_that_the_server_forgot_is_asked_for_again(rank, answer):
    with pytest.raises(gr.Error, match="Press Caption again"):
        show(rank, answer)


def test_notices_are_text_never_markup():
    drawn = drawing_html(RESULT | {"notices": ["The first of <3> frames was used."]}, PICTURE)
    assert "The first of &lt;3&gt; frames" in drawn


def test_captions_are_told_apart():
    cut_off = RESULT | {"score": -1.0, "evidence": RESULT["evidence"] | {"tokens": ["a", "dog"]}}
    assert caption_labels([RESULT, cut_off]) == ["1. a <dog> (−0.50)", "2. a <dog> (−1.00, cut off)"]


def test_options_start_at_the_checkpoints_own_within_the_pipelines_limits(tiny_captioner):
    demo = tiny_captioner[1]
    (event,) = [event for event in demo.fns.values() if event.api_name == "caption"]
    values = {slider.label: slider.value for slider in event.inputs[1:]}
    assert tuple(values) == OPTION_NAMES
    assert (values["length_penalty"], values["max_new_tokens"]) == (0.9, 12)
    assert values["num_return_sequences"] <= values["num_beams"]
    known = {option.name: option for option in pipeline_class(TASK).options}
    for slider in event.inputs[1:]:
        assert (slider.minimum, slider.maximum) == (known[slider.label].minimum, known[slider.label].maximum)
        assert known[slider.label].check(slider.value) == slider.value


def test_every_sample_is_attributed_beside_it():
    samples = read_samples(".jpg")
    assert sorted(sample.path.name for sample in samples) == sorted(file.name for file in SAMPLES.glob("*.jpg"))
    shown = html.unescape(re.sub(r"<[^>]+>", "", attributions_html(samples, CREDITS)))
    for sample in samples:
        assert sample.title in shown and sample.licence in shown
        assert sample.source.split(",")[0].replace("`", "") in shown
    assert attributions_html(samples, CREDITS).count('href="https://www.flickr.com/photo.gne?id=') == 4


def test_samples_are_small():
    for sample in read_samples(".jpg"):
        with Image.open(io.BytesIO(sample.path.read_bytes())) as image:
            assert max(image.size) <= 512 and image.format == "JPEG"


def test_programs_send_the_file():
    words = shlex.split(file_curl_snippet("http://a:1", "sat", "picture.jpg").replace("\\\n", ""))
    assert words == [
        *("curl", "http://a:1/models/sat", "--header", "Content-Type: application/octet-stream"),
        *("--data-binary", "@picture.jpg"),
    ]
    program = ast.parse(picture_client_snippet("http://a:1", "sat", "picture.jpg"))
    constants = {node.value for node in ast.walk(program) if isinstance(node, ast.Constant)}
    assert {"http://a:1/models/sat", "picture.jpg"} <= constants


def test_the_page_writes_programs_for_what_it_shows(tiny_captioner):
    request = SimpleNamespace(headers={"host": "demo:1"})
    programs = handler(tiny_captioner[1], "write_picture_programs")(request, 3, 2, None, 20)
    assert 'pipe("picture.jpg", num_beams=3, num_return_sequences=2, max_new_tokens=20)' in programs[0]
    address = f"http://demo:1/models/{TASK.default_checkpoint}"
    assert [address in program for program in programs] == [False, True, True]
