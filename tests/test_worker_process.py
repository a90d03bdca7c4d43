"""Models in processes of their own: the same answers, and none lost when a process is killed."""

import os
import shutil
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from pipelines import CheckpointError, InputError
from serving.application import create_application
from serving.checkpoints import ServedCheckpoints
from serving.hosting import WorkerFault, WorkerLost
from serving.served_checkpoint import ServedCheckpoint
from serving.settings import Settings
from serving.worker_process import WorkerProcess

from .conftest import is_close

STARTING_SECONDS = 120
TASKS = ("attention-translation", "char-generation")
PROMPT, TEXT = "A dog ", "A dog runs."


@pytest.fixture(scope="module")
def tiny(tiny_checkpoint_of):
    return {name: tiny_checkpoint_of(name) for name in TASKS}


@pytest.fixture(scope="module")
def worker(tiny):
    worker = WorkerProcess(Settings(text_characters=123))
    for name, checkpoint in tiny.items():
        worker.load(name, checkpoint.folder, name)
    yield worker
    worker.stop()


def test_it_answers_as_this_process_does(worker, tiny):
    pipe = tiny["attention-translation"].pipeline()
    good, bad = worker.serve_together("attention-translation", [TEXT, ""], {"return_evidence": True})
    assert is_close(good.response, pipe.serve(TEXT, {"return_evidence": True}))
    assert isinstance(bad.error, InputError) and bad.error.field == "inputs" and "empty" in str(bad.error)


def test_its_threads_share_what_is_freed(worker):
    environment = Path(f"/proc/{worker.process_id}/environ").read_bytes().split(b"\0")
    assert f"MALLOC_ARENA_MAX={os.environ.get('MALLOC_ARENA_MAX', 2)}".encode() in environment


def test_it_streams_and_looks_into_a_text(worker, tiny):
    pipe, options = tiny["char-generation"].pipeline(), {"seed": 1, "max_new_tokens": 300, "do_sample": True}
    events = list(worker.stream("char-generation", PROMPT, options))
    assert events == list(pipe.serve_stream(PROMPT, options))
    assert is_close(worker.inspect("char-generation", PROMPT, {"top": 2}), pipe.inspect(PROMPT, top=2))
    with pytest.raises(InputError, match="empty"):
        worker.stream("char-generation", "", None)
    with pytest.raises(InputError, match="answers all at once"):
        worker.stream("attention-translation", TEXT, None)


def test_a_stream_that_is_closed_leaves_nothing(worker):
    events = worker.stream("char-generation", PROMPT, {"max_new_tokens": 5000})
    next(events)
    events.close()
    assert not worker._streams
    assert len(list(worker.stream("char-generation", PROMPT, {"max_new_tokens": 3}))) == 3


def test_what_cannot_be_loaded_is_told(worker, tiny, tmp_path):
    with pytest.raises(CheckpointError, match="No checkpoint"):
        worker.load("missing", tmp_path / "missing", "attention-translation")
    with pytest.raises(WorkerFault, match="Traceback"):
        worker.inspect("char-generation", PROMPT, {"no_such_option": 1})


def test_one_that_hangs_is_started_again(worker, monkeypatch):
    monkeypatch.setattr("serving.worker_process.HANGING_DEADLINES", 0.002)
    first = worker.process_id
    os.kill(first, signal.SIGSTOP)
    with pytest.raises(WorkerLost):
        worker.serve_together("attention-translation", [TEXT], None)
    monkeypatch.undo()
    wait_for_another(worker, first)
    (answer,) = worker.serve_together("attention-translation", [TEXT], None)
    assert answer.error is None


def test_nobody_asks_again_before_another_process_is_ready(worker, monkeypatch):
    first, noticed, restart = worker.process_id, threading.Event(), worker._restart

    def restart_late():
        assert noticed.wait(STARTING_SECONDS)
        restart()

    monkeypatch.setattr(worker, "_restart", restart_late)
    os.kill(first, signal.SIGKILL)
    worker._process.wait()
    with pytest.raises(WorkerLost):  # that reads what it says has not heard of its end yet
        worker.serve_together("attention-translation", [TEXT], None)
    assert not worker._ready.is_set()
    noticed.set()
    wait_for_another(worker, first)
    (answer,) = worker.serve_together("attention-translation", [TEXT], None)
    assert answer.error is None


