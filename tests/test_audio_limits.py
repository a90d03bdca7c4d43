"""Recordings that would take much time or memory are refused before they do."""

import io
import time
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from pipelines import audio_headers, audio_input, audio_waveform
from pipelines.audio_headers import MAXIMUM_MP3_FRAMES, MAXIMUM_OGG_PAGES
from pipelines.audio_input import MAXIMUM_BYTES, RECORDING, read_audio
from pipelines.audio_waveform import (
    MAXIMUM_CHANNELS,
    MAXIMUM_LEVEL,
    MAXIMUM_SAMPLING_RATE,
    MAXIMUM_SECONDS,
    MINIMUM_SAMPLING_RATE,
)

from .sounds import encoded, refusal, tones


class TestLimits:
    def test_bytes(self, tmp_path, monkeypatch):
        assert MAXIMUM_BYTES > 10 * 60 * 48_000 * 2 * 2
        content = encoded(tones())
        path = tmp_path / "long.wav"
        path.write_bytes(content)
        monkeypatch.setattr(audio_input, "RECORDING", replace(RECORDING, maximum_bytes=len(content)))
        for value in (content, path):
            assert len(read_audio(value).waveform) == 16000
        monkeypatch.setattr(audio_input, "RECORDING", replace(RECORDING, maximum_bytes=len(content) - 1))
        for value in (content, path):
            refusal(value, "at most 32,043 bytes", "has 32,044", "FLAC")

    def test_seconds(self):
        rate = MINIMUM_SAMPLING_RATE
        longest = np.zeros(MAXIMUM_SECONDS * rate, np.int8)
        assert len(read_audio({"raw": longest, "sampling_rate": rate}, rate).waveform) == len(longest)
        refusal({"raw": np.append(longest, longest[:1]), "sampling_rate": rate}, "at most 3,600 seconds", "Cut it")

    def test_a_small_file_of_many_hours_is_left_in_time(self, monkeypatch):
        monkeypatch.setattr(audio_waveform, "MAXIMUM_SECONDS", 300)
        file = io.BytesIO()
        with soundfile.SoundFile(file, "w", 4000, 1, "PCM_16", format="FLAC") as writer:
            for _ in range(4):
                writer.write(np.zeros(3600 * 4000, np.int16))
        content = file.getvalue()
        assert len(content) < 250_000
        tracemalloc.start()
        refusal(content, "at most 300 seconds", "the recording is longer")
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 2 * 300 * 16000 * 4

    def test_rates(self):
        for rate in (MINIMUM_SAMPLING_RATE, MAXIMUM_SAMPLING_RATE):
            assert len(read_audio(encoded(np.zeros(rate), rate)).waveform) > 15_000
        for rate in (1, MINIMUM_SAMPLING_RATE - 1, MAXIMUM_SAMPLING_RATE + 1, 2**31 - 1):
            for value in (encoded(np.zeros(100), rate), {"raw": np.zeros(100), "sampling_rate": rate}):
                refusal(value, "from 4,000 to 192,000 Hz", f"has {rate:,}")

    def test_channels(self):
        most = np.zeros((100, MAXIMUM_CHANNELS))
        assert read_audio(encoded(most)).notices == ("The mean of 8 channels was used.",)
        refusal(encoded(np.zeros((100, MAXIMUM_CHANNELS + 1))), "at most 8 channels", "has 9")
        refusal({"raw": np.zeros((100, 9)), "sampling_rate": 16000}, "at most 8 channels", "(100, 9)")

    def test_levels(self):
        for level in (1.5, MAXIMUM_LEVEL):
            assert read_audio(encoded(np.float32([level, 0]), encoding="FLOAT")).waveform[0] == level
        refusal(encoded(np.float32([0, 20_000]), encoding="FLOAT"), "between -1 and 1", "20000", "32768")
        for bad in (np.nan, np.inf, -np.inf):
            refusal(encoded(np.float32([0.1, bad]), encoding="FLOAT"), "infinite or not a number")
            refusal({"raw": np.float64([0.1, bad]), "sampling_rate": 48000}, "infinite or not a number")
        refusal({"raw": np.float64([1e300]), "sampling_rate": 16000}, "infinite or not a number")


class TestFilesThatKeepADecoderBusy:
    """On an idle core each takes less than a fifth of the time that is allowed here."""

    @pytest.fixture(autouse=True)
    def within_seconds(self):
        started = time.process_time()
        yield
        assert time.process_time() - started < 4

    @pytest.mark.parametrize("place", [12, 36])
    def test_chunks_before_the_samples(self, place):
        content = encoded(tones())
        few = b"JUNK\0\0\0\0" * 100
        assert len(read_audio(content[:place] + few + content[place:]).waveform) == 16000
        many = b"JUNK\0\0\0\0" * 2_000_000
        refusal(content[:place] + many + content[place:], "damaged")

    def test_chunks_after_the_samples(self):
        content = encoded(tones()) + b"JUNK\0\0\0\0" * 2_000_000
        assert len(read_audio(content).waveform) == 16000

    def test_pages_of_ogg(self, monkeypatch):
        content = encoded(tones(), kind="OGG")
        assert MAXIMUM_OGG_PAGES * 0.02 > MAXIMUM_SECONDS
        refusal(content + b"OggS" * MAXIMUM_OGG_PAGES, "more than 200,000 pages", "FLAC")
        monkeypatch.setattr(audio_headers, "MAXIMUM_OGG_PAGES", 1000)
        missing = 1000 - content.count(b"OggS")
        assert len(read_audio(content + b"OggS" * missing).waveform) == 16000
        refusal(content + b"OggS" * (missing + 1), "more than 1,000 pages", "FLAC")

    @pytest.mark.parametrize("frame", [b"\xff\xf3\x14\xc4" + bytes(20), b"\xff\xe3\x1c\0", b"\xff\xfb\x0f"])
    def test_frames_of_mp3(self, frame):
        content = encoded(tones(), kind="MP3")
        assert MAXIMUM_MP3_FRAMES * 0.024 > MAXIMUM_SECONDS
        assert len(read_audio(content + frame * (10_000_000 // len(frame))).waveform) >= 16000
