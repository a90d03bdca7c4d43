"""What a tab says of its model is what the card and the measurements say."""

import html
import json

import pytest

import hub
from demo.application import build_demo
from demo.card import NO_CARD, card_html
from serving.checkpoints import ServedCheckpoints
from tasks import TASKS

EVERY = [(task, name) for task in TASKS.values() for name in task.checkpoints]


@pytest.mark.parametrize(("task", "name"), EVERY, ids=lambda value: value if isinstance(value, str) else "")
def test_the_facts_are_the_checkpoints(task, name):
    folder = hub.CHECKPOINTS / name
    measured, training = hub.facts(folder), json.loads((folder / "training.json").read_text("utf-8"))
    drawn = html.unescape(card_html(task, name))
    for metric in measured["metrics"]:
        assert f"<li>{metric['title']} <b>{metric['value']}</b></li>" in drawn
    assert f"split {measured['split']}:" in drawn and f"{training['parameters']:,} parameters" in drawn
    licence = (folder / "README.md").read_text("utf-8").partition("## Data and licence")[2].partition("\n## ")[0]
    assert licence.strip().replace("*", "") in drawn


def test_papers_are_linked():
    drawn = card_html(TASKS["char-generation"], "char-lstm-linux")
    for number in ("1308.0850", "1506.02078"):
        assert f'href="https://arxiv.org/abs/{number}"' in drawn


def test_a_card_cannot_write_markup(tmp_path, monkeypatch):
    monkeypatch.setattr(hub, "CHECKPOINTS", tmp_path)
    (tmp_path / "odd").mkdir()
    metrics = {"split": "<i>", "metrics": [{"title": "<b>", "value": 1}]}
    (tmp_path / "odd" / "evaluation.json").write_text(json.dumps(metrics))
    (tmp_path / "odd" / "training.json").write_text(json.dumps({"parameters": 3}))
    (tmp_path / "odd" / "README.md").write_text("---\nlicense: other\nlicense_name: <u>\n---\n")
    (tmp_path / "odd" / hub.WEIGHTS).write_bytes(b"")
    drawn = card_html(TASKS["memory-qa"], "odd")
    assert all(escaped in drawn for escaped in ("&lt;i&gt;", "&lt;b&gt;", "&lt;u&gt;"))


def test_a_tab_without_its_checkpoint_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(hub, "CHECKPOINTS", tmp_path)
    assert NO_CARD in card_html(TASKS["memory-qa"], "memn2n-babi")


def test_every_tab_shows_one():
    page = json.dumps(build_demo(ServedCheckpoints.shipped()).get_config_file()["components"], default=str)
    for task in TASKS.values():
        assert f"<h2>{task.default_checkpoint}</h2>" in page
