"""The HTTP service: every route, every error, and the Hub's own client."""

import asyncio
import base64
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import uvicorn
from fastapi.testclient import TestClient
from huggingface_hub import InferenceClient

from pipelines import InputError
from serving.application import create_application
from serving.bodies import MAXIMUM_BYTES, read_request
from serving.checkpoints import ServedCheckpoint, ServedCheckpoints
from serving.errors import RequestError


@pytest.fixture(scope="module")
def served(tiny_checkpoint):
    return ServedCheckpoints([ServedCheckpoint(tiny_checkpoint.folder, tiny_checkpoint.task)])


@pytest.fixture(scope="module")
def client(served):
    with TestClient(create_application(served), raise_server_exceptions=False) as client:
        assert served.wait_until_loaded(60)
        yield client


@pytest.fixture(scope="module")
def item(tiny_checkpoint):
    return tiny_checkpoint.family.inputs[0]


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
    assert response.json() == tiny_checkpoint.pipeline()(item, return_evidence=True)


def test_routes_that_describe(client, tiny_checkpoint):
    assert client.get("/health").json() == {"status": "alive"}
    assert client.get("/ready").json() == {"status": "ready", "checkpoints": {"tiny": "ready"}}
    (model,) = client.get("/models").json()
    assert model["name"] == "tiny" and model["task"] == tiny_checkpoint.task.name and model["ready"]
    assert "return_evidence" in model["parameters"] and model["evaluation"] == {}
    paths = client.get("/openapi.json").json()["paths"]
    assert set(paths) == {"/health", "/ready", "/models", "/models/{checkpoint}"}
    page = client.get("/docs").text
    assert "POST /models/{checkpoint}" in page and "://" not in page


def test_the_examples_of_openapi_work(client, item):
    operation = client.get("/openapi.json").json()["paths"]["/models/{checkpoint}"]["post"]
    for example in operation["requestBody"]["content"]["application/json"]["examples"].values():
        assert client.post("/models/tiny", json=example["value"]).status_code in (200, 422)


def test_an_unknown_checkpoint_or_route(client, item):
    refused(client.post("/models/none", json={"inputs": item}), 404, "unknown_checkpoint", "'none'", "Served: tiny")
    refused(client.get("/nothing"), 404, "not_found", "/nothing")
    refused(client.get("/models/tiny"), 405, "method_not_allowed", "GET /models/tiny")


def test_a_body_that_is_too_large(client, tiny_checkpoint):
    content = b" " * (MAXIMUM_BYTES[tiny_checkpoint.task.modality] + 1)
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
        (b'{"inputs": "a", "paramters": {}}', ["Unknown key 'paramters'"]),
        (b'{"inputs": "a", "parameters": 3}', ["parameters must be an object"]),
        (b'{"inputs": null}', ["inputs", "None"]),
        (b'{"inputs": ["a", null]}', ["Input 1"]),
    ],
)
def test_a_body_that_is_not_the_schema(client, content, words):
    response = client.post("/models/tiny", content=content, headers={"content-type": "application/json"})
    refused(response, 422, "invalid_input", *words)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"beam_width": 3}, ["Unknown option 'beam_width'", "Known options"]),
        ({"return_evidence": "yes"}, ["return_evidence must be true or false; got 'yes'"]),
        ({"generate_parameters": 3}, ["generate_parameters must be an object"]),
    ],
)
def test_parameters_that_do_not_fit(client, item, parameters, words):
    refused(client.post("/models/tiny", json={"inputs": item, "parameters": parameters}), 422, "invalid_input", *words)


def test_an_error_of_ours_leaks_nothing(served, item, monkeypatch):
    def broken(*_):
        raise RuntimeError("secret in /a/path")

    with TestClient(create_application(served), raise_server_exceptions=False) as client:
        monkeypatch.setattr(served["tiny"], "answer", broken)
        error = refused(client.post("/models/tiny", json={"inputs": item}), 500, "internal")
    assert "secret" not in error and "/" not in error


def test_before_it_is_loaded_and_when_it_cannot_be(tiny_checkpoint, item, tmp_path):
    waiting = ServedCheckpoints([ServedCheckpoint(tiny_checkpoint.folder, tiny_checkpoint.task)])
    client = TestClient(create_application(waiting))  # not started: nothing is loaded
    assert client.get("/health").status_code == 200
    assert client.get("/ready").status_code == 503 and client.get("/ready").headers["retry-after"]
    response = client.post("/models/tiny", json={"inputs": item})
    refused(response, 503, "not_ready", "still being loaded")
    assert response.headers["retry-after"]

    (tmp_path / "damaged").mkdir()
    damaged = ServedCheckpoints([ServedCheckpoint(tmp_path / "damaged", tiny_checkpoint.task)])
    with TestClient(create_application(damaged)) as client:
        assert damaged.wait_until_loaded(60)
        ready = client.get("/ready")
        assert ready.status_code == 503 and "config.json" in ready.json()["checkpoints"]["damaged"]
        refused(client.post("/models/damaged", json={"inputs": item}), 503, "checkpoint_failed", "damaged")


def test_many_at_once_get_what_each_gets_alone(client, tiny_checkpoint):
    bodies = [{"inputs": item} for item in tiny_checkpoint.family.inputs] * 4
    alone = [client.post("/models/tiny", json=body).json() for body in bodies]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda body: client.post("/models/tiny", json=body).json(), bodies))
    assert together == alone


class TestMedia:
    """Bodies of image and audio tasks: the file itself, or base64 in JSON."""

    def read(self, content, media_type, modality):
        class Sent:
            headers = {"content-type": media_type} if media_type else {}

            async def stream(self):
                yield content

        return asyncio.run(read_request(Sent(), modality))

    @pytest.mark.parametrize("media_type", ["image/png", "application/octet-stream", ""])
    def test_a_file_is_the_input(self, media_type):
        assert self.read(b"\x89PNG", media_type, "image") == (b"\x89PNG", None)

    def test_base64_in_json_is_the_file(self):
        content = json.dumps({"inputs": base64.b64encode(b"RIFF").decode(), "parameters": {"top_k": 1}}).encode()
        assert self.read(content, "application/json", "audio") == (b"RIFF", {"top_k": 1})

    def test_what_is_neither_is_refused(self):
        with pytest.raises(RequestError, match=r"image/\*.*'audio/wav'"):
            self.read(b"", "audio/wav", "image")
        with pytest.raises(InputError, match="base64"):
            self.read(b'{"inputs": "no base64!"}', "application/json", "image")


@pytest.fixture(scope="module")
def address(served):
    """Serve the tiny checkpoint on a real port."""
    server = uvicorn.Server(uvicorn.Config(create_application(served), port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    assert served.wait_until_loaded(60)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


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
