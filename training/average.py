"""`python -m training.average FOLDER … --output FOLDER`: one checkpoint whose weights are the mean of several's.

A folder is a finished checkpoint, or one that a training left in its `--output`, `checkpoint-N`: of a run of ours that
has both the weights themselves, which are read by default, and their exponential average. To average the last N
checkpoints of a run is Vaswani et al. 2017 (arXiv:1706.03762), section 6.1. Networks that began from different random
numbers cannot be averaged: their units stand in different orders. Let them answer together instead, as an ensemble.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from transformers import PreTrainedModel

import hub
from tasks import Task

from .callbacks import AVERAGE_FILE
from .export import save_checkpoint


def average(folders: Sequence[Path], file: str = hub.WEIGHTS) -> dict[str, Tensor]:
    """Return the arithmetic mean of checkpoints' weights, summed in float64.

    Args:
        folders: at least one.
        file: which weights of each.

    Raises:
        CheckpointError: where one is missing, is no safetensors file, or has another shape.
    """
    total: dict[str, Tensor] = {}
    for folder in folders:
        weights = _load(folder / file)
        shapes, expected = ({name: tensor.shape for name, tensor in one.items()} for one in (weights, total or weights))
        for name in sorted(shapes.keys() | expected.keys()):
            if shapes.get(name) != expected.get(name):
                raise hub.CheckpointError(
                    f"{folder.name}/{file}: {name} has shape {_shown(shapes.get(name))}; "
                    f"in {folders[0].name} it has {_shown(expected.get(name))}."
                )
        for name, tensor in weights.items():
            total[name] = total.get(name, 0) + tensor.double()
    return {name: tensor / len(folders) for name, tensor in total.items()}


def average_checkpoints(folders: Sequence[Path], output: Path, file: str = hub.WEIGHTS) -> None:
    """Write a complete checkpoint of averaged weights; all else is that of the first, or of the run that it is of.

    Args:
        folders: whose weights.
        output: where to.
        file: which weights of each folder.

    Raises:
        CheckpointError: where they do not fit together.
    """
    first = folders[0]
    like = first if (first / "tokenizer_config.json").is_file() else first.absolute().parent
    task = hub.check(like)
    for folder in folders:
        _check_vocabulary(task, folder, like)
    model = hub.model_code(task.model).from_pretrained(like, dtype=torch.float32)
    _fill(model, average(folders, file), first)
    references = (task.tokenizer, task.feature_extractor, task.image_processor)
    processors = [hub.model_code(name).from_pretrained(like) for name in references if name is not None]
    facts = {"averaged": [f"{folder.absolute().parent.name}/{folder.name}/{file}" for folder in folders]}
    save_checkpoint(output, task, model.eval(), processors, facts)


def _load(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except FileNotFoundError as error:
        raise hub.CheckpointError(f"{path.parent.name}/{path.name}: the file is missing.") from error
    except (SafetensorError, OSError) as error:
        raise hub.CheckpointError(f"{path.parent.name}/{path.name}: not a safetensors file: {error}") from error


def _shown(shape: torch.Size | None) -> str:
    return "none, it is missing" if shape is None else str(tuple(shape))


def _check_vocabulary(task: Task, folder: Path, like: Path) -> None:
    """Refuse a finished checkpoint of another vocabulary; a training's own checkpoints have none beside them."""
    for name in hub.vocabulary_files(task) if task.tokenizer is not None else ():
        if (folder / name).is_file() and (folder / name).read_bytes() != (like / name).read_bytes():
            raise hub.CheckpointError(f"{folder.name}/{name}: another vocabulary than that of {like.name}.")


def _fill(model: PreTrainedModel, weights: dict[str, Tensor], folder: Path) -> None:
    """Give a model its weights; tied ones are stored once, under one of their names."""
    missing, unexpected = model.load_state_dict(weights, strict=False)
    tensors = model.state_dict()
    stored = {tensors[name].data_ptr() for name in weights.keys() & tensors.keys()}
    lost = [name for name in missing if tensors[name].data_ptr() not in stored]
    if lost or unexpected:
        raise hub.CheckpointError(f"{folder.name} does not fit the configuration: {', '.join([*lost, *unexpected])}.")


def main(arguments: list[str]) -> int:
    """Average what is named; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m training.average", description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, help="finished checkpoints, or a training's checkpoint-N")
    parser.add_argument("--output", type=Path, required=True, help="folder of the new checkpoint")
    parser.add_argument(
        "--exponential", action="store_true", help="of a training's checkpoints take their exponential averages"
    )
    options = parser.parse_args(arguments)
    file = AVERAGE_FILE if options.exponential else hub.WEIGHTS
    try:
        average_checkpoints(options.folders, options.output, file)
    except hub.CheckpointError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"Saved {options.output}, the mean of {len(options.folders)} checkpoint(s).")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
