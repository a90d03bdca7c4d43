"""Parts of graphs that every decoder with attention has.

Names of dimensions in this file:
    rows    answers written side by side: batch times hypotheses of an input, which lie together
    count   candidates for a row's next token
    source  positions that the attention weighs
"""

import numpy as np

from .onnx_graph import Graph

LEAST_BLOCKS = 64
"""Into which a vocabulary is cut to look for its best tokens, where it can be cut at all."""
BEST_WIDTH = 32
"""Of a block: with 4,000 tokens and ten candidates the fastest of 10 to 80."""


def add_candidates(graph: Graph, logits: str, forbidden: str, count: str, vocab_size: int) -> None:
    """Name the best continuations of each input over all its rows, best first.

    Adds the input `scores`, float (batch, rows of an input), what each row has so far. Outputs, (batch, count):
    `totals`, what a row has then; `log_probabilities` of the next tokens; `token_ids`; `parents`, the rows that they
    continue. What is forbidden stays in the normaliser, so that the others' probabilities are what they are.

    The best are in the blocks with the largest maxima, as many blocks as are wanted: to look for the blocks first takes
    a fraction of the time.
    """
    scores = graph.input("scores", np.float32, ("batch", "width"))
    number, width = vocab_size // block_width(vocab_size), block_width(vocab_size)
    blocks_of_row, whole = graph.constant(number, np.int64), graph.constant(width, np.int64)
    allowed = graph.op("Add", graph.op("LogSoftmax", logits, axis=-1), forbidden)
    batch = _size(graph, scores, 0)
    maxima = graph.op("ReduceMax", graph.reshape(allowed, (0, number, width)), axes=[2], keepdims=0)
    maxima = graph.op("Add", maxima, graph.reshape(scores, (-1, 1)))
    shape = graph.op("Concat", batch, graph.constant([-1], np.int64), axis=0)
    _, chosen = _top(graph, graph.op("Reshape", maxima, shape), count)  # (batch, blocks)

    shape = graph.op("Concat", batch, graph.constant([-1, width], np.int64), axis=0)
    places = graph.op("Unsqueeze", chosen, graph.constant([2], np.int64))
    inside = graph.op("GatherND", graph.op("Reshape", allowed, shape), places, batch_dims=1)  # (batch, blocks, width)
    parents = graph.op("Div", chosen, blocks_of_row)
    before = graph.op("Unsqueeze", graph.op("GatherElements", scores, parents, axis=1), graph.constant([2], np.int64))
    best, found = _top(graph, graph.reshape(graph.op("Add", inside, before), (0, -1)), count)
    place = graph.op("Div", found, whole)
    block = graph.op("Mod", graph.op("GatherElements", chosen, place, axis=1), blocks_of_row)
    outputs = {
        "totals": best,
        "log_probabilities": graph.op("GatherElements", graph.reshape(inside, (0, -1)), found, axis=1),
        "token_ids": graph.op("Add", graph.op("Mul", block, whole), graph.op("Mod", found, whole)),
        "parents": graph.op("GatherElements", parents, place, axis=1),
    }
    for name, value in outputs.items():
        graph.output(
            value, name, np.float32 if value is best or name == "log_probabilities" else np.int64, ("batch", "count")
        )


def _top(graph: Graph, values: str, count: str) -> list[str]:
    """Return the largest of each row of float (rows, …) and their places, as many as are wanted and there are."""
    return graph.op("TopK", values, graph.op("Min", count, _size(graph, values, 1)), outputs=2, axis=1)


def _size(graph: Graph, values: str, dimension: int) -> str:
    """Return the size of a dimension, int64 (1)."""
    ends = [graph.constant([end], np.int64) for end in (dimension, dimension + 1)]
    return graph.op("Slice", graph.op("Shape", values), *ends)


def block_width(size: int) -> int:
    """Return into how wide blocks a row of `size` is cut, as near to BEST_WIDTH as it can be cut; 1: not at all."""
    fitting = [width for width in range(1, size // LEAST_BLOCKS + 1) if size % width == 0]
    return min(fitting, key=lambda width: abs(width - BEST_WIDTH), default=1)


def attend(graph: Graph, query: str, keys: str, values: str, padding: str | None, size: int) -> tuple[str, str]:
    """Weigh what is at each position (`models/attention.py`) and average it.

    Args:
        graph: where to add it.
        query: float (rows, attention_size), projected; a source's rows lie side by side.
        keys: float (batch, source, attention_size), projected.
        values: float (batch, source, width).
        padding: float (batch, 1, source), minus infinity on padding; None where there is none.
        size: attention_size.

    Returns:
        The weights, float (rows, source), and the average, float (rows, width).
    """
    batch = _size(graph, keys, 0)
    apart = graph.op("Concat", batch, graph.constant([-1, 1, size], np.int64), axis=0)
    queries = graph.op("Reshape", query, apart)
    fits = graph.op("Tanh", graph.op("Add", queries, graph.op("Unsqueeze", keys, graph.constant([1], np.int64))))
    # One row times many: ONNX Runtime would pad a matrix of one column, prepared beforehand, to sixteen.
    energies = graph.op(
        "Gemm", graph.op("Transpose", graph.weight("energy", (size, 1))), graph.reshape(fits, (-1, size)), transB=1
    )
    shape = graph.op("Slice", graph.op("Shape", fits), graph.constant([0], np.int64), graph.constant([3], np.int64))
    energies = graph.op("Reshape", energies, shape)
    if padding is not None:
        energies = graph.op("Add", energies, padding)
    weights = graph.op("Softmax", energies, axis=-1)
    average = graph.op("MatMul", weights, values)
    return _merge_rows(graph, weights), _merge_rows(graph, average)


def _merge_rows(graph: Graph, values: str) -> str:
    """Turn (batch, queries, width) into (rows, width)."""
    shape = graph.op("Concat", graph.constant([-1], np.int64), _size(graph, values, 2), axis=0)
    return graph.op("Reshape", values, shape)
