"""Speech with transcripts: AN4 as published, or any folder with manifest.jsonl; and digits joined into strings."""

import hashlib
import io
import json
import random
import re
import tarfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

SPLITS = {"train": ("train", "train_nodev"), "validation": ("train", "train_dev"), "test": ("test", None)}
"""Of each of our splits: `split` and `subset` in a manifest that has subsets."""
PLAIN_SPLITS = {"train": ("train",), "validation": ("validation", "valid", "dev"), "test": ("test",)}
"""Names of `split` in a manifest without subsets."""
NUM_PUBLISHED_VALIDATION = 100
"""Published AN4 has no validation split; ESPnet and Kaldi take the first clips in the order of the speakers."""
AUDIO_SUFFIXES = (".sph", ".wav", ".flac", ".ogg", ".mp3")
DIGIT_PAUSE_SECONDS = (0.05, 0.4)
"""Least and greatest pause between the digits of a string, and before and after it."""
DIGIT_COUNTS = (2, 7)
ROOM_LEVEL = 3e-4
"""Standard deviation of the noise under a string of digits, which were cut out of their own rooms."""


@dataclass(frozen=True)
class Utterance:
    """A clip and what is said in it."""

    name: str
    speaker: str
    transcript: str
    """Upper case, words apart by one space."""
    waveform: np.ndarray
    """float32 (samples), between -1 and 1, mono."""


@dataclass(frozen=True)
class TranscribedSpeech:
    """The utterances of a split."""

    utterances: list[Utterance]
    sampling_rate: int

    @property
    def transcripts(self) -> list[str]:
        """What is said in each."""
        return [utterance.transcript for utterance in self.utterances]

    @property
    def seconds(self) -> float:
        """How long they are together."""
        return sum(len(utterance.waveform) for utterance in self.utterances) / self.sampling_rate

    def facts(self) -> dict:
        """What training.json tells: how much there is, and a SHA-256 over names, transcripts and samples."""
        digest = hashlib.sha256()
        for utterance in self.utterances:
            digest.update(f"{utterance.name}\t{utterance.transcript}\n".encode())
            digest.update((utterance.waveform * 32768).round().astype("<i4").tobytes())
        return {
            "clips": len(self.utterances),
            "minutes": round(self.seconds / 60, 2),
            "speakers": len({utterance.speaker for utterance in self.utterances}),
            "words": sum(len(transcript.split()) for transcript in self.transcripts),
            "sha256": digest.hexdigest(),
        }


@dataclass(frozen=True)
class _Entry:
    """A clip before it is read."""

    name: str
    speaker: str
    transcript: str
    file: Path
    member: str | None = None
    """Its name in `file`, where that is a tar archive."""


def load_split(data: list[str] | None, split: str, sampling_rate: int = 16000) -> TranscribedSpeech:
    """Load a split.

    Args:
        data: one folder. Either with manifest.jsonl, a line for each clip with `id`, `audio` (a file in the folder,
            or in the tar archive that `tar` names), `split`, `speaker`, `transcript` and, if there are any,
            `subset`; or AN4 as published: etc/an4_train.transcription, etc/an4_train.fileids, the same for test, and
            the clips below wav/.
        split: "train", "validation" or "test".
        sampling_rate: hertz; clips at another rate are resampled.

    Raises:
        FileNotFoundError: naming the missing file.
        ValueError: when there is nothing of the split.
    """
    if data is None or len(data) != 1:
        raise ValueError(f"--data takes one folder of transcribed speech; got {0 if data is None else len(data)}.")
    folder = Path(data[0])
    entries = _from_manifest(folder, split) if (folder / "manifest.jsonl").is_file() else _published(folder, split)
    if not entries:
        raise ValueError(f"{folder} has no clips of the split {split!r}.")
    return TranscribedSpeech(_read(entries, sampling_rate), sampling_rate)


