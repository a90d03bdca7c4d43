"""Recordings of every kind become one mono waveform, and what is refused; every file is made here."""

import builtins
import io
import os
import random
import struct
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from PIL import Image

from pipelines import audio_headers, audio_input, audio_waveform
from pipelines.audio_headers import MAXIMUM_MP3_FRAMES, MAXIMUM_OGG_PAGES, mended
from pipelines.audio_input import MAXIMUM_BYTES, RECORDING, read_audio
from pipelines.audio_waveform import (
    CLIPPED_SHARE,
    MAXIMUM_CHANNELS,
    MAXIMUM_LEVEL,
    MAXIMUM_SAMPLING_RATE,
    MAXIMUM_SECONDS,
    MINIMUM_SAMPLING_RATE,
)
from pipelines.pipeline_common import InputError

from .pictures import encoded as encoded_picture
from .sounds import FORMATS, difference, encoded, refusal, tones

TOLERANCES = {"WAV": 1e-4, "FLAC": 1e-4, "OGG": 0.1, "OPUS": 0.5, "MP3": 0.1}
"""Of a sample; Opus shifts phases where the tone changes."""


def wav_declaring(num_bytes: int, content: bytes) -> bytes:
    """Change what a WAV file says of its samples."""
    place = content.index(b"data") + 4
    return content[:place] + struct.pack("<I", num_bytes) + content[place + 4 :]


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


