"""Recurrent layers that several families share.

Names of dimensions in this file:
    batch     sequences
    time      steps of a sequence, padded at its end
    rows      sequences decoded side by side: batch times hypotheses
    features  width of an input
    hidden    units of one direction
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from .precision import lstm_cell, memory_like


class RecurrentEncoder(nn.Module):
    """One or more recurrent layers, mostly bidirectional; padding is never read.

    Source: Schuster and Paliwal 1997; Bahdanau, Cho and Bengio 2014, section 3.2.
    """

    def __init__(
        self,
        cell_type: str,
        input_size: int,
        hidden_size: int,
        num_layers: int,
        dropout: float,
        bidirectional: bool = True,
    ):
        super().__init__()
        layer_class = {"gru": nn.GRU, "lstm": nn.LSTM}[cell_type]
        self.layers = layer_class(
            input_size,
            hidden_size,
            num_layers,
            batch_first=True,
            bidirectional=bidirectional,
            dropout=dropout if num_layers > 1 else 0.0,
        )

    def forward(self, inputs: Tensor, mask: Tensor) -> Tensor:
        """Annotate every step with the states of each direction.

        Args:
            inputs: float (batch, time, features).
            mask: bool (batch, time), True on real steps; padding only at the end, no empty row.

        Returns:
            float (batch, time, directions * hidden): forward state, then backward state; 0 on padding.
        """
        if bool(mask.all()):  # nothing to skip: the fused call is several times faster than a packed one
            return self.layers(inputs)[0]
        if not bool(mask[:, 0].all()):
            raise ValueError("The mask must be True from the first step on: padding belongs at the end.")
        lengths = mask.sum(dim=1).cpu()
        packed = pack_padded_sequence(inputs, lengths, batch_first=True, enforce_sorted=False)
        outputs, _ = pad_packed_sequence(self.layers(packed)[0], batch_first=True, total_length=inputs.shape[1])
        return outputs


@dataclass(frozen=True)
class RecurrentState:
    """State of a stack of cells: a tensor of float (rows, hidden) for each layer."""

    hidden: tuple[Tensor, ...]
    memory: tuple[Tensor, ...] = ()
    """The cells' contents of an LSTM, float32 at least; empty for a GRU."""

    def select(self, rows: Tensor) -> "RecurrentState":
        """Keep the given rows, int64 (new_rows), in that order."""
        return replace(
            self,
            hidden=tuple(layer.index_select(0, rows) for layer in self.hidden),
            memory=tuple(layer.index_select(0, rows) for layer in self.memory),
        )

    def detach(self) -> "RecurrentState":
        """Cut the state off from the gradient of what was read before it."""
        return replace(
            self,
            hidden=tuple(layer.detach() for layer in self.hidden),
            memory=tuple(layer.detach() for layer in self.memory),
        )


class RecurrentCells(nn.Module):
    """One step of a stack of recurrent cells.

    Cells, not layers called for a single step: on a CPU nn.LSTM packs its weights anew at every call.
    """

    def __init__(self, cell_type: str, input_size: int, hidden_size: int, num_layers: int, dropout: float):
        super().__init__()
        cell_class = {"gru": nn.GRUCell, "lstm": nn.LSTMCell}[cell_type]
        self.has_memory = cell_type == "lstm"
        self.cells = nn.ModuleList(
            cell_class(input_size if layer == 0 else hidden_size, hidden_size) for layer in range(num_layers)
        )
        self.dropout = nn.Dropout(dropout)

    def initial_state(self, hidden: Tensor) -> RecurrentState:
        """Start every layer with `hidden`, float (rows, hidden), and LSTM cells with zeros."""
        zeros = [memory_like(torch.zeros_like(hidden), cell.weight_ih) for cell in self.cells]
        memory = tuple(zeros) if self.has_memory else ()
        return RecurrentState(hidden=tuple(hidden for _ in self.cells), memory=memory)

    def forward(self, inputs: Tensor, state: RecurrentState) -> RecurrentState:
        """Advance by one step.

        Args:
            inputs: float (rows, features).
            state: the state before the step.

        Returns:
            The state after the step; its last layer's `hidden` is the output.
        """
        hidden, memory = [], []
        for layer, cell in enumerate(self.cells):
            if layer > 0:
                inputs = self.dropout(inputs)
            if self.has_memory:
                weights = (cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh)
                inputs, cell_memory = lstm_cell(inputs, state.hidden[layer], state.memory[layer], weights)
                memory.append(cell_memory)
            else:
                inputs = cell(inputs, state.hidden[layer])
            hidden.append(inputs)
        return RecurrentState(hidden=tuple(hidden), memory=tuple(memory))

    def unroll(self, inputs: Tensor, state: RecurrentState) -> tuple[Tensor, RecurrentState]:
        """Advance by many steps whose inputs are all known: what `forward` does, several times as fast in training.

        Args:
            inputs: float (rows, time, features).
            state: the state before the first step.

        Returns:
            The last layer's outputs, float (rows, time, hidden), and the state after the last step.
        """
        hidden, memory = [], []
        for layer, cell in enumerate(self.cells):
            if layer > 0:
                inputs = self.dropout(inputs)
            weights = [cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh]
            options = {"has_biases": True, "num_layers": 1, "dropout": 0.0, "train": self.training}
            options |= {"bidirectional": False, "batch_first": True}
            first = state.hidden[layer].unsqueeze(0)
            if self.has_memory:
                before = state.memory[layer].to(first.dtype).unsqueeze(0)
                inputs, last, cells = torch.lstm(inputs, (first, before), weights, **options)
                memory.append(memory_like(cells.squeeze(0), cell.weight_ih))
            else:
                inputs, last = torch.gru(inputs, first, weights, **options)
            hidden.append(last.squeeze(0))
        return inputs, RecurrentState(hidden=tuple(hidden), memory=tuple(memory))
