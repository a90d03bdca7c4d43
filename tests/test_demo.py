"""The demo's page and its snippets, without a browser."""

import ast
import json
import shlex

import pytest

from demo.application import build_demo
from demo.attention_translation import picture_html, show
from demo.heat_map import heat_map_html
from demo.snippets import base_url, client_snippet, curl_snippet, python_snippet
from serving.checkpoints import ServedCheckpoints
from tasks import TASKS

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
    },
}


def test_every_task_has_a_tab():
    labels = {
        block.label for block in build_demo(ServedCheckpoints.shipped()).blocks.values() if hasattr(block, "label")
    }
    assert {task.title for task in TASKS.values()} <= labels


def test_the_picture_is_the_evidence():
    evidence = RESULT["evidence"]
    picture = picture_html(RESULT, merged=False)
    expected = heat_map_html(evidence["source_tokens"], evidence["target_tokens"], evidence["attention"], "")
    body = picture[picture.index("<tbody>") :].replace('title="chosen with probability', "title=")
    assert body.count("--weight:") == expected.count("--weight:") == 12
    assert picture_html(RESULT, merged=True).count("--weight:") == 9
    assert "chosen with probability 0.61" in picture_html(RESULT, merged=True)  # exp(-0.2) * exp(-0.3)


def test_a_chosen_hypothesis_is_shown_with_its_own_evidence():
    other = RESULT | {"translation_text": "Der Hund", "evidence": RESULT["evidence"] | {"attention": [[1.0, 0, 0]] * 4}}
    answer, picture = show(1, [RESULT, other], merged=False)
    assert "Der Hund" in answer and picture == picture_html(other, merged=False) != picture_html(RESULT, merged=False)
    assert "&lt;Hund&gt;" in show(0, [RESULT, other], merged=False)[0]


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


@pytest.mark.parametrize("task", TASKS.values(), ids=lambda task: task.name)
def test_a_tab_never_offers_what_the_pipeline_refuses(task):
    from pipelines import pipeline_class

    known = {option.name: option for option in pipeline_class(task).options}
    for block in build_demo(ServedCheckpoints.shipped()).blocks.values():
        option = known.get(getattr(block, "label", None))
        if option is not None and hasattr(block, "minimum"):
            assert (block.minimum, block.maximum) == (option.minimum, option.maximum)
            option.check(block.value if option.kind == "float" else int(block.value))
