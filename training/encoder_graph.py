"""Layers of graphs that read a sequence in both directions.

Names of dimensions in this file:
    source  positions
    batch   sequences
    width   numbers at a position
    size    units of a direction
    gates   3 (GRU) or 4 (LSTM) for each unit
"""

import numpy as np
from onnx import TensorProto

from models.onnx_attention_nmt import GATES

from .onnx_graph import Graph, lstm_update


def read_exactly(graph: Graph, name: str, cell_type: str, values: str, lengths: str, width: int, size: int) -> str:
    """Add a layer, in float32.

    Args:
        graph: where to add it.
        name: of its weights.
        cell_type: "gru" or "lstm".
        values: float (source, batch, width).
        lengths: int32 (batch).
        width: of the values.
        size: of the layer.

    Returns:
        Float (source, batch, 2 * size), forwards and backwards.
    """
    gates = GATES[cell_type] * size
    weights = [
        graph.weight(f"{name}.input", (2, gates, width)),
        graph.weight(f"{name}.hidden", (2, gates, size)),
        graph.weight(f"{name}.bias", (2, 2 * gates)),
    ]
    options = {"direction": "bidirectional", "hidden_size": size}
    options |= {"linear_before_reset": 1} if cell_type == "gru" else {}
    outputs = graph.op(cell_type.upper(), values, *weights, lengths, **options)
    return graph.reshape(graph.op("Transpose", outputs, perm=[0, 2, 1, 3]), (0, 0, -1))


def read_rounded(graph: Graph, name: str, cell_type: str, values: str, lengths: str, width: int, size: int) -> str:
    """Add a layer whose recurrent matrices have eight bits, as `read_exactly` does.

    Both directions go through their sequences at once; what is after a sequence's end is anything.
    """
    gates = GATES[cell_type] * size
    lengths = graph.op("Cast", lengths, to=TensorProto.INT64)
    reverse = {"time_axis": 0, "batch_axis": 1}
    both = {"forward": values, "backward": graph.op("ReverseSequence", values, lengths, **reverse)}
    inputs = [graph.exact_linear(one, f"{name}.{way}.input", width, gates) for way, one in both.items()]
    elements = graph.op("Concat", *inputs, axis=1)
    shape = graph.op("Concat", graph.op("Shape", elements, start=1, end=2), graph.constant([size], np.int64), axis=0)
    nothing = graph.op("ConstantOfShape", shape)

    def step(body: Graph, states: list[str], element: str) -> list[str]:
        parts = body.op("Split", states[0], outputs=2, axis=0)
        products = [
            body.careful_linear(part, f"{name}.{way}.hidden", size, gates, bias=cell_type == "gru")
            for way, part in zip(both, parts, strict=True)
        ]
        of_state = body.op("Concat", *products, axis=0)
        if cell_type == "gru":
            return [gru_update(body, element, of_state, states[0], size)]
        return list(lstm_update(body, body.op("Add", element, of_state), states[1], size))

    num_states = 1 if cell_type == "gru" else 2
    outputs = graph.scan(step, [nothing] * num_states, elements, [size] * num_states, gates)
    forwards, backwards = graph.op("Split", outputs, outputs=2, axis=1)
    return graph.concatenate(forwards, graph.op("ReverseSequence", backwards, lengths, **reverse))


def gru_update(graph: Graph, of_input: str, of_state: str, before: str, size: int) -> str:
    """Return n + z (h - n), with n = tanh(W x + r (U h)): torch's order of reset, update and candidate."""
    input_gates, input_candidate = graph.split(of_input, (2 * size, size))
    state_gates, state_candidate = graph.split(of_state, (2 * size, size))
    squashed = graph.op("Sigmoid", graph.op("Add", input_gates, state_gates))
    reset, update = graph.split(squashed, (size, size))
    candidate = graph.op("Tanh", graph.op("Add", input_candidate, graph.op("Mul", reset, state_candidate)))
    return graph.op("Add", candidate, graph.op("Mul", update, graph.op("Sub", before, candidate)))
