"""The HTTP service: every route, every error, and the Hub's own client."""

import asyncio
import base64
import http.client
import json
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from huggingface_hub import InferenceClient

import serving.hosting
from pipelines import InputError
from pipelines.served import Served
from serving.application import create_application
from serving.bodies import PendingBytes, Reading, read_request
from serving.checkpoints import ServedCheckpoints
from serving.errors import MOUNTED_ERROR_HANDLERS, RequestError
from serving.hosting import ModelHost
from serving.served_checkpoint import ServedCheckpoint
from serving.settings import Settings

from .conftest import is_close, pipeline_of
from .tiny import in_json


@pytest.fixture(scope="module")
def item(tiny_checkpoint):
    """An input as JSON has it."""
    return in_json(tiny_checkpoint.family.inputs[0])


def refused(response, status, code, *words):
    """Check an error's shape and return its sentence."""
    body = response.json()
    assert (response.status_code, body["code"]) == (status, code), body
    assert set(body) == {"error", "code", "request_id"}
    assert response.headers["x-request-id"] == body["request_id"]
    for word in words:
        assert word in body["error"]
    return body["error"]


def test_the_answer_is_the_pipelines(client, tiny_checkpoint, item):
    response = client.post("/models/tiny", json={"inputs": item, "parameters": {"return_evidence": True}})
    assert response.status_code == 200 and response.headers["x-request-id"]
    pipe = tiny_checkpoint.pipeline()
    assert response.json() == pipe.as_response(pipe(tiny_checkpoint.family.inputs[0], return_evidence=True))


def test_routes_that_describe(client, tiny_checkpoint):
    assert client.get("/health").json() == {"status": "alive"}
    assert client.get("/ready").json() == {"status": "ready", "checkpoints": {"tiny": "ready"}}
    (model,) = client.get("/models").json()
    assert model["name"] == "tiny" and model["task"] == tiny_checkpoint.task.name and model["ready"]
    assert "return_evidence" in model["parameters"] and model["evaluation"] == {}
    paths = client.get("/openapi.json").json()["paths"]
    assert set(paths) == {"/health", "/ready", "/models", "/metrics", "/models/{checkpoint}"}
    page = client.get("/docs").text
    assert "POST /models/{checkpoint}" in page and "://" not in page


def test_the_examples_of_openapi_are_what_comes(client, tiny_checkpoint):
    operation = client.get("/openapi.json").json()["paths"]["/models/{checkpoint}"]["post"]
    requests = operation["requestBody"]["content"]["application/json"]["examples"]
    answers = operation["responses"]["200"]["content"]["application/json"]["examples"]
    ours = [name for name in requests if name.split()[0] == tiny_checkpoint.task.hub_pipeline_tag]
    assert ours, f"openapi.json has no example of {tiny_checkpoint.task.hub_pipeline_tag}"
    for name in ours:
        response = client.post("/models/tiny", json=requests[name]["value"])
        assert response.status_code == 200
        assert shape(first_of(response.json())) == shape(first_of(answers[name]["value"]))


def first_of(answer):
    """Return the first result, where a task has several."""
    return answer[0] if isinstance(answer, list) else answer


def shape(result):
    """Return a result's keys, those of what it contains too."""
    return {key: shape(value) for key, value in result.items()} if isinstance(result, dict) else None


def test_an_unknown_checkpoint_or_route(client, item):
    refused(client.post("/models/none", json={"inputs": item}), 404, "unknown_checkpoint", "'none'", "Served: tiny")
    refused(client.get("/nothing"), 404, "not_found", "/nothing")
    refused(client.get("/models/tiny"), 405, "method_not_allowed", "GET /models/tiny")
    assert client.get("/models/tiny").headers["allow"] == "POST"


