"""The character generator's single step for one text, as a graph for ONNX Runtime.

What the first layer multiplies by a character is a table. The output layer stays in float32: it is small, and the
probabilities come from it. The other matrices can be of eight bits: a step is as fast as they are read.
Names of dimensions: as in models/modeling_char_rnn.py.
"""

import numpy as np

from models.configuration_char_rnn import CharRnnConfig

from .onnx_graph import Graph, lstm_update


def build_graphs(config: CharRnnConfig) -> dict[str, Graph]:
    """Return the graphs of a checkpoint by their files' names; none for a network that is not of plain LSTM layers."""
    if config.cell_type != "lstm" or config.layer_norm:
        return {}
    return {f"step-{precision}.onnx": _step(config, precision) for precision in ("float32", "int8")}


def _step(config: CharRnnConfig, precision: str) -> Graph:
    graph, size = Graph("char-RNN, step", quantized=precision == "int8"), config.hidden_size
    token = graph.input("token", np.int64, (1,))
    layers = range(config.num_hidden_layers)
    state = graph.input("state", np.float32, (2 * len(layers), size))
    before = graph.op("Split", state, outputs=2 * len(layers), axis=0)
    after, values = [], ""
    for layer in layers:
        if layer == 0:
            of_token = graph.op("Gather", graph.weight("token_gates", (config.vocab_size, 4 * size)), token)
            gates = graph.op("Add", of_token, graph.row_linear(before[0], "layer0", size, 4 * size, bias=False))
        else:
            gates = graph.row_linear(graph.concatenate(values, before[2 * layer]), f"layer{layer}", 2 * size, 4 * size)
        values, cells = lstm_update(graph, gates, before[2 * layer + 1], size)
        after += [values, cells]
    graph.output(graph.op("Concat", *after, axis=0), "new_state", np.float32, (2 * len(layers), size))
    logits = graph.exact_linear(values, "output", size, config.vocab_size)
    graph.output(logits, "logits", np.float32, (1, config.vocab_size))
    return graph
