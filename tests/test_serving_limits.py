"""What the service does when it is asked for too much, too often, by strangers, or by somebody who goes away."""

import http.client
import json
import logging
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from fastapi.testclient import TestClient

from pipelines import pipeline_class
from pipelines.served import Served
from serving.application import create_application
from serving.checkpoints import ServedCheckpoints
from serving.limits import LIMITED_OPTIONS, largest_batch
from serving.logs import JsonFormatter
from serving.served_checkpoint import ServedCheckpoint
from serving.settings import Settings
from tasks import TASKS

from . import sounds
from .conftest import is_close, pipeline_of
from .pictures import encoded, noise
from .tiny import in_json

TEXT = "A dog runs."


@contextmanager
def service(tiny, **options) -> Iterator[tuple[TestClient, ServedCheckpoints]]:
    """Serve a tiny checkpoint with some settings."""
    settings = Settings(**options)
    served = ServedCheckpoints([ServedCheckpoint(tiny.folder, tiny.task, settings)], settings)
    with TestClient(create_application(served), raise_server_exceptions=False) as client:
        assert served.wait_until_loaded(60)
        yield client, served


@pytest.fixture(scope="module")
def translator(tiny_checkpoint_of):
    return tiny_checkpoint_of("attention-translation")


def post(client, inputs=TEXT, parameters=None, **headers):
    return client.post("/models/tiny", json={"inputs": inputs, "parameters": parameters}, headers=headers)


class Held:
    """A pipeline that answers only when it is let."""

    def __init__(self, served, monkeypatch):
        self.batches, self.begun, self.go = [], threading.Semaphore(0), threading.Semaphore(0)
        monkeypatch.setattr(pipeline_of(served, "tiny"), "serve_together", self.answer)

    def answer(self, requests, parameters):
        self.batches.append(list(requests))
        self.begun.release()
        assert self.go.acquire(timeout=30)
        return [Served([request]) for request in requests]


