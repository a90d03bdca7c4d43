"""Recordings that do not tell the truth, are damaged, or are something else; every file is made here."""

import builtins
import os
import random
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.audio_headers import mended
from pipelines.audio_input import read_audio
from pipelines.pipeline_common import InputError

from .pictures import encoded as encoded_picture
from .sounds import FORMATS, TOLERANCES, difference, encoded, refusal, tones


def wav_declaring(num_bytes: int, content: bytes) -> bytes:
    """Change what a WAV file says of its samples."""
    place = content.index(b"data") + 4
    return content[:place] + struct.pack("<I", num_bytes) + content[place + 4 :]


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
