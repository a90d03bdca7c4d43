"""The character generator's single step on ONNX Runtime; `training/char_rnn_graphs.py` builds its graph."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from .onnx_runtime import OnnxNetwork, reorder_gates
from .recurrent import RecurrentState


class PackedState:
    """The state of one text in one array, which costs less to pass on than one for each layer."""

    __slots__ = ("packed",)

    def __init__(self, packed: np.ndarray):
        """Name it.

        Args:
            packed: float (2 * layers, hidden), of each layer the hidden numbers and then the cells' contents.
        """
        self.packed = packed


class OnnxCharRnn(OnnxNetwork):
    """A generator whose single steps are a graph's."""

    files = ("step-{precision}.onnx",)

    def __init__(self, model: PreTrainedModel, folder: Path, precision: str):
        """Load the graphs, as `OnnxNetwork` says."""
        super().__init__(model, folder, precision)
        self.sessions[0].check_inputs(("token", "state"))
        self._reads_by_steps = precision == "int8"

    def weights(self) -> dict[str, np.ndarray]:
        """Return the weights of the graphs, float32."""
        return graph_weights(self.model)

    def read(self, token_ids: Sequence[int]) -> tuple[np.ndarray | Tensor, PackedState | RecurrentState]:
        """Read one text from its beginning, as the model's own `read` does; step by step where that is faster."""
        if not self._reads_by_steps:
            return self.model.read(token_ids)
        state = PackedState(np.zeros((2 * self.config.num_hidden_layers, self.config.hidden_size), np.float32))
        for token_id in (self.config.bos_token_id, *token_ids):
            logits, state = self.step(token_id, state)
        return logits, state

    def fast_step(self) -> Callable[[int, RecurrentState | PackedState], tuple[np.ndarray, PackedState]]:
        """Return the single step."""
        return self.step

    def step(self, token_id: int, state: RecurrentState | PackedState) -> tuple[np.ndarray, PackedState]:
        """Read one character of one text.

        Args:
            token_id: the character.
            state: the state before it: the model's, of one row, or what the last step returned.

        Returns:
            float (vocabulary), the logits of the next character; and the state after it.
        """
        packed = state.packed if isinstance(state, PackedState) else pack(state)
        packed, logits = self.sessions[0].run({"token": np.array([token_id]), "state": packed})
        return logits[0], PackedState(packed)


def pack(state: RecurrentState) -> np.ndarray:
    """Return the model's state of one text as `PackedState` has it."""
    layers = [layer for pair in zip(state.hidden, state.memory, strict=True) for layer in pair]
    return torch.cat(layers).detach().numpy()


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
