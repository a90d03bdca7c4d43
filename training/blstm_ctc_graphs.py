"""The speech recogniser as a graph for ONNX Runtime: one utterance, from its features to logits.

The recurrent layers can have weights of eight bits; what they read is rounded with a scale found anew at each step, so
an utterance is read alone. Names of dimensions: as in models/modeling_blstm_ctc.py.
"""

import numpy as np

from models.audio_front_end import KERNEL_SIZE, PADDING, STRIDE, ConvolutionalFrontEnd
from models.configuration_blstm_ctc import BlstmCtcConfig

from .onnx_graph import CONTRIBUTED, Graph


def build_graphs(config: BlstmCtcConfig) -> dict[str, Graph]:
    """Return the graphs of a checkpoint by their files' names; none for a network that only reads forwards.

    Such a one is read piece after piece, with its state carried along.
    """
    if not config.bidirectional:
        return {}
    return {f"network-{name}.onnx": _network(config, name == "int8") for name in ("float32", "int8")}


def _network(config: BlstmCtcConfig, quantized: bool) -> Graph:
    graph = Graph("BLSTM-CTC", quantized)
    features = graph.input("features", np.float32, (1, "frames", config.feature_size))
    values, width = _front_end(graph, config, features)
    for layer in range(config.num_hidden_layers):
        values = _normalised(graph, config, values, f"norm{layer}", width)
        values, width = (
            _bidirectional(graph, values, f"layer{layer}", width, config.hidden_size),
            2 * config.hidden_size,
        )
    values = _normalised(graph, config, values, f"norm{config.num_hidden_layers}", width)
    logits = graph.exact_linear(values, "classifier", width, config.vocab_size)
    graph.output(graph.op("Transpose", logits, perm=[1, 0, 2]), "logits", np.float32, (1, "steps", config.vocab_size))
    return graph


def _front_end(graph: Graph, config: BlstmCtcConfig, features: str) -> tuple[str, int]:
    """Return float (steps, 1, width) and the width."""
    if config.front_end == "stack":  # the frames are filled up before
        width = config.feature_size * config.stacked_frames
        return graph.reshape(features, (-1, 1, width)), width
    channels, maps = config.convolution_channels, graph.op("Unsqueeze", features, graph.constant([1], np.int64))
    options = {"kernel_shape": [KERNEL_SIZE] * 2, "strides": [STRIDE] * 2, "pads": [PADDING] * 4}
    for name, inputs in (("first", 1), ("second", channels)):
        weights = graph.weight(f"{name}.weight", (channels, inputs, KERNEL_SIZE, KERNEL_SIZE))
        maps = graph.op("Relu", graph.op("Conv", maps, weights, graph.weight(f"{name}.bias", (channels,)), **options))
    width = ConvolutionalFrontEnd(config.feature_size, channels).output_size
    return graph.reshape(graph.op("Transpose", maps, perm=[2, 0, 1, 3]), (0, 1, width)), width


def _normalised(graph: Graph, config: BlstmCtcConfig, values: str, name: str, width: int) -> str:
    if config.normalisation == "none":
        return values
    scale, shift = graph.weight(f"{name}.scale", (width,)), graph.weight(f"{name}.shift", (width,))
    if config.normalisation == "layer":
        return graph.op("LayerNormalization", values, scale, shift, axis=-1, epsilon=1e-5)
    return graph.op("Add", graph.op("Mul", values, scale), shift)


def _bidirectional(graph: Graph, values: str, name: str, width: int, size: int) -> str:
    """Read both ways: float (steps, 1, width) to (steps, 1, 2 * size)."""
    bias, gates = graph.weight(f"{name}.bias", (2, 8 * size)), 4 * size
    options = {"direction": "bidirectional", "hidden_size": size}
    if graph.quantized:
        zero = graph.array(np.zeros((2, gates), np.int8))
        of_input, input_scale = _rounded(graph, f"{name}.input", width, gates)
        of_hidden, hidden_scale = _rounded(graph, f"{name}.hidden", size, gates)
        rest = (input_scale, zero, hidden_scale, zero)  # after lengths and states, of which there are none
        read = graph.op(
            "DynamicQuantizeLSTM",
            *(values, of_input, of_hidden, bias, "", "", "", "", *rest),
            domain=CONTRIBUTED,
            **options,
        )
    else:
        transposed = [
            graph.op("Transpose", graph.weight(f"{name}.{part}", (2, rows, gates)), perm=[0, 2, 1])
            for part, rows in (("input", width), ("hidden", size))
        ]
        read = graph.op("LSTM", values, *transposed, bias, **options)
    return graph.reshape(graph.op("Transpose", read, perm=[0, 2, 1, 3]), (0, 0, -1))


def _rounded(graph: Graph, name: str, rows: int, gates: int) -> tuple[str, str]:
    """Declare the eight-bit numbers of both directions' matrices, and their scales."""
    numbers = graph.weight(f"{name}.int8", (2, rows, gates), np.int8)
    return numbers, graph.weight(f"{name}.scale", (2, gates))
