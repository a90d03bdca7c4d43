"""A decoder behind a step graph, for a search."""

import numpy as np

from .onnx_runtime import OnnxSession
from .token_stepper import Candidates

OUTPUTS = len(Candidates._fields)


class OnnxStepper:
    """A network behind a step graph; see `TokenStepper`.

    The graph takes `tokens`, `rows`, `scores`, `forbidden`, `count`, what is the same at every step, and the state; it
    returns what `Candidates` has, in that order, and the new state in its own.
    """

    def __init__(
        self, session: OnnxSession, memory: dict[str, np.ndarray], state: dict[str, np.ndarray], vocab_size: int
    ):
        """Begin.

        Args:
            session: the step.
            memory: what no step changes, by the graph's names.
            state: float (rows, …) before the first token, by the graph's names.
            vocab_size: tokens.
        """
        self.session = session
        self.memory_names = list(memory)
        self.inputs = memory | state
        self.state_names = list(state)
        self.everything = np.zeros((1, vocab_size), np.float32)
        self.unmoved = np.arange(len(next(iter(state.values()))))

    def advance(
        self, tokens: np.ndarray, rows: np.ndarray | None, scores: np.ndarray, count: int, forbidden: np.ndarray | None
    ) -> Candidates:
        """Read one token in every row, as `TokenStepper` says."""
        inputs = self.inputs
        inputs["tokens"] = tokens
        inputs["rows"] = self.unmoved if rows is None else rows
        inputs["scores"] = scores
        inputs["forbidden"] = self.everything if forbidden is None else forbidden
        inputs["count"] = np.array([count])
        found = self.session.run(inputs)
        inputs.update(zip(self.state_names, found[OUTPUTS:], strict=True))
        return Candidates(*found[:OUTPUTS])

    def keep(self, items: np.ndarray) -> None:
        """Go on with some of the inputs, as `TokenStepper` says."""
        for name in self.memory_names:
            self.inputs[name] = self.inputs[name][items]
        self.unmoved = np.arange(len(items))
