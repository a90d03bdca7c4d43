"""Speech over HTTP: as a file, in base64, and by the Hub's own client."""

import base64
import io

import numpy as np
import pytest
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError

from .sounds import encoded, tones

pytestmark = pytest.mark.parametrize("tiny_checkpoint", ["ctc-transcription"], indirect=True, scope="session")
RECORDING = encoded(tones())


@pytest.fixture(scope="module")
def pipe(tiny_checkpoint):
    return tiny_checkpoint.pipeline()


@pytest.mark.parametrize("media_type", ["audio/wav", "audio/x-wav", "application/octet-stream", None])
@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3"])
def test_a_file_as_curl_sends_it(client, pipe, kind, media_type):
    content = encoded(tones(), kind=kind)
    headers = {"content-type": media_type} if media_type else {}
    response = client.post("/models/tiny", content=content, headers=headers)
    assert response.status_code == 200 and response.json() == pipe(content)[0]


def test_options_in_the_address_and_in_json(client, pipe):
    expected = pipe.as_response(pipe(RECORDING, num_return_sequences=3, return_evidence=True))
    address = "/models/tiny?num_return_sequences=3&return_evidence=true"
    assert client.post(address, content=RECORDING, headers={"content-type": "audio/wav"}).json() == expected
    body = {
        "inputs": base64.b64encode(RECORDING).decode(),
        "parameters": {"num_return_sequences": 3, "return_evidence": True},
    }
    assert client.post("/models/tiny", json=body).json() == expected
    assert len(expected["alternatives"]) == 2


def test_the_hubs_client(address, pipe, tmp_path):
    client = InferenceClient(base_url=f"{address}/models/tiny")
    (expected,) = pipe(RECORDING)
    path = tmp_path / "recording.wav"
    path.write_bytes(RECORDING)
    for audio in (RECORDING, path):
        heard = client.automatic_speech_recognition(audio)
        assert heard.text == expected["text"] != ""
        assert [chunk.timestamp for chunk in heard.chunks] == [chunk["timestamp"] for chunk in expected["chunks"]]
    options = {"return_timestamps": "char", "hot_words": ["AB"]}
    heard = client.automatic_speech_recognition(RECORDING, extra_body=options)
    assert "".join(chunk.text for chunk in heard.chunks) == heard.text
    with pytest.raises(HfHubHTTPError, match="Known options"):
        client.automatic_speech_recognition(RECORDING, extra_body={"chunks": 3})


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "0 bytes"),
        (b"How are you?", "WAV, FLAC"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "WAV, FLAC"),
        (RECORDING[:40], "recording"),
        (encoded(np.zeros(0, np.float32)), "no samples"),
    ],
)
def test_what_is_no_recording_is_refused(client, content, words):
    response = client.post("/models/tiny", content=content, headers={"content-type": "audio/wav"})
    body = response.json()
    assert (response.status_code, body["code"]) == (422, "invalid_input"), body
    assert words in body["error"] and "Traceback" not in body["error"]


def test_other_media_types_and_lost_samples(client):
    response = client.post("/models/tiny", content=RECORDING, headers={"content-type": "image/png"})
    assert response.status_code == 415 and "audio/*" in response.json()["error"]
    cut_off = client.post("/models/tiny", content=RECORDING[:20_000], headers={"content-type": "audio/wav"}).json()
    assert cut_off["notices"]


def test_a_stereo_recording_at_another_rate(client, pipe):
    stereo = np.stack([tones(rate=44_100)] * 2, axis=1)
    file = io.BytesIO(encoded(stereo, rate=44_100))
    heard = client.post("/models/tiny", content=file.getvalue(), headers={"content-type": "audio/wav"}).json()
    assert heard["text"] == pipe(file.getvalue())[0]["text"] and "channels" in heard["notices"][0]
