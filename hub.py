"""A checkpoint folder: find it, check it, load it, and send it to the Hub.

A checkpoint is a complete folder (interface.md): configuration, weights as safetensors, tokenizer or preprocessor,
decoding defaults, recipe and card. What is wrong with one is a `CheckpointError` that names the file.
"""

import importlib
import json
from functools import cache
from pathlib import Path

import torch
import transformers
from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    StrictDataclassError,
)
from safetensors import SafetensorError, safe_open

from tasks import TASKS, Task

CHECKPOINTS = Path(__file__).parent / "checkpoints"
WEIGHTS = "model.safetensors"
UNSAFE_SUFFIXES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".h5")


class CheckpointError(Exception):
    """The operator's mistake: a checkpoint that is missing, incomplete, unsafe or of the wrong shape."""


@cache
def model_code(reference: str) -> type:
    """Import a class from models/, "modeling_x.Name"; or name one of transformers, "Name"."""
    module, _, name = reference.rpartition(".")
    if not module:
        return getattr(transformers, name)
    return getattr(importlib.import_module(f"models.{module}"), name)


def find(name: str, revision: str | None = None) -> Path:
    """Return a checkpoint's folder.

    Args:
        name: a folder, a shipped checkpoint's name, or a repository on the Hub, "owner/name".
        revision: of the repository; a commit's 40 hexadecimal digits never change their meaning.

    Raises:
        CheckpointError: when there is no such folder or repository.
    """
    for folder in (Path(name), CHECKPOINTS / name):
        if folder.is_dir():
            return folder
    if name.count("/") != 1:
        shipped = sorted(folder.name for folder in CHECKPOINTS.glob("*/"))
        raise CheckpointError(f"No checkpoint {name!r}: neither a folder nor one of {', '.join(shipped)}.")
    try:
        return Path(snapshot_download(name, revision=revision))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError) as error:
        at = f" at revision {revision}" if revision else ""
        raise CheckpointError(f"Cannot fetch {name!r}{at} from the Hub: {error}") from error


def is_local(name: str) -> bool:
    """Whether a name is a folder with a configuration or a shipped checkpoint."""
    return any((folder / "config.json").is_file() for folder in (Path(name), CHECKPOINTS / name))


def task_of(folder: Path) -> Task:
    """Return the task whose family a checkpoint belongs to, by `model_type` in config.json."""
    model_type = _read_json(folder / "config.json").get("model_type")
    for task in TASKS.values():
        if model_code(task.configuration).model_type == model_type:
            return task
    raise CheckpointError(f"{folder.name}/config.json: model_type {model_type!r} is none of this project's families.")


def check(folder: Path) -> Task:
    """Refuse a damaged checkpoint before anything of it is loaded; return its task.

    Raises:
        CheckpointError: naming the file and what is wrong with it.
    """
    task = task_of(folder)
    _check_weights(folder, _expected_shapes(folder, task))
    if task.tokenizer is not None:
        _read_json(folder / "tokenizer_config.json")
        for name in vocabulary_files(task):
            _check_file(folder / name)
    if model_code(task.model).can_generate() or (folder / "generation_config.json").exists():
        _read_json(folder / "generation_config.json")
    if task.feature_extractor is not None or task.image_processor is not None:
        _read_json(folder / "preprocessor_config.json")
    return task


def vocabulary_files(task: Task) -> list[str]:
    """Name the files that a task's tokenizer is made of."""
    if task.tokenizer == "PreTrainedTokenizerFast":
        return ["tokenizer.json"]  # the class lists formats of long ago beside it
    return list(model_code(task.tokenizer).vocab_files_names.values())


def facts(folder: Path) -> dict:
    """Return what a checkpoint's card measures: its `evaluation.json`, or nothing."""
    path = folder / "evaluation.json"
    return _read_json(path) if path.is_file() else {}


def decoding_defaults(name: str) -> dict:
    """Return how a checkpoint decodes when nobody says otherwise.

    That is its `generation_config.json`, or without one what its configuration has as `decoding`; or nothing.
    """
    folder = find(name)
    if (folder / "generation_config.json").exists():
        return _read_json(folder / "generation_config.json")
    return _read_json(folder / "config.json").get("decoding") or {}


def _expected_shapes(folder: Path, task: Task) -> dict[str, tuple[int, ...]]:
    try:
        configuration = model_code(task.configuration).from_pretrained(folder)
        with torch.device("meta"):
            model = model_code(task.model)(configuration)
    except (StrictDataclassError, TypeError, ValueError) as error:
        raise CheckpointError(f"{folder.name}/config.json: {error}") from error
    tied = set(model.all_tied_weights_keys)
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items() if name not in tied}


def _check_weights(folder: Path, expected: dict[str, tuple[int, ...]]) -> None:
    path = folder / WEIGHTS
    if not path.is_file():
        unsafe = sorted(file.name for file in folder.iterdir() if file.suffix in UNSAFE_SUFFIXES)
        if unsafe:
            raise CheckpointError(
                f"{folder.name}/{unsafe[0]}: a pickle can run any program when it is opened; only {WEIGHTS} is loaded."
            )
    _check_file(path)
    try:
        with safe_open(path, "pt") as file:
            found = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{folder.name}/{WEIGHTS}: not a safetensors file: {error}") from error
    for name, shape in expected.items():
        if name not in found:
            raise CheckpointError(f"{folder.name}/{WEIGHTS}: the tensor {name} is missing.")
        if found[name] != shape:
            raise CheckpointError(
                f"{folder.name}/{WEIGHTS}: {name} has shape {found[name]}; config.json asks for {shape}."
            )


def _check_file(path: Path) -> None:
    if not path.is_file() or path.stat().st_size == 0:
        raise CheckpointError(f"{path.parent.name}/{path.name}: the file is missing or empty.")


def _read_json(path: Path) -> dict:
    _check_file(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{path.parent.name}/{path.name}: not JSON: {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path.parent.name}/{path.name}: expected a JSON object.")
    return content
