"""Graphs for ONNX Runtime, built node by node: the structure alone, without any weight.

A graph names its weights and says their shapes; their values come from model.safetensors when it is loaded
(`models/onnx_runtime.py`). So a checkpoint holds every number once, and a graph is a few kilobytes.

Matrices can be of eight bits: `Graph.linear`, and more exactly `Graph.careful_linear`. What they are multiplied by must
then lie between -1 and 1, as the states and read-outs of recurrent networks do, since it is rounded with a fixed scale:
no row's result depends on the others'.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from models.onnx_runtime import FOLDER, MANIFEST

from .json_files import write_json

OPSET, CONTRIBUTED_OPSET, IR_VERSION = 17, 1, 8
CONTRIBUTED = "com.microsoft"
INPUT_SCALE, INPUT_ZERO = 1 / 127, 128
"""Of inputs between -1 and 1, rounded to unsigned eight bits."""
PART_SCALE, PART_ZERO, PARTS_RATIO = 1 / 63, 64, 126
"""The same with seven bits, whose products with eight never overflow; and how much finer is rounded what they leave."""


class Graph:
    """A graph that is being built."""

    def __init__(self, name: str, quantized: bool = False):
        """Begin.

        Args:
            name: what it is, for error messages.
            quantized: whether `linear` multiplies in eight bits.
        """
        self.name = name
        self.quantized = quantized
        self._nodes: list[onnx.NodeProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._initializers: dict[str, onnx.TensorProto] = {}
        self._rounded: dict[str, str] = {}
        self._renamed: dict[str, str] = {}
        self._prefix = ""

    @classmethod
    def traced(cls, name: str, model: onnx.ModelProto, prefix: str) -> "Graph":
        """Take a graph that torch has traced without its parameters, which stand among its inputs.

        Args:
            name: what it is.
            model: the graph.
            prefix: what a parameter's name must begin with.
        """
        graph = cls(name)
        graph._nodes, graph._outputs = list(model.graph.node), list(model.graph.output)
        graph._initializers = {tensor.name: tensor for tensor in model.graph.initializer}
        for value in model.graph.input:
            if value.name.startswith(prefix):
                kind = value.type.tensor_type
                graph.weight(value.name, [size.dim_value for size in kind.shape.dim])
            else:
                graph._inputs.append(value)
        return graph

    def input(self, name: str, dtype: type, shape: Sequence[str | int]) -> str:
        """Declare an input; a dimension with a name may be of any size."""
        self._inputs.append(helper.make_tensor_value_info(name, _element_type(dtype), shape))
        return name

    def output(self, value: str, name: str, dtype: type, shape: Sequence[str | int]) -> None:
        """Declare an output: a node's, which gets this name."""
        for node in self._nodes:
            for names in (node.input, node.output):
                names[:] = [name if one == value else one for one in names]
        self._renamed[value] = name
        self._outputs.append(helper.make_tensor_value_info(name, _element_type(dtype), shape))

    def weight(self, name: str, shape: Sequence[int], dtype: type = np.float32) -> str:
        """Declare a weight."""
        tensor = TensorProto(name=name, data_type=_element_type(dtype), dims=shape)
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="weights")
        self._initializers[name] = tensor
        return name

    def constant(self, value: Any, dtype: type) -> str:
        """Return the name of a small constant; equal ones are one."""
        array = np.asarray(value, dtype)
        name = f"{array.dtype}{array.tolist()}"
        self._initializers[name] = numpy_helper.from_array(array, name)
        return name

    def array(self, values: np.ndarray) -> str:
        """Return the name of a constant of any size."""
        name = f"array_{len(self._initializers)}"
        self._initializers[name] = numpy_helper.from_array(values, name)
        return name

    def op(self, kind: str, *inputs: str, outputs: int = 1, domain: str = "", **attributes: Any) -> Any:
        """Add a node; return its output's name, or several names."""
        inputs = [self._renamed.get(value, value) for value in inputs]
        names = [f"{self._prefix}{kind}_{len(self._nodes)}_{index}" for index in range(outputs)]
        self._nodes.append(helper.make_node(kind, inputs, names, domain=domain, **attributes))
        return names[0] if outputs == 1 else names

    def linear(self, values: str, name: str, num_inputs: int, num_outputs: int, bias: bool = True) -> str:
        """Multiply values between -1 and 1, float (rows, num_inputs), by a matrix.

        Its weights are `name`.matrix, float (num_inputs, num_outputs), and `name`.bias.
        """
        if not self.quantized:
            return self.exact_linear(values, name, num_inputs, num_outputs, bias)
        return self._byte_products(values, name, num_inputs, num_outputs, f"{name}.bias" if bias else "")

    def careful_linear(self, values: str, name: str, num_inputs: int, num_outputs: int, bias: bool = True) -> str:
        """Multiply as `linear` does, but with weights of whole eight bits and inputs of two times seven.

        What rounding leaves of the inputs are more rows of the same product, which reads its weights once: for a few
        rows it takes hardly longer.
        """
        if not self.quantized:
            return self.exact_linear(values, name, num_inputs, num_outputs, bias)
        products = self._multiply(self._in_parts(values, axis=0), name, num_inputs, num_outputs)
        total = self._sum_of_parts(products, axis=0)
        return self.op("Add", total, self.weight(f"{name}.bias", (num_outputs,))) if bias else total

    def careful_linears(self, values: str, names: Sequence[str], num_inputs: int, num_outputs: int) -> str:
        """Multiply values, float (matrices, rows, num_inputs), by a matrix each, as `careful_linear` does.

        They are rounded whether or not the graph is quantized.
        """
        rows = self.op("Split", self._in_parts(values, axis=1), outputs=len(names), axis=0)
        products = [self._multiply(row, name, num_inputs, num_outputs) for row, name in zip(rows, names, strict=True)]
        return self._sum_of_parts(self.op("Concat", *products, axis=0), axis=1)

    def _sum_of_parts(self, products: str, axis: int) -> str:
        high, low = self.op("Split", products, outputs=2, axis=axis)
        return self.op("Add", high, self.op("Mul", low, self.constant(1 / PARTS_RATIO, np.float32)))

    def row_linear(self, values: str, name: str, num_inputs: int, num_outputs: int, bias: bool = True) -> str:
        """Multiply one row as `linear` does.

        All is summed in steps of the rounded weights, and multiplied by the columns' scales at the end: a product that
        has a scale for each column works out anew, at every call, what each is together with the inputs' scale. For
        many rows that is less than a further multiplication of the result.
        """
        if not self.quantized:
            return self.exact_linear(values, name, num_inputs, num_outputs, bias)
        in_steps = f"{name}.matrix.int8_bias" if bias else ""
        steps = self._byte_products(values, name, num_inputs, num_outputs, in_steps, scaled=False)
        return self.op("Mul", steps, self.weight(f"{name}.matrix.scale", (num_outputs,)))

    def _byte_products(
        self, values: str, name: str, num_inputs: int, num_outputs: int, bias: str, scaled: bool = True
    ) -> str:
        """Round values to eight bits, once, and multiply them by a rounded matrix.

        The products are in steps of its weights unless they are `scaled`. `bias` is the weight to add; empty for none.
        """
        scale, zero = self.constant(INPUT_SCALE, np.float32), self.constant(INPUT_ZERO, np.uint8)
        if values not in self._rounded:
            self._rounded[values] = self.op("QuantizeLinear", values, scale, zero)
        matrix = self.weight(f"{name}.matrix.int8", (num_inputs, num_outputs), np.int8)
        scales = self.weight(f"{name}.matrix.scale", (num_outputs,)) if scaled else self.constant(1, np.float32)
        inputs = [self._rounded[values], matrix, scale, scales, zero]
        inputs += ["", self.weight(bias, (num_outputs,))] if bias else []
        return self.op("MatMulIntegerToFloat", *inputs, domain=CONTRIBUTED)

    def _in_parts(self, values: str, axis: int) -> str:
        """Round values to seven bits; beside them, along an axis, comes PARTS_RATIO times what that leaves."""
        scale, zero = self.constant(PART_SCALE, np.float32), self.constant(PART_ZERO, np.uint8)
        high = self.op("QuantizeLinear", values, scale, zero)
        left = self.op("Sub", values, self.op("DequantizeLinear", high, scale, zero))
        low = self.op("QuantizeLinear", left, self.constant(PART_SCALE / PARTS_RATIO, np.float32), zero)
        return self.op("Concat", high, low, axis=axis)

    def _multiply(self, rows: str, name: str, num_inputs: int, num_outputs: int) -> str:
        scale, zero = self.constant(PART_SCALE, np.float32), self.constant(PART_ZERO, np.uint8)
        numbers = self.weight(f"{name}.matrix.whole", (num_inputs, num_outputs), np.int8)
        scales = self.weight(f"{name}.matrix.whole_scale", (num_outputs,))
        return self.op("MatMulIntegerToFloat", rows, numbers, scale, scales, zero, domain=CONTRIBUTED)

    def exact_linear(self, values: str, name: str, num_inputs: int, num_outputs: int, bias: bool = True) -> str:
        """Multiply any values, float (…, num_inputs), by a matrix, in float32."""
        product = self.op("MatMul", values, self.weight(f"{name}.matrix", (num_inputs, num_outputs)))
        return self.op("Add", product, self.weight(f"{name}.bias", (num_outputs,))) if bias else product

    def scan(
        self,
        step: Callable[["Graph", list[str], str], list[str]],
        states: Sequence[str],
        values: str,
        copies: int,
        widths: Sequence[int],
        width: int,
    ) -> str:
        """Go through a sequence, one element after the other.

        Args:
            step: adds to a graph what becomes of the states, given them and an element, and returns their names.
            states: float (copies, rows, widths[i]) before the first element.
            values: float (elements, copies, rows, width).
            copies: of the rows.
            widths: of the states.
            width: of an element.

        Returns:
            The first state after each element, float (elements, copies, rows, widths[0]).
        """
        body = Graph(self.name, self.quantized)
        body._prefix, body._initializers = f"scan_{len(self._nodes)}_", self._initializers
        names = [f"{body._prefix}{name}" for name in (*map(str, range(len(states))), "element")]
        before = [
            body.input(name, np.float32, (copies, "rows", size))
            for name, size in zip(names, (*widths, width), strict=True)
        ]
        after = step(body, before[:-1], before[-1])
        after.append(body.op("Identity", after[0]))
        for index, (value, size) in enumerate(zip(after, (*widths, widths[0]), strict=True)):
            body.output(value, f"{body._prefix}after_{index}", np.float32, (copies, "rows", size))
        graph = helper.make_graph(body._nodes, body._prefix, body._inputs, body._outputs)
        outputs = self.op("Scan", *states, values, outputs=len(states) + 1, body=graph, num_scan_inputs=1)
        return outputs[-1]

    def split(self, values: str, sizes: Sequence[int]) -> list[str]:
        """Cut the last dimension into parts."""
        return self.op("Split", values, self.constant(sizes, np.int64), outputs=len(sizes), axis=-1)

    def concatenate(self, *values: str) -> str:
        """Join along the last dimension."""
        return values[0] if len(values) == 1 else self.op("Concat", *values, axis=-1)

    def reshape(self, values: str, shape: Sequence[int]) -> str:
        """Give another shape; 0 keeps a dimension, -1 takes what is left."""
        return self.op("Reshape", values, self.constant(shape, np.int64))

    @property
    def weights(self) -> list[str]:
        """Names of the weights."""
        return [name for name, tensor in self._initializers.items() if tensor.external_data]

    def serialize(self) -> bytes:
        """Return the finished graph."""
        graph = helper.make_graph(
            self._nodes, self.name, self._inputs, self._outputs, initializer=list(self._initializers.values())
        )
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(CONTRIBUTED, CONTRIBUTED_OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="hindsight")
        return model.SerializeToString(deterministic=True)


