"""Pictures over HTTP: as a file, in base64, by the Hub's own client; and no text of a request is ever a path."""

import base64
import http.client
import json
import struct
import zlib

import pytest
from huggingface_hub import InferenceClient

from pipelines.base64_input import MAXIMUM_FILES, decode_files
from pipelines.file_reading import FileKind
from serving.settings import Settings

from .pictures import encoded, noise

pytestmark = pytest.mark.parametrize("tiny_checkpoint", ["captioning"], indirect=True, scope="session")
PICTURE, PHOTOGRAPH = encoded(noise()), encoded(noise(40, 50), "JPEG")


def in_base64(content):
    return base64.b64encode(content).decode()


@pytest.fixture(scope="module")
def pipe(tiny_checkpoint):
    return tiny_checkpoint.pipeline()


def refused(response, status, code, *words):
    body = response.json()
    assert (response.status_code, body["code"]) == (status, code), body
    for word in words:
        assert word in body["error"], body
    return body["error"]


@pytest.mark.parametrize("media_type", ["image/jpeg", "image/png", "application/octet-stream", None])
@pytest.mark.parametrize("content", [PICTURE, PHOTOGRAPH])
def test_a_file_as_curl_sends_it(client, pipe, content, media_type):
    headers = {"content-type": media_type} if media_type else {}
    response = client.post("/models/tiny", content=content, headers=headers)
    assert response.status_code == 200 and response.json() == pipe(content)


@pytest.mark.parametrize(
    "text",
    [
        in_base64(PICTURE),
        base64.encodebytes(PICTURE).decode(),  # in lines, as the program base64 writes it
        f"data:image/png;base64,{in_base64(PICTURE)}",
        f"DATA:image/png;charset=x;base64,{in_base64(PICTURE)}",
    ],
)
def test_a_file_in_base64(client, pipe, text):
    assert client.post("/models/tiny", json={"inputs": text}).json() == pipe(PICTURE)


def test_options_and_evidence(client, pipe):
    parameters = {"num_beams": 3, "num_return_sequences": 2, "return_evidence": True}
    response = client.post("/models/tiny", json={"inputs": in_base64(PICTURE), "parameters": parameters})
    assert response.json() == pipe(PICTURE, **parameters) and len(response.json()) == 2


def test_a_list(client, pipe):
    body = {"inputs": [in_base64(PICTURE), f"data:;base64,{in_base64(PHOTOGRAPH)}"]}
    assert client.post("/models/tiny", json=body).json() == pipe([PICTURE, PHOTOGRAPH])
    assert client.post("/models/tiny", json={"inputs": []}).json() == []
    assert decode_files([PICTURE, in_base64(PHOTOGRAPH)]) == [PICTURE, PHOTOGRAPH]
    many = client.post("/models/tiny", json={"inputs": [in_base64(PICTURE)] * (MAXIMUM_FILES + 1)})
    refused(many, 422, "invalid_input", "at most 32 files; got 33")


@pytest.mark.parametrize("wrap", [lambda text: text, lambda text: [text], lambda text: [in_base64(PICTURE), text]])
def test_no_text_of_a_request_is_a_path(client, tmp_path, monkeypatch, wrap):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(FileKind, "_read_path", lambda *_: pytest.fail("a file was opened"))
    folder = tmp_path / "pictures"
    folder.mkdir()
    paths = ["dogs", "dog.png", "./dog.png", "pictures/dogs", str(folder / "dog"), str(folder / "dog.png"), ""]
    paths[4] += "s" * (-len(paths[4]) % 4)  # all of it are letters of base64, and as many as it takes
    for path in paths[:-1]:
        (tmp_path / path).write_bytes(PICTURE)
    for path in [*paths, f"file://{paths[4]}", f"file:{paths[4]}"]:
        response = client.post("/models/tiny", json={"inputs": wrap(path)})
        error = refused(response, 422, "invalid_input", "inputs")
        assert "there is no file" not in error and response.status_code == 422


