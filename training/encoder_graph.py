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

TIME_FIRST = {"time_axis": 0, "batch_axis": 1}
"""Of a sequence that is reversed."""


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


def gates_of_tokens(graph: Graph, name: str, cell_type: str, ids: str, lengths: str, vocab_size: int, size: int) -> str:
    """Look up what each token adds to a layer's gates, both ways at once: a table of sixteen bits has it.

    Args:
        graph: where to add it.
        name: of the layer's weights.
        cell_type: "gru" or "lstm".
        ids: int64 (source, batch).
        lengths: int64 (batch).
        vocab_size: tokens.
        size: of the layer.

    Returns:
        Float (source, 2, batch, gates): forwards, and backwards from each sequence's end.
    """
    backwards = graph.op("ReverseSequence", ids, lengths, **TIME_FIRST)
    backwards = graph.op("Add", backwards, graph.constant(vocab_size, np.int64))
    table = graph.weight(f"{name}.table.int16", (2 * vocab_size, GATES[cell_type] * size), np.int16)
    rows = graph.op("Gather", table, _side_by_side(graph, ids, backwards))
    return graph.op("Mul", graph.op("Cast", rows, to=TensorProto.FLOAT), graph.weight(f"{name}.table.step", ()))


def gates_of_values(graph: Graph, name: str, cell_type: str, values: str, lengths: str, width: int, size: int) -> str:
    """Multiply what the layer below says, float (source, batch, width), in float32; else as `gates_of_tokens`."""
    both = {"forward": values, "backward": graph.op("ReverseSequence", values, lengths, **TIME_FIRST)}
    gates = GATES[cell_type] * size
    inputs = [graph.exact_linear(one, f"{name}.{way}.input", width, gates) for way, one in both.items()]
    return _side_by_side(graph, *inputs)


def read_rounded(graph: Graph, name: str, cell_type: str, elements: str, lengths: str, size: int) -> str:
    """Add a layer whose recurrent matrices have eight bits; else as `read_exactly`.

    Both directions go through their sequences at once; what is after a sequence's end is anything.

    Args:
        graph: where to add it.
        name: of its weights.
        cell_type: "gru" or "lstm".
        elements: float (source, 2, batch, gates), what the inputs add to the gates.
        lengths: int64 (batch).
        size: of the layer.
    """
    gates, names = GATES[cell_type] * size, [f"{name}.forward.hidden", f"{name}.backward.hidden"]
    shape = graph.op("Concat", graph.op("Shape", elements, start=1, end=3), graph.constant([size], np.int64), axis=0)
    nothing = graph.op("ConstantOfShape", shape)

    def step(body: Graph, states: list[str], element: str) -> list[str]:
        of_state = body.careful_linears(states[0], names, size, gates)
        if cell_type == "lstm":
            return list(lstm_update(body, body.op("Add", element, of_state), states[1], size))
        of_state = body.op("Add", of_state, body.weight(f"{name}.hidden_bias", (2, 1, gates)))
        return [gru_update(body, element, of_state, states[0], size)]

    num_states = 1 if cell_type == "gru" else 2
    outputs = graph.scan(step, [nothing] * num_states, elements, 2, [size] * num_states, gates)
    forwards, backwards = (
        graph.op("Squeeze", one, graph.constant([1], np.int64)) for one in graph.op("Split", outputs, outputs=2, axis=1)
    )
    return graph.concatenate(forwards, graph.op("ReverseSequence", backwards, lengths, **TIME_FIRST))


def _side_by_side(graph: Graph, forwards: str, backwards: str) -> str:
    """Join (source, batch, …) and (source, batch, …) to (source, 2, batch, …)."""
    both = (graph.op("Unsqueeze", one, graph.constant([1], np.int64)) for one in (forwards, backwards))
    return graph.op("Concat", *both, axis=1)


def gru_update(graph: Graph, of_input: str, of_state: str, before: str, size: int) -> str:
    """Return n + z (h - n), with n = tanh(W x + r (U h)): torch's order of reset, update and candidate."""
    input_gates, input_candidate = graph.split(of_input, (2 * size, size))
    state_gates, state_candidate = graph.split(of_state, (2 * size, size))
    squashed = graph.op("Sigmoid", graph.op("Add", input_gates, state_gates))
    reset, update = graph.split(squashed, (size, size))
    candidate = graph.op("Tanh", graph.op("Add", input_candidate, graph.op("Mul", reset, state_candidate)))
    return graph.op("Add", candidate, graph.op("Mul", update, graph.op("Sub", before, candidate)))