def kernel_probe() -> Graph:
    """Build what `models/onnx_runtime.py` multiplies once to see whether this processor's sums are wide enough."""
    graph = Graph("probe")
    values = graph.input("values", np.uint8, ("rows", 64))
    product = graph.op("MatMulInteger", values, graph.weight("weights", (64, 32), np.int8))
    graph.output(product, "product", np.int32, ("rows", 32))
    return graph


def lstm_update(graph: Graph, gates: str, memory: str, size: int) -> tuple[str, str]:
    """Return an LSTM's new state and memory; the gates are in the order input, forget, output, candidate."""
    squashing, candidate = graph.split(gates, (3 * size, size))
    input_gate, forget_gate, output_gate = graph.split(graph.op("Sigmoid", squashing), (size, size, size))
    gained = graph.op("Mul", input_gate, graph.op("Tanh", candidate))
    memory = graph.op("Add", graph.op("Mul", forget_gate, memory), gained)
    return graph.op("Mul", output_gate, graph.op("Tanh", memory)), memory


def write_graphs(folder: Path, graphs: Mapping[str, Graph]) -> None:
    """Write a checkpoint's graphs, by their files' names, and which weights each has."""
    if not graphs:
        return
    (folder / FOLDER).mkdir(exist_ok=True)
    for file, graph in graphs.items():
        (folder / FOLDER / file).write_bytes(graph.serialize())
    write_json(folder / FOLDER / MANIFEST, {file: graph.weights for file, graph in graphs.items()})


def _element_type(dtype: type) -> int:
    return helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
