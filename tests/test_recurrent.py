"""Shared recurrent layers: cells against layers, padding against none."""

import pytest
import torch
from torch import nn

from models.recurrent import RecurrentCells, RecurrentEncoder


@pytest.mark.parametrize("cell_type", ["gru", "lstm"])
@pytest.mark.parametrize("num_layers", [1, 2])
def test_padded_equals_alone_whatever_the_padding_holds(cell_type, num_layers):
    torch.manual_seed(0)
    encoder = RecurrentEncoder(cell_type, 3, 4, num_layers, dropout=0.0).eval()
    short, long = torch.randn(2, 3), torch.randn(5, 3)
    inputs = torch.full((2, 5, 3), float("nan"))
    inputs[0, :2], inputs[1] = short, long
    mask = torch.arange(5) < torch.tensor([[2], [5]])

    together = encoder(inputs, mask)

    torch.testing.assert_close(together[0, :2], encoder(short[None], torch.ones(1, 2, dtype=torch.bool))[0])
    torch.testing.assert_close(together[1], encoder(long[None], torch.ones(1, 5, dtype=torch.bool))[0])
    assert together[0, 2:].abs().sum() == 0


def test_padding_at_the_front_is_refused():
    encoder = RecurrentEncoder("gru", 3, 4, 1, dropout=0.0)
    with pytest.raises(ValueError, match="padding belongs at the end"):
        encoder(torch.randn(1, 3, 3), torch.tensor([[False, True, True]]))


@pytest.mark.parametrize("cell_type", ["gru", "lstm"])
def test_cells_stepped_equal_a_layer_over_the_sequence(cell_type):
    torch.manual_seed(0)
    cells = RecurrentCells(cell_type, 3, 4, 2, dropout=0.0)
    layers = {"gru": nn.GRU, "lstm": nn.LSTM}[cell_type](3, 4, 2, batch_first=True)
    for index, cell in enumerate(cells.cells):
        for name, parameter in cell.named_parameters():
            getattr(layers, f"{name}_l{index}").data.copy_(parameter)
    inputs = torch.randn(2, 6, 3)

    state, outputs = cells.initial_state(torch.zeros(2, 4)), []
    for step in inputs.unbind(dim=1):
        state = cells(step, state)
        outputs.append(state.hidden[-1])

    torch.testing.assert_close(torch.stack(outputs, dim=1), layers(inputs)[0])
    unrolled, after = cells.unroll(inputs, cells.initial_state(torch.zeros(2, 4)))
    torch.testing.assert_close(unrolled, layers(inputs)[0])
    torch.testing.assert_close(after.hidden + after.memory, state.hidden + state.memory)


def test_selected_rows_go_on_as_if_they_were_alone():
    torch.manual_seed(0)
    cells = RecurrentCells("lstm", 3, 4, 2, dropout=0.0)
    inputs, hidden = torch.randn(3, 3), torch.randn(3, 4)
    after = cells(inputs, cells.initial_state(hidden)).select(torch.tensor([2, 0]))
    alone = cells(inputs[[2, 0]], cells.initial_state(hidden[[2, 0]]))
    torch.testing.assert_close(after.hidden + after.memory, alone.hidden + alone.memory)