def wait_until(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


class TestBatches:
    def test_those_that_wait_are_answered_together_and_each_gets_its_own(self, translator, monkeypatch):
        with service(translator) as (client, served), ThreadPoolExecutor(8) as pool:
            held = Held(served, monkeypatch)
            first = pool.submit(post, client, "aaaa")
            assert held.begun.acquire(timeout=10)
            others = [pool.submit(post, client, text) for text in ("bbbb", "cccc", "dddd")]
            beams = pool.submit(post, client, "eeee", {"num_beams": 2})
            wait_until(lambda: len(served["tiny"].queue) == 4)
            held.go.release(3)
            assert [one.result().json() for one in (first, *others, beams)] == [[4 * c] for c in "abcde"]
            assert sorted(map(len, held.batches)) == [1, 1, 3] and ["eeee"] in held.batches

    def test_a_wrong_one_spoils_no_other(self, tiny_checkpoint):
        good = [in_json(item) for item in tiny_checkpoint.family.inputs]
        pipe = tiny_checkpoint.pipeline()
        answers = pipe.serve_together([good[0], None, *good[1:]])
        assert "None" in str(answers[1].error)
        served = [answers[0], *answers[2:]]
        assert is_close([one.response for one in served], [pipe.serve(item) for item in good])
        assert all(one.error is None for one in served)

    def test_one_that_fails_in_the_network_spoils_no_other(self, tiny_checkpoint, monkeypatch):
        pipe = tiny_checkpoint.pipeline()
        items = [in_json(item) for item in tiny_checkpoint.family.inputs][:2]
        alone = [pipe.serve(item) for item in items]
        seen, preprocess = [], pipe.preprocess

        def fails_on_the_second(item, **options):
            seen.append(item)
            if len(seen) in (2, 4):
                raise RuntimeError("secret")
            return preprocess(item, **options)

        monkeypatch.setattr(pipe, "preprocess", fails_on_the_second)
        first, second = pipe.serve_together(items)
        assert is_close(first.response, alone[0]) and isinstance(second.error, RuntimeError)

    def test_wrong_options_are_told_to_all(self, tiny_checkpoint):
        item = in_json(tiny_checkpoint.family.inputs[0])
        for answer in tiny_checkpoint.pipeline().serve_together([item, item], {"beam_width": 1}):
            assert "Unknown option 'beam_width'" in str(answer.error)

    def test_what_an_answer_took_is_told(self, tiny_checkpoint):
        (answer,) = tiny_checkpoint.pipeline().serve_together([in_json(tiny_checkpoint.family.inputs[0])])
        assert set(answer.use) <= {"tokens", "audio_seconds"} and all(amount >= 0 for amount in answer.use.values())


MOST_TOGETHER = [(16, "captioning", 2), (1, "captioning", 1), (16, "char-generation", 1), (16, "memory-qa", 16)]


@pytest.mark.parametrize("most, task, expected", MOST_TOGETHER)
def test_as_many_go_together_as_are_answered_faster_so(most, task, expected):
    assert largest_batch(pipeline_class(TASKS[task]), Settings(maximum_batch=most)) == expected


class TestBackPressure:
    def test_a_full_queue_refuses_and_health_answers(self, translator, monkeypatch):
        with service(translator, queue_size=2, maximum_batch=1) as (client, served), ThreadPoolExecutor(4) as pool:
            held = Held(served, monkeypatch)
            waiting = [pool.submit(post, client)]
            assert held.begun.acquire(timeout=10)
            waiting += [pool.submit(post, client) for _ in range(2)]
            wait_until(lambda: len(served["tiny"].queue) == 2)
            refused = post(client)
            assert refused.status_code == 429 and refused.json()["code"] == "busy" and refused.headers["retry-after"]
            assert post(client, [TEXT, TEXT]).status_code == 429 and len(served["tiny"].queue) == 2
            unread = client.post("/models/tiny", content=b"no JSON")  # it would be refused, had anybody read it
            assert (unread.status_code, unread.json()["code"]) == (429, "busy")
            assert client.post("/models/other", content=b"no JSON").status_code == 404
            started = time.monotonic()
            assert client.get("/health").status_code == 200
            assert time.monotonic() - started < 0.5
            held.go.release(3)
            assert [one.result().status_code for one in waiting] == [200] * 3

    def test_a_deadline_that_passes_is_504(self, translator, monkeypatch):
        with service(translator, deadline_seconds=0.2) as (client, served), ThreadPoolExecutor(2) as pool:
            held = Held(served, monkeypatch)
            first, second = pool.submit(post, client, "aaaa"), pool.submit(post, client, "bbbb")
            for response in (first.result(), second.result()):
                assert (response.status_code, response.json()["code"]) == (504, "deadline")
            assert len(served["tiny"].queue) == 0
            held.go.release(2)

    def test_only_so_many_answers_are_streamed_at_once(self, tiny_checkpoint_of):
        with service(tiny_checkpoint_of("char-generation"), streams=2) as (_, served):
            begun = [served.stream("tiny", "A dog ", {"max_new_tokens": 50}) for _ in range(2)]
            for wrong in ("", "A dog "):
                with pytest.raises(Exception, match="2 answers of tiny are being written"):
                    served.stream("tiny", wrong)
            begun.pop().close()
            with pytest.raises(Exception, match="empty"):
                served.stream("tiny", "")
            assert len(list(served.stream("tiny", "A dog ", {"max_new_tokens": 5}))) == 5
            assert len(list(served.stream("tiny", "A dog ", {"max_new_tokens": 5}))) == 5

    def test_who_asks_in_python_gets_the_same(self, translator, monkeypatch):
        with service(translator, deadline_seconds=0.2) as (_, served):
            held = Held(served, monkeypatch)
            with pytest.raises(Exception, match="not answered in time"):
                served.answer("tiny", TEXT)
            held.go.release(1)

    def test_bodies_have_so_much_room_together(self, translator):
        with service(translator, pending_bytes=100) as (client, _):
            assert post(client).status_code == 200
            refused = post(client, "A dog runs. " * 20)
            assert (refused.status_code, refused.json()["code"]) == (429, "busy")
            assert post(client).status_code == 200  # what was refused counts no longer


def test_without_settings_every_option_reaches_as_far_as_its_task_lets_it():
    for task in TASKS.values():
        for option in pipeline_class(task).options:
            if option.name in LIMITED_OPTIONS:
                assert option.maximum <= getattr(Settings(), option.name), (task.name, option.name)


class TestLimits:
    @pytest.mark.parametrize(
        ("options", "inputs", "parameters", "words"),
        [
            ({"num_beams": 2}, TEXT, {"num_beams": 3}, "num_beams must be at most 2 here; got 3"),
            ({"num_beams": 2}, TEXT, {"generate_parameters": {"num_beams": 3}}, "num_beams must be at most 2"),
            ({"num_return_sequences": 1}, TEXT, {"num_return_sequences": 2}, "num_return_sequences must be at most 1"),
            ({"max_new_tokens": 5}, TEXT, {"max_new_tokens": 6}, "max_new_tokens must be at most 5"),
            ({"inputs_per_request": 2}, [TEXT] * 3, None, "at most 2 inputs in a request; got 3"),
            ({"text_characters": 5}, TEXT, None, "at most 5 characters; got 11"),
        ],
    )
    def test_each_can_be_set(self, translator, options, inputs, parameters, words):
        with service(translator, **options) as (client, _):
            refused = post(client, inputs, parameters)
            assert refused.status_code == 422 and words in refused.json()["error"]
        with service(translator) as (client, _):
            assert post(client, inputs, parameters).status_code == 200

    @pytest.mark.parametrize(("setting", "most"), [("image_pixels", 400), ("image_side", 20)])
    def test_those_of_pictures(self, tiny_checkpoint_of, setting, most):
        picture = in_json(encoded(noise(30, 25)))
        with service(tiny_checkpoint_of("captioning"), **{setting: most}) as (client, _):
            refused = post(client, picture)
            assert refused.status_code == 422 and f"at most {most}" in refused.json()["error"]
        with service(tiny_checkpoint_of("captioning")) as (client, _):
            assert post(client, picture).status_code == 200

    def test_those_of_recordings(self, tiny_checkpoint_of):
        tiny = tiny_checkpoint_of("ctc-transcription")
        short, long = (in_json(sounds.encoded(sounds.tones(seconds))) for seconds in (1, 3))
        with service(tiny, audio_seconds=2) as (client, _):
            assert post(client, short).status_code == 200
            refused = post(client, long)
            assert refused.status_code == 422 and "at most 2 seconds" in refused.json()["error"]
        with service(tiny) as (client, _):
            assert post(client, long).status_code == 200

    def test_bodies(self, translator):
        with service(translator, text_bytes=100) as (client, _):
            assert post(client, "A dog runs. " * 20).status_code == 413


class TestStrangers:
    def test_a_token_opens_the_answers(self, translator, caplog):
        with service(translator, tokens=("sesame",)) as (client, _), caplog.at_level(logging.INFO):
            refused = post(client)
            assert (refused.status_code, refused.json()["code"]) == (401, "unauthorized")
            assert refused.headers["x-request-id"] == refused.json()["request_id"]
            assert post(client, Authorization="Bearer sesam").status_code == 401
            assert post(client, Authorization="Bearer sesame").status_code == 200
            assert client.get("/metrics").status_code == 401 and client.get("/health").status_code == 200
            counted = client.get("/metrics", headers={"Authorization": "Bearer sesame"}).text
            assert 'hindsight_requests_total{route="/models/{checkpoint}",status="401"} 2.0' in counted
            page = client.get("/docs").text
            assert page.count("needs a token") == 2 and "All others, the demo too, need none." in page
        assert "sesam" not in caplog.text

    def test_too_often(self, translator):
        with service(translator, requests_per_minute=1, burst=2) as (client, _):
            assert [post(client).status_code for _ in range(3)] == [200, 200, 429]

    def test_no_page_of_another_host_may_ask_unless_it_is_named(self, translator):
        asked = {"Origin": "https://example.org", "Access-Control-Request-Method": "POST"}
        with service(translator) as (client, _):
            assert "access-control-allow-origin" not in client.options("/models/tiny", headers=asked).headers
            assert "access-control-allow-origin" not in post(client, Origin="https://example.org").headers
        with service(translator, allowed_origins=("https://example.org",)) as (client, _):
            allowed = client.options("/models/tiny", headers=asked).headers
            assert allowed["access-control-allow-origin"] == "https://example.org"
            other = post(client, Origin="https://example.com").headers
            assert "access-control-allow-origin" not in other

    def test_headers_that_browsers_heed(self, translator):
        with service(translator) as (client, _):
            headers = client.get("/docs").headers
        assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"
        assert "frame-ancestors 'self'" in headers["content-security-policy"]


class TestWhatIsSeen:
    def test_the_counters(self, translator):
        with service(translator) as (client, _):
            post(client)
            post(client, "")
            client.get("/nothing")
            text = client.get("/metrics").text
        for line in (
            'hindsight_requests_total{route="/models/{checkpoint}",status="200"} 1.0',
            'hindsight_requests_total{route="/models/{checkpoint}",status="422"} 1.0',
            'hindsight_rejected_total{code="invalid_input"} 1.0',
            'hindsight_batch_size_count{checkpoint="tiny"} 2.0',
            'hindsight_queue_depth{checkpoint="tiny"} 0.0',
            'hindsight_queue_wait_seconds_count{checkpoint="tiny"} 2.0',
        ):
            assert line in text, line
        values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        assert float(values['hindsight_tokens_total{checkpoint="tiny"}']) > 0
        assert float(values["hindsight_memory_bytes"]) > 2**20

    def test_a_line_for_each_request_and_nothing_of_what_was_sent(self, translator, caplog):
        with service(translator) as (client, _), caplog.at_level(logging.INFO, "hindsight"):
            good, bad = post(client, "A red dog runs."), post(client, "é" * 2000)
            client.post("/models/A%20red%20dog", json={"inputs": "A red dog"})
        lines = [json.loads(JsonFormatter().format(record)) for record in caplog.records if record.msg == "request"]
        assert [line["status"] for line in lines] == [200, 422, 404]
        assert lines[0]["request_id"] == good.headers["x-request-id"] and lines[0]["checkpoint"] == "tiny"
        assert lines[1]["request_id"] == bad.json()["request_id"] and lines[0]["milliseconds"] > 0
        assert "red" not in json.dumps(lines) and "é" not in json.dumps(lines, ensure_ascii=False)


@pytest.fixture(scope="module")
def served(translator):
    settings = Settings(deadline_seconds=2, maximum_batch=1)
    return ServedCheckpoints([ServedCheckpoint(translator.folder, translator.task, settings)], settings)


def begin(address):
    """Send a request and do not wait for its answer."""
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=30)
    body = json.dumps({"inputs": TEXT})
    connection.request("POST", "/models/tiny", body, {"Content-Type": "application/json"})
    return connection


def test_who_hangs_up_frees_the_place(address, served, monkeypatch):
    held = Held(served, monkeypatch)
    first = begin(address)
    assert held.begun.acquire(timeout=10)
    second = begin(address)
    wait_until(lambda: len(served["tiny"].queue) == 1)
    second.close()
    wait_until(lambda: len(served["tiny"].queue) == 0)
    held.go.release(1)
    assert first.getresponse().status == 200 and len(held.batches) == 1


def test_a_body_that_trickles_in_is_ended_by_the_deadline(address):
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=30)
    connection.putrequest("POST", "/models/tiny")
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", "1000")
    connection.endheaders(b"{")
    started = time.monotonic()
    response = connection.getresponse()
    assert response.status == 504 and 1 < time.monotonic() - started < 5