class TestFilesThatDoNotTellTheTruth:
    @pytest.mark.parametrize("declared", [10 * 3600 * 32_000, 2**31 - 1, 2**32 - 1, 32_002, 31_000, 16_000, 2, 0])
    @pytest.mark.parametrize("riff_size", [0, 2**32 - 1])
    def test_a_wav_that_declares_another_length(self, declared, riff_size):
        content = wav_declaring(declared, encoded(tones()))
        found = read_audio(content[:4] + struct.pack("<I", riff_size) + content[8:])
        assert difference(found.waveform, tones()) < 1e-4
        assert found.notices == ("The header declares another length; all 1.0 seconds that are there were used.",)

    def test_its_memory_is_that_of_what_it_holds(self):
        content = wav_declaring(2**32 - 1, encoded(tones()))
        tracemalloc.start()
        read_audio(content)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 1e6

    @pytest.mark.parametrize("chunks", [b"LIST\x04\0\0\0abcd", b"id3 \x01\0\0\0a\0LIST\0\0\0\0", b"\0"])
    @pytest.mark.parametrize("encoding", ["PCM_16", "PCM_U8"])
    def test_chunks_after_the_samples_are_no_sound(self, chunks, encoding):
        content = encoded(tones(0.5)[:-1], encoding=encoding)
        content = content[: content.index(b"data") + 8 + 7999 * (1 + (encoding == "PCM_16"))]
        found = read_audio(content + (b"\0" if encoding == "PCM_U8" else b"") + chunks)
        assert len(found.waveform) == 7999 and found.notices == ()

    def test_a_wav_without_samples_but_with_chunks_is_empty(self):
        content = encoded(np.zeros(0))
        refusal(content, "has no samples")
        refusal(content + b"LIST\x04\0\0\0abcd", "has no samples")

    @pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
    def test_a_wav_that_was_cut_off(self, share):
        content = encoded(tones())
        found = read_audio(content[: round(share * len(content))])
        assert difference(found.waveform, tones()[: len(found.waveform)]) < 1e-4
        assert f"all {share:.1f} seconds" in found.notices[0]

    @pytest.mark.parametrize("kind", ["FLAC", "OGG", "OPUS", "MP3"])
    @pytest.mark.parametrize("share", [0.3, 0.6, 0.99])
    def test_others_that_were_cut_off(self, kind, share):
        whole = tones(15.0)
        content = encoded(whole, kind=kind)
        found = read_audio(content[: round(share * len(content))])
        assert (share - 0.25) * len(whole) < len(found.waveform) < len(whole)
        end = len(found.waveform) - 1000  # where it breaks off, MP3 may crackle
        assert np.abs(found.waveform[:end] - whole[:end]).max() < TOLERANCES[kind]
        seconds = len(found.waveform) / 16000
        assert found.notices == (f"The recording is damaged or cut off: its first {seconds:.1f} seconds were used.",)

    def test_ogg_without_its_last_page_was_cut_off(self):
        content = encoded(tones(15.0), kind="OGG")
        assert read_audio(content).notices == ()
        assert "cut off" in read_audio(content[: content.rindex(b"OggS")]).notices[0]

    @pytest.mark.parametrize("kind", FORMATS)
    def test_what_is_left_of_a_beginning_is_refused(self, kind):
        content = encoded(tones(), kind=kind)
        refusal(content[:40], "damaged or cut off")
        refusal(content[:3], "is")

    def test_flac_from_a_pipe_does_not_know_its_length(self):
        content = bytearray(encoded(tones(), kind="FLAC"))
        content[21:26] = bytes([content[21] & 0xF0, 0, 0, 0, 0])
        found = read_audio(bytes(content))
        assert difference(found.waveform, tones()) < 1e-4 and found.notices == ()

    def test_a_tag_behind_flac_is_no_damage(self):
        found = read_audio(encoded(tones(1.001), kind="FLAC") + b"TAG" + bytes(125))
        assert len(found.waveform) == 16016 and found.notices == ()

    @pytest.mark.parametrize("rate", [8000, 16000, 44100])
    @pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
    def test_mp3_without_a_count_of_frames_is_read_to_the_end(self, rate, mode):
        loud_then_quiet = (tones(4.0, rate) * np.repeat([1.0, 0.01], 2 * rate)).astype(np.float32)
        content = encoded(loud_then_quiet, rate, "MP3", bitrate_mode=mode, compression_level=0.5)
        expected = read_audio(content).waveform
        counted = content.index(b"\xff" + content[1:2], 4)  # the first frame says only how many follow
        assert b"Xing" in content[:counted] or b"Info" in content[:counted]
        for prefix in (b"", b"ID3\x03\0\0\0\0\0\x0a" + bytes(10)):
            found = read_audio(prefix + content[counted:])
            assert len(found.waveform) >= len(expected) and found.notices == ()
        assert mended(content, "MP3")[0] == content

    def test_joined_mp3_files_are_read_to_the_end(self):
        content = encoded(tones(), kind="MP3")
        assert 32_000 <= len(read_audio(content + content).waveform) < 34_000

    def test_random_damage_gives_samples_or_a_sentence(self):
        generator = random.Random(0)
        files = [encoded(tones(0.2), kind=kind) for kind in FORMATS]
        files += [encoded(tones(0.2), kind="WAVEX", encoding="FLOAT"), encoded(tones(0.2), 8000, encoding="ULAW")]
        num_read = 0
        for _ in range(600):
            content = bytearray(generator.choice(files))
            for _ in range(generator.randint(1, 6)):
                self.damage(content, generator)
            try:
                found = read_audio(bytes(content))
            except InputError as error:
                assert str(error).startswith("Expected")
            else:
                num_read += 1
                assert found.waveform.dtype == np.float32 and np.isfinite(found.waveform).all()
        assert 60 < num_read < 540

    @staticmethod
    def damage(content: bytearray, generator: random.Random) -> None:
        """Change a little somewhere, in the header as often as not."""
        place = generator.randrange(min(len(content), generator.choice((100, 10**6))) + 1)
        kind = generator.randrange(5)
        if kind == 0:
            content[place : place + 1] = generator.randbytes(1)
        elif kind == 1:
            content[place : place + 4] = generator.choice((bytes(4), b"\xff" * 4, b"\xff\xff\xff\x7f"))
        elif kind == 2:
            del content[place : place + generator.randint(1, 40)]
        elif kind == 3:
            content[place:place] = generator.randbytes(generator.randint(1, 40))
        else:
            del content[place:]


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


