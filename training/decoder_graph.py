"""Parts of graphs that every decoder with attention has.

Names of dimensions in this file:
    batch   inputs
    width   hypotheses of an input
    count   continuations of an input
    blocks  parts of the vocabulary, of all hypotheses of an input, that can have them
    source  positions that the attention weighs
"""

import numpy as np

from models.onnx_stepper import block_width

from .onnx_graph import Graph


def add_candidates(graph: Graph, logits: str, vocab_size: int) -> None:
    """Name the best continuations of each input over all its hypotheses, best first.

    Adds the inputs
        `scores`, float (batch, width, 1): what a hypothesis has so far,
        `forbidden`, float (places, tokens of a block): minus infinity at every token that must not come next, else 0,
        `first`, int64 (batch, 1): where in it an input's blocks begin,
        `count` and `blocks`, int64 (1): how many continuations, and in how many blocks to look for them.
    Outputs, (batch, count): `totals`, what a hypothesis has then; `log_probabilities` of the next tokens; `places`,
    hypothesis * vocabulary + token. What is forbidden stays in the normaliser, so that the others' probabilities are
    what they are.

    The best are in the blocks with the largest maxima, as many blocks as are wanted, and as many more as have something
    that is forbidden, for that counts in the maxima. To look for the blocks first takes a fraction of the time.

    Args:
        graph: where to add it.
        logits: float (batch, width, vocabulary).
        vocab_size: tokens.
    """
    width = block_width(vocab_size)
    number, whole = vocab_size // width, graph.constant(width, np.int64)
    scores = graph.input("scores", np.float32, ("batch", "width", 1))
    forbidden = graph.input("forbidden", np.float32, ("places", width))
    first = graph.input("first", np.int64, ("batch", 1))
    count, blocks = graph.input("count", np.int64, (1,)), graph.input("blocks", np.int64, (1,))
    every = graph.reshape(graph.op("LogSoftmax", logits, axis=-1), (0, 0, number, width))
    maxima = graph.op("Add", graph.op("ReduceMax", every, axes=[3], keepdims=0), scores)
    _, chosen = graph.op("TopK", graph.reshape(maxima, (0, -1)), blocks, outputs=2, axis=1)  # (batch, blocks)

    places = graph.op("Unsqueeze", chosen, graph.constant([2], np.int64))
    inside = graph.op("GatherND", graph.reshape(every, (0, -1, width)), places, batch_dims=1)
    inside = graph.op("Add", inside, graph.op("Gather", forbidden, graph.op("Add", chosen, first)))
    parents = graph.op("Div", places, graph.constant(number, np.int64))
    before = graph.op("GatherElements", scores, parents, axis=1)  # (batch, blocks, 1)
    best, found = graph.op("TopK", graph.reshape(graph.op("Add", inside, before), (0, -1)), count, outputs=2, axis=1)
    place = graph.op("Div", found, whole)
    moved = graph.op("Sub", graph.op("GatherElements", chosen, place, axis=1), place)
    log_probabilities = graph.op("GatherElements", graph.reshape(inside, (0, -1)), found, axis=1)
    graph.output(best, "totals", np.float32, ("batch", "count"))
    graph.output(log_probabilities, "log_probabilities", np.float32, ("batch", "count"))
    graph.output(graph.op("Add", found, graph.op("Mul", moved, whole)), "places", np.int64, ("batch", "count"))


def attend(graph: Graph, query: str, keys: str, values: str, padding: str | None, size: int) -> tuple[str, str]:
    """Weigh what is at each position (`models/attention.py`) and average it.

    Args:
        graph: where to add it.
        query: float (batch, width, attention_size), projected.
        keys: float (batch, 1, source, attention_size), projected.
        values: float (batch, source, values).
        padding: float (batch, 1, source), minus infinity on padding; None where there is none.
        size: attention_size.

    Returns:
        The weights, float (batch, width, source), and the average, float (batch, width, values).
    """
    queries = graph.op("Unsqueeze", query, graph.constant([2], np.int64))
    fits = graph.op("Tanh", graph.op("Add", queries, keys))
    # One row times many: ONNX Runtime would pad a matrix of one column, prepared beforehand, to sixteen.
    energies = graph.op(
        "Gemm", graph.op("Transpose", graph.weight("energy", (size, 1))), graph.reshape(fits, (-1, size)), transB=1
    )
    energies = graph.op("Reshape", energies, graph.op("Shape", fits, end=3))
    if padding is not None:
        energies = graph.op("Add", energies, padding)
    weights = graph.op("Softmax", energies, axis=-1)
    return weights, graph.op("MatMul", weights, values)
