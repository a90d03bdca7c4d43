"""What computes a pipeline's answers: PyTorch, or graphs that were made from the model."""

import logging
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

logger = logging.getLogger(__name__)

PRECISIONS = {"onnx": "int8", "onnx-float32": "float32"}
RUNTIMES = ("auto", "torch", *PRECISIONS)


def graph_folder(model: PreTrainedModel) -> Path | None:
    """Return the folder "onnx" of a model's checkpoint; of a repository on the Hub it is fetched.

    Returns:
        None where the checkpoint has no graphs, or this machine no ONNX Runtime.
    """
    return model.find_graphs() if hasattr(model, "find_graphs") else None


def compiled_network(model: PreTrainedModel, runtime: str) -> Any:
    """Return what answers as the model does, or None where the model itself is to.

    Args:
        model: just loaded.
        runtime: one of RUNTIMES.

    Raises:
        ValueError: for another one, or one that this checkpoint or this machine does not have.
    """
    if runtime not in RUNTIMES:
        raise ValueError(f"runtime must be one of {', '.join(RUNTIMES)}; got {runtime!r}.")
    on_request = runtime in PRECISIONS
    if runtime == "torch" or not hasattr(model, "compile_for_cpu"):
        if on_request:
            raise ValueError(f"runtime {runtime!r}: {type(model).__name__} has no graphs; use 'torch'.")
        return None
    if model.dtype != torch.float32 or model.device.type != "cpu":
        if on_request:
            raise ValueError(f"runtime {runtime!r} is for float32 on a CPU; got {model.dtype} on {model.device}.")
        return None
    folder = graph_folder(model)
    if folder is None:
        if on_request:
            raise ValueError(
                f"runtime {runtime!r} needs the package onnxruntime, and a checkpoint with graphs in its folder 'onnx'."
            )
        return None
    try:
        return model.compile_for_cpu(folder.parent, PRECISIONS.get(runtime, "int8"))
    except (OSError, KeyError, ValueError):
        if on_request:
            raise
        logger.warning("The graphs of %s cannot be used; PyTorch computes instead.", folder.parent.name, exc_info=True)
        return None