def test_an_application_mounted_beside_the_routes_answers_errors_alike(served):
    application = create_application(served)
    application.mount("/", FastAPI(exception_handlers=MOUNTED_ERROR_HANDLERS))  # as app.py mounts the demo
    client = TestClient(application)
    refused(client.get("/nothing"), 404, "not_found", "/nothing")
    refused(client.get("/models/tiny"), 405, "method_not_allowed", "GET /models/tiny")
    refused(client.delete("/models"), 405, "method_not_allowed", "DELETE /models")
    assert client.get("/health").status_code == 200


def test_a_body_that_is_too_large(client, tiny_checkpoint):
    content = b" " * (Settings().maximum_bytes(tiny_checkpoint.task.modality) + 1)
    response = client.post("/models/tiny", content=content, headers={"content-type": "application/json"})
    refused(response, 413, "too_large", "at most")


def test_a_media_type_that_is_not_the_tasks(client, item):
    response = client.post("/models/tiny", content=json.dumps({"inputs": item}), headers={"content-type": "text/csv"})
    refused(response, 415, "unsupported_media_type", "application/json", "'text/csv'")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{", ["body", "Expected JSON"]),
        (b"\xff\xfe", ["body", "Expected JSON"]),
        (b"[" * 100_000, ["body", "Expected JSON"]),
        (b"[1]", ["body", "Expected an object"]),
        (b"{}", ["inputs", "Expected the key inputs"]),
        (b'{"inputs": "aaaa", "paramters": {}}', ["Unknown key 'paramters'"]),
        (b'{"inputs": "aaaa", "\\ud800": 1}', ["Unknown key '\\ud800'"]),
        (b'{"inputs": "aaaa", "parameters": 3}', ["parameters must be an object"]),
        (b'{"inputs": null}', ["inputs", "None"]),
    ],
)
def test_a_body_that_is_not_the_schema(client, content, words):
    response = client.post("/models/tiny", content=content, headers={"content-type": "application/json"})
    refused(response, 422, "invalid_input", *words)


def test_a_wrong_input_among_others_is_named(client, item):
    response = client.post("/models/tiny", json={"inputs": [item, None]})
    refused(response, 422, "invalid_input", "Input 1")


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"beam_width": 3}, ["Unknown option 'beam_width'", "Known options"]),
        ({"return_evidence": "yes"}, ["return_evidence must be true or false; got 'yes'"]),
        ({"generate_parameters": 3}, ["generate_parameters must be an object"]),
        ({"\ud800": 1}, ["Unknown option '\\ud800'"]),
        # Arguments of Python's calls, which are not options: num_workers would start processes.
        ({"inputs": "b"}, ["Unknown option 'inputs'"]),
        ({"self": 1}, ["Unknown option 'self'"]),
        ({"batch_size": "x"}, ["Unknown option 'batch_size'"]),
        ({"num_workers": 2}, ["Unknown option 'num_workers'"]),
    ],
)
def test_parameters_that_do_not_fit(client, item, parameters, words):
    content = json.dumps({"inputs": item, "parameters": parameters})  # httpx cannot send half a character, we can
    response = client.post("/models/tiny", content=content, headers={"content-type": "application/json"})
    refused(response, 422, "invalid_input", *words)


@pytest.mark.parametrize("value", [10**400, -1e9, float("inf"), float("nan"), True, "many", [1]])
def test_an_option_out_of_its_range_is_told_its_range(client, tiny_checkpoint, item, value):
    for option in tiny_checkpoint.pipeline().options:
        if option.kind in ("int", "float"):
            content = json.dumps({"inputs": item, "parameters": {option.name: value}})
            response = client.post("/models/tiny", content=content, headers={"content-type": "application/json"})
            error = refused(response, 422, "invalid_input", option.expectation())
            assert error.startswith(f"{option.name} must be ")  # the field is named once


def test_an_error_of_ours_leaks_nothing(served, item, monkeypatch, caplog):
    def broken(*_):
        raise RuntimeError("secret in /a/path")

    with TestClient(create_application(served), raise_server_exceptions=False) as client:
        monkeypatch.setattr(pipeline_of(served, "tiny"), "serve_together", broken)
        response = client.post("/models/tiny", json={"inputs": item})
        error = refused(response, 500, "internal")
    assert "secret" not in error and "/" not in error
    assert response.json()["request_id"] in caplog.text and "secret in /a/path" in caplog.text


