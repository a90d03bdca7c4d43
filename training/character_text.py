"""Text for the character generator: published files as they are, split the way that others report."""

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path

SPLITS = ("train", "validation", "test")
_FILE_NAMES = {"train": "train", "validation": "val", "test": "test"}


@dataclass(frozen=True)
class CharacterText:
    """One corpus, cut into its splits."""

    name: str
    train: str
    validation: str
    test: str
    """Empty where the validation split is what everybody reports, as for nanoGPT's cut of Shakespeare."""
    is_lines: bool
    """Whether each line is a text of its own, such as a joke."""

    def checksums(self) -> dict[str, dict]:
        """Return each split's size and SHA-256, to say which data a model saw."""
        return {
            split: {"characters": len(text), "sha256": hashlib.sha256(text.encode()).hexdigest()}
            for split in SPLITS
            if (text := getattr(self, split))
        }


def load_text(data: list[str] | None) -> CharacterText:
    """Load a corpus.

    Args:
        data: one folder or file, every file gzipped or not:
            `input.txt` (tinyshakespeare) or any one text file, cut as nanoGPT does: the first 90 % train, the rest
            validates, and there is no test split;
            `train.txt`, `val.txt` and `test.txt`;
            `train.tsv`, `val.tsv` and `test.tsv` with a text in each line's last column.

    Raises:
        FileNotFoundError: naming what was looked for.
        ValueError: when a split has characters that training never shows.
    """
    if data is None or len(data) != 1:
        raise FileNotFoundError("Name one folder or text file: --data FOLDER.")
    path = Path(data[0])
    whole = path if path.is_file() else _found(path, "input.txt")
    if whole is not None:
        text = read_text(whole)
        cut = int(len(text) * 0.9)
        corpus = CharacterText(path.name, text[:cut], text[cut:], "", is_lines=False)
    else:
        suffix = ".tsv" if _found(path, "train.tsv") else ".txt"
        splits = {split: _published(path, _FILE_NAMES[split] + suffix) for split in SPLITS}
        corpus = CharacterText(path.name, **splits, is_lines=suffix == ".tsv")
    _check_characters(corpus)
    return corpus


def read_text(path: Path) -> str:
    """Read a UTF-8 file, gzipped or not, line ends as they stand."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8", newline="") as file:
        return file.read()


def _found(folder: Path, name: str) -> Path | None:
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


def _published(folder: Path, name: str) -> str:
    path = _found(folder, name)
    if path is None:
        raise FileNotFoundError(f"{folder} has neither input.txt nor {name}, gzipped or not.")
    text = read_text(path)
    if not name.endswith(".tsv"):
        return text
    return "".join(f"{line.rpartition(chr(9))[2]}\n" for line in text.splitlines())


def _check_characters(corpus: CharacterText) -> None:
    strange = set(corpus.validation + corpus.test) - set(corpus.train)
    if strange:
        raise ValueError(f"{corpus.name}: characters that are not in its training split: {sorted(strange)}.")
