"""The memory network as a graph for ONNX Runtime: a batch of stories and questions to answers, in float32.

It is small enough that what counts is how many operations there are. Names of dimensions: as in
models/modeling_memn2n.py.
"""

import numpy as np

from models.configuration_memn2n import Memn2nConfig

from .onnx_graph import Graph

LOWEST = float(np.finfo(np.float32).min)


def build_graphs(config: Memn2nConfig) -> dict[str, Graph]:
    """Return the graphs of a checkpoint by their files' names."""
    return {"network.onnx": _network(config)}


def _network(config: Memn2nConfig) -> Graph:
    graph, size = Graph("MemN2N"), config.embedding_size
    is_adjacent = config.tying == "adjacent"
    num_tables = config.num_hops + 1 if is_adjacent else 2
    stories = graph.input("sentence_ids", np.int64, ("batch", "memories", "words"))
    questions = graph.input("question_ids", np.int64, ("batch", "question_words"))

    is_word = _number(graph, graph.op("Not", graph.op("Equal", stories, graph.constant(0, np.int64))))
    is_real = graph.op("ReduceMax", is_word, axes=[2], keepdims=0)  # float (batch, memories)
    flat = graph.op("Reshape", stories, graph.op("Concat", _whole(graph, -1), _sizes(graph, stories, 2, 3), axis=0))
    memories = _embedded(graph, config, flat, "words", num_tables * size)
    shape = graph.op("Concat", _sizes(graph, stories, 0, 2), _whole(graph, num_tables * size), axis=0)
    memories = graph.op("Reshape", memories, shape)
    if config.temporal_encoding:
        ages = graph.weight("ages", (config.memory_size, num_tables * size))
        memories = graph.op("Add", memories, graph.op("Gather", ages, _ages(graph, is_real, config.memory_size)))
    tables = graph.split(memories, [size] * num_tables)
    state = _embedded(graph, config, questions, "question", size)

    nothing, attention = _null_score(graph, config, is_real), []
    for hop in range(config.num_hops):
        first = hop if is_adjacent else 0
        weights = _attend(graph, state, tables[first], is_real, nothing)  # (batch, 1, memories)
        attention.append(weights)
        read = graph.op("Squeeze", graph.op("MatMul", weights, tables[first + 1]), _whole(graph, 1))
        state = _updated(graph, config, hop, state, read)
    logits = graph.op("MatMul", state, graph.weight("answers", (size, config.num_labels)))
    graph.output(logits, "logits", np.float32, ("batch", config.num_labels))
    together = graph.op("Concat", *attention, axis=1) if len(attention) > 1 else attention[0]
    graph.output(together, "attention", np.float32, ("batch", config.num_hops, "memories"))
    return graph


