"""The character generator's single step with weights of eight bits: on a CPU a step is as fast as its weights are read.

Every matrix has one scale a row, a layer's input one scale of its own, found anew at every step; sums are in 32 bits.
The inputs' range is reduced by a bit, because processors without VNNI saturate in 16-bit sums otherwise. TorchScript
runs it: a step is some thirty small operations, which cost more than the products when Python calls them.

Names of dimensions in this file:
    hidden      units of a layer
    gates       4 * hidden: input, forget, candidate, output
    vocabulary  characters, and the padding
"""

import warnings

import torch
from torch import Tensor, nn

from .recurrent import RecurrentState
from .recurrent_layer import RecurrentLayer


class QuantizedLayer(nn.Module):
    """One LSTM step of one text.

    The candidate's weights are doubled, since tanh(x) = 2 sigmoid(2x) - 1: one squashing serves all four gates.
    """

    def __init__(self, layer: RecurrentLayer):
        super().__init__()
        weight, bias = _for_one_squashing(layer)
        self.matrix = _packed(weight, bias)

    def forward(self, inputs: Tensor, hidden: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Advance by one step; all are float (1, hidden), `inputs` (1, features)."""
        return _update(
            torch.ops.quantized.linear_dynamic(torch.cat((inputs, hidden), dim=1), self.matrix, True), memory
        )


class QuantizedFirstLayer(nn.Module):
    """One step of the layer that reads characters: what each adds to the gates is computed once, and stays exact."""

    def __init__(self, layer: RecurrentLayer, embedding: Tensor):
        super().__init__()
        weight, bias = _for_one_squashing(layer)
        of_inputs, of_hidden = weight.split([embedding.shape[1], layer.hidden_size], dim=1)
        self.register_buffer("table", embedding.detach().float() @ of_inputs.t() + bias)
        self.matrix = _packed(of_hidden.contiguous(), torch.zeros_like(bias))

    def forward(self, token_id: int, hidden: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Advance by one step; `hidden` and `memory` are float (1, hidden)."""
        gates = torch.ops.quantized.linear_dynamic(hidden.float(), self.matrix, True)
        return _update(gates + self.table.narrow(0, token_id, 1), memory)


class QuantizedNetwork(nn.Module):
    """One step of all layers and the output layer, which stays as it is: it is small, and the scores come from it."""

    def __init__(self, embedding: Tensor, layers: nn.ModuleList, output_projection: nn.Linear):
        super().__init__()
        self.first = QuantizedFirstLayer(layers[0], embedding)
        self.others = nn.ModuleList(QuantizedLayer(layer) for layer in list(layers)[1:])
        self.register_buffer("output_weight", output_projection.weight.detach().float().t().contiguous())
        self.register_buffer("output_bias", output_projection.bias.detach().float())

    def forward(
        self, token_id: int, hidden: list[Tensor], memory: list[Tensor]
    ) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """Read one character; return float (vocabulary), the logits of the next one, and the new states."""
        values, cells = self.first(token_id, hidden[0], memory[0])
        new_hidden, new_memory = [values], [cells]
        for index, layer in enumerate(self.others):
            values, cells = layer(values, hidden[index + 1], memory[index + 1])
            new_hidden.append(values)
            new_memory.append(cells)
        return torch.addmm(self.output_bias, values, self.output_weight)[0], new_hidden, new_memory


class QuantizedStep:
    """One step of stacked LSTM layers for one text; a batch would share its inputs' scale, and its texts depend."""

    def __init__(self, embedding: Tensor, layers: nn.ModuleList, output_projection: nn.Linear):
        """Copy and round a model's weights.

        Args:
            embedding: float (vocabulary, width), what each character is read as.
            layers: the `RecurrentLayer`s.
            output_projection: the last layer.
        """
        network = QuantizedNetwork(embedding, layers, output_projection).eval()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # TorchScript has no successor for such small steps
            self._network = torch.jit.freeze(torch.jit.script(network)).forward  # frozen: nothing has a gradient

    def __call__(self, token_id: int, state: RecurrentState) -> tuple[Tensor, RecurrentState]:
        """Read one character.

        Args:
            token_id: the character.
            state: the state before it, of one row.

        Returns:
            float (vocabulary), the logits of the next character; and the state after it.
        """
        logits, hidden, memory = self._network(token_id, list(state.hidden), list(state.memory))
        return logits, RecurrentState(tuple(hidden), tuple(memory))


def _for_one_squashing(layer: RecurrentLayer) -> tuple[Tensor, Tensor]:
    """Return a layer's weights, float (gates, features + hidden), and bias, float (gates), the candidate's doubled."""
    weight = torch.cat([layer.weight_input, layer.weight_hidden], dim=1).detach().float().clone()
    bias = (layer.bias_input + layer.bias_hidden).detach().float()
    candidate = slice(2 * layer.hidden_size, 3 * layer.hidden_size)
    weight[candidate] *= 2
    bias[candidate] *= 2
    return weight, bias


def _update(gates: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
    """Squash the gates, float (1, gates), with the candidate's doubled; return hidden and memory, float (1, hidden)."""
    input_gate, forget_gate, candidate, output_gate = torch.sigmoid(gates).chunk(4, dim=1)
    memory = torch.addcmul(forget_gate * memory, input_gate, candidate, value=2.0) - input_gate
    return output_gate * memory.tanh(), memory


def _packed(weight: Tensor, bias: Tensor) -> torch.ScriptObject:
    """Round a matrix, float (gates, inputs), to eight bits with a scale for each row."""
    scales = weight.abs().amax(dim=1).clamp(min=1e-12) / 127
    zeros = torch.zeros(len(scales), dtype=torch.int64)  # whole numbers: others mean another scheme
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch announces that this way of rounding will move elsewhere
        rounded = torch.quantize_per_channel(weight, scales, zeros, 0, torch.qint8)
        return torch.ops.quantized.linear_prepack(rounded, bias)
