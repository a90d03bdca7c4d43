"""Graphs of attention NMT for ONNX Runtime: read the sources once, then a step for each piece.

What a step multiplies by the embedding of the last piece is a table. What it multiplies by the context is multiplied by
the annotations before any step: the context is a weighted mean, and a matrix can be moved through it.

Names of dimensions in this file: as in models/attention_decoder.py; `readout` is twice its width before a maxout, and
`gates` are 3 (GRU) or 4 (LSTM) for each unit.
"""

import numpy as np
from onnx import TensorProto

from models.configuration_attention_nmt import AttentionNmtConfig
from models.onnx_attention_nmt import GATES, readout_inputs, state_widths

from .decoder_graph import add_candidates, attend
from .encoder_graph import gates_of_tokens, gates_of_values, gru_update, read_exactly, read_rounded
from .onnx_graph import Graph, lstm_update


def build_graphs(config: AttentionNmtConfig) -> dict[str, Graph]:
    """Return the graphs of a checkpoint by their files' names; none of networks that are there to be compared with."""
    if config.attention_type == "none" or config.reverse_source or not config.bidirectional_encoder:
        return {}
    return {
        "encoder.onnx": _encoder(config, quantized=False),
        "encoder-int8.onnx": _encoder(config, quantized=True),
        "step-float32.onnx": _step(config, quantized=False),
        "step-int8.onnx": _step(config, quantized=True),
    }


def _encoder(config: AttentionNmtConfig, quantized: bool) -> Graph:
    graph = Graph("attention NMT, encoder", quantized)
    ids = graph.input("input_ids", np.int64, ("batch", "source"))
    lengths = graph.input("lengths", np.int32, ("batch",))
    size = config.encoder_hidden_size
    read = _read_rounded if quantized else _read_exactly
    values, width = read(graph, config, graph.op("Transpose", ids, perm=[1, 0]), lengths), 2 * size
    annotations = graph.op("Transpose", values, perm=[1, 0, 2])
    readout = readout_inputs(config)
    extra = GATES[config.cell_type] * config.decoder_hidden_size if config.attention_query == "previous_state" else 0
    backward = graph.op(
        "Slice", annotations, *(graph.constant(value, np.int64) for value in ([0, size], [1, 2 * size], [1, 2]))
    )
    first = graph.careful_linear(graph.reshape(backward, (0, -1)), "initial", size, config.decoder_hidden_size)
    # The keys decide where a step looks: rounded, they would move some weights by almost 0.01.
    keys = graph.exact_linear(annotations, "keys", width, config.attention_size)
    keys = graph.op("Unsqueeze", keys, graph.constant([1], np.int64))
    graph.output(keys, "keys", np.float32, ("batch", 1, "source", config.attention_size))
    seen = graph.careful_linear(annotations, "values", width, readout + extra, bias=False)
    graph.output(seen, "values", np.float32, ("batch", "source", readout + extra))
    graph.output(graph.op("Tanh", first), "hidden", np.float32, ("batch", config.decoder_hidden_size))
    return graph


def _read_exactly(graph: Graph, config: AttentionNmtConfig, ids: str, lengths: str) -> str:
    """Read int64 (source, batch) with every layer; return float (source, batch, 2 * size)."""
    size, width = config.encoder_hidden_size, config.embedding_size
    values = graph.op("Gather", graph.weight("encoder.embedding", (config.vocab_size, width)), ids)
    for layer in range(config.encoder_layers):
        name, width = f"encoder.layer{layer}", 2 * size if layer else width
        values = read_exactly(graph, name, config.cell_type, values, lengths, width, size)
    return values


def _read_rounded(graph: Graph, config: AttentionNmtConfig, ids: str, lengths: str) -> str:
    """Read as `_read_exactly` does, with recurrent matrices of eight bits."""
    size, cell_type, values = config.encoder_hidden_size, config.cell_type, ""
    lengths = graph.op("Cast", lengths, to=TensorProto.INT64)
    for layer in range(config.encoder_layers):
        name = f"encoder.layer{layer}"
        if layer == 0:
            elements = gates_of_tokens(graph, name, cell_type, ids, lengths, config.vocab_size, size)
        else:
            elements = gates_of_values(graph, name, cell_type, values, lengths, 2 * size, size)
        values = read_rounded(graph, name, cell_type, elements, lengths, size)
    return values


