"""Run graphs with ONNX Runtime: on a CPU several times as fast as PyTorch is with small matrices.

A graph (`training/onnx_graph.py` makes them) has no weights: they are given to it here, from the model that was loaded,
rounded to eight bits where the graph asks for that. A graph is read as bytes: it cannot name another file.
"""

import base64
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
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
HIGHEST = 127
"""Of a weight of eight bits."""
HIGHEST_OF_SEVEN = 64
"""The same with one bit less than there is, where sixteen bits hold a sum of any two products."""
HIGHEST_OF_SIXTEEN = 32767
"""Of a number of sixteen bits."""
ROWS_AT_ONCE = 64
"""Of a table that is rounded."""
WRITE_ANEW = "`python -m training.graphs FOLDER` writes a checkpoint's graphs anew."
PROBE = base64.b64decode(
    "CAgSCWhpbmRzaWdodDqZAQorCgZ2YWx1ZXMKB3dlaWdodHMSB3Byb2R1Y3QiDU1hdE11bEludGVnZXI6ABIFcHJvYmUqJghACCAQA0IHd2Vp"
    "Z2h0c2oTCghsb2NhdGlvbhIHd2VpZ2h0c3ABWhwKBnZhbHVlcxISChAIAhIMCgYSBHJvd3MKAghAYh0KB3Byb2R1Y3QSEgoQCAYSDAoGEgRy"
    "b3dzCgIIIEIECgAQEUIRCg1jb20ubWljcm9zb2Z0EAE="
)
"""A graph: `values`, uint8 (rows, 64), times `weights`, int8 (64, 32). `training/onnx_graph.py` builds it."""

Weight = np.ndarray | Callable[[], np.ndarray]
"""One that takes long to compute is a function, which is called where a graph asks for it."""


class OnnxSession:
    """A graph with its weights, ready to run."""

    def __init__(self, graph: bytes, names: Sequence[str], weights: Mapping[str, Weight]):
        """Load; it will use as many threads as PyTorch does now.

        Args:
            graph: its serialised structure.
            names: its weights.
            weights: their values, and perhaps others. Of what `value_of` rounds the float matrix is given.

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
        self._outputs = [value.name for value in self._session.get_outputs()]

    def check_inputs(self, names: Iterable[str]) -> None:
        """Raise a ValueError where the graph, made by another version, does not take what it will be given."""
        missing = set(names) - {value.name for value in self._session.get_inputs()}
        if missing:
            raise ValueError(
                f"This graph has no inputs {', '.join(sorted(missing))}: it is of another version. {WRITE_ANEW}"
            )

    def run(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Compute all outputs, in their order."""
        return self._session.run(self._outputs, inputs)


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
    """The graphs' names; "{precision}" stands for the precision. Where beside "name.onnx" there is a "name-int8.onnx",
    that is taken for this precision, if products of whole eight bits are exact: else it is no faster."""

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
        there = weights_of_graphs(folder)
        files = [file.format(precision=precision) for file in self.files]
        if precision != "float32" and has_exact_bytes():
            rounded = [file.replace(".onnx", f"-{precision}.onnx") for file in files]
            files = [better if better in there else file for file, better in zip(files, rounded, strict=True)]
        self.sessions = load_sessions(folder, files, self.weights())

    def weights(self) -> dict[str, Weight]:
        """Return the weights of the graphs, float32."""
        raise NotImplementedError


def weights_of_graphs(folder: Path) -> dict[str, list[str]]:
    """Return the names of the weights of each graph of a checkpoint, by the graphs' names.

    Raises:
        OSError: where the checkpoint has no graphs.
    """
    return json.loads((folder / FOLDER / MANIFEST).read_text(encoding="utf-8"))


def load_sessions(folder: Path, files: Sequence[str], weights: Mapping[str, Weight]) -> list[OnnxSession]:
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
    names = weights_of_graphs(folder)
    return [OnnxSession((folder / FOLDER / file).read_bytes(), names[file], weights) for file in files]


@cache
def has_exact_bytes() -> bool:
    """Say whether products of whole eight bits are exact here: multiply some of which processors without VNNI saturate.

    A real product is asked, not the processor's name: what counts is the kernel that ONNX Runtime chooses.
    """
    return _is_exact([HIGHEST, HIGHEST])


