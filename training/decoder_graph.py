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


def add_candidates(graph: Graph, logits: str, forbidden: str, count: str, vocab_size: int) -> None:
    """Name the best next tokens of each row: outputs `log_probabilities` and `token_ids`, (rows, count), best first.

    What is forbidden stays in the normaliser, so that the others' probabilities are what they are.
    """
    allowed = graph.op("Add", graph.op("LogSoftmax", logits, axis=-1), forbidden)
    best, token_ids = _best(graph, allowed, count, vocab_size)
    graph.output(best, "log_probabilities", np.float32, ("rows", "count"))
    graph.output(token_ids, "token_ids", np.int64, ("rows", "count"))


def _best(graph: Graph, values: str, count: str, size: int) -> tuple[str, str]:
    """Return the largest of each row of float (rows, size) and their places, best first.

    Those are in the blocks with the largest maxima, as many blocks as are wanted: to look for the blocks first takes a
    third of the time.
    """
    width = block_width(size)
    if width is None:
        return graph.op("TopK", values, count, outputs=2, axis=1)
    number, whole = size // width, graph.constant(width, np.int64)
    blocks = graph.reshape(values, (0, number, width))
    wanted = graph.op("Min", count, graph.constant([number], np.int64))
    maxima = graph.op("ReduceMax", blocks, axes=[2], keepdims=0)
    _, chosen = graph.op("TopK", maxima, wanted, outputs=2, axis=1)
    places = graph.op("Unsqueeze", chosen, graph.constant([2], np.int64))
    inside = graph.reshape(graph.op("GatherND", blocks, places, batch_dims=1), (0, -1))
    best, found = graph.op("TopK", inside, count, outputs=2, axis=1)
    block = graph.op("GatherElements", chosen, graph.op("Div", found, whole), axis=1)
    return best, graph.op("Add", graph.op("Mul", block, whole), graph.op("Mod", found, whole))


def block_width(size: int) -> int | None:
    """Return into how wide blocks a row of `size` is cut, about as many as each is wide; None: not at all."""
    fitting = [width for width in range(2, size // LEAST_BLOCKS + 1) if size % width == 0]
    return min(fitting, key=lambda width: abs(width - size**0.5), default=None)


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
    batch = graph.op("Slice", graph.op("Shape", keys), graph.constant([0], np.int64), graph.constant([1], np.int64))
    apart = graph.op("Concat", batch, graph.constant([-1, 1, size], np.int64), axis=0)
    queries = graph.op("Reshape", query, apart)
    fits = graph.op("Tanh", graph.op("Add", queries, graph.op("Unsqueeze", keys, graph.constant([1], np.int64))))
    energies = graph.op("MatMul", fits, graph.weight("energy", (size, 1)))
    energies = graph.op("Squeeze", energies, graph.constant([3], np.int64))
    if padding is not None:
        energies = graph.op("Add", energies, padding)
    weights = graph.op("Softmax", energies, axis=-1)
    average = graph.op("MatMul", weights, values)
    return _merge_rows(graph, weights), _merge_rows(graph, average)


def _merge_rows(graph: Graph, values: str) -> str:
    """Turn (batch, queries, width) into (rows, width)."""
    width = graph.op("Slice", graph.op("Shape", values), graph.constant([2], np.int64), graph.constant([3], np.int64))
    return graph.op("Reshape", values, graph.op("Concat", graph.constant([-1], np.int64), width, axis=0))