def digit_strings(folder: str, count: int, seed: int, sampling_rate: int = 16000) -> TranscribedSpeech:
    """Join spoken digits of one speaker at a time into random strings with random pauses.

    Args:
        folder: of the Free Spoken Digit Dataset, with manifest.jsonl; the training split is taken.
        count: how many strings.
        seed: of the strings.
        sampling_rate: hertz, what the digits are resampled to.
    """
    digits = defaultdict(list)
    for utterance in _read(_from_manifest(Path(folder), "train"), sampling_rate):
        digits[utterance.speaker].append(utterance)
    chooser, noise = random.Random(seed), np.random.default_rng(seed)
    strings = []
    for index in range(count):
        speaker = chooser.choice(sorted(digits))
        chosen = chooser.choices(digits[speaker], k=chooser.randint(*DIGIT_COUNTS))
        parts = [np.zeros(round(chooser.uniform(*DIGIT_PAUSE_SECONDS) * sampling_rate), np.float32)]
        for utterance in chosen:
            pause = np.zeros(round(chooser.uniform(*DIGIT_PAUSE_SECONDS) * sampling_rate), np.float32)
            parts += [utterance.waveform, pause]
        waveform = np.concatenate(parts)
        waveform += ROOM_LEVEL * noise.standard_normal(len(waveform), np.float32)
        transcript = " ".join(utterance.transcript for utterance in chosen)
        strings.append(Utterance(f"digits-{index}", speaker, transcript, waveform))
    return TranscribedSpeech(strings, sampling_rate)


def decode(content: bytes, sampling_rate: int) -> np.ndarray:
    """Decode a sound file: float32 (samples), its channels averaged, resampled where it has another rate."""
    samples, rate = soundfile.read(io.BytesIO(content), dtype="float32", always_2d=True)
    waveform = samples.mean(axis=1)
    return waveform if rate == sampling_rate else soxr.resample(waveform, rate, sampling_rate)


def _from_manifest(folder: Path, split: str) -> list[_Entry]:
    text = (folder / "manifest.jsonl").read_text(encoding="utf-8")
    rows = [json.loads(line) for line in text.splitlines() if line.strip()]
    has_subsets = any("subset" in row for row in rows)
    if has_subsets:
        rows = [row for row in rows if (row["split"], row.get("subset")) == SPLITS[split]]
    else:
        rows = [row for row in rows if row["split"] in PLAIN_SPLITS[split]]
    return [
        _Entry(
            row["id"],
            row["speaker"],
            " ".join(row["transcript"].upper().split()),
            folder / (row["tar"] if "tar" in row else row["audio"]),
            row["audio"] if "tar" in row else None,
        )
        for row in rows
    ]


def _published(folder: Path, split: str) -> list[_Entry]:
    """List AN4's clips by `<s> WORDS </s> (name)` in the transcriptions and by the lists of file names."""
    part = "test" if split == "test" else "train"
    transcription, names = folder / f"etc/an4_{part}.transcription", folder / f"etc/an4_{part}.fileids"
    for path in (transcription, names):
        if not path.is_file():
            raise FileNotFoundError(f"{folder} has neither manifest.jsonl nor {path.relative_to(folder)}.")
    places = {Path(name).name: Path("wav", name) for name in names.read_text(encoding="utf-8").split()}
    entries = []
    for line in transcription.read_text(encoding="utf-8").splitlines():
        if found := re.fullmatch(r"(?:<s>)?\s*(.*?)\s*(?:</s>)?\s*\((\S+)\)\s*", line):
            words, name = found.groups()
            entries.append(_Entry(name, places[name].parent.name, " ".join(words.split()), folder / places[name]))
    if split != "test":
        entries.sort(key=lambda entry: (entry.speaker, entry.name))
        cut = NUM_PUBLISHED_VALIDATION
        entries = entries[:cut] if split == "validation" else entries[cut:]
    return [_with_suffix(entry) for entry in entries]


def _with_suffix(entry: _Entry) -> _Entry:
    for suffix in AUDIO_SUFFIXES:
        file = entry.file.with_name(entry.file.name + suffix)
        if file.is_file():
            return _Entry(entry.name, entry.speaker, entry.transcript, file)
    raise FileNotFoundError(f"There is no {entry.file} with any of the endings {', '.join(AUDIO_SUFFIXES)}.")


def _read(entries: list[_Entry], sampling_rate: int) -> list[Utterance]:
    wanted = defaultdict(dict)
    for index, entry in enumerate(entries):
        wanted[entry.file][entry.member] = index
    waveforms = {}
    for file, members in wanted.items():
        contents = _members(file, set(members)) if None not in members else {None: file.read_bytes()}
        waveforms |= {members[member]: decode(content, sampling_rate) for member, content in contents.items()}
    missing = [entry for index, entry in enumerate(entries) if index not in waveforms]
    if missing:
        raise FileNotFoundError(f"{missing[0].file} lacks {missing[0].member} and {len(missing) - 1} more clips.")
    return [
        Utterance(entry.name, entry.speaker, entry.transcript, waveforms[index]) for index, entry in enumerate(entries)
    ]


def _members(archive: Path, names: set[str]) -> dict[str, bytes]:
    with tarfile.open(archive) as members:
        return {member.name: members.extractfile(member).read() for member in members if member.name in names}
