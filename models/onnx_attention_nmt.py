"""Attention NMT on ONNX Runtime: the same answers as the model gives, several times as fast on a CPU.

`training/attention_nmt_graphs.py` builds the graphs, and says what is computed where. Names of dimensions: as in
models/attention_decoder.py.
"""

from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from .beam_search import beam_search
from .configuration_attention_nmt import AttentionNmtConfig
from .decoding import DecodingOptions, Hypothesis
from .onnx_runtime import OnnxNetwork, Weight, onnx_layer, reorder_gates
from .onnx_stepper import STEP_INPUTS, OnnxStepper
from .target_scoring import score_targets

GATES = {"gru": 3, "lstm": 4}
WAYS = ("forward", "backward")
CELL_ORDERS = {"gru": "rzn", "lstm": "ifog"}
"""Of the gates that a graph computes by itself; see `reorder_gates`."""


def readout_inputs(config: AttentionNmtConfig) -> int:
    """Return the width of a read-out before it is squashed."""
    return config.embedding_size * (2 if config.readout_activation == "maxout" else 1)


def state_widths(config: AttentionNmtConfig) -> dict[str, int]:
    """Return what a row's state is made of: names, and how many numbers each has."""
    kinds = ("hidden", "memory") if config.cell_type == "lstm" else ("hidden",)
    widths = {f"{kind}{layer}": config.decoder_hidden_size for kind in kinds for layer in range(config.decoder_layers)}
    return widths | ({"readout": config.embedding_size} if config.input_feeding else {})


class OnnxAttentionNmt(OnnxNetwork):
    """Translates as `AttentionNmtForConditionalGeneration` does."""

    files = ("encoder.onnx", "step-{precision}.onnx")
    attends = True
    """Networks without attention have no graphs."""

    def __init__(self, model: PreTrainedModel, folder: Path, precision: str):
        """Load the graphs, as `OnnxNetwork` says."""
        super().__init__(model, folder, precision)
        self.encoder, self.step = self.sessions
        self.step.check_inputs(STEP_INPUTS)

    def weights(self) -> dict[str, Weight]:
        """Return the weights of the graphs, float32."""
        return graph_weights(self.model)

    def translate(self, input_ids: Tensor, attention_mask: Tensor, **options: Any) -> list[list[Hypothesis]]:
        """Find the best translations: as the model's own `translate`."""
        options = DecodingOptions.with_defaults(self.model.generation_config, **options)
        stepper = self._stepper(input_ids, attention_mask)
        return beam_search(stepper, attention_mask.bool(), options, self.config)

    def score(
        self, input_ids: Tensor, attention_mask: Tensor, target_ids: list[list[int]], **options: Any
    ) -> list[Hypothesis]:
        """Score given targets: as the model's own `score`."""
        options = DecodingOptions.with_defaults(self.model.generation_config, **options)
        stepper = self._stepper(input_ids, attention_mask)
        return score_targets(stepper, attention_mask.bool(), target_ids, options, self.config)

    def _stepper(self, input_ids: Tensor, attention_mask: Tensor) -> OnnxStepper:
        mask = attention_mask.numpy().astype(bool)
        lengths = mask.sum(axis=1).astype(np.int32)
        keys, values, hidden = self.encoder.run({"input_ids": input_ids.numpy(), "lengths": lengths})
        padding = np.where(mask, np.float32(0), np.float32("-inf"))[:, None]
        state = {
            name: hidden if name.startswith("hidden") else np.zeros((len(hidden), width), np.float32)
            for name, width in state_widths(self.config).items()
        }
        memory = {"keys": keys, "values": values, "padding": padding}
        return OnnxStepper(self.step, memory, state, self.config.vocab_size)


