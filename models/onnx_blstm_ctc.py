"""The speech recogniser on ONNX Runtime; `training/blstm_ctc_graphs.py` builds its graph."""

from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput

from .onnx_runtime import OnnxNetwork, onnx_layer


class OnnxBlstmCtc(OnnxNetwork):
    """Scores as `BlstmCtcForCTC` does, an utterance after the other."""

    files = ("network-{precision}.onnx",)

    def __init__(self, model: PreTrainedModel, folder: Path, precision: str):
        """Load the graph, as `OnnxNetwork` says."""
        super().__init__(model, folder, precision)
        self._folder = folder
        self._is_rounded = precision != "float32"

    @cached_property
    def exact(self) -> "OnnxBlstmCtc":
        """The same network without rounding, which is loaded when it is first asked for.

        Where one label gives way to another, rounding to eight bits changes probabilities by up to 0.07.
        """
        return OnnxBlstmCtc(self.model, self._folder, "float32") if self._is_rounded else self

    def weights(self) -> dict[str, np.ndarray]:
        """Return the weights of the graphs, float32."""
        return graph_weights(self.model)

    def __call__(self, input_features: Tensor, attention_mask: Tensor) -> CausalLMOutput:
        """Score a batch: as the model's own `forward`; on padding the logits are 0."""
        lengths = attention_mask.sum(dim=1).tolist()
        logits = [self._score(row[:length].numpy()) for row, length in zip(input_features, lengths, strict=True)]
        return CausalLMOutput(logits=pad_sequence(logits, batch_first=True))

    def _score(self, frames: np.ndarray) -> Tensor:
        if self.config.front_end == "stack":
            frames = np.pad(frames, ((0, -len(frames) % self.config.stacked_frames), (0, 0)))
        (logits,) = self.sessions[0].run({"features": frames[None]})
        return torch.from_numpy(logits[0])


@torch.no_grad()
def graph_weights(model: PreTrainedModel) -> dict[str, np.ndarray]:
    """Return the weights of a model's graph, float32."""
    weights = {"classifier.matrix": model.classifier.weight.T, "classifier.bias": model.classifier.bias}
    if model.config.front_end == "convolution":
        for name in ("first", "second"):
            layer = getattr(model.front_end, name)
            weights |= {f"{name}.weight": layer.weight, f"{name}.bias": layer.bias}
    for index, norm in enumerate(model.norms):
        if model.config.normalisation == "none":
            continue
        scale, shift = norm.weight, norm.bias
        if model.config.normalisation == "batch":
            scale = scale / torch.sqrt(norm.running_var + norm.eps)
            shift = shift - norm.running_mean * scale
        weights |= {f"norm{index}.scale": scale, f"norm{index}.shift": shift}
    for index, layer in enumerate(model.layers):
        both = [onnx_layer(direction, "l0", "lstm") for direction in (layer.forwards, layer.backwards)]
        of_input, of_hidden, bias = (torch.stack(parts) for parts in zip(*both, strict=True))
        weights |= {
            f"layer{index}.input": of_input.transpose(1, 2),
            f"layer{index}.hidden": of_hidden.transpose(1, 2),
            f"layer{index}.bias": bias,
        }
    return {name: tensor.float().numpy() for name, tensor in weights.items()}