def wait_for_another(worker, first):
    deadline = time.monotonic() + STARTING_SECONDS
    while worker.process_id == first and time.monotonic() < deadline:
        time.sleep(0.05)
    worker.wait_until_ready()
    assert worker.process_id != first


def test_one_that_hangs_while_it_streams_is_started_again(worker, monkeypatch):
    first = worker.process_id
    events = worker.stream("char-generation", PROMPT, {"max_new_tokens": 5000})
    next(events)
    os.kill(first, signal.SIGSTOP)
    monkeypatch.setattr("serving.worker_process.HANGING_DEADLINES", 0.002)
    with pytest.raises(WorkerLost):
        list(events)
    monkeypatch.undo()
    wait_for_another(worker, first)
    assert len(list(worker.stream("char-generation", PROMPT, {"max_new_tokens": 3}))) == 3


def test_it_comes_back_after_starts_that_fail_and_without_a_checkpoint_that_was_damaged(
    worker, tiny, monkeypatch, tmp_path
):
    folder = tmp_path / "damaged"
    shutil.copytree(tiny["attention-translation"].folder, folder)
    monkeypatch.setattr(worker, "_loaded", {"damaged": (folder, "attention-translation"), **worker._loaded})
    shutil.rmtree(folder)
    first, failures, begin = worker.process_id, [], subprocess.Popen

    def start(*arguments, **options):
        if len(failures) < 2:
            failures.append(OSError("no process is left"))
            raise failures[-1]
        return begin(*arguments, **options)

    monkeypatch.setattr("serving.worker_process.subprocess.Popen", start)
    monkeypatch.setattr("serving.worker_process.RESTART_SECONDS", 0.05)
    os.kill(first, signal.SIGKILL)
    wait_for_another(worker, first)
    (answer,) = worker.serve_together("attention-translation", [TEXT], None)
    assert answer.error is None and len(failures) == 2


def test_a_process_that_is_killed_while_it_loads_gives_way_to_another(tiny):
    worker = WorkerProcess(Settings())
    first = worker.process_id
    os.kill(first, signal.SIGSTOP)
    loading = ThreadPoolExecutor(1).submit(
        worker.load, "tiny", tiny["attention-translation"].folder, "attention-translation"
    )
    time.sleep(0.2)
    os.kill(first, signal.SIGKILL)
    loading.result(STARTING_SECONDS)
    (answer,) = worker.serve_together("tiny", [TEXT], None)
    worker.stop()
    assert answer.error is None and worker.process_id != first


def test_no_request_is_lost_when_a_process_is_killed(tiny):
    checkpoint = tiny["attention-translation"]
    settings = Settings(workers=2, maximum_batch=2, queue_size=200)
    served = ServedCheckpoints([ServedCheckpoint(checkpoint.folder, checkpoint.task, settings)], settings)
    expected = checkpoint.pipeline().serve(TEXT)
    killed, finished = threading.Event(), []
    with TestClient(create_application(served)) as client, ThreadPoolExecutor(8) as pool:
        assert served.wait_until_loaded(STARTING_SECONDS)

        def ask(_):
            while not killed.is_set() or len(finished) < 50:
                response = client.post("/models/tiny", json={"inputs": TEXT})
                assert response.status_code == 200 and is_close(response.json(), expected), response.text
                if killed.is_set():
                    finished.append(1)

        asking = [pool.submit(ask, number) for number in range(8)]
        time.sleep(0.3)
        first = served.workers[0].process_id
        os.kill(first, signal.SIGKILL)
        killed.set()
        for one in asking:
            one.result(60)
        served.workers[0].wait_until_ready()
        assert served.workers[0].process_id != first
        assert client.post("/models/tiny", json={"inputs": TEXT}).status_code == 200
        assert 'hindsight_worker_memory_bytes{worker="1"}' in client.get("/metrics").text
    served.stop()
