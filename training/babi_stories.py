"""The bAbI tasks (Weston et al. 2015, arXiv:1502.05698) as published: stories, questions, answers, supporting facts."""

import hashlib
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TASK_NAMES = {
    1: "single supporting fact",
    2: "two supporting facts",
    3: "three supporting facts",
    4: "two-argument relations",
    5: "three-argument relations",
    6: "yes/no questions",
    7: "counting",
    8: "lists/sets",
    9: "simple negation",
    10: "indefinite knowledge",
    11: "basic coreference",
    12: "conjunction",
    13: "compound coreference",
    14: "time reasoning",
    15: "basic deduction",
    16: "basic induction",
    17: "positional reasoning",
    18: "size reasoning",
    19: "path finding",
    20: "agent's motivations",
}
VALIDATION_SHARE = 0.1
"""Of the published training questions, the last ones; there is no published validation split."""
FILE_NAME = re.compile(r"qa(\d+)_[^/]*_(train|test)\.txt")


@dataclass(frozen=True)
class Example:
    """A question about what a story has told so far."""

    task: int
    story: int
    """Number of the story in its file; several questions share one."""
    sentences: tuple[str, ...]
    question: str
    answer: str
    """As published; several words are joined by commas."""
    supporting_facts: tuple[int, ...]
    """Places in `sentences` of those that the answer follows from."""


@dataclass(frozen=True)
class StorySplit:
    """The questions of a split, task after task."""

    examples: list[Example]
    sha256: dict[int, str]
    """Of each task's published file."""

    def of_task(self, task: int) -> list[Example]:
        """Return one task's questions."""
        return [example for example in self.examples if example.task == task]

    def facts(self) -> dict:
        """What training.json tells: how many questions, of which tasks and files, and which tasks are not there."""
        return {
            "questions": len(self.examples),
            "tasks": {
                str(task): {"questions": len(self.of_task(task)), "file_sha256": digest}
                for task, digest in self.sha256.items()
            },
            "missing_tasks": sorted(TASK_NAMES.keys() - self.sha256.keys()),
        }


def load_split(data: list[str] | None, split: str, tasks: list[int] | None = None) -> StorySplit:
    """Load a split.

    Args:
        data: one folder with the published files, such as en/ or en-10k/; or a tar archive of such a folder.
        split: "train" and "validation" are the first and the last part of the published training questions, cut where
            a story begins; "test".
        tasks: numbers, 1 to 20; None: all that are there. A file that ends in .partial.txt is not a task's file.

    Raises:
        FileNotFoundError: naming the tasks without a file.
        ValueError: for a line that is not in bAbI's form.
    """
    if data is None or len(data) != 1:
        raise ValueError(f"--data takes one folder or archive of bAbI files; got {0 if data is None else len(data)}.")
    files = _files(Path(data[0]), "test" if split == "test" else "train")
    missing = sorted(set(tasks or ()) - files.keys())
    if missing or not files:
        raise FileNotFoundError(
            f"{data[0]} has no file qaN_*_{'test' if split == 'test' else 'train'}.txt of the tasks "
            f"N = {', '.join(map(str, missing or TASK_NAMES))}."
        )
    examples = []
    for task in tasks or sorted(files):
        found = list(parse(files[task].decode("utf-8"), task))
        examples += found if split == "test" else _part(found, split)
    return StorySplit(examples, {task: hashlib.sha256(files[task]).hexdigest() for task in tasks or sorted(files)})


def parse(text: str, task: int) -> Iterator[Example]:
    """Read a task's file: lines of `number sentence` or `number question<TAB>answer<TAB>numbers of supporting facts`.

    A story begins where the number is 1.

    Raises:
        ValueError: naming a line in another form.
    """
    story, sentences, places = -1, [], {}
    for line in text.splitlines():
        number, _, content = line.strip().partition(" ")
        fields = content.split("\t")
        if not number.isdecimal() or len(fields) not in (1, 3):
            raise ValueError(f"Expected 'number sentence' or 'number question<TAB>answer<TAB>facts'; got {line!r}.")
        if int(number) == 1:
            story, sentences, places = story + 1, [], {}
        if len(fields) == 1:
            places[int(number)] = len(sentences)
            sentences.append(content)
            continue
        question, answer, facts = fields
        supporting = tuple(places[int(fact)] for fact in facts.split())
        yield Example(task, story, tuple(sentences), question.strip(), answer.strip(), supporting)


def _part(examples: list[Example], split: str) -> list[Example]:
    """Cut published training questions in two, where a story begins."""
    cut = round(len(examples) * (1 - VALIDATION_SHARE))
    while cut > 0 and examples[cut].story == examples[cut - 1].story:
        cut -= 1
    return examples[:cut] if split == "train" else examples[cut:]


def _files(path: Path, kind: str) -> dict[int, bytes]:
    """Read the published files of a kind, "train" or "test", by task."""
    if path.is_dir():
        contents = {file.name: file.read_bytes() for file in path.glob(f"qa*_{kind}.txt")}
    elif path.is_file():
        with tarfile.open(path) as archive:
            members = [member for member in archive.getmembers() if member.isfile()]
            contents = {Path(member.name).name: archive.extractfile(member).read() for member in members}
    else:
        raise FileNotFoundError(f"There is no folder or archive {path}.")
    matches = {name: FILE_NAME.fullmatch(name) for name in contents}
    return {int(match[1]): contents[name] for name, match in matches.items() if match and match[2] == kind}