def test_before_it_is_loaded_and_when_it_cannot_be(tiny_checkpoint, item, tmp_path):
    waiting = ServedCheckpoints([ServedCheckpoint(tiny_checkpoint.folder, tiny_checkpoint.task)])
    client = TestClient(create_application(waiting))  # not started: nothing is loaded
    assert client.get("/health").status_code == 200
    refused(client.get("/ready"), 503, "not_ready", "Still being loaded: tiny.")
    assert client.get("/ready").headers["retry-after"]
    response = client.post("/models/tiny", json={"inputs": item})
    refused(response, 503, "not_ready", "still being loaded")
    assert response.headers["retry-after"]

    (tmp_path / "damaged").mkdir()
    damaged = ServedCheckpoints([ServedCheckpoint(tmp_path / "damaged", tiny_checkpoint.task)])
    with TestClient(create_application(damaged)) as client:
        assert damaged.wait_until_loaded(60)
        refused(client.get("/ready"), 503, "checkpoint_failed", "damaged/config.json: the file is missing or empty.")
        refused(client.post("/models/damaged", json={"inputs": item}), 503, "checkpoint_failed", "damaged", "/ready")


def test_one_that_cannot_be_loaded_does_not_hold_up_the_others(tiny_checkpoint, item, tmp_path, monkeypatch):
    def load(task, model, **_):
        if model == str(tmp_path):
            raise RuntimeError("secret in /a/path")
        return tiny_checkpoint.pipeline()

    monkeypatch.setattr(serving.hosting, "pipeline", load)
    folders = [tmp_path, tmp_path / "missing", tiny_checkpoint.folder]
    served = ServedCheckpoints([ServedCheckpoint(folder, tiny_checkpoint.task) for folder in folders])
    with TestClient(create_application(served)) as client:
        assert served.wait_until_loaded(60)
        error = refused(client.get("/ready"), 503, "checkpoint_failed", tmp_path.name, "the log says why")
        assert "secret" not in error and not served["tiny"].failure
        assert client.post("/models/tiny", json={"inputs": item}).status_code == 200


def test_what_is_said_of_a_damaged_checkpoint_names_no_folder_of_the_machine(tiny_checkpoint, tmp_path):
    missing = ServedCheckpoint(tmp_path / "missing", tiny_checkpoint.task)
    missing.load(ModelHost(Settings()))
    assert missing.failure.startswith("No checkpoint 'missing'") and str(tmp_path) not in missing.failure

    (tmp_path / "unmeasured").mkdir()
    (tmp_path / "unmeasured" / "evaluation.json").write_text("{")
    unmeasured = ServedCheckpoint(tmp_path / "unmeasured", tiny_checkpoint.task)
    unmeasured.load(ModelHost(Settings()))
    assert unmeasured.failure.startswith("unmeasured/evaluation.json: not JSON")


def test_many_at_once_get_what_each_gets_alone(client, tiny_checkpoint):
    bodies = [{"inputs": in_json(item)} for item in tiny_checkpoint.family.inputs] * 4
    alone = [client.post("/models/tiny", json=body).json() for body in bodies]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda body: client.post("/models/tiny", json=body).json(), bodies))
    assert is_close(together, alone)


