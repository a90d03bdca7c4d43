"""One unidirectional recurrent layer that can be run over a sequence, stepped, and looked into.

References:
    LSTM with forget gate: Gers, Schmidhuber and Cummins 2000. GRU: Cho et al. 2014, in torch's form, where the reset
    gate is applied after the recurrent product.
    Layer normalisation inside the cell: Ba, Kiros and Hinton 2016 (arXiv:1607.06450), equations 20 to 22 and 29 to 31.
    Dropout of the recurrent matrix: Merity, Keskar and Socher 2018 (arXiv:1708.02182), section 2.

Names of dimensions in this file:
    batch     sequences
    time      steps of a sequence
    features  width of an input
    hidden    units
    gates     hidden times 4 (LSTM: input, forget, candidate, output) or 3 (GRU: reset, update, candidate)
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .precision import lstm_cell, memory_like


class RecurrentLayer(nn.Module):
    """A layer of LSTM or GRU cells whose weights serve the fused call and the single step alike."""

    def __init__(self, cell_type: str, input_size: int, hidden_size: int, layer_norm: bool, weight_dropout: float):
        super().__init__()
        gates = {"lstm": 4, "gru": 3}[cell_type] * hidden_size
        self.cell_type = cell_type
        self.hidden_size = hidden_size
        self.weight_dropout = weight_dropout
        self.weight_input = nn.Parameter(torch.empty(gates, input_size))
        self.weight_hidden = nn.Parameter(torch.empty(gates, hidden_size))
        self.bias_input = nn.Parameter(torch.empty(gates))
        self.bias_hidden = nn.Parameter(torch.empty(gates))
        self.norms = None
        if layer_norm:
            sizes = {"input": gates, "hidden": gates} | ({"memory": hidden_size} if cell_type == "lstm" else {})
            self.norms = nn.ModuleDict({name: nn.LayerNorm(size) for name, size in sizes.items()})
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Orthogonal recurrent matrices, Glorot elsewhere, zero biases but 1 for the forget gate."""
        for gate in self.weight_hidden.chunk(self.weight_hidden.shape[0] // self.hidden_size):
            nn.init.orthogonal_(gate)
        for gate in self.weight_input.chunk(self.weight_hidden.shape[0] // self.hidden_size):
            nn.init.xavier_uniform_(gate)
        self.bias_input.zero_()
        self.bias_hidden.zero_()
        if self.cell_type == "lstm":
            self.bias_input[self.hidden_size : 2 * self.hidden_size] = 1.0
        if self.norms is not None:
            for norm in self.norms.values():
                norm.reset_parameters()

    def forward(self, inputs: Tensor, hidden: Tensor, memory: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Run over a sequence.

        Args:
            inputs: float (batch, time, features).
            hidden: float (batch, hidden), the state before the first step.
            memory: float (batch, hidden), an LSTM's cells before the first step; None for a GRU.

        Returns:
            float (batch, time, hidden), the state after every step; and the LSTM's cells after the last.
        """
        weight_hidden = F.dropout(self.weight_hidden, self.weight_dropout, self.training)
        if self.norms is not None:
            return self._run_normalised(inputs, hidden, memory, weight_hidden)
        weights = [self.weight_input, weight_hidden, self.bias_input, self.bias_hidden]
        options = {"has_biases": True, "num_layers": 1, "dropout": 0.0, "train": self.training}
        options |= {"bidirectional": False, "batch_first": True}
        if self.cell_type == "gru":
            return torch.gru(inputs, hidden.unsqueeze(0), weights, **options)[0], None
        state = (hidden.unsqueeze(0), memory.to(hidden.dtype).unsqueeze(0))
        outputs, _, memory = torch.lstm(inputs, state, weights, **options)
        return outputs, memory_like(memory.squeeze(0), self.weight_input)

    def step(self, inputs: Tensor, hidden: Tensor, memory: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Advance by one step; on a CPU much faster than the fused call for a single one.

        Args:
            inputs: float (batch, features).
            hidden: float (batch, hidden).
            memory: float (batch, hidden), or None for a GRU.
        """
        if self.norms is not None:
            return self._step_normalised(inputs, hidden, memory, self.weight_hidden)
        weights = (self.weight_input, self.weight_hidden, self.bias_input, self.bias_hidden)
        if self.cell_type == "gru":
            return torch.gru_cell(inputs, hidden, *weights), None
        return lstm_cell(inputs, hidden, memory, weights)

    def memories(self, inputs: Tensor, outputs: Tensor, hidden: Tensor, memory: Tensor) -> Tensor:
        """Return an LSTM's cells after every step of a sequence that was run already.

        The fused call keeps them to itself; with all states known, the gates of all steps are one product.

        Args:
            inputs: float (batch, time, features), those of the run.
            outputs: float (batch, time, hidden), what the run returned.
            hidden: float (batch, hidden), the state before.
            memory: float (batch, hidden), the cells before.

        Returns:
            float (batch, time, hidden).
        """
        before = torch.cat([hidden.unsqueeze(1), outputs[:, :-1]], dim=1)
        gates = memory_like(self._gates(inputs, before, self.weight_hidden), self.weight_hidden)
        input_gate, forget_gate, candidate, _ = gates.chunk(4, dim=-1)
        gain, keep = input_gate.sigmoid() * candidate.tanh(), forget_gate.sigmoid()
        memories = []
        for gained, kept in zip(gain.unbind(dim=1), keep.unbind(dim=1), strict=True):
            memory = kept * memory + gained
            memories.append(memory)
        return torch.stack(memories, dim=1)

    def _gates(self, inputs: Tensor, hidden: Tensor, weight_hidden: Tensor) -> Tensor:
        """Return an LSTM's gates before their squashing, float (..., gates)."""
        from_input, from_hidden = F.linear(inputs, self.weight_input), F.linear(hidden, weight_hidden)
        if self.norms is not None:
            from_input, from_hidden = self.norms["input"](from_input), self.norms["hidden"](from_hidden)
        return from_input + from_hidden + self.bias_input + self.bias_hidden

    def _run_normalised(
        self, inputs: Tensor, hidden: Tensor, memory: Tensor | None, weight_hidden: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        outputs = []
        for step in inputs.unbind(dim=1):
            hidden, memory = self._step_normalised(step, hidden, memory, weight_hidden)
            outputs.append(hidden)
        return torch.stack(outputs, dim=1), memory

    def _step_normalised(
        self, inputs: Tensor, hidden: Tensor, memory: Tensor | None, weight_hidden: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        if self.cell_type == "lstm":
            gates = memory_like(self._gates(inputs, hidden, weight_hidden), weight_hidden)
            input_gate, forget_gate, candidate, output_gate = gates.chunk(4, dim=-1)
            memory = forget_gate.sigmoid() * memory + input_gate.sigmoid() * candidate.tanh()
            seen = self.norms["memory"](memory.to(hidden.dtype)).tanh()
            return (output_gate.sigmoid() * seen).to(hidden.dtype), memory
        from_input = self.norms["input"](F.linear(inputs, self.weight_input)) + self.bias_input
        from_hidden = self.norms["hidden"](F.linear(hidden, weight_hidden)) + self.bias_hidden
        reset, update, candidate = from_input.chunk(3, dim=-1)
        hidden_reset, hidden_update, hidden_candidate = from_hidden.chunk(3, dim=-1)
        candidate = (candidate + (reset + hidden_reset).sigmoid() * hidden_candidate).tanh()
        update = (update + hidden_update).sigmoid()
        return (1 - update) * candidate + update * hidden, None
