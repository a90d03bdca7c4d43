"""Pictures with several captions each: the published Flickr8k files, or an archive with captions.jsonl."""

import csv
import hashlib
import io
import json
import tarfile
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

SPLITS = {"train": "train", "validation": "val", "test": "test"}
"""Our names of the splits, and captions.jsonl's."""
PUBLISHED_SPLITS = {"train": "trainImages.txt", "validation": "devImages.txt", "test": "testImages.txt"}
"""Ends of the names of the published lists, such as Flickr_8k.trainImages.txt."""
HUB_DATASET = "jxie/flickr8k"
"""The official splits; columns image and caption_0 to caption_4."""
IMAGE_FOLDERS = ("Images", "Flicker8k_Dataset", "Flickr8k_Dataset", "images")


@dataclass(frozen=True)
class CaptionedImages:
    """The pictures of one split, and what people wrote about them."""

    names: list[str]
    captions: list[list[str]]
    """For each picture its captions, as published."""
    read: Callable[[int], bytes]
    """Returns the file of the picture at a position."""

    def __len__(self) -> int:
        return len(self.names)

    def open(self, index: int) -> Image.Image:
        """Return a picture, in RGB."""
        return Image.open(io.BytesIO(self.read(index))).convert("RGB")

    def checksum(self) -> str:
        """SHA-256 over names and captions, to say which data a model saw."""
        text = "\n".join("\t".join([name, *texts]) for name, texts in zip(self.names, self.captions, strict=True))
        return hashlib.sha256(text.encode()).hexdigest()


def load_split(data: list[str] | None, split: str) -> CaptionedImages:
    """Load a split.

    Args:
        data: None for the Hub's data set; or one folder. Either as published: Images/ (or Flicker8k_Dataset/),
            Flickr8k.token.txt or captions.txt, and the lists Flickr_8k.trainImages.txt, .devImages.txt and
            .testImages.txt; or captions.jsonl (a line for each picture: `image`, `split` and `captions`) and the
            pictures in tar archives.
        split: "train", "validation" or "test".

    Raises:
        FileNotFoundError: naming the missing file.
        ValueError: when there is nothing of the split.
    """
    if data is None:
        return _from_hub(split)
    if len(data) != 1:
        raise ValueError(f"--data takes one folder of captioned pictures; got {len(data)} paths.")
    folder = Path(data[0])
    captions = _from_lines(folder, split) if (folder / "captions.jsonl").is_file() else _published(folder, split)
    if not captions:
        raise ValueError(f"{folder} has no pictures of the split {split!r}.")
    files = _find_images(folder)
    missing = [name for name in captions if name not in files]
    if missing:
        raise FileNotFoundError(f"{folder} lacks {len(missing)} of {len(captions)} pictures, such as {missing[0]}.")
    places = [files[name] for name in captions]
    return CaptionedImages(list(captions), list(captions.values()), lambda index: _read_part(*places[index]))


def _read_part(path: Path, start: int, size: int) -> bytes:
    with path.open("rb") as file:
        file.seek(start)
        return file.read(size)


def _from_hub(split: str) -> CaptionedImages:
    from datasets import Image as ImageFeature  # heavy, and needed only here
    from datasets import load_dataset

    rows = load_dataset(HUB_DATASET, split=split).cast_column("image", ImageFeature(decode=False))
    columns = sorted(name for name in rows.column_names if name.startswith("caption"))
    captions = [list(texts) for texts in zip(*(rows[name] for name in columns), strict=True)]
    names = [f"{split}/{index}" for index in range(len(rows))]
    return CaptionedImages(names, captions, lambda index: rows[index]["image"]["bytes"])


def _from_lines(folder: Path, split: str) -> dict[str, list[str]]:
    text = (folder / "captions.jsonl").read_text(encoding="utf-8")
    entries = [json.loads(line) for line in text.splitlines() if line.strip()]
    return {entry["image"]: entry["captions"] for entry in entries if entry["split"] == SPLITS[split]}


def _published(folder: Path, split: str) -> dict[str, list[str]]:
    lists = sorted(folder.rglob(f"*{PUBLISHED_SPLITS[split]}"))
    if not lists:
        raise FileNotFoundError(f"{folder} has neither captions.jsonl nor Flickr_8k.{PUBLISHED_SPLITS[split]}.")
    captions = _published_captions(folder)
    names = lists[0].read_text(encoding="utf-8").split()
    return {name: captions[name] for name in names}


def _published_captions(folder: Path) -> dict[str, list[str]]:
    """Read Flickr8k.token.txt ("name#0<tab>caption") or captions.txt ("name,caption" under a heading)."""
    captions = defaultdict(list)
    for path in sorted(folder.rglob("Flickr8k.token.txt")):
        for line in path.read_text(encoding="utf-8").splitlines():
            name, _, caption = line.partition("\t")
            captions[name.partition("#")[0]].append(caption)
        return captions
    for path in sorted(folder.rglob("captions.txt")):
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                captions[row["image"]].append(row["caption"])
        return captions
    raise FileNotFoundError(f"{folder} has neither Flickr8k.token.txt nor captions.txt.")


def _find_images(folder: Path) -> dict[str, tuple[Path, int, int]]:
    files = {}
    for archive in sorted(folder.glob("*.tar")):
        with tarfile.open(archive) as members:
            for member in members:
                if member.isfile():
                    files[Path(member.name).name] = (archive, member.offset_data, member.size)
    for name in IMAGE_FOLDERS:
        for path in sorted((folder / name).glob("*")):
            files[path.name] = (path, 0, path.stat().st_size)
    return files
