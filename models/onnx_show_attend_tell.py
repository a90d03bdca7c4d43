"""The captioner on ONNX Runtime; `training/show_attend_tell_graphs.py` builds its graphs."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from .beam_search import beam_search
from .decoding import DecodingOptions, Hypothesis
from .onnx_runtime import OnnxNetwork, reorder_gates
from .onnx_stepper import STEP_INPUTS, OnnxStepper
from .target_scoring import score_targets


class OnnxShowAttendTell(OnnxNetwork):
    """Describes pictures as `ShowAttendTellForImageCaptioning` does."""

    files = ("encoder.onnx", "memory.onnx", "step-{precision}.onnx")

    def __init__(self, model: PreTrainedModel, folder: Path, precision: str):
        """Load the graphs, as `OnnxNetwork` says."""
        super().__init__(model, folder, precision)
        self.encoder, self.memory, self.step = self.sessions
        self.step.check_inputs(STEP_INPUTS)

    def weights(self) -> dict[str, np.ndarray]:
        """Return the weights of the graphs, float32."""
        return graph_weights(self.model)

    def caption(self, pixel_values: Tensor, **options: Any) -> list[list[Hypothesis]]:
        """Find the best captions: as the model's own `caption`."""
        options = DecodingOptions.with_defaults(self.model.generation_config, **options)
        stepper, mask, shape = self._look(pixel_values)
        found = beam_search(stepper, mask, options, self.config)
        return [[_on_grid(hypothesis, shape) for hypothesis in hypotheses] for hypotheses in found]

    def score(self, pixel_values: Tensor, target_ids: list[list[int]], **options: Any) -> list[Hypothesis]:
        """Score given captions: as the model's own `score`."""
        options = DecodingOptions.with_defaults(self.model.generation_config, **options)
        stepper, mask, shape = self._look(pixel_values)
        found = score_targets(stepper, mask, target_ids, options, self.config)
        return [_on_grid(hypothesis, shape) for hypothesis in found]

    def _look(self, pixel_values: Tensor) -> tuple[OnnxStepper, Tensor, tuple[int, ...]]:
        (grid,) = self.encoder.run({"pixel_values": pixel_values.numpy()})
        keys, values, *first = self.memory.run({"grid": grid})
        state = dict(zip(("hidden", "memory"), first, strict=True))
        stepper = OnnxStepper(self.step, {"keys": keys, "values": values}, state, self.config.vocab_size)
        return stepper, torch.ones(values.shape[:2], dtype=torch.bool), grid.shape[2:]


def _on_grid(hypothesis: Hypothesis, shape: tuple[int, ...]) -> Hypothesis:
    return replace(hypothesis, attention=hypothesis.attention.unflatten(1, shape))


@torch.no_grad()
def graph_weights(model: PreTrainedModel) -> dict[str, np.ndarray]:
    """Return the weights of a model's graphs, float32, folded as `training/show_attend_tell_graphs.py` says."""
    config, decoder = model.config, model.decoder
    cell, width = decoder.cells.cells[0], config.embedding_size
    of_input, of_hidden, *biases = (
        reorder_gates(weight, "ifog", "lstm") for weight in (cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh)
    )
    gates_of_token, gates_of_context = of_input.split([width, of_input.shape[1] - width], dim=1)
    initial = (decoder.initial_hidden, decoder.initial_memory)
    backbone = {f"encoder.backbone.{name}": value for name, value in model.encoder.backbone.state_dict().items()}
    weights = {name: value for name, value in backbone.items() if value.is_floating_point()}
    weights |= {
        "keys.matrix": decoder.attention.key_projection.weight.T,
        "keys.bias": decoder.attention.key_projection.bias,
        "values.matrix": torch.cat([decoder.readout_of_context.weight, gates_of_context]).T,
        "initial.matrix": torch.cat([layer.weight for layer in initial]).T,
        "initial.bias": torch.cat([layer.bias for layer in initial]),
        "look.matrix": torch.cat([decoder.attention.query_projection.weight, of_hidden]).T,
        "energy": decoder.attention.energy.weight.T,
        "gate.matrix": decoder.gate.weight.T,
        "gate.bias": decoder.gate.bias,
        "embedding": decoder.embedding.weight,
        "token_gates": decoder.embedding.weight @ gates_of_token.T + sum(biases),
        "readout.matrix": decoder.readout_of_state.weight.T,
        "readout.bias": decoder.readout_of_state.bias,
        "output.matrix": model.output_projection.weight.T,
        "output.bias": model.output_projection.bias,
    }
    if config.annotation_size:
        linear, _, norm = decoder.annotation_projection
        weights |= {"annotation.matrix": linear.weight.T, "annotation.bias": linear.bias}
        weights |= {"annotation.scale": norm.weight, "annotation.shift": norm.bias}
    return {name: tensor.float().numpy() for name, tensor in weights.items()}