def _step(config: AttentionNmtConfig, quantized: bool) -> Graph:
    graph = Graph("attention NMT, step", quantized)
    size, width = config.decoder_hidden_size, config.embedding_size
    tokens, before = (graph.input(name, np.int64, ("batch", "width")) for name in ("tokens", "rows"))
    keys = graph.input("keys", np.float32, ("batch", 1, "source", config.attention_size))
    readout, looks_first = readout_inputs(config), config.attention_query == "previous_state"
    extra = GATES[config.cell_type] * size if looks_first else 0
    values = graph.input("values", np.float32, ("batch", "source", readout + extra))
    padding = graph.input("padding", np.float32, ("batch", 1, "source"))
    state = {name: graph.op("Gather", graph.input(name, np.float32, ("rows", units)), before)
             for name, units in state_widths(config).items()}  # fmt: skip

    attention = _Attention(graph, config, keys, values, padding)
    context_gates = None
    if looks_first:
        projected = attention.look(state[f"hidden{config.decoder_layers - 1}"])
        context_gates = attention.context_gates
    _advance(graph, config, state, tokens, context_gates)
    if not looks_first:
        projected = attention.look(state[f"hidden{config.decoder_layers - 1}"])
    of_token = graph.op("Gather", graph.weight("token_readout", (config.vocab_size, readout)), tokens)
    before = graph.op("Add", graph.op("Add", projected, attention.context_readout), of_token)
    if config.readout_activation == "maxout":
        pairs = graph.reshape(before, (0, 0, width, 2))
        state["readout"] = graph.op("ReduceMax", pairs, axes=[3], keepdims=0)
        logits = graph.exact_linear(state["readout"], "output", width, config.vocab_size)
    else:
        state["readout"] = graph.op("Tanh", before)
        logits = graph.linear(state["readout"], "output", width, config.vocab_size)

    add_candidates(graph, logits, config.vocab_size)
    graph.output(attention.weights, "attention", np.float32, ("batch", "width", "source"))
    for name, units in state_widths(config).items():
        graph.output(state[name], f"new_{name}", np.float32, ("batch", "width", units))
    return graph


def _advance(
    graph: Graph, config: AttentionNmtConfig, state: dict[str, str], tokens: str, context_gates: str | None
) -> None:
    """Replace the cells' states by those after the last piece."""
    size, width = config.decoder_hidden_size, config.embedding_size
    gates = GATES[config.cell_type] * size
    values = graph.op("Gather", graph.weight("token_gates", (config.vocab_size, gates)), tokens)
    if context_gates is not None:
        values = graph.op("Add", values, context_gates)
    exact = config.readout_activation == "maxout"  # its read-outs can be of any size
    if config.input_feeding:
        feed = graph.exact_linear if exact else graph.linear
        values = graph.op("Add", values, feed(state["readout"], "feed", width, gates, bias=False))
    for layer in range(config.decoder_layers):
        if layer > 0:
            values = graph.linear(state[f"hidden{layer - 1}"], f"input{layer}", size, gates)
        before = state[f"hidden{layer}"]
        if config.cell_type == "gru":
            of_state = graph.linear(before, f"hidden{layer}", size, gates)
            state[f"hidden{layer}"] = gru_update(graph, values, of_state, before, size)
        else:
            # A cell's contents have no bound, and keep what rounding adds: some attention would be 0.012 apart.
            of_state = graph.careful_linear(before, f"hidden{layer}", size, gates, bias=False)
            after = lstm_update(graph, graph.op("Add", values, of_state), state[f"memory{layer}"], size)
            state[f"hidden{layer}"], state[f"memory{layer}"] = after


class _Attention:
    """Looks at the sources with each row's state; also prepares that state's part of the read-out."""

    def __init__(self, graph: Graph, config: AttentionNmtConfig, keys: str, values: str, padding: str):
        self.graph, self.config = graph, config
        self.keys, self.values, self.padding = keys, values, padding
        self.weights = self.context_readout = self.context_gates = ""

    def look(self, hidden: str) -> str:
        """Weigh the sources; return the state's part of the read-out."""
        graph, config = self.graph, self.config
        readout = readout_inputs(config)
        multiply = graph.exact_linear if config.cell_type == "lstm" else graph.careful_linear  # as in `_advance`
        projected = multiply(hidden, "look", config.decoder_hidden_size, config.attention_size + readout, bias=False)
        query, of_state = graph.split(projected, (config.attention_size, readout))
        self.weights, context = attend(graph, query, self.keys, self.values, self.padding, config.attention_size)
        if config.attention_query == "previous_state":
            gates = GATES[config.cell_type] * config.decoder_hidden_size
            self.context_readout, self.context_gates = graph.split(context, (readout, gates))
        else:
            self.context_readout = context
        return of_state
