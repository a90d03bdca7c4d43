"""What the load tests ask, and servers that answer: ours, ours without batches, and the Hugging Face toolkit's way."""

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from demo.attention_translation import EXAMPLES
from demo.examples import SAMPLES
from demo.story_examples import LECTURE
from demo.story_examples import TASKS as STORIES_OF_TASKS
from tasks import TASKS

from .http_load import Request
from .server_process import free_port, wait_until_ready

ROOT = Path(__file__).parents[1]
SENTENCES = (
    *EXAMPLES,
    "A man in a blue shirt is standing on a ladder cleaning a window.",
    "Two young children are at the beach.",
    "A woman rides her bicycle through the rain.",
    "People are sitting in a small restaurant near the harbour.",
    "A black dog jumps over a fallen tree in the forest.",
    "Three boys play football in the park.",
    "A girl in a red dress is eating ice cream.",
    "An old man reads the newspaper on a bench.",
    "A group of people is waiting for the train.",
    "Several workers repair the roof of a house.",
    "A baby sleeps.",
    "A cook prepares food in the kitchen of a restaurant.",
)
CHECKPOINT_NAMES = tuple(name for task in TASKS.values() for name in task.checkpoints)


def bodies_of(checkpoint: str, parameters: dict[str, Any] | None = None) -> list[tuple[bytes, str]]:
    """Return what is asked of a checkpoint, with the parameters named or its own: bodies and their media types.

    Raises:
        ValueError: for parameters of what is asked with a file.
    """
    task = next(task for task in TASKS.values() if checkpoint in task.checkpoints)
    if parameters and task.modality != "text":
        raise ValueError(f"{checkpoint} is asked with files, which have no parameters.")
    if task.modality == "image":
        return [(path.read_bytes(), "image/jpeg") for path in sorted(SAMPLES.glob("*.jpg"))]
    if task.modality == "audio":
        return [(path.read_bytes(), "audio/flac") for path in sorted(SAMPLES.glob("an4*.flac"))]
    inputs: dict[str, list[Any]] = {
        "translation": list(SENTENCES),
        "text-generation": ["The ", "A dog ", "What "],
        "question-answering": [
            {"context": example.story.sentences, "question": example.story.question}
            for example in (*LECTURE, *STORIES_OF_TASKS)
        ],
    }
    if parameters is None and task.hub_pipeline_tag == "text-generation":
        parameters = {"seed": 1, "max_new_tokens": 200}
    return [
        (json.dumps({"inputs": item, "parameters": parameters}).encode(), "application/json")
        for item in inputs[task.hub_pipeline_tag]
    ]


def requests_to(address: str, path: str, checkpoint: str, parameters: dict[str, Any] | None = None) -> list[Request]:
    """Ask everything once, alone, and return requests whose answers must say the same again."""
    requests = []
    for content, media_type in bodies_of(checkpoint, parameters):
        sent = urllib.request.Request(address + path, content, {"Content-Type": media_type})
        with urllib.request.urlopen(sent, timeout=60) as response:
            expected = said(response.read())
        check = lambda answer, expected=expected: said(answer) == expected  # noqa: E731
        requests.append(Request(path, content, media_type, check))
    return requests


def said(answer: bytes) -> Any:
    """Return an answer without its numbers, whose last bits depend on what it was computed with."""
    return _without_numbers(json.loads(answer))


def _without_numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_numbers(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_without_numbers(item) for item in value]
    return None if isinstance(value, float) else value


@contextmanager
def running(command: list[str], variables: Mapping[str, str], port: int) -> Iterator[str]:
    """Run a server until the end of the block; yield its address once it is ready."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **variables}
    process = subprocess.Popen([sys.executable, *command], cwd=ROOT, env=environment)
    address = f"http://127.0.0.1:{port}"
    try:
        wait_until_ready(process, address)
        yield address
    finally:
        process.terminate()
        process.wait()


def hindsight(tmpdir: str | None = None, **settings: Any) -> Any:
    """Run our own server with some settings; its temporary files go into `tmpdir`."""
    port = free_port()
    variables = {"TMPDIR": tmpdir} if tmpdir else {}
    variables |= {f"HINDSIGHT_{name.upper()}": str(value) for name, value in settings.items()}
    return running(["app.py", "--port", str(port)], variables, port)


def toolkit(checkpoint: str) -> Any:
    """Run a server that answers as the Hugging Face inference toolkit does: one request at a time."""
    port = free_port()
    return running(["-m", "benchmarks.toolkit_server", checkpoint, str(port)], {}, port)
