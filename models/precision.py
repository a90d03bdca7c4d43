"""What is computed in float32 where weights have half precision: sums to 1, logarithms, and what adds up over time.

float16 has three decimal digits, bfloat16 two. Products of matrices bear that, since their sums are kept in float32.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

HALF = (torch.float16, torch.bfloat16)


def precise(values: Tensor) -> Tensor:
    """Return values of half precision in float32, others as they are."""
    return values.float() if values.dtype in HALF else values


def lstm_cell(
    inputs: Tensor, hidden: Tensor, memory: Tensor, weights: tuple[Tensor, Tensor, Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """Advance an LSTM by one step, as torch's cell does; in half precision its memory stays in float32.

    Args:
        inputs: float (rows, features).
        hidden: float (rows, hidden).
        memory: float (rows, hidden); `memory_like` makes the first one.
        weights: of inputs, (4 * hidden, features), and of hidden, (4 * hidden, hidden); both biases.
    """
    if weights[0].dtype not in HALF:
        return torch.lstm_cell(inputs, (hidden, memory), *weights)
    of_inputs, of_hidden, input_bias, hidden_bias = weights
    gates = F.linear(inputs, of_inputs, input_bias).float() + F.linear(hidden, of_hidden, hidden_bias).float()
    input_gate, forget_gate, candidate, output_gate = gates.chunk(4, dim=-1)
    memory = forget_gate.sigmoid() * memory.float() + input_gate.sigmoid() * candidate.tanh()
    return (output_gate.sigmoid() * memory.tanh()).to(of_inputs.dtype), memory


def memory_like(values: Tensor, weight: Tensor) -> Tensor:
    """Return an LSTM's memory in the precision in which it is kept beside weights like this one."""
    return values.float() if weight.dtype in HALF else values
