"""The whole process as `make demo` starts it: routes, programs that ask it, and its end."""

import http.client
import json
import os
import shlex
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

import app
from demo.snippets import client_snippet, curl_snippet, python_snippet
from serving.settings import Settings
from tasks import TASKS

from .conftest import ROOT


def test_it_is_ready_with_every_shipped_checkpoint(running_app):
    with urllib.request.urlopen(f"{running_app.address}/ready") as response:
        states = json.load(response)["checkpoints"]
    assert states == {name: "ready" for task in TASKS.values() for name in task.checkpoints}


def test_the_demo_and_the_service_are_in_one_process(running_app):
    for path, words in (("/", "Hindsight"), ("/models", "evaluation"), ("/docs", "openapi.json"), ("/health", "alive")):
        with urllib.request.urlopen(running_app.address + path) as response:
            assert words in response.read().decode()


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/nothing", 404, "not_found"),
        ("/models/", 404, "not_found"),
        ("/models/attention-nmt-en-de", 405, "method_not_allowed"),
    ],
)
def test_errors_look_alike_although_the_demo_is_mounted(running_app, path, status, code):
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(running_app.address + path)
    body = json.load(caught.value)
    assert (caught.value.code, body["code"]) == (status, code)
    assert caught.value.headers["X-Request-Id"] == body["request_id"]


def test_the_snippets_work_when_pasted(running_app):
    text, parameters, name = "A dog runs.", {"num_beams": 2, "num_return_sequences": 2}, "attention-nmt-en-de"
    shell = subprocess.run(
        shlex.split(curl_snippet(running_app.address, name, text, parameters).replace("\\\n", "")),
        capture_output=True,
        check=True,
    )
    answers = json.loads(shell.stdout)
    assert len(answers) == 2
    online = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}  # app.py sets it
    programs = [
        python_snippet("attention-translation", name, text, parameters),
        client_snippet(running_app.address, name, "translation", text, parameters),
    ]
    for program in programs:
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=ROOT, env=online, capture_output=True, text=True, check=True
        )
        assert answers[0]["translation_text"] in done.stdout


def test_the_first_answer_comes_within_a_second(running_app):
    body = json.dumps({"inputs": "Two children play in the snow.", "parameters": {"num_beams": 5}}).encode()
    request = urllib.request.Request(
        f"{running_app.address}/models/attention-nmt-en-fr", body, {"Content-Type": "application/json"}
    )
    started = time.monotonic()
    with urllib.request.urlopen(request) as response:
        assert json.load(response)[0]["translation_text"]
    assert time.monotonic() - started < 1.0


def test_sigterm_ends_it_cleanly_after_what_soon_ends_and_in_spite_of_what_does_not(start_app):
    running = start_app()
    short = {"inputs": "The ", "parameters": {"max_new_tokens": 1000, "seed": 1}}
    long = {"inputs": "The ", "parameters": {"max_new_tokens": 5000, "num_return_sequences": 16}}
    connections = []
    for name, body in (("char-lstm-shakespeare", short), ("char-lstm-jokes", long)):
        connections.append(http.client.HTTPConnection(running.address.removeprefix("http://")))
        connections[-1].request("POST", f"/models/{name}", json.dumps(body), {"Content-Type": "application/json"})
    time.sleep(0.2)
    running.process.send_signal(signal.SIGTERM)
    response = connections[0].getresponse()
    assert response.status == 200 and len(json.load(response)[0]["generated_text"]) == 1000
    assert running.process.wait(timeout=Settings().grace_seconds + 5) == 0
    for connection in connections:
        connection.close()


@pytest.mark.parametrize(
    ("variables", "arguments", "expected"),
    [
        ({}, [], ("127.0.0.1", 7860)),
        ({"SPACE_ID": "someone/space"}, [], ("0.0.0.0", 7860)),
        ({"GRADIO_SERVER_NAME": "0.0.0.0", "GRADIO_SERVER_PORT": "8080"}, [], ("0.0.0.0", 8080)),
        ({"PORT": "9000"}, [], ("127.0.0.1", 9000)),
        ({"SPACE_ID": "someone/space", "PORT": "9000"}, ["--host", "::1", "--port", "1"], ("::1", 1)),
    ],
)
def test_it_listens_where_the_platform_expects(monkeypatch, variables, arguments, expected):
    for name in ("SPACE_ID", "GRADIO_SERVER_NAME", "GRADIO_SERVER_PORT", "PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    options = app.parse_arguments(arguments)
    assert (options.host, options.port) == expected
    assert os.environ["GRADIO_ANALYTICS_ENABLED"] == "False"
