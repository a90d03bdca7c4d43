"""The demo's page and its snippets, without a browser."""

import ast
import html
import json
import logging
import re
import shlex

import gradio as gr
import pytest

from demo.application import build_demo
from demo.attention_translation import OPTION_NAMES
from demo.served import CANNOT_ANSWER, refusal
from demo.snippets import base_url, client_snippet, curl_snippet, python_snippet
from demo.translation_handlers import FROM_TARGET, hypothesis_labels, picture_html, show
from pipelines import pipeline, pipeline_class
from serving.checkpoints import ServedCheckpoints
from serving.errors import busy
from serving.served_checkpoint import ServedCheckpoint
from tasks import TASKS
from training.export import save_checkpoint

from .tiny import TINY

TEXT = "It's a \"dog\" – isn't it?\n"
PARAMETERS = {"num_beams": 3, "target_prefix": "Ein"}
RESULT = {
    "translation_text": "Ein <Hund>",
    "score": -0.5,
    "evidence": {
        "source_tokens": ["▁A", "▁dog", "</s>"],
        "target_tokens": ["▁Ein", "▁Hu", "nd", "</s>"],
        "attention": [[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.3, 0.6, 0.1], [0.2, 0.2, 0.6]],
        "token_log_probabilities": [-0.1, -0.2, -0.3, -0.4],
        "direction": "en-de",
        "unknown_pieces": [],
        "unfamiliar": None,
    },
}


def test_every_task_has_a_tab():
    labels = {
        block.label for block in build_demo(ServedCheckpoints.shipped()).blocks.values() if hasattr(block, "label")
    }
    assert {task.title for task in TASKS.values()} <= labels


@pytest.fixture(scope="module")
def tiny_translation(tmp_path_factory):
    """Serve a real but tiny model under the shipped checkpoint's name; return it and the page that asks it."""
    task = TASKS["attention-translation"]
    folder = tmp_path_factory.mktemp("demo")
    model, processors = TINY[task.name].build(folder)
    save_checkpoint(folder / task.default_checkpoint, task, model, list(processors.values()), {})
    served = ServedCheckpoints([ServedCheckpoint(folder / task.default_checkpoint, task)])
    served.start()
    assert served.wait_until_loaded(60)
    return pipeline(task.name, model=str(folder / task.default_checkpoint), device="cpu"), build_demo(served)


def handler(demo, name):
    """Return the function behind an event."""
    return next(event.fn for event in demo.fns.values() if event.fn.__name__ == name)


def ask(demo, text, checkpoint="attention-nmt-en-de", prefix="", merged=False, **options):
    """Ask as the page does."""
    values = [options.get(name) for name in OPTION_NAMES]
    return handler(demo, "translate")(merged, FROM_TARGET, text, checkpoint, "", "", prefix, *values)


def drawn_weights(picture):
    return [float(weight) for weight in re.findall(r"--weight:([\d.]+)", picture)]


def flat(rows):
    return [weight for row in rows for weight in row]


def test_the_page_draws_the_evidence_of_its_answer(tiny_translation):
    pipe, demo = tiny_translation
    expected = pipe("A man rides.", num_beams=3, num_return_sequences=2, return_evidence=True)
    message, column, told, answer, _, hypotheses, picture, results, asked, _ = ask(
        demo, "A man rides.", num_beams=3, num_return_sequences=2
    )
    assert (told, asked.text) == ("", "A man rides.")
    assert results == expected
    assert (message.visible, column.visible, hypotheses.value) == (False, True, 0)
    assert [rank for _, rank in hypotheses.choices] == [0, 1]
    assert html.unescape(re.sub("<[^>]*>", "", answer)) == expected[0]["translation_text"]
    evidence = expected[0]["evidence"]
    assert drawn_weights(picture) == pytest.approx(flat(evidence["attention"]), abs=6e-4)
    assert picture.count('scope="row"') == len(evidence["target_tokens"])
    assert picture.count('scope="col"') == len(evidence["source_tokens"])


@pytest.mark.parametrize(
    ("text", "options", "sentence"),
    [
        ("", {}, "got an empty one"),
        (None, {}, "got an empty one"),
        ("x" * 1001, {}, "at most 1,000 characters"),
        ("A dog runs.", {"num_beams": 2, "num_return_sequences": 3}, "num_return_sequences must be at most num_beams"),
    ],
)
def test_a_mistake_is_a_sentence_and_everything_else_stays(tiny_translation, text, options, sentence):
    message, *others = ask(tiny_translation[1], text, **options)
    assert message.visible and sentence in message.value
    assert others == [gr.skip()] * 9


