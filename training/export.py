"""Write a trained model as a complete checkpoint folder (interface.md, "A checkpoint folder")."""

import importlib
import importlib.metadata
import json
import platform
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedConfig, PreTrainedModel

from tasks import Task

from .json_files import write_json
from .onnx_graph import Graph, write_graphs

RECORDED_PACKAGES = ("torch", "transformers", "sentencepiece", "tokenizers", "sacrebleu", "accelerate", "jiwer")


def save_checkpoint(folder: Path, task: Task, model: PreTrainedModel, processors: list[Any], facts: dict) -> None:
    """Save weights in float16, processors and training.json.

    The code stays out: it lies in models/ here, and `training.publish` adds it for the Hub.

    Args:
        folder: where to.
        task: the row in tasks.py.
        model: in float32, on any device.
        processors: whatever else has `save_pretrained`, such as a tokenizer.
        facts: what training.json tells of the run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model.to("cpu", torch.float16).save_pretrained(folder)
    for processor in processors:
        processor.save_pretrained(folder)
    _strip_code(folder)
    write_graphs(folder, build_graphs(task, model.config))
    software = {name: importlib.metadata.version(name) for name in RECORDED_PACKAGES}
    write_json(
        folder / "training.json",
        {
            "task": task.name,
            "paper": task.paper,
            **facts,
            "software": {"python": platform.python_version(), **software},
        },
    )


def build_graphs(task: Task, config: PreTrainedConfig) -> dict[str, Graph]:
    """Return the graphs that a CPU runs instead of the model, by their files' names; none where there are none."""
    name = f"training.{task.recipe}_graphs"
    return importlib.import_module(name).build_graphs(config) if find_spec(name) else {}


def _strip_code(folder: Path) -> None:
    """Remove the copies of code that `save_pretrained` made, and the references to them.

    The configuration asks for float32, which is what a CPU computes in; the file stays float16.
    """
    for file in folder.glob("*.py"):
        file.unlink()
    for name in ("config.json", "tokenizer_config.json", "preprocessor_config.json"):
        path = folder / name
        if path.is_file():
            content = json.loads(path.read_text(encoding="utf-8"))
            content.pop("auto_map", None)
            write_json(path, content | ({"dtype": "float32"} if "dtype" in content else {}))
