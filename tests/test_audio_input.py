"""Recordings of every kind become one mono waveform; every file is made here."""

import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import soundfile
import soxr

from pipelines.audio_input import read_audio
from pipelines.audio_waveform import CLIPPED_SHARE

from .sounds import FORMATS, TOLERANCES, difference, encoded, refusal, tones


class TestFiles:
    @pytest.mark.parametrize("kind", FORMATS)
    def test_every_format_in_every_form(self, kind, tmp_path):
        content = encoded(tones(), kind=kind)
        path = tmp_path / "recording.of.no.kind"
        path.write_bytes(content)
        for value in (content, bytearray(content), memoryview(content), path, str(path)):
            found = read_audio(value)
            assert found.waveform.dtype == np.float32 and found.waveform.ndim == 1 and found.notices == ()
            assert difference(found.waveform, tones()) < TOLERANCES[kind]

    @pytest.mark.parametrize(
        ("kind", "encoding", "tolerance"),
        [
            ("WAV", "PCM_U8", 0.01),
            ("WAV", "PCM_24", 1e-6),
            ("WAV", "PCM_32", 1e-6),
            ("WAV", "FLOAT", 0),
            ("WAV", "DOUBLE", 0),
            ("WAV", "ULAW", 0.02),
            ("WAV", "ALAW", 0.02),
            ("WAVEX", "PCM_24", 1e-6),
            ("RF64", "PCM_16", 1e-4),
            ("FLAC", "PCM_24", 1e-6),
        ],
    )
    def test_encodings(self, kind, encoding, tolerance):
        found = read_audio(encoded(tones(), kind=kind, encoding=encoding))
        assert difference(found.waveform, tones()) <= tolerance and found.notices == ()

    @pytest.mark.parametrize("kind", FORMATS)
    @pytest.mark.parametrize("rate", [8000, 48000])
    def test_rates(self, kind, rate):
        found = read_audio(encoded(tones(rate=rate), rate, kind)).waveform
        assert difference(found, soxr.resample(tones(rate=rate), rate, 16000)) < TOLERANCES[kind]

    @pytest.mark.parametrize("rate", [4000, 11025, 22050, 44100, 96000, 192_000])
    def test_resampling_in_blocks_is_resampling_at_once(self, rate):
        waveform = tones(2.3, rate)
        expected = soxr.resample(waveform, rate, 16000)
        for value in (encoded(waveform, rate, encoding="FLOAT"), {"raw": waveform, "sampling_rate": rate}):
            np.testing.assert_allclose(read_audio(value).waveform, expected, rtol=0, atol=1e-6)
        assert len(read_audio({"raw": waveform, "sampling_rate": rate}, rate).waveform) == len(waveform)

    @pytest.mark.parametrize("kind", FORMATS)
    def test_channels_are_averaged(self, kind):
        left, right = tones(), 0.5 * tones()
        found = read_audio(encoded(np.stack([left, right], axis=1), kind=kind))
        assert difference(found.waveform, 0.75 * tones()) < TOLERANCES[kind]
        assert found.notices == ("The mean of 2 channels was used.",)

    def test_blocks_of_mp3_are_the_whole(self):
        content = encoded(np.random.default_rng(0).normal(0, 0.1, 100_000), kind="MP3")
        whole, _ = soundfile.read(io.BytesIO(content), dtype="float32")
        np.testing.assert_allclose(read_audio(content).waveform, whole, rtol=0, atol=1e-6)

    @pytest.mark.parametrize("kind", ["WAV", "FLAC", "MP3"])
    def test_silence_goes_through(self, kind):
        found = read_audio(encoded(np.zeros(16000), kind=kind))
        assert len(found.waveform) == 16000 and not found.waveform.any() and found.notices == ()

    @pytest.mark.parametrize("rate", [8000, 16000, 48000])
    def test_a_single_sample_goes_through(self, rate):
        one = np.float32([0.25])
        for value in (encoded(one, rate), {"raw": one, "sampling_rate": rate}):
            assert len(read_audio(value).waveform) in (1, 2)

    def test_clipping_is_noticed(self):
        loud = np.clip(tones(level=2.0), -1, 1)
        for value in (encoded(loud), {"raw": loud, "sampling_rate": 16000}):
            (notice,) = read_audio(value).notices
            assert "% of the samples are at full scale" in notice and "clipped" in notice
        share = np.zeros(1000)
        share[: round(1000 * CLIPPED_SHARE)] = 1.0
        assert read_audio(encoded(share)).notices == ()
        assert read_audio(encoded(np.sin(2 * np.pi * 440 * np.arange(16000) / 16000))).notices == ()

    def test_many_at_once(self):
        contents = [encoded(tones(0.5 + 0.1 * index), kind=kind) for index, kind in enumerate(FORMATS)] * 3
        alone = [read_audio(content).waveform.tobytes() for content in contents]
        with ThreadPoolExecutor(8) as pool:
            assert [found.waveform.tobytes() for found in pool.map(read_audio, contents)] == alone


