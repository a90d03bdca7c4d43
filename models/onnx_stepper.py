"""A decoder behind a step graph, for a search."""

from functools import cache

import numpy as np

from .onnx_runtime import OnnxSession
from .token_stepper import Candidates

LEAST_BLOCKS = 64
"""Into which a vocabulary is cut to look for its best tokens, where it can be cut at all."""
BEST_WIDTH = 32
"""Of a block: with 4,000 tokens and ten candidates the fastest of 10 to 80."""


STEP_INPUTS = ("tokens", "rows", "scores", "forbidden", "first", "count", "blocks")
"""Of every step graph."""


@cache
def block_width(size: int) -> int:
    """Return into how wide blocks a row of `size` is cut, as near to BEST_WIDTH as it can be cut; 1: not at all."""
    fitting = [width for width in range(1, size // LEAST_BLOCKS + 1) if size % width == 0]
    return min(fitting, key=lambda width: abs(width - BEST_WIDTH), default=1)


class OnnxStepper:
    """A network behind a step graph; see `TokenStepper`.

    The graph takes `tokens` and `rows`, (batch, width), what `training/decoder_graph.py` adds, what is the same at
    every step, and the state, (rows, …); it returns `totals`, `log_probabilities`, `places` and `attention`, and the
    new state in its own order, (batch, width, …).
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
        self.vocab_size = vocab_size
        self.block_width = block_width(vocab_size)
        self._asked, self._mask, self._is_each_its_own = (0, 0, 0), self, False  # no mask: None is one
        self._unmoved = np.zeros((0, 0), np.int64)

    def advance(
        self, tokens: np.ndarray, rows: np.ndarray | None, scores: np.ndarray, count: int, forbidden: np.ndarray | None
    ) -> Candidates:
        """Read one token in every row, as `TokenStepper` says."""
        inputs, shape = self.inputs, scores.shape
        if (*shape, count) != self._asked or forbidden is not self._mask:
            self._prepare(shape, count, forbidden)
        inputs["tokens"] = tokens.reshape(shape)
        inputs["rows"] = self._unmoved if rows is None else rows.reshape(shape)
        inputs["scores"] = scores[:, :, None]
        totals, log_probabilities, places, attention, *state = self.session.run(inputs)
        for name, value in zip(self.state_names, state, strict=True):
            inputs[name] = value.reshape(-1, value.shape[2])
        parents, token_ids = np.divmod(places, self.vocab_size)
        return Candidates(totals, log_probabilities, token_ids, parents, attention.reshape(-1, attention.shape[2]))

    def _prepare(self, shape: tuple[int, ...], count: int, forbidden: np.ndarray | None) -> None:
        """Note what stays the same as long as there are as many rows, and the same is asked and forbidden."""
        batch, width = shape
        of_row, per_input = self.vocab_size // self.block_width, width * self.vocab_size // self.block_width
        if (width, count) != self._asked[1:] or forbidden is not self._mask:
            mask = np.zeros((1, self.vocab_size), np.float32) if forbidden is None else forbidden
            mask = mask.reshape(len(mask), of_row, self.block_width)
            num_masked = max(map(np.count_nonzero, mask.any(axis=2)))
            blocks = min(count + width * num_masked, per_input)
            self.inputs["blocks"] = np.array([blocks])
            self.inputs["count"] = np.array([min(count, blocks * self.block_width)])
            self._is_each_its_own = len(mask) > 1
            repeated = mask if self._is_each_its_own else np.concatenate([mask] * width)
            self.inputs["forbidden"] = repeated.reshape(-1, self.block_width)
        self.inputs["first"] = np.arange(batch)[:, None] * (per_input if self._is_each_its_own else 0)
        self._unmoved = np.arange(batch * width).reshape(shape)
        self._asked, self._mask = (batch, width, count), forbidden

    def keep(self, items: np.ndarray) -> None:
        """Go on with some of the inputs, as `TokenStepper` says."""
        for name in self.memory_names:
            self.inputs[name] = self.inputs[name][items]