@pytest.mark.parametrize(
    "inputs",
    [None, 3, True, {"path": "dogs"}, {"bytes": "AAAA"}, [["dogs"]], [None], [{"url": "http://example.org"}], [3]],
)
def test_what_is_no_text_is_refused(client, inputs):
    response = client.post("/models/tiny", json={"inputs": inputs})
    refused(response, 422, "invalid_input", "inputs", "Expected a file in base64; got")


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/dog.png", " HTTPS://example.org/dog.png", "ftp://a/b", "data:image/svg+xml,<svg/>"]
)
def test_no_url_is_fetched(client, url):
    for inputs in (url, [url]):
        refused(client.post("/models/tiny", json={"inputs": inputs}), 422, "invalid_input", "no URL is fetched")
    body = {"inputs": url, "parameters": {"allowed_hosts": ["127.0.0.1:1"]}}
    refused(client.post("/models/tiny", json=body), 422, "invalid_input", "no URL is fetched")
    body["inputs"] = in_base64(PICTURE)
    refused(client.post("/models/tiny", json=body), 422, "invalid_input", "Unknown option 'allowed_hosts'")


@pytest.mark.parametrize("text", ["no base64!", "AAA", "\ud800", "äöü", "data:image/png;base64,?", "-_-_"])
def test_what_is_no_base64(client, text):
    content = json.dumps({"inputs": text})
    response = client.post("/models/tiny", content=content, headers={"content-type": "application/json"})
    refused(response, 422, "invalid_input", "inputs: Expected a file in base64")


def huge_png():
    header = b"IHDR" + struct.pack(">IIBBBBB", 50_000, 50_000, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header)) + b"\0" * 50


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ["inputs", "0 bytes"]),
        (b"a text", ["is a text"]),
        (PHOTOGRAPH[:500], ["damaged JPEG"]),
        (encoded(noise(1, 1)), ["1 x 1 pixels"]),
        (huge_png(), ["50,000 x 50,000"]),
        (b"<svg/>", ["SVG"]),
    ],
)
def test_files_that_are_refused(client, content, words):
    response = client.post("/models/tiny", content=content, headers={"content-type": "image/jpeg"})
    refused(response, 422, "invalid_input", *words)
    refused(client.post("/models/tiny", json={"inputs": in_base64(content)}), 422, "invalid_input", *words)
    body = {"inputs": [in_base64(PICTURE), in_base64(content)]}
    refused(client.post("/models/tiny", json=body), 422, "invalid_input", "Input 1", *words)


def test_other_media_types(client):
    for media_type in ("audio/wav", "text/plain", "multipart/form-data; boundary=x", "imagejpeg"):
        response = client.post("/models/tiny", content=PICTURE, headers={"content-type": media_type})
        refused(response, 415, "unsupported_media_type", "image/*", "application/json", media_type.split(";")[0])


def test_a_file_of_unknown_length_is_read_no_further_than_its_limit(address):
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=30)
    sent = []
    parts = (sent.append(None) or b"\xff" * 2**18 for _ in range(Settings().image_bytes // 2**18 + 1))
    connection.request("POST", "/models/tiny", parts, {"content-type": "image/jpeg"}, encode_chunked=True)
    response = connection.getresponse()
    assert response.status == 413 and json.load(response)["code"] == "too_large"
    connection.close()


def test_the_hubs_client_works_unchanged(address, pipe, tmp_path):
    client = InferenceClient(base_url=f"{address}/models/tiny")
    path = tmp_path / "dog.jpg"
    path.write_bytes(PHOTOGRAPH)
    for picture, content in ((PICTURE, PICTURE), (path, PHOTOGRAPH), (str(path), PHOTOGRAPH)):
        answer = client.image_to_text(picture)
        (expected,) = pipe(content)
        assert (answer.generated_text, answer.score) == (expected["generated_text"], expected["score"])


def test_openapi_shows_how_a_picture_is_sent(client):
    operation = client.get("/openapi.json").json()["paths"]["/models/{checkpoint}"]["post"]
    content = operation["requestBody"]["content"]
    assert "image/*" in content and "application/octet-stream" in content
    body = content["application/json"]["examples"]["image-to-text with evidence"]["value"]
    assert len(body["inputs"]) < 200
    (answer,) = client.post("/models/tiny", json=body).json()
    assert answer["evidence"]["grid"] == [4, 4]
