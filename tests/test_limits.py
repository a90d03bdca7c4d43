"""What the page gives away of the machine: no API, few places in the queue, and files only for a while."""

import time
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

import app
import demo.application
from demo.limits import BUSY, MAXIMUM_FILE_BYTES, MAXIMUM_WAITING
from serving.checkpoints import ServedCheckpoints

JOIN = {"fn_index": 1, "session_hash": "a", "data": [False, "A dog.", "attention-nmt-en-de", "", 1, 1, 1, 0, 0]}


KINDS = ("picture", "recording", "generation", "answering")


@pytest.fixture(scope="module")
def page():
    """Serve the page without a model behind it."""
    with TestClient(app.build_application(ServedCheckpoints([]))) as client:
        yield client


def blocks_of(client):
    (mounted,) = [route.app for route in client.app.routes if hasattr(getattr(route, "app", None), "get_blocks")]
    return mounted.get_blocks()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "info"),
        ("GET", "openapi.json"),
        ("GET", "deep_link?session_hash=a"),
        ("GET", "runs"),
        ("POST", "call/translate"),
        ("POST", "call/v2/translate"),
        ("POST", "api/translate"),
        ("POST", "run/translate"),
    ],
)
def test_gradio_has_no_api_beside_the_page(page, method, path):
    answer = page.request(method, f"/gradio_api/{path}", json={"data": ["A dog."]} if method == "POST" else None)
    assert answer.status_code == 404


def test_every_event_is_the_pages_alone(page):
    blocks = blocks_of(page)
    assert {event.api_visibility for event in blocks.fns.values()} == {"private"}
    assert not blocks.api_open and blocks._queue.max_size == MAXIMUM_WAITING


def test_who_comes_when_the_queue_is_full_reads_so_in_our_words(page, monkeypatch):
    monkeypatch.setattr(blocks_of(page)._queue, "max_size", 0)
    answer = page.post("/gradio_api/queue/join", json=JOIN)
    assert (answer.status_code, answer.json()) == (429, {"detail": BUSY})  # of a 503 Gradio tells its own story
    assert int(answer.headers["Retry-After"]) > 0


def test_a_file_that_is_too_large_is_not_kept(page):
    answer = page.post("/gradio_api/upload", files={"files": ("a.jpg", bytes(MAXIMUM_FILE_BYTES + 1))})
    assert answer.status_code == 413


def test_a_visitors_file_vanishes_and_the_examples_stay(monkeypatch, tmp_path):
    monkeypatch.setattr(demo.application, "DELETE_CACHE", (1, 1))
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    with TestClient(app.build_application(ServedCheckpoints([]))) as client:
        examples = set(tmp_path.rglob("*.*"))
        assert {file.suffix for file in examples} == {".jpg", ".flac"}
        (uploaded,) = client.post("/gradio_api/upload", files={"files": ("mine.jpg", b"x")}).json()
        assert Path(uploaded).is_file()
        deadline = time.monotonic() + 20
        while Path(uploaded).exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not Path(uploaded).exists()
        assert {file for file in examples if not file.exists()} == set()


def test_only_what_asks_no_model_goes_past_the_queue(page):
    programs = {f"write{kind}" for kind in ("", *(f"_{of}_programs" for of in KINDS))}
    unqueued = {event.fn.__name__ for event in blocks_of(page).fns.values() if event.fn and not event.queue}
    assert unqueued == {"load_example", "show_card", "stop_writing"} | programs
