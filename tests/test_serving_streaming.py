"""Streaming over a real port: huggingface_hub's client, curl's view of it, and what cannot be streamed."""

import asyncio
import itertools
import json
import threading
import time

import httpx
import pytest
from huggingface_hub import InferenceClient

from serving.checkpoints import ServedCheckpoints
from serving.served_checkpoint import ServedCheckpoint
from serving.streaming import event_stream
from tasks import TASKS
from training.export import save_checkpoint

from .conftest import pipeline_of
from .tiny import TINY

PROMPT = "A dog "


def serve(folder, name):
    """Save a task's tiny checkpoint and serve it."""
    model, processors = TINY[name].build(folder)
    if name == "char-generation":
        model.generation_config.do_sample = True
    save_checkpoint(folder / name, TASKS[name], model, list(processors.values()), {})
    return ServedCheckpoint(folder / name, TASKS[name])


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("streaming")
    return ServedCheckpoints([serve(folder, name) for name in ("char-generation", "attention-translation")])


@pytest.fixture
def client(address):
    return InferenceClient(base_url=f"{address}/models/char-generation")


def test_the_hubs_client_writes_streams_and_tells_details(client):
    options = {"seed": 3, "max_new_tokens": 20, "temperature": 0.9, "top_p": 0.95}
    text = client.text_generation(PROMPT, **options)
    assert len(text) == 20
    pieces = list(client.text_generation(PROMPT, stream=True, **options))
    assert len(pieces) == 20 and "".join(pieces) == text

    whole = client.text_generation(PROMPT, details=True, top_n_tokens=2, **options)
    assert whole.generated_text == text and whole.details.finish_reason == "length" and whole.details.seed == 3
    events = list(client.text_generation(PROMPT, stream=True, details=True, **options))
    assert [event.token.id for event in events] == [token.id for token in whole.details.tokens]
    assert events[-1].generated_text == text and events[-1].details.generated_tokens == 20
    stopped = client.text_generation(PROMPT, seed=3, max_new_tokens=500, stop=["e"], return_full_text=True)
    assert stopped.startswith(PROMPT) and stopped.endswith("e")


def test_a_stream_is_server_sent_events(address):
    body = {"inputs": PROMPT, "parameters": {"max_new_tokens": 3, "seed": 1}, "stream": True}
    response = httpx.post(f"{address}/models/char-generation", json=body)
    assert response.status_code == 200 and response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["x-request-id"] and response.headers["cache-control"] == "no-store"
    lines = response.text.split("\n\n")
    assert lines.pop() == ""
    events = [json.loads(line.removeprefix("data:")) for line in lines]
    assert len(events) == 3 and all(line.startswith("data:{") for line in lines)
    body["stream"] = False
    assert (
        events[-1]["generated_text"]
        == httpx.post(f"{address}/models/char-generation", json=body).json()[0]["generated_text"]
    )


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"inputs": "", "stream": True}, "empty"),
        ({"inputs": "é", "stream": True}, "'é'"),
        ({"inputs": PROMPT, "stream": "yes"}, "stream must be true or false"),
        ({"inputs": PROMPT, "stream": True, "parameters": {"top_k": -1}}, "top_k"),
        ({"inputs": PROMPT, "stream": True, "parameters": {"num_return_sequences": 2}}, "num_return_sequences"),
    ],
)
def test_a_mistake_is_an_error_not_a_stream(address, body, words):
    response = httpx.post(f"{address}/models/char-generation", json=body)
    assert response.status_code == 422 and words in response.json()["error"]


def test_what_answers_all_at_once_does_not_stream(address):
    response = httpx.post(f"{address}/models/attention-translation", json={"inputs": PROMPT, "stream": True})
    assert response.status_code == 422 and "stream must be false" in response.json()["error"]


def test_text_grows_while_it_is_written(address, served, monkeypatch):
    """The writer waits soon after it began until its reader has the first character."""
    pipe, num_written, is_there = pipeline_of(served, "char-generation"), itertools.count(), threading.Event()

    def waiting_step(token_id, state, step=pipe._step):
        if next(num_written) == len(PROMPT) + 10:
            assert is_there.wait(60)
        return step(token_id, state)

    monkeypatch.setitem(pipe.__dict__, "_step", waiting_step)
    body = {"inputs": PROMPT, "parameters": {"max_new_tokens": 200, "seed": 1}, "stream": True}
    with httpx.stream("POST", f"{address}/models/char-generation", json=body, timeout=30) as response:
        lines = (line for line in response.iter_lines() if line)
        first = next(lines)
        is_there.set()
        assert len([first, *lines]) == 200


def test_who_hangs_up_stops_the_writing(address, served, monkeypatch):
    """Each character waits a little, so that 5,000 of them would take ten seconds."""
    pipe, written = pipeline_of(served, "char-generation"), []

    def slow_step(token_id, state, step=pipe._step):
        time.sleep(0.002)
        written.append(token_id)
        return step(token_id, state)

    monkeypatch.setitem(pipe.__dict__, "_step", slow_step)
    body = {"inputs": PROMPT, "parameters": {"max_new_tokens": 5000, "seed": 1}, "stream": True}
    with httpx.stream("POST", f"{address}/models/char-generation", json=body) as response:
        next(response.iter_lines())
    time.sleep(0.5)
    after_a_moment = len(written)
    time.sleep(0.5)
    assert 0 < len(written) == after_a_moment < 1000


def test_a_failure_in_the_middle_is_the_last_event_and_tells_nothing(caplog):
    def events():
        yield {"token": {"text": "A"}}
        raise RuntimeError("a secret path")

    async def collect():
        return [part async for part in event_stream(events(), "the-id").body_iterator]

    text = "".join(asyncio.run(collect()))
    assert '"text": "A"' in text and "secret" not in text
    assert json.loads(text.rstrip().split("data:")[-1])["error_type"] == "generation"
    assert "the-id" in caplog.text and "a secret path" in caplog.text