def _embedded(graph: Graph, config: Memn2nConfig, word_ids: str, table: str, width: int) -> str:
    """Embed sentences (`embed_sentences`): int64 (sentences, words) to float (sentences, width)."""
    words = graph.op("Gather", graph.weight(table, (config.vocab_size, width)), word_ids)
    is_word = _number(graph, graph.op("Not", graph.op("Equal", word_ids, graph.constant(0, np.int64))))
    if config.sentence_encoding == "bag_of_words":
        weights = graph.op("Unsqueeze", is_word, _whole(graph, 1))
        return graph.op("Squeeze", graph.op("MatMul", weights, words), _whole(graph, 1))
    place = graph.op("CumSum", is_word, graph.constant(1, np.int64))
    if config.sentence_encoding == "position":
        last = graph.op("ReduceMax", place, axes=[1], keepdims=1)
        place = graph.op("Div", place, graph.op("Max", last, _float(graph, 1)))
        level = graph.op("Sub", _float(graph, 1), place)
        slope = graph.op("Sub", _float(graph, 1), graph.op("Mul", place, _float(graph, 2)))
    else:
        longest, numbers = config.longest_sentence, config.embedding_size
        steep = graph.op("Mul", graph.op("Sub", place, _float(graph, (longest + 1) / 2)), _float(graph, 4 / longest))
        level = graph.op("Sub", _float(graph, 1), graph.op("Mul", steep, _float(graph, (numbers + 1) / (2 * numbers))))
        slope = graph.op("Neg", steep)
    brackets = [
        graph.op("Unsqueeze", graph.op("Mul", bracket, is_word), _whole(graph, 1)) for bracket in (level, slope)
    ]
    sums = graph.op("MatMul", graph.op("Concat", *brackets, axis=1), words)
    level, slope = graph.op("Split", sums, graph.constant([1, 1], np.int64), outputs=2, axis=1)
    share = np.tile(np.arange(1, config.embedding_size + 1) / config.embedding_size, width // config.embedding_size)
    weighted = graph.op("Mul", slope, graph.array(share.astype(np.float32)))
    return graph.op("Squeeze", graph.op("Sub", level, weighted), _whole(graph, 1))


def _ages(graph: Graph, is_real: str, memory_size: int) -> str:
    """Count each sentence's age (`count_ages`), at most that of the oldest: int64 (batch, memories)."""
    last = graph.constant(1, np.int64)
    told = _number(graph, graph.op("Greater", graph.op("CumSum", is_real, last, reverse=1), _float(graph, 0)))
    ages = graph.op("Sub", graph.op("CumSum", told, last, reverse=1), _float(graph, 1))
    return graph.op("Cast", graph.op("Clip", ages, _float(graph, 0), _float(graph, memory_size - 1)), to=7)


def _null_score(graph: Graph, config: Memn2nConfig, is_real: str) -> str | None:
    """Return what stands for all null memories in a softmax: float (batch, 1, 1); None where there are none."""
    if not config.null_memories:
        return None
    number = graph.op("ReduceSum", is_real, _whole(graph, 1), keepdims=1)
    missing = graph.op("Max", graph.op("Sub", _float(graph, config.memory_size), number), _float(graph, 0))
    return graph.op("Unsqueeze", graph.op("Max", graph.op("Log", missing), _float(graph, LOWEST)), _whole(graph, 1))


def _attend(graph: Graph, state: str, memories: str, is_real: str, nothing: str | None) -> str:
    """Compare a state with each memory (equation 1): float (batch, 1, memories), 0 where there is no sentence."""
    mask = graph.op("Unsqueeze", is_real, _whole(graph, 1))
    scores = graph.op(
        "MatMul", graph.op("Unsqueeze", state, _whole(graph, 1)), graph.op("Transpose", memories, perm=[0, 2, 1])
    )
    is_sentence = graph.op("Greater", mask, _float(graph, 0))
    scores = graph.op("Where", is_sentence, scores, _float(graph, LOWEST))
    if nothing is None:
        weights = graph.op("Softmax", scores, axis=-1)
    else:
        both = graph.op("Softmax", graph.op("Concat", scores, nothing, axis=2), axis=-1)
        weights = graph.op(
            "Slice", both, _whole(graph, 0), _whole(graph, -1), _whole(graph, 2)
        )  # without the null memories
    return graph.op("Mul", weights, mask)


def _updated(graph: Graph, config: Memn2nConfig, hop: int, state: str, read: str) -> str:
    """Take what a hop has read into the state."""
    size, kept = config.embedding_size, state
    if config.tying != "adjacent":
        kept = graph.exact_linear(state, "state_map", size, size, bias=False)
    if config.gated:
        gate = graph.op("Sigmoid", graph.exact_linear(state, f"gate{hop}", size, size))
        kept = graph.op("Mul", graph.op("Sub", _float(graph, 1), gate), kept)
        read = graph.op("Mul", gate, read)
    total = graph.op("Add", kept, read)
    return graph.op("Relu", total) if config.hop_activation == "relu" else total


def _number(graph: Graph, truth: str) -> str:
    return graph.op("Cast", truth, to=1)


def _float(graph: Graph, value: float) -> str:
    return graph.constant(value, np.float32)


def _whole(graph: Graph, value: int) -> str:
    return graph.constant([value], np.int64)


def _sizes(graph: Graph, values: str, start: int, end: int) -> str:
    return graph.op("Shape", values, start=start, end=end)
