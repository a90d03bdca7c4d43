"""Parallel text: the published Multi30k and Tatoeba files, a pair of plain text files, or the Hub's data set."""

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path

PUBLISHED_SPLITS = {"train": "train", "validation": "val", "test": "test_2016_flickr"}
TATOEBA_CODES = {"en": "eng", "de": "deu", "fr": "fra"}
TATOEBA_SPLITS = {"train": "train", "validation": "val", "test": "test"}
HUB_DATASETS = {frozenset({"en", "de"}): "bentrevett/multi30k"}


@dataclass(frozen=True)
class ParallelSplit:
    """Sentences of one split, line by line translations of each other."""

    sources: list[str]
    targets: list[str]

    def __post_init__(self) -> None:
        if len(self.sources) != len(self.targets):
            raise ValueError(
                f"Both sides must have the same number of lines; got {len(self.sources)} and {len(self.targets)}."
            )

    def __len__(self) -> int:
        return len(self.sources)

    def checksum(self) -> str:
        """SHA-256 over both sides, to say which data a model saw."""
        text = "\n".join([*self.sources, "", *self.targets])
        return hashlib.sha256(text.encode()).hexdigest()


def read_lines(path: Path) -> list[str]:
    """Read a text file, gzipped or not, a sentence a line."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8", newline="\n") as file:
        return [line.rstrip("\r\n") for line in file]


def load_split(data: list[str] | None, split: str, source_language: str, target_language: str) -> ParallelSplit:
    """Load a split.

    Args:
        data: a folder of Multi30k's published files (`train.en.gz` or `train.en`, …) or of Tatoeba's sentence pairs
            (`eng-deu.train.tsv.gz`, …); or two plain text files, source and target, of which every twentieth line is
            held out for validation and testing; or None for the Hub's data.
        split: "train", "validation" or "test".
        source_language: such as "en".
        target_language: such as "de".

    Raises:
        FileNotFoundError: naming the missing file.
    """
    languages = (source_language, target_language)
    if data is None:
        return _from_hub(split, *languages)
    if len(data) == 1 and any(Path(data[0]).glob("eng-*.train.tsv*")):
        return _from_tatoeba(Path(data[0]), split, *languages)
    if len(data) == 1:
        return ParallelSplit(*(read_lines(_published_file(Path(data[0]), split, language)) for language in languages))
    if len(data) == 2:
        return _from_pair(Path(data[0]), Path(data[1]), split)
    raise ValueError(f"--data takes one folder or two files; got {len(data)} paths.")


def _published_file(folder: Path, split: str, language: str) -> Path:
    stem = f"{PUBLISHED_SPLITS[split]}.{language}"
    for name in (stem, f"{stem}.gz"):
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(f"{folder} has neither {stem} nor {stem}.gz.")


def _from_tatoeba(folder: Path, split: str, source_language: str, target_language: str) -> ParallelSplit:
    """Read sentence pairs, English first, in either direction.

    They are split by the English sentence. A training pair whose other side stands in the validation or test split
    beside another English sentence is left out, so that nothing of those is seen in either direction.
    """
    languages = {source_language, target_language}
    if "en" not in languages or not languages <= TATOEBA_CODES.keys():
        raise ValueError(f"Tatoeba's pairs are of English and one of de, fr; got {source_language}-{target_language}.")
    (other,) = languages - {"en"}
    pairs = _tatoeba_pairs(folder, split, other)
    if split == "train":
        held_out = {folded(text) for name in ("validation", "test") for _, text in _tatoeba_pairs(folder, name, other)}
        pairs = [pair for pair in pairs if folded(pair[1]) not in held_out]
    english, others = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    return ParallelSplit(english, others) if source_language == "en" else ParallelSplit(others, english)


def _tatoeba_pairs(folder: Path, split: str, other: str) -> list[tuple[str, str]]:
    stem = f"eng-{TATOEBA_CODES[other]}.{TATOEBA_SPLITS[split]}.tsv"
    for name in (stem, f"{stem}.gz"):
        if (folder / name).is_file():
            rows = (line.split("\t") for line in read_lines(folder / name))
            return [(row[0], row[1]) for row in rows]
    raise FileNotFoundError(f"{folder} has neither {stem} nor {stem}.gz.")


def folded(text: str) -> str:
    """Return a sentence without what two spellings of it may differ in."""
    return "".join(character for character in text.casefold() if character.isalnum())


def _from_pair(source: Path, target: Path, split: str) -> ParallelSplit:
    everything = ParallelSplit(read_lines(source), read_lines(target))
    held_out = {"validation": 18, "test": 19}
    chosen = [
        index
        for index in range(len(everything))
        if (index % 20 not in held_out.values() if split == "train" else index % 20 == held_out[split])
    ]
    return ParallelSplit(
        [everything.sources[index] for index in chosen], [everything.targets[index] for index in chosen]
    )


def _from_hub(split: str, source_language: str, target_language: str) -> ParallelSplit:
    from datasets import load_dataset  # heavy, and needed only here

    name = HUB_DATASETS.get(frozenset({source_language, target_language}))
    if name is None:
        raise ValueError(
            f"No data set on the Hub is known for {source_language}-{target_language}: name the files with --data."
        )
    rows = load_dataset(name, split=split)
    return ParallelSplit(list(rows[source_language]), list(rows[target_language]))
