"""Graphs of the captioner for ONNX Runtime: look at the picture once, then a step for each word.

What a step multiplies by the embedding of the last word is a table. What it multiplies by the context is multiplied by
the annotations before any step: the context is a weighted mean, and a matrix can be moved through it.

Names of dimensions in this file: as in models/caption_decoder.py; `gates` are 4 for each unit of the LSTM.
"""

import io
import warnings

import numpy as np
import onnx
import torch
from torch import nn

from models.configuration_show_attend_tell import ShowAttendTellConfig
from models.image_encoder import ImageEncoder

from .decoder_graph import add_candidates, attend
from .onnx_graph import Graph, lstm_update

USUAL_SIDE = 224
"""Of the picture that a backbone is traced with which names no other; its graph takes any number and any size."""


def build_graphs(config: ShowAttendTellConfig) -> dict[str, Graph]:
    """Return the graphs of a checkpoint by their files' names; none with hard attention, which reads single places."""
    if config.attention_type == "hard":
        return {}
    return {
        "encoder.onnx": _encoder(config),
        "memory.onnx": _memory(config),
        "step-float32.onnx": _step(config, quantized=False),
        "step-int8.onnx": _step(config, quantized=True),
    }


def _encoder(config: ShowAttendTellConfig) -> Graph:
    """Trace the backbone, and take its weights out again."""
    encoder, traced = ImageEncoder(config).eval(), io.BytesIO()
    side = getattr(config.backbone_config, "image_size", USUAL_SIDE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the successor of this exporter needs a compiler of its own
        torch.onnx.export(
            _Grid(encoder),
            (torch.zeros(1, 3, side, side),),
            traced,
            input_names=["pixel_values"],
            output_names=["grid"],
            dynamic_axes={
                "pixel_values": {0: "batch", 2: "height", 3: "width"},
                "grid": {0: "batch", 2: "rows", 3: "columns"},
            },
            opset_version=17,
            do_constant_folding=False,
            export_params=False,
            training=torch.onnx.TrainingMode.PRESERVE,  # it would fold the batch norms' values into the graph
            dynamo=False,
        )
    return Graph.traced("captioner, encoder", onnx.load_from_string(traced.getvalue()), "encoder.backbone.")


class _Grid(nn.Module):
    """The encoder with a tensor as its output."""

    def __init__(self, encoder: ImageEncoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Return float (batch, channels, rows, columns)."""
        return self.encoder(pixel_values).last_hidden_state


def _memory(config: ShowAttendTellConfig) -> Graph:
    graph, size = Graph("captioner, memory"), config.decoder_hidden_size
    grid = graph.input("grid", np.float32, ("batch", config.grid_channels, "rows", "columns"))
    width = config.annotation_size or config.grid_channels
    annotations = graph.op("Transpose", graph.reshape(grid, (0, 0, -1)), perm=[0, 2, 1])
    if config.annotation_size:
        projected = graph.op("Relu", graph.exact_linear(annotations, "annotation", config.grid_channels, width))
        norm = graph.weight("annotation.scale", (width,)), graph.weight("annotation.shift", (width,))
        annotations = graph.op("LayerNormalization", projected, *norm, axis=-1, epsilon=1e-5)
    keys = graph.exact_linear(annotations, "keys", width, config.attention_size)
    values = graph.exact_linear(annotations, "values", width, config.embedding_size + 4 * size, bias=False)
    keys = graph.op("Unsqueeze", keys, graph.constant([1], np.int64))
    graph.output(keys, "keys", np.float32, ("batch", 1, "places", config.attention_size))
    graph.output(values, "values", np.float32, ("batch", "places", config.embedding_size + 4 * size))
    mean = graph.op("ReduceMean", annotations, axes=[1], keepdims=0)
    first = graph.op("Tanh", graph.exact_linear(mean, "initial", width, 2 * size))
    for name, part in zip(("hidden", "memory"), graph.split(first, (size, size)), strict=True):
        graph.output(part, name, np.float32, ("batch", size))
    return graph


def _step(config: ShowAttendTellConfig, quantized: bool) -> Graph:
    graph = Graph("captioner, step", quantized)
    size, width, gates = config.decoder_hidden_size, config.embedding_size, 4 * config.decoder_hidden_size
    tokens, before = (graph.input(name, np.int64, ("batch", "width")) for name in ("tokens", "rows"))
    keys = graph.input("keys", np.float32, ("batch", 1, "places", config.attention_size))
    values = graph.input("values", np.float32, ("batch", "places", width + gates))
    hidden, memory = (
        graph.op("Gather", graph.input(name, np.float32, ("rows", size)), before) for name in ("hidden", "memory")
    )

    looked = graph.linear(hidden, "look", size, config.attention_size + gates, bias=False)
    query, of_hidden = graph.split(looked, (config.attention_size, gates))
    weights, seen = attend(graph, query, keys, values, None, config.attention_size)
    gate = graph.op("Sigmoid", graph.exact_linear(hidden, "gate", size, 1))
    readout_of_context, gates_of_context = graph.split(graph.op("Mul", seen, gate), (width, gates))
    of_token = graph.op("Gather", graph.weight("token_gates", (config.vocab_size, gates)), tokens)
    total = graph.op("Add", graph.op("Add", of_token, of_hidden), gates_of_context)
    hidden, memory = lstm_update(graph, total, memory, size)

    embedded = graph.op("Gather", graph.weight("embedding", (config.vocab_size, width)), tokens)
    readout = graph.op("Add", embedded, graph.linear(hidden, "readout", size, width))
    readout = graph.op("Add", readout, readout_of_context)
    if config.readout_activation == "tanh":
        logits = graph.linear(graph.op("Tanh", readout), "output", width, config.vocab_size)
    else:  # of any size
        logits = graph.exact_linear(readout, "output", width, config.vocab_size)
    add_candidates(graph, logits, config.vocab_size)
    graph.output(weights, "attention", np.float32, ("batch", "width", "places"))
    graph.output(hidden, "new_hidden", np.float32, ("batch", "width", size))
    graph.output(memory, "new_memory", np.float32, ("batch", "width", size))
    return graph