@cache
def has_exact_pairs() -> bool:
    """Say whether what must fit into sixteen bits are the sums of an even row's product and of the next one's.

    It is so where x86 processors have no VNNI (`vpmaddubsw`). It must be known only where bytes are not exact.
    """
    return _is_exact([HIGHEST, 1]) and _is_exact([1, HIGHEST])


def _is_exact(pair: Sequence[int]) -> bool:
    """Multiply the highest inputs by rows of such weights, and by their opposites in every other column."""
    weights = np.tile(np.array(pair, np.int8)[:, None], (32, 32))
    weights[:, ::2] *= -1
    session = OnnxSession(PROBE, ["weights"], {"weights": weights})
    values = np.full((3, 64), 255, np.uint8)
    expected = values.astype(np.int32) @ weights.astype(np.int32)
    return all(np.array_equal(session.run({"values": values[:rows]})[0], expected[:rows]) for rows in (1, 3))


def value_of(name: str, weights: Mapping[str, Weight]) -> np.ndarray:
    """Return a weight; where its name asks for it, a part of the rounded float `matrix`, (…, inputs, outputs).

    A table is rounded with one scale for all its numbers:
        `table`.int16, `table`.step: whole numbers, and what one of them is.

    Each column has a scale of its own, so that its largest weight becomes the highest number:
        `matrix`.int8, `matrix`.scale: of eight bits where products of them are exact. Else as many as sums of two
            products allow; see `_column_scales`.
        `matrix`.int8_bias: the bias beside the matrix, in steps of those.
        `matrix`.whole, `matrix`.whole_scale: of eight bits; what they are multiplied by must have seven.

    Raises:
        KeyError: for a weight that there is not.
        ValueError: for a part that there is not.
    """
    if name in weights:
        value = weights[name]
        return np.ascontiguousarray(value, np.float32 if value.dtype.kind == "f" else value.dtype)
    matrix, _, part = name.rpartition(".")
    weight = weights[matrix]
    weight = weight() if callable(weight) else weight
    if part in ("int16", "step"):
        step = np.float32(max(weight.max(), -weight.min(), 1e-12) / HIGHEST_OF_SIXTEEN)
        return _in_sixteen_bits(weight, step) if part == "int16" else np.array(step)
    scale = _column_scales(weight, are_inputs_whole=part not in ("whole", "whole_scale"))
    if part in ("scale", "whole_scale"):
        return np.ascontiguousarray(scale.squeeze(-2), np.float32)
    if part == "int8_bias":
        return np.ascontiguousarray(weights[f"{matrix.removesuffix('matrix')}bias"] / scale.squeeze(-2), np.float32)
    if part not in ("int8", "whole"):
        raise ValueError(f"This graph asks for {name!r}, which nothing is called any more. {WRITE_ANEW}")
    return np.ascontiguousarray(np.rint(weight / scale), np.int8)


def _column_scales(weight: np.ndarray, are_inputs_whole: bool) -> np.ndarray:
    """Return what one step is in each column of a matrix, (…, inputs, outputs) to (…, 1, outputs).

    Inputs of eight bits, where sums of two products have sixteen: 255 times any two weights that are added must stay
    below 2 ** 15. Two neighbours with the same sign together are at most 128 then, but one alone may be 127. The
    largest are seldom neighbours, so that a step is about two thirds of one of weights that are at most 64.
    """
    largest, highest = np.abs(weight).max(axis=-2, keepdims=True), HIGHEST
    if are_inputs_whole and not has_exact_bytes():
        if has_exact_pairs():
            for part in (np.maximum(weight, 0), np.maximum(-weight, 0)):
                num_paired = part.shape[-2] // 2 * 2
                sums = part[..., 0:num_paired:2, :] + part[..., 1:num_paired:2, :]
                largest = np.maximum(largest, sums.max(axis=-2, keepdims=True, initial=0))
        else:
            highest = HIGHEST_OF_SEVEN
    return np.maximum(largest, 1e-12) / highest


def _in_sixteen_bits(table: np.ndarray, step: np.float32) -> np.ndarray:
    """Round float (rows, …) to whole steps, a few rows at a time: fresh memory for all of them is what takes long."""
    numbers = np.empty(table.shape, np.int16)
    for first in range(0, len(table), ROWS_AT_ONCE):
        rows = slice(first, first + ROWS_AT_ONCE)
        numbers[rows] = np.rint(table[rows] / step)
    return numbers


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