@torch.no_grad()
def graph_weights(model: PreTrainedModel) -> dict[str, Weight]:
    """Return the weights of a model's graphs, float32, folded as `training/attention_nmt_graphs.py` says."""
    config, decoder = model.config, model.decoder
    layers = model.encoder.recurrent.layers
    weights: dict[str, Tensor] = {"encoder.embedding": model.encoder.embedding.weight}
    for layer in range(config.encoder_layers):
        both = [onnx_layer(layers, f"l{layer}{suffix}", config.cell_type) for suffix in ("", "_reverse")]
        for name, parts in zip(("input", "hidden", "bias"), zip(*both, strict=True), strict=True):
            weights[f"encoder.layer{layer}.{name}"] = torch.stack(parts)
        weights |= _ways_of_layer(layers, layer, config.cell_type)
    table = cache(partial(_gates_of_tokens, weights, model.encoder.embedding.weight))

    width, size = config.embedding_size, config.decoder_hidden_size
    annotation = 2 * config.encoder_hidden_size
    embedding = decoder.embedding.weight
    of_state, of_token, of_context = decoder.readout_projection.weight.split([size, width, annotation], dim=1)
    looks_first = config.attention_query == "previous_state"
    for layer, cell in enumerate(decoder.cells.cells):
        of_input, of_hidden, input_bias, hidden_bias = _cell(cell, "", config.cell_type)
        weights[f"hidden{layer}.matrix"], weights[f"hidden{layer}.bias"] = of_hidden.T, hidden_bias
        if layer > 0:
            weights[f"input{layer}.matrix"], weights[f"input{layer}.bias"] = of_input.T, input_bias
            continue
        parts = [width, annotation if looks_first else 0, decoder.readout_size if config.input_feeding else 0]
        gates_of_token, gates_of_context, gates_of_readout = of_input.split(parts, dim=1)
        weights["token_gates"] = embedding @ gates_of_token.T + input_bias
        weights["feed.matrix"] = gates_of_readout.T
    seen = torch.cat([of_context, gates_of_context]) if looks_first else of_context
    weights |= {
        "initial.matrix": decoder.initial_projection.weight.T,
        "initial.bias": decoder.initial_projection.bias,
        "keys.matrix": decoder.attention.key_projection.weight.T,
        "keys.bias": decoder.attention.key_projection.bias,
        "values.matrix": seen.T,
        "look.matrix": torch.cat([decoder.attention.query_projection.weight, of_state]).T,
        "energy": decoder.attention.energy.weight.T,
        "token_readout": embedding @ of_token.T + decoder.readout_projection.bias,
        "output.matrix": model.output_projection.weight.T,
        "output.bias": model.output_projection.bias,
    }
    return {name: tensor.float().numpy() for name, tensor in weights.items()} | {"encoder.layer0.table": table}


@torch.no_grad()
def _gates_of_tokens(weights: dict[str, Tensor], embedding: Tensor) -> np.ndarray:
    """Return what each token adds to the first layer's gates, float32 (2 * vocabulary, gates), both ways."""
    matrices, biases = ([weights[f"encoder.layer0.{way}.input.{part}"] for way in WAYS] for part in ("matrix", "bias"))
    table = embedding.new_empty(len(WAYS), len(embedding), len(biases[0]))  # filled in place: fresh memory is slow
    for part, matrix, bias in zip(table, matrices, biases, strict=True):
        torch.addmm(bias, embedding, matrix, out=part)
    return table.flatten(0, 1).float().numpy()


def _ways_of_layer(layers: torch.nn.RNNBase, layer: int, cell_type: str) -> dict[str, Tensor]:
    """Return what a rounded layer of the encoder has, each direction by itself."""
    weights, hidden_biases = {}, []
    for way, suffix in zip(WAYS, (f"_l{layer}", f"_l{layer}_reverse"), strict=True):
        of_input, of_hidden, input_bias, hidden_bias = _cell(layers, suffix, cell_type)
        name = f"encoder.layer{layer}.{way}"
        weights |= {f"{name}.input.matrix": of_input.T, f"{name}.input.bias": input_bias}
        weights[f"{name}.hidden.matrix"] = of_hidden.T
        hidden_biases.append(hidden_bias)
    return weights | {f"encoder.layer{layer}.hidden_bias": torch.stack(hidden_biases)[:, None]}


def _cell(module: torch.nn.Module, suffix: str, cell_type: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return a cell's weights as a graph computes with them; an LSTM's biases are one, with the input's."""
    of_input, of_hidden, input_bias, hidden_bias = (
        reorder_gates(getattr(module, f"{name}{suffix}"), CELL_ORDERS[cell_type], cell_type)
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    if cell_type == "lstm":
        input_bias, hidden_bias = input_bias + hidden_bias, torch.zeros_like(hidden_bias)
    return of_input, of_hidden, input_bias, hidden_bias
