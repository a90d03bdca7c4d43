"""What an operator can set, and who may ask."""

import dataclasses
import inspect
import re

import pytest

from serving.access import MAXIMUM_CALLERS, Access, needs_token
from serving.errors import RequestError
from serving.settings import Settings


def scope(token=None, path="/models/a", method="POST", client="10.0.0.1"):
    headers = [] if token is None else [(b"authorization", f"Bearer {token}".encode())]
    return {"type": "http", "method": method, "path": path, "headers": headers, "client": (client, 1)}


def test_the_environment_sets_what_it_names():
    variables = {"HINDSIGHT_QUEUE_SIZE": "3", "HINDSIGHT_GATHER_SECONDS": "0", "HINDSIGHT_TOKENS": "a, b,", "PATH": "/"}
    settings = Settings.from_environment(variables)
    assert (settings.queue_size, settings.gather_seconds, settings.tokens) == (3, 0.0, ("a", "b"))
    assert dataclasses.replace(settings, queue_size=64, gather_seconds=0.002, tokens=()) == Settings()


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("QUEUE_SIZE", "many", "HINDSIGHT_QUEUE_SIZE must be a whole number; got 'many'"),
        ("QUEUE_SIZE", "0", "queue_size must be more than 0; got 0"),
        ("DEADLINE_SECONDS", "-1", "deadline_seconds must be more than 0"),
        ("QUEUE", "1", "no setting HINDSIGHT_QUEUE. Known: HINDSIGHT_WORKERS"),
        ("LOG_FORMAT", "xml", "text or json"),
        ("RUNTIME", "fast", "runtime must be one of auto, torch, onnx, onnx-float32; got 'fast'"),
    ],
)
def test_a_setting_that_does_not_fit_is_named(name, text, words):
    with pytest.raises(ValueError, match=words):
        Settings.from_environment({f"HINDSIGHT_{name}": text})


def test_every_setting_has_a_sentence():
    source = inspect.getsource(Settings)
    for field in dataclasses.fields(Settings):
        assert re.search(rf'\n    {field.name}: [^\n]+\n    """', source), field.name


class TestTokens:
    def test_one_of_them_opens_what_is_closed(self, tmp_path):
        (tmp_path / "tokens").write_text("second\nthird\n")
        access = Access(Settings(tokens=("first",), tokens_file=str(tmp_path / "tokens")))
        for token in ("first", "second", "third"):
            access.check(scope(token))
        for token in (None, "", "fourth", "firs", "first second"):
            with pytest.raises(RequestError, match="Bearer") as refused:
                access.check(scope(token))
            assert refused.value.status == 401 and refused.value.headers["WWW-Authenticate"] == "Bearer"

    def test_what_is_open(self):
        access = Access(Settings(tokens=("first",)))
        for method, path in (("GET", "/health"), ("GET", "/models"), ("GET", "/"), ("POST", "/gradio_api/queue/join")):
            assert not needs_token(method, path)
            access.check(scope(None, path, method))
        with pytest.raises(RequestError):
            access.check(scope(None, "/metrics", "GET"))

    def test_without_tokens_everything_is(self):
        Access(Settings()).check(scope())

    def test_a_file_without_one_opens_nothing(self, tmp_path):
        (tmp_path / "tokens").write_text("\n")
        with pytest.raises(ValueError, match="Expected a token a line"):
            Access(Settings(tokens_file=str(tmp_path / "tokens")))

    def test_no_settings_show_one(self):
        assert "secret" not in repr(Settings(tokens=("secret",)))

    def test_it_keeps_no_token(self):
        assert "secret" not in repr(vars(Access(Settings(tokens=("secret",)))))


class TestRate:
    @pytest.fixture
    def clock(self):
        class Clock:
            now = 100.0

            def __call__(self):
                return self.now

        return Clock()

    def test_a_burst_and_then_the_rate(self, clock):
        access = Access(Settings(requests_per_minute=60, burst=3), clock)
        for _ in range(3):
            access.check(scope())
        with pytest.raises(RequestError, match="60 requests a minute") as refused:
            access.check(scope())
        assert (refused.value.status, refused.value.code) == (429, "rate_limit")
        assert refused.value.headers["Retry-After"] == "1"
        access.check(scope(client="10.0.0.2"))
        access.check(scope(method="GET", path="/models"))
        clock.now += 1
        access.check(scope())
        with pytest.raises(RequestError):
            access.check(scope())

    def test_by_token_where_there_are_some(self, clock):
        access = Access(Settings(requests_per_minute=1, burst=1, tokens=("a", "b")), clock)
        access.check(scope("a"))
        access.check(scope("b"))
        with pytest.raises(RequestError):
            access.check(scope("a", client="10.0.0.9"))

    def test_only_so_many_callers_are_remembered(self, clock):
        access = Access(Settings(requests_per_minute=1, burst=1), clock)
        for number in range(MAXIMUM_CALLERS + 5):
            access.check(scope(client=f"host-{number}"))
        assert len(access._buckets) == MAXIMUM_CALLERS