class TestMedia:
    """Bodies of image and audio tasks: the file itself, or base64 in JSON."""

    def read(self, content, media_type, modality, query=MappingProxyType({})):
        class Sent:
            headers = {"content-type": media_type} if media_type else {}
            query_params = query

            async def stream(self):
                yield content

        return asyncio.run(read_request(Sent(), modality, Reading(PendingBytes(1000), 1000)))

    @pytest.mark.parametrize("media_type", ["image/png", "application/octet-stream", ""])
    def test_a_file_is_the_input(self, media_type):
        assert self.read(b"\x89PNG", media_type, "image") == (b"\x89PNG", None, False)

    def test_a_files_options_stand_in_the_address(self):
        query = {"num_beams": "5", "return_evidence": "true", "length_normalization": "gnmt"}
        expected = {"num_beams": 5, "return_evidence": True, "length_normalization": "gnmt"}
        assert self.read(b"\x89PNG", "image/png", "image", query) == (b"\x89PNG", expected, False)

    def test_base64_in_json_is_the_file(self):
        content = json.dumps({"inputs": base64.b64encode(b"RIFF").decode(), "parameters": {"top_k": 1}}).encode()
        assert self.read(content, "application/json", "audio") == (b"RIFF", {"top_k": 1}, False)

    def test_what_is_neither_is_refused(self):
        with pytest.raises(RequestError, match=r"image/\*.*'audio/wav'"):
            self.read(b"", "audio/wav", "image")
        with pytest.raises(InputError, match="base64"):
            self.read(b'{"inputs": "no base64!"}', "application/json", "image")


@pytest.fixture
def connection(address):
    """A connection on which requests can be sent in pieces."""
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=30)
    yield connection
    connection.close()


def test_a_body_of_unknown_length_is_read_no_further_than_its_limit(connection, tiny_checkpoint):
    parts = [b" " * 2**16] * (Settings().maximum_bytes(tiny_checkpoint.task.modality) // 2**16 + 1)
    headers = {"content-type": "application/json"}
    connection.request("POST", "/models/tiny", body=iter(parts), headers=headers, encode_chunked=True)
    response = connection.getresponse()
    assert response.status == 413 and json.load(response)["code"] == "too_large"


def test_a_client_that_goes_away_is_no_error_of_ours(connection, address, caplog):
    with caplog.at_level(logging.INFO):
        connection.putrequest("POST", "/models/tiny")
        connection.putheader("Content-Type", "application/json")
        connection.putheader("Content-Length", "100")
        connection.endheaders(b'{"inp')
        connection.close()
        time.sleep(0.2)
    assert "failed" not in caplog.text and "Traceback" not in caplog.text


def test_it_is_alive_while_a_model_works(client, served, item, monkeypatch):
    working, finish = threading.Event(), threading.Event()

    def work(*_):
        working.set()
        assert finish.wait(30)
        return [Served([])]

    monkeypatch.setattr(pipeline_of(served, "tiny"), "serve_together", work)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(client.post, "/models/tiny", json={"inputs": item})
        assert working.wait(30)
        assert client.get("/health").json() == {"status": "alive"} and not answer.done()
        finish.set()
        assert answer.result().json() == []


def test_the_hubs_client_works_unchanged(address, tiny_checkpoint, item):
    if tiny_checkpoint.task.hub_pipeline_tag != "translation":
        pytest.skip("the other schemas are tested with their families")
    client, pipe = InferenceClient(base_url=f"{address}/models/tiny"), tiny_checkpoint.pipeline()
    assert client.translation(item).translation_text == pipe(item)[0]["translation_text"]
    beams = client.translation(item, src_lang="en", tgt_lang="de", generate_parameters={"num_beams": 4})
    assert beams.translation_text == pipe(item, num_beams=4)[0]["translation_text"]
    explained = client.translation(item, generate_parameters={"return_evidence": True})
    assert explained["evidence"] == pipe(item, return_evidence=True)[0]["evidence"]


@pytest.mark.parametrize("content", ['{"inputs": "\\ud800"}', json.dumps({"inputs": "x" * 100_000})])
def test_texts_that_no_model_can_read(client, tiny_checkpoint, content):
    if tiny_checkpoint.task.modality != "text":
        pytest.skip("the task reads no text")
    response = client.post("/models/tiny", content=content, headers={"content-type": "application/json"})
    assert refused(response, 422, "invalid_input")
