"""The service on Ray Serve, on one machine; skipped where requirements-scale.txt is not installed."""

import json
import os
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

from benchmarks.server_process import free_port
from serving.settings import Settings

from .conftest import is_close

pytest.importorskip("ray")

import psutil
import ray
from ray import serve

from serving import ray_serve

TEXT = "A dog runs."
NAMES = ("attention-translation", "char-generation")


@pytest.fixture(scope="module")
def tiny(tiny_checkpoint_of):
    return {name: tiny_checkpoint_of(name) for name in NAMES}


@pytest.fixture(scope="module")
def address(tiny, tmp_path_factory):
    port = free_port()
    folders = {}
    for name, checkpoint in tiny.items():
        folder = tmp_path_factory.mktemp("ray") / name
        os.symlink(checkpoint.folder, folder)
        folders[name] = (str(folder), name)
    ray_serve.start("127.0.0.1", port, num_cpus=4, object_store_memory=200 * 2**20, log_to_driver=False)
    scale = ray_serve.Scale(minimum_replicas=2, maximum_replicas=2, cpus=0.1)
    ray_serve.deploy(folders, Settings(queue_size=200, num_beams=2), scale)
    yield f"http://127.0.0.1:{port}"
    serve.shutdown()
    ray.shutdown()


def post(address, name, body):
    request = urllib.request.Request(
        f"{address}/models/{name}", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_it_answers_and_refuses_as_one_process_does(address, tiny):
    pipe = tiny["attention-translation"].pipeline()
    parameters = {"return_evidence": True}
    status, text = post(address, "attention-translation", {"inputs": TEXT, "parameters": parameters})
    assert status == 200 and is_close(json.loads(text), pipe.serve(TEXT, parameters))
    status, text = post(address, "attention-translation", {"inputs": [TEXT, "A man."]})
    assert is_close(json.loads(text), pipe.serve([TEXT, "A man."]))
    for body, expected, words in (
        ({"inputs": ""}, 422, "inputs"),
        ({"inputs": [TEXT, ""]}, 422, "Input 1"),
        ({"inputs": TEXT, "parameters": {"num_beams": 3}}, 422, "num_beams must be at most 2"),
        ({"inputs": TEXT, "stream": True}, 422, "stream"),
    ):
        status, text = post(address, "attention-translation", body)
        error = json.loads(text)
        assert status == expected and words in error["error"] and set(error) == {"error", "code", "request_id"}
    assert post(address, "none", {"inputs": TEXT})[0] == 404
    for path in ("/health", "/ready", "/models", "/metrics"):
        assert urllib.request.urlopen(address + path).status == 200


def test_it_streams(address, tiny):
    parameters = {"seed": 1, "do_sample": True, "max_new_tokens": 30}
    status, text = post(address, "char-generation", {"inputs": "A dog ", "parameters": parameters, "stream": True})
    events = [json.loads(line.removeprefix("data:")) for line in text.strip().split("\n\n")]
    assert status == 200 and events == list(tiny["char-generation"].pipeline().serve_stream("A dog ", parameters))


def test_no_request_is_lost_when_a_replica_is_killed(address, tiny):
    expected = tiny["attention-translation"].pipeline().serve(TEXT)
    ended, answered = threading.Event(), []

    def ask(_):
        while not ended.is_set():
            status, text = post(address, "attention-translation", {"inputs": TEXT})
            assert status == 200 and is_close(json.loads(text), expected), text
            answered.append(time.monotonic())

    title = "ServeReplica:hindsight:attention-translation"
    replicas = [
        process for process in psutil.process_iter(["cmdline"]) if title in " ".join(process.info["cmdline"] or ())
    ]
    assert len(replicas) == 2
    with ThreadPoolExecutor(8) as pool:
        asking = [pool.submit(ask, number) for number in range(8)]
        time.sleep(2)
        replicas[0].kill()
        killed = time.monotonic()
        time.sleep(8)
        ended.set()
        for one in asking:
            one.result(60)
    assert sum(moment > killed for moment in answered) > 20


def test_what_runs_is_finished_when_it_is_stopped(address):
    parameters = {"seed": 1, "max_new_tokens": 5000, "num_return_sequences": 4}
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(post, address, "char-generation", {"inputs": "A dog ", "parameters": parameters})
        time.sleep(0.3)
        assert not running.done()
        serve.delete(ray_serve.APPLICATION)
        status, text = running.result(60)
    assert status == 200 and len(json.loads(text)) == 4