class TestArrays:
    @pytest.mark.parametrize("key", ["raw", "array"])
    @pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
    def test_floats(self, key, dtype):
        found = read_audio({key: tones().astype(dtype), "sampling_rate": 16000})
        assert difference(found.waveform, tones()) < 1e-3 and found.notices == ()

    @pytest.mark.parametrize(
        ("dtype", "half", "zero"),
        [
            (np.int8, 64, 0),
            (np.uint8, 192, 128),
            (np.int16, 16384, 0),
            (">i2", 16384, 0),
            (np.uint16, 49152, 32768),
            (np.int32, 2**30, 0),
        ],
    )
    def test_integers(self, dtype, half, zero):
        found = read_audio({"raw": np.array([half, zero], dtype), "sampling_rate": 16000})
        assert found.waveform.tolist() == [0.5, 0.0]

    def test_lists(self):
        assert read_audio({"raw": [0.5, -0.5], "sampling_rate": 16000}).waveform.tolist() == [0.5, -0.5]
        assert read_audio({"raw": [0, 1, 0], "sampling_rate": 16000}).waveform.tolist() == [0, 1, 0]
        refusal({"raw": [0, 12000, 0], "sampling_rate": 16000}, "between -1 and 1", "12000", "Divide")

    @pytest.mark.parametrize("shape", [(2, 1600), (1600, 2), (1, 1600), (1600, 1)])
    def test_channels_are_the_shorter_axis(self, shape):
        array = np.zeros(shape, np.float32)
        array[(0,) if shape[0] < 3 else (slice(None), 0)] = 0.5
        found = read_audio({"raw": array, "sampling_rate": 16000})
        assert len(found.waveform) == 1600 and (found.waveform == 0.5 / min(shape)).all()

    def test_what_was_passed_stays_as_it_is(self):
        value = {"raw": tones(), "sampling_rate": 16000, "path": None}
        read_audio(value).waveform.fill(0)
        np.testing.assert_array_equal(value["raw"], tones())
        assert list(value) == ["raw", "sampling_rate", "path"]

    @pytest.mark.parametrize(
        ("value", "words"),
        [
            ({}, ["the keys []"]),
            ({"raw": None, "sampling_rate": 16000}, ["the keys", "raw"]),
            ({"waveform": [0.0], "sampling_rate": 16000}, ["the keys", "waveform"]),
            ({"raw": [0.0]}, ['"sampling_rate" beside the samples', "None"]),
            ({"raw": [0.0], "sampling_rate": "16000"}, ["hertz", "'16000'"]),
            ({"raw": [0.0], "sampling_rate": True}, ["hertz", "True"]),
            ({"raw": [0.0], "sampling_rate": 16000.5}, ["hertz", "16000.5"]),
            ({"raw": [0.0], "sampling_rate": float("nan")}, ["hertz", "nan"]),
            ({"raw": [], "sampling_rate": 16000}, ["empty"]),
            ({"raw": np.zeros((0, 2)), "sampling_rate": 16000}, ["empty"]),
            ({"raw": [[0.0], [0.0, 0.1]], "sampling_rate": 16000}, ["lists of different lengths"]),
            ({"raw": ["a"], "sampling_rate": 16000}, ["floats between", "<U1"]),
            ({"raw": [None], "sampling_rate": 16000}, ["floats between", "object"]),
            ({"raw": [2**70], "sampling_rate": 16000}, ["floats between", "object"]),
            ({"raw": [True], "sampling_rate": 16000}, ["floats between", "bool"]),
            ({"raw": np.zeros(3, np.int64), "sampling_rate": 16000}, ["8, 16 or 32 bits", "int64", "astype"]),
            ({"raw": np.zeros(3, complex), "sampling_rate": 16000}, ["complex128"]),
            ({"raw": np.zeros((3, 3, 3)), "sampling_rate": 16000}, ["(3, 3, 3)", "one recording"]),
            ({"raw": np.float32(0.5), "sampling_rate": 16000}, ["NumPy array or a list", "float32"]),
            ({"raw": np.array(0.5), "sampling_rate": 16000}, ["()"]),
            ({"raw": b"RIFF", "sampling_rate": 16000}, ["NumPy array or a list", "bytes"]),
            (np.zeros(16000), ["ndarray", '{"raw": array']),
            ([0.0, 0.1], ["a path, bytes", "list"]),
            (None, ["NoneType"]),
            (3, ["int"]),
        ],
    )
    def test_what_is_no_recording(self, value, words):
        refusal(value, *words)

    def test_a_tensor_is_told_to_become_an_array(self):
        import torch

        refusal(torch.zeros(9), "got Tensor", "tensor.numpy()")
        refusal({"raw": torch.zeros(9), "sampling_rate": 16000}, "got Tensor", "tensor.numpy()")