def test_a_fault_of_ours_says_nothing_about_the_inside_but_the_log_does(tiny_translation, caplog):
    with caplog.at_level(logging.ERROR):
        message, *_ = ask(tiny_translation[1], "A dog runs.", checkpoint="<not served>")
    assert CANNOT_ANSWER in html.unescape(message.value) and "not served" not in message.value
    assert "RequestError" in caplog.text


def test_the_picture_is_the_evidence():
    evidence = RESULT["evidence"]
    assert drawn_weights(picture_html(RESULT, merged=False)) == flat(evidence["attention"])
    merged = picture_html(RESULT, merged=True)
    assert drawn_weights(merged) == pytest.approx([0.7, 0.2, 0.1, 0.2, 0.7, 0.1, 0.2, 0.2, 0.6])
    assert "chosen with probability 0.61" in merged  # exp(-0.2) * exp(-0.3)


def test_a_chosen_hypothesis_is_shown_with_its_own_evidence():
    other = RESULT | {"translation_text": "Der Hund", "evidence": RESULT["evidence"] | {"attention": [[1.0, 0, 0]] * 4}}
    answer, picture, _ = show(1, [RESULT, other], merged=False)
    assert "Der Hund" in answer and picture == picture_html(other, merged=False) != picture_html(RESULT, merged=False)
    assert "&lt;Hund&gt;" in show(0, [RESULT, other], merged=False)[0]


def test_an_answer_that_the_server_forgot_is_asked_for_again():
    with pytest.raises(gr.Error, match="Press Translate again"):
        show(0, [], merged=False)


def test_hypotheses_are_told_apart():
    cut_off = RESULT | {"evidence": RESULT["evidence"] | {"target_tokens": ["▁Ein", "▁Hu", "nd", "e"]}}
    assert hypothesis_labels([RESULT, RESULT | {"score": -1.0}, cut_off | {"translation_text": "Hunde"}]) == [
        "1. Ein <Hund> (−0.50)",
        "2. Ein <Hund> (−1.00, other pieces)",
        "3. Hunde (−0.50, cut off)",
    ]


class Request:
    def __init__(self, **headers):
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def test_snippets_name_the_address_that_the_visitor_sees():
    assert base_url(None) == "http://127.0.0.1:7860"
    assert base_url(Request(host="127.0.0.1:9000")) == "http://127.0.0.1:9000"
    assert (
        base_url(Request(host="x", x_forwarded_host="demo.example", x_forwarded_proto="https"))
        == "https://demo.example"
    )


def test_snippets_say_what_was_asked():
    words = shlex.split(curl_snippet("http://a:1", "nmt", TEXT, PARAMETERS).replace("\\\n", ""))
    assert words[:2] == ["curl", "http://a:1/models/nmt"]
    assert json.loads(words[-1]) == {"inputs": TEXT, "parameters": PARAMETERS}
    for program in (
        python_snippet("attention-translation", "nmt", TEXT, PARAMETERS),
        client_snippet("http://a:1", "nmt", "translation", TEXT, PARAMETERS),
    ):
        constants = {node.value for node in ast.walk(ast.parse(program)) if isinstance(node, ast.Constant)}
        assert {TEXT, 3, "Ein"} <= constants


def test_the_page_writes_programs_for_what_it_shows(tiny_translation):
    programs = handler(tiny_translation[1], "write")(
        Request(host="demo:1"), TEXT, "attention-nmt-en-fr", "", "", "Un", 3, 2, 1.0, None, 0
    )
    assert len(programs) == 3
    for program in programs:
        assert "attention-nmt-en-fr" in program and "coverage_penalty" not in program
        for name in ("num_beams", "num_return_sequences", "no_repeat_ngram_size", "target_prefix"):
            assert name in program
    assert ["http://demo:1/models/" in program for program in programs] == [False, True, True]


def inside(block):
    """List what a block holds, at any depth."""
    children = getattr(block, "children", [])
    return [*children, *(deeper for child in children for deeper in inside(child))]


@pytest.mark.parametrize("task", TASKS.values(), ids=lambda task: task.name)
def test_a_tab_never_offers_what_the_pipeline_refuses(task):
    known = {option.name: option for option in pipeline_class(task).options}
    blocks = build_demo(ServedCheckpoints.shipped()).blocks.values()
    (tab,) = [block for block in blocks if isinstance(block, gr.Tab) and block.label == task.title]
    for block in inside(tab):
        option = known.get(getattr(block, "label", None))
        if option is not None and hasattr(block, "minimum"):
            assert (block.minimum, block.maximum) == (option.minimum, option.maximum)
            option.check(block.value if option.kind == "float" else int(block.value))


def test_a_visitor_reads_that_the_service_is_busy():
    message = refusal(busy("64 requests wait already"))
    assert "64 requests wait already. Try again in a moment." in message.value and message.visible