class TestOtherThings:
    def test_no_bytes(self, tmp_path):
        refusal(b"", "empty: it has 0 bytes")
        path = tmp_path / "nothing.wav"
        path.touch()
        assert str(tmp_path) not in refusal(path, "'nothing.wav' is empty")

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b"Hello.\n" * 100, ["a text"]),
            (b"%PDF-1.7", ["PDF"]),
            (b"\0\0\0\x20ftypM4A \0\0\0\0", ["MP4", "ffmpeg"]),
            (b"\x1aE\xdf\xa3\0\0\0", ["WebM"]),
            (b"\xff\xf1\x50\x80\0\0\0", ["AAC"]),
            (b"\xff\xfd\x84\x04\0\0\0", ["MP2"]),
            (b"NIST_1A\n   1024\n\0", ["NIST SPHERE"]),
            (b"#!AMR\n\0", ["AMR"]),
            (b"MThd\0\0\0\x06", ["MIDI"]),
            (b"\0\1\2\3" * 100, ["something else"]),
            (b"\xff" * 400, ["something else"]),
        ],
    )
    def test_files_of_other_kinds(self, content, words, tmp_path):
        path = tmp_path / "sound.wav"
        path.write_bytes(content)
        refusal(path, "WAV, FLAC, OGG (Vorbis, Opus) or MP3; 'sound.wav' is", *words)

    @pytest.mark.parametrize("kind", ["AIFF", "AU", "CAF", "W64", "NIST"])
    def test_formats_that_libsndfile_would_read(self, kind):
        refusal(encoded(tones(), kind=kind), "WAV, FLAC, OGG (Vorbis, Opus) or MP3; the recording is")

    @pytest.mark.parametrize("encoding", ["IMA_ADPCM", "MS_ADPCM", "GSM610"])
    def test_rare_encodings(self, encoding):
        refusal(encoded(tones(), kind="WAV", encoding=encoding), f"encoded as {encoding}", "ffmpeg")

    @pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
    def test_pictures(self, kind):
        refusal(encoded_picture(Image.new("RGB", (20, 20)), kind), "is a picture")

    def test_paths(self, tmp_path):
        refusal(tmp_path, "is a folder")
        assert str(tmp_path) not in refusal(tmp_path / "missing.wav", "there is no file 'missing.wav'")
        refusal("a\0b.wav", "cannot be opened")
        refusal("a" * 5000 + ".wav", "cannot be opened", "…")
        refusal(Path("/dev/null"), "a device or a pipe")
        refusal("", "is a folder")
        pipe = tmp_path / "pipe.wav"
        os.mkfifo(pipe)
        refusal(pipe, "a device or a pipe")

    def test_a_file_that_must_not_be_read(self, tmp_path, monkeypatch):
        path = tmp_path / "secret.wav"
        path.write_bytes(encoded(tones()))

        def denied(*arguments, **options):
            raise PermissionError(13, "Permission denied", str(path))

        monkeypatch.setattr(Path, "open", denied)
        assert str(tmp_path) not in refusal(path, "'secret.wav' cannot be opened")

    @pytest.mark.parametrize(
        "url", ["https://example.org/a.wav", " HTTP://x/a", "file:///etc/passwd", "data:audio/wav;"]
    )
    def test_urls(self, url):
        refusal(url, "got a URL", "pass its bytes")

    @pytest.mark.parametrize(("missing", "value"), [("soundfile", b"RIFF....WAVEfmt "), ("soxr", None)])
    def test_a_missing_package_is_named(self, missing, value, monkeypatch):
        original = builtins.__import__

        def without(name, *arguments, **options):
            if name == missing:
                raise ImportError(f"No module named {name!r}")
            return original(name, *arguments, **options)

        monkeypatch.setattr(builtins, "__import__", without)
        array = {"raw": tones(), "sampling_rate": 16000}
        np.testing.assert_array_equal(read_audio(array).waveform, tones())
        with pytest.raises(ImportError, match=f"pip install {missing}"):
            read_audio(value or {**array, "sampling_rate": 8000})
