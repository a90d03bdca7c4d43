"""No URL is fetched unless the caller names its host."""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

import pipelines.image_fetch
from pipelines.image_input import MAXIMUM_BYTES, read_image

from .pictures import encoded, noise, refusal

PICTURE = encoded(noise())


class Handler(BaseHTTPRequestHandler):
    """Answers each path in its own way, and notes that it was asked."""

    def do_GET(self):
        self.server.asked.append(self.path)
        path = self.path.split("?")[0]
        if path in ("/dog.png", "/h%C3%BCnd.png"):
            self.answer(PICTURE)
        elif path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/to/"))
            self.end_headers()
        elif path == "/loop":
            self.send_response(307)
            self.send_header("Location", "/loop")
            self.end_headers()
        elif path == "/part":
            self.answer(PICTURE[:100], declared=len(PICTURE))
        elif path == "/endless":
            self.send_response(200)
            self.end_headers()
            self.pour()
        elif path == "/silent":
            time.sleep(1)
        else:
            self.send_error(404)

    def answer(self, content, declared=None):
        self.send_response(200)
        self.send_header("Content-Length", str(declared or len(content)))
        self.end_headers()
        self.wfile.write(content)

    def pour(self):
        try:
            while True:
                self.wfile.write(b"\0" * 2**16)
                self.server.poured += 2**16
        except OSError:
            pass

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def host(server):
    server.asked, server.poured = [], 0
    return f"127.0.0.1:{server.server_port}"


def test_a_picture_of_an_allowed_host(host):
    for url in (f"http://{host}/dog.png", f" HTTP://{host}/dog.png?size=2#part", f"http://{host}/hünd.png"):
        found = read_image(url, allowed_hosts=("example.org", host))
        assert found.image.tobytes() == noise().tobytes()


@pytest.mark.parametrize(
    "prefix", ["http://", "HTTPS://", "ftp://", "file://", "s3://", "data:image/png;base64,", " http://"]
)
def test_without_a_list_nothing_is_asked(host, server, prefix):
    refusal(f"{prefix}{host}/dog.png", "got a URL, and no URL is fetched")
    assert server.asked == []


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:{port}/dog.png",
        "http://127.1:{port}/dog.png",
        "http://127.0.0.1.:{port}/dog.png",
        "http://127.0.0.1/dog.png",
        "http://127.0.0.1:{other}/dog.png",
        "https://127.0.0.1/dog.png",
        "http://127.0.0.1:{port}@example.org/dog.png",
        "http://someone@127.0.0.1:{port}/dog.png",
        "http://@127.0.0.1:{port}/dog.png",
        "http://127.0.0.1:{port}\\@example.org/dog.png",
        "http://example.org\\@127.0.0.1:{port}/dog.png",
        "http://127.0.0.1:{port}/dog.png\r\nX: y",
        "http://127.0.0.1:99999/dog.png",
        "http://127.0.0.1:x/dog.png",
        "http:///dog.png",
        "http://[::1/dog.png",
        "http://" + "a" * 70 + "/dog.png",
        "ftp://127.0.0.1:{port}/dog.png",
        "file:///etc/passwd",
        "file://127.0.0.1:{port}/etc/passwd",
        "data:image/png;base64,AAAA",
    ],
)
def test_a_host_that_is_not_on_the_list(host, server, url):
    url = url.format(port=server.server_port, other=server.server_port ^ 1)
    refusal(url, f"Expected an http or https URL of {host}; got one", allowed_hosts=(host,))
    assert server.asked == []


@pytest.mark.parametrize(
    ("allowed", "url"),
    [
        ("example.org", "http://example.org/"),
        ("example.org", "https://EXAMPLE.org:443/"),
        ("Example.ORG:80", "http://example.org/"),
        ("example.org:8080", "http://example.org:8080/"),
        ("bücher.example", "http://xn--bcher-kva.example/"),
        ("xn--bcher-kva.example", "http://Bücher.example/"),
        ("[::1]:8080", "http://[::1]:8080/"),
    ],
)
def test_the_same_host_spelt_otherwise(allowed, url):
    assert pipelines.image_fetch._check_url(url, (allowed,))


@pytest.mark.parametrize(
    ("allowed", "url"),
    [
        ("example.org", "http://example.org:8080/"),
        ("example.org:443", "http://example.org/"),
        ("example.org", "http://www.example.org/"),
        ("example.org", "http://example.org.evil.example/"),
        ("example.org", "http://evil.example/example.org"),
        ("example.org", "http://evil.example#example.org"),
        ("", "http:///"),
    ],
)
def test_another_host(allowed, url):
    refusal(url, "got one", allowed_hosts=(allowed,))


def test_redirects_are_checked_again(host, server):
    assert read_image(f"http://{host}/to//dog.png", allowed_hosts=(host,)).image.size == (64, 48)
    assert read_image(f"http://{host}/to/http://{host}/dog.png", allowed_hosts=(host,)).image.size == (64, 48)
    for target in (f"http://localhost:{server.server_port}/dog.png", "file:///etc/passwd", f"//someone@{host}/dog.png"):
        server.asked.clear()
        refusal(f"http://{host}/to/{target}", f"URL of {host}; got one", allowed_hosts=(host,))
        assert server.asked == [f"/to/{target}"]
    server.asked.clear()
    refusal(f"http://{host}/loop", "more than 3 redirects", allowed_hosts=(host,))
    assert len(server.asked) == 4


def test_answers_that_are_no_picture(host, server, monkeypatch):
    assert host.split(":")[1] not in refusal(f"http://{host}/none", "127.0.0.1 answered 404", allowed_hosts=(host,))
    refusal(f"http://{host}/part", "only a part", allowed_hosts=(host,))
    refusal(f"http://{host}/endless", "at most 16,777,216 bytes", "127.0.0.1 sent more", allowed_hosts=(host,))
    assert server.poured < MAXIMUM_BYTES + 2**23  # what the sockets hold
    monkeypatch.setattr(pipelines.image_fetch, "TIMEOUT_SECONDS", 0.2)
    refusal(f"http://{host}/silent", "cannot be reached or asked", allowed_hosts=(host,))
    refusal("http://127.0.0.1:1/", "cannot be reached or asked", allowed_hosts=("127.0.0.1:1",))
    monkeypatch.setattr(pipelines.image_fetch, "MAXIMUM_SECONDS", 0)
    refusal(f"http://{host}/endless", "within 0 seconds", allowed_hosts=(host,))
