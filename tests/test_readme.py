"""The README keeps its word: its examples run, and its numbers are the checkpoints'."""

import importlib
import json
import os
import re
import shlex
import subprocess
import sys

import pytest
from huggingface_hub import metadata_load

import hub
from tasks import TASKS
from training.readme import table

from .conftest import ROOT

TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
PUBLIC_ADDRESS = "http://127.0.0.1:7860"


def blocks(language: str) -> list[str]:
    """Return the README's code of a language."""
    return re.findall(rf"```{language}\n(.*?)```", TEXT, flags=re.DOTALL)


ONE_BY_ONE = """
import contextlib, io, json, sys
printed = []
for program in json.load(sys.stdin):
    with contextlib.redirect_stdout(io.StringIO()) as output:
        exec(compile(program, program, "exec"), {"__name__": "__main__"})
    printed.append(output.getvalue())
print(json.dumps(printed))
"""
"""Runs programs that know nothing of each other in one process: to import the libraries takes longer than the rest."""


def test_python_examples_run(running_app):
    programs = [program.replace(PUBLIC_ADDRESS, running_app.address) for program in blocks("python")]
    online = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
    command = [sys.executable, "-c", ONE_BY_ONE]
    done = subprocess.run(command, input=json.dumps(programs), cwd=ROOT, env=online, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout.splitlines()[-1])
    assert len(printed) == len(programs) > 5 and all(map(str.strip, printed))


@pytest.mark.parametrize("index", range(len(blocks("sh"))))
def test_http_examples_answer(index, running_app):
    words = shlex.split(blocks("sh")[index].replace(PUBLIC_ADDRESS, running_app.address).replace("\\\n", ""))
    done = subprocess.run(words, capture_output=True, check=True, cwd=ROOT)
    response = json.loads(done.stdout)
    answer = response[0] if isinstance(response, list) else response
    text = next(answer[name] for name in ("translation_text", "generated_text", "text", "answer") if name in answer)
    can_be_empty = {"unknown_pieces", "unfamiliar"}
    assert text and all(value for name, value in answer["evidence"].items() if name not in can_be_empty)


def test_the_table_holds_the_measurements_of_every_checkpoint():
    assert table() in TEXT
    for task in TASKS.values():
        for name in task.checkpoints:
            headlines = importlib.import_module(f"training.{task.recipe}_evaluation").HEADLINES
            for metric in hub.facts(hub.CHECKPOINTS / name)["metrics"]:
                assert f"{metric['title']} **{metric['value']}**" in TEXT or metric["title"] not in headlines


def test_the_header_is_one_that_a_space_reads():
    header = metadata_load(ROOT / "README.md")
    assert header["sdk"] == "gradio" and (ROOT / header["app_file"]).is_file()
    pins = (ROOT / "requirements.txt").read_text()
    assert f"gradio=={header['sdk_version']}" in pins
    assert header["python_version"] == "3.11" and header["title"] == "Hindsight"
    assert {name.split("/")[1] for name in header["models"]} == {
        name for task in TASKS.values() for name in task.checkpoints
    }
    assert len(header["short_description"]) <= 60
    assert {task.hub_pipeline_tag for task in TASKS.values()} <= set(header["tags"])
    colours = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
    assert {header["colorFrom"], header["colorTo"]} <= colours and header["suggested_hardware"] == "cpu-basic"
    assert header["license"] == "apache-2.0" and "Apache License" in (ROOT / "LICENSE").read_text()


def test_what_it_shows_is_there():
    for image in re.findall(r"!\[.*?\]\((.*?)\)", TEXT):
        assert (ROOT / image).is_file(), image


def test_the_commands_it_names_are_in_the_makefile():
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"^make ([\w-]+)$", TEXT, flags=re.MULTILINE)):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
