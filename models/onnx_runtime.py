"""Run graphs with ONNX Runtime: on a CPU several times as fast as PyTorch is with small matrices.

A graph (`training/onnx_graph.py` makes them) has no weights: they are given to it here, from the model that was loaded,
rounded to eight bits where the graph asks for that. A graph is read as bytes: it cannot name another file.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.utils.hub import cached_file

try:  # a machine without it runs PyTorch
    import onnxruntime
except ImportError:
    onnxruntime = None

FOLDER, MANIFEST = "onnx", "weights.json"
"""In a checkpoint's folder, and in that one: which weights each graph has."""
FATAL = 4
"""ONNX Runtime's level of what is logged; errors are raised anyway."""
HIGHEST = 64
"""Of a weight of eight bits: one bit less than there is, or processors without VNNI saturate in their 16-bit sums."""


class OnnxSession:
    """A graph with its weights, ready to run."""

    def __init__(self, graph: bytes, names: Sequence[str], weights: Mapping[str, np.ndarray]):
        """Load; it will use as many threads as PyTorch does now.

        Args:
            graph: its serialised structure.
            names: its weights.
            weights: their values, and perhaps others. Of `name`.int8 and `name`.scale the float matrix `name`,
                (inputs, outputs), is given.

        Raises:
            ValueError: for a graph that is damaged or does not fit the weights.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.inter_op_num_threads = 1
        options.log_severity_level = FATAL
        arrays = [value_of(name, weights) for name in names]  # they must live until the session has copied them
        try:
            values = [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in arrays]
            options.add_external_initializers(list(names), values)
            self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # of kinds that onnxruntime does not name
            raise ValueError(f"ONNX Runtime does not take this graph: {error}") from error

    def run(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Compute all outputs, in their order."""
        return self._session.run(None, inputs)


class GraphsMixin:
    """A model that can be compiled from graphs in its checkpoint's folder; `compile_for_cpu` does that."""

    def find_graphs(self) -> Path | None:
        """Return the folder of this model's graphs; of a repository on the Hub they are fetched.

        Returns:
            None where the checkpoint has no graphs, or this machine no ONNX Runtime.
        """
        name = self.name_or_path
        if onnxruntime is None or not name:
            return None
        if Path(name).is_dir():
            return Path(name, FOLDER) if Path(name, FOLDER, MANIFEST).is_file() else None
        revision = getattr(self.config, "_commit_hash", None)
        quietly = {"_raise_exceptions_for_missing_entries": False, "_raise_exceptions_for_connection_errors": False}
        found = cached_file(name, f"{FOLDER}/{MANIFEST}", revision=revision, **quietly)
        if found is None:
            return None
        for file in json.loads(Path(found).read_text(encoding="utf-8")):
            cached_file(name, f"{FOLDER}/{file}", revision=revision)
        return Path(found).parent


class OnnxNetwork:
    """What answers as a model does, from the graphs in its checkpoint's folder."""

    files: ClassVar[tuple[str, ...]]
    """The graphs' names; "{precision}" stands for the precision."""

    def __init__(self, model: PreTrainedModel, folder: Path, precision: str):
        """Load the graphs and give them the model's weights.

        Args:
            model: in float32, on the CPU.
            folder: its checkpoint's, with graphs.
            precision: "int8" or "float32", of what can be rounded.

        Raises:
            OSError: where the checkpoint has no graphs.
            KeyError: where it lacks one of them.
            ValueError: where they do not fit the model.
        """
        self.model = model
        self.config, self.device, self.dtype = model.config, model.device, model.dtype
        files = [file.format(precision=precision) for file in self.files]
        self.sessions = load_sessions(folder, files, self.weights())

    def weights(self) -> dict[str, np.ndarray]:
        """Return the weights of the graphs, float32."""
        raise NotImplementedError


def load_sessions(folder: Path, files: Sequence[str], weights: Mapping[str, np.ndarray]) -> list[OnnxSession]:
    """Load some graphs of a checkpoint.

    Args:
        folder: the checkpoint's.
        files: the graphs' names.
        weights: every weight of theirs.

    Raises:
        OSError: where a file is missing.
        KeyError: where the list of weights has no such graph.
        ValueError: for one that does not fit.
    """
    names = json.loads((folder / FOLDER / MANIFEST).read_text(encoding="utf-8"))
    return [OnnxSession((folder / FOLDER / file).read_bytes(), names[file], weights) for file in files]


def value_of(name: str, weights: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return a weight; where its name asks for it, the eight-bit numbers of matrices, or their scales.

    Each column of float (…, inputs, outputs) has a scale of its own, so that its largest weight becomes HIGHEST.
    """
    matrix, _, part = name.rpartition(".")
    if part not in ("int8", "scale") or name in weights:
        return np.ascontiguousarray(weights[name], np.float32)
    scale = np.maximum(np.abs(weights[matrix]).max(axis=-2, keepdims=True), 1e-12) / HIGHEST
    rounded = scale.squeeze(-2) if part == "scale" else np.rint(weights[matrix] / scale)
    return np.ascontiguousarray(rounded, np.float32 if part == "scale" else np.int8)


def reorder_gates(weight: Tensor, order: str, cell_type: str) -> Tensor:
    """Put the gates of a weight, (gates * units, …), which has torch's order, into another one.

    Args:
        weight: "ifgo" (LSTM; g is the candidate) or "rzn" (GRU; n is the candidate).
        order: the same letters in another order.
        cell_type: "gru" or "lstm".
    """
    torchs = {"gru": "rzn", "lstm": "ifgo"}[cell_type]
    parts = dict(zip(torchs, weight.chunk(len(torchs)), strict=True))
    return torch.cat([parts[letter] for letter in order])


def onnx_layer(layers: torch.nn.RNNBase, suffix: str, cell_type: str) -> tuple[Tensor, Tensor, Tensor]:
    """Return one layer and direction as ONNX' own operators want it: input, hidden and both biases together."""
    order = {"gru": "zrn", "lstm": "iofg"}[cell_type]
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    of_input, of_hidden, *biases = (reorder_gates(getattr(layers, f"{n}_{suffix}"), order, cell_type) for n in names)
    return of_input, of_hidden, torch.cat(biases)
