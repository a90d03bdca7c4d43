"""The character generator's single step on ONNX Runtime; `training/char_rnn_graphs.py` builds its graph."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from .onnx_runtime import FOLDER, OnnxNetwork, has_exact_bytes, reorder_gates
from .recurrent import RecurrentState

MORE_EXACT = "step-int12.onnx"
"""Which checkpoints of before do not have."""


class OnnxCharRnn(OnnxNetwork):
    """A generator whose single steps are a graph's."""

    files = ("step-{precision}.onnx",)

    def __init__(self, model: PreTrainedModel, folder: Path, precision: str):
        """Load the graphs, as `OnnxNetwork` says; "int8" is of twelve bits where a processor is fast enough.

        Those that multiply whole bytes exactly are.
        """
        if precision == "int8" and has_exact_bytes() and (folder / FOLDER / MORE_EXACT).is_file():
            precision = "int12"
        super().__init__(model, folder, precision)
        layers = range(model.config.num_hidden_layers)
        self.names = [f"{kind}{layer}" for layer in layers for kind in ("hidden", "memory")]

    def weights(self) -> dict[str, np.ndarray]:
        """Return the weights of the graphs, float32."""
        return graph_weights(self.model)

    def fast_step(self) -> Callable[[int, RecurrentState], tuple[np.ndarray, RecurrentState]]:
        """Return the single step."""
        return self.step

    def step(self, token_id: int, state: RecurrentState) -> tuple[np.ndarray, RecurrentState]:
        """Read one character of one text.

        Args:
            token_id: the character.
            state: the state before it: the model's, of one row, or what the last step returned.

        Returns:
            float (vocabulary), the logits of the next character; and the state after it, of arrays instead of tensors,
            which cost less to pass on.
        """
        before = [layer for pair in zip(state.hidden, state.memory, strict=True) for layer in pair]
        if isinstance(before[0], Tensor):
            before = [tensor.detach().numpy() for tensor in before]
        inputs = dict(zip(self.names, before, strict=True))
        inputs["token"] = np.array([token_id])
        *after, logits = self.sessions[0].run(inputs)
        return logits[0], RecurrentState(tuple(after[::2]), tuple(after[1::2]))


@torch.no_grad()
def graph_weights(model: PreTrainedModel) -> dict[str, np.ndarray]:
    """Return the weights of a model's graph, float32."""
    weights: dict[str, Tensor] = {}
    for index, layer in enumerate(model.layers):
        of_input, of_hidden, *biases = (
            reorder_gates(weight, "ifog", "lstm")
            for weight in (layer.weight_input, layer.weight_hidden, layer.bias_input, layer.bias_hidden)
        )
        if index == 0:
            of_character = of_input.T if model.embedding is None else model.embedding.weight @ of_input.T
            weights["token_gates"] = of_character + sum(biases)
            weights["layer0.matrix"] = of_hidden.T
        else:
            weights[f"layer{index}.matrix"] = torch.cat([of_input, of_hidden], dim=1).T
            weights[f"layer{index}.bias"] = sum(biases)
    weights["output.matrix"] = model.output_projection.weight.T
    weights["output.bias"] = model.output_projection.bias
    return {name: tensor.float().numpy() for name, tensor in weights.items()}
