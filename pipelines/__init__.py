"""Our tasks, registered with transformers; `pipeline` has the signature of transformers' own."""

import functools
import importlib
import inspect
import os
import threading
from typing import Any

from large_imports import large_imports

with large_imports():
    import torch
    import transformers
    from transformers.pipelines import PIPELINE_REGISTRY

    import hub
    from hub import CheckpointError
    from tasks import TASKS, Task

    from .pipeline_common import EvidencePipeline, InputError, Option

__all__ = ["CheckpointError", "EvidencePipeline", "InputError", "Option", "gpus_are_lent", "pipeline", "pipeline_class"]

# transformers patches torch while it loads: of two models loaded at once, one can come out with random weights.
_LOADING = threading.Lock()

_AUTO_CLASSES = {
    "tokenizer": "AutoTokenizer",
    "feature_extractor": "AutoFeatureExtractor",
    "image_processor": "AutoImageProcessor",
}


def pipeline_class(task: Task) -> type[EvidencePipeline]:
    """Import a task's pipeline class."""
    module, name = task.pipeline.split(".")
    return getattr(importlib.import_module(f"pipelines.{module}"), name)


def gpus_are_lent() -> bool:
    """Whether this is a Space on ZeroGPU, where torch names a GPU that this process itself does not have."""
    return os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true")


def will_run_on_cuda(device: Any) -> bool:
    """Whether a pipeline with this argument `device` computes on a CUDA device; without one it takes the first."""
    if device is None or (isinstance(device, int) and device >= 0):
        return torch.cuda.is_available()
    return not isinstance(device, int) and torch.device(device).type == "cuda"


@functools.wraps(transformers.pipeline)
def pipeline(*args: Any, **kwargs: Any) -> transformers.Pipeline:
    """Build a pipeline as transformers.pipeline does; our tasks need no model and no trust.

    Without a model the task's shipped checkpoint is taken, from the disk. A model may be a folder, a shipped
    checkpoint's name, or a repository on the Hub (with `revision`). A list of them is an ensemble. With `dtype="auto"`,
    the default, a CUDA device computes in float16, which is what weights are stored in, and a CPU in float32.

    Raises:
        CheckpointError: for a checkpoint that is missing or damaged, or does not fit the others of its ensemble.
    """
    with _LOADING:
        arguments = inspect.signature(transformers.pipeline).bind_partial(*args, **kwargs).arguments
        options = arguments.pop("kwargs", {})
        if isinstance(arguments.get("model"), (list, tuple)):
            return _load_ensemble(arguments, options)
        return _load(arguments, options)


def _load_ensemble(arguments: dict[str, Any], options: dict[str, Any]) -> transformers.Pipeline:
    """Build the first model's pipeline, which answers as all of them do together."""
    runtime = options.get("runtime", "auto")
    if runtime not in ("auto", "torch"):
        raise ValueError(f"runtime {runtime!r}: an ensemble runs in PyTorch; use 'torch'.")
    names = _member_names(arguments)
    first, *others = [_load(arguments | {"model": name}, options | {"runtime": "torch"}) for name in names]
    try:
        first.join(others)
    except ValueError as error:
        raise CheckpointError(str(error)) from error
    return first


def _member_names(arguments: dict[str, Any]) -> list[str]:
    names = arguments["model"]
    if not names or not all(isinstance(name, str) for name in names):
        raise ValueError(f"model must be a name or a list of names; got {names!r}.")
    if arguments.get("revision") is not None:
        raise ValueError("revision is of one repository; an ensemble's members are named without, such as folders.")
    if _task(arguments | {"model": names[0]}) is None:
        raise ValueError(f"Only this project's tasks take several models: {', '.join(TASKS)}.")
    return list(names)


def _load(arguments: dict[str, Any], options: dict[str, Any]) -> transformers.Pipeline:
    arguments = dict(arguments)
    task, model = _task(arguments), arguments.get("model")
    if task is None:
        return transformers.pipeline(**arguments, **options)
    if model is None or isinstance(model, str):
        folder = hub.find(model or task.default_checkpoint, arguments.pop("revision", None))
        family = hub.check(folder)
        if family is not task:
            raise CheckpointError(f"{folder.name} serves the task {family.name}, not {task.name}.")
        arguments["model"] = str(folder)
    if gpus_are_lent() and arguments.get("device") is None:
        arguments["device"] = "cpu"
    if arguments.get("dtype", "auto") == "auto" and will_run_on_cuda(arguments.get("device")):
        arguments["dtype"] = torch.float16
    arguments |= {"task": task.name, "pipeline_class": pipeline_class(task)}
    return transformers.pipeline(**arguments, **options)


def _task(arguments: dict[str, Any]) -> Task | None:
    """Return our task that a call is about, if it is one of ours; a local checkpoint tells its own."""
    name, model = arguments.get("task"), arguments.get("model")
    if name is None and isinstance(model, str) and hub.is_local(model):
        return hub.task_of(hub.find(model))
    return TASKS.get(name)


def _register(task: Task) -> None:
    configuration, model = hub.model_code(task.configuration), hub.model_code(task.model)
    auto_model = getattr(transformers, task.auto_model)
    transformers.AutoConfig.register(configuration.model_type, configuration)
    auto_model.register(configuration, model)
    configuration.register_for_auto_class()
    model.register_for_auto_class(task.auto_model)
    for field, auto_name in _AUTO_CLASSES.items():
        reference = getattr(task, field)
        if reference is not None and "." in reference:  # transformers knows its own
            processor = hub.model_code(reference)
            auto_class = getattr(transformers, auto_name)
            auto_class.register(configuration, processor)
            processor.register_for_auto_class(auto_name)
    PIPELINE_REGISTRY.register_pipeline(
        task.name, pipeline_class=pipeline_class(task), pt_model=auto_model, type=task.modality
    )


with large_imports():
    for _row in TASKS.values():
        _register(_row)
