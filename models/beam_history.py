"""Back-pointers of a beam search: what each hypothesis wrote and looked at, read off at the end.

Nothing is copied while the beams are reordered; a hypothesis' evidence is found by walking back from its
last token, so it is that hypothesis' own.

Names of dimensions: as in decoding.py.
"""

from bisect import bisect_left
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class FinishedBeam:
    """The end of a hypothesis."""

    position: int
    """Index of its last token."""
    parent: int
    """The beam that this token continues."""
    token_id: int
    token_log_probability: float
    score: float
    score_parts: dict[str, float]


class BeamHistory:
    """Grows by one attention and one step for each position."""

    def __init__(self) -> None:
        self._attentions: list[tuple[list[int], np.ndarray]] = []
        self._steps: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def add_attention(self, attention: np.ndarray, items: list[int]) -> None:
        """Note where each beam looked before its next token.

        Args:
            attention: float (batch, beams, source).
            items: (batch), the inputs' numbers, rising; the list must not change any more.
        """
        self._attentions.append((items, attention))

    def add_step(self, token_ids: np.ndarray, parents: np.ndarray, log_probabilities: np.ndarray) -> None:
        """Note each new beam's token, the beam that it continues, and the token's log-probability.

        Args:
            token_ids: int64 (batch, beams).
            parents: int64 (batch, beams).
            log_probabilities: float (batch, beams).
        """
        self._steps.append((token_ids, parents, log_probabilities))

    def trace(self, item: int, end: FinishedBeam) -> tuple[list[int], list[float], np.ndarray]:
        """Walk back from a hypothesis' end.

        Args:
            item: the input's number.
            end: its last token.

        Returns:
            Its token ids, their log-probabilities, and the attention, float (tokens, source).
        """
        token_ids, log_probabilities = [end.token_id], [end.token_log_probability]
        beam = end.parent
        attentions = []
        for position in range(end.position, -1, -1):
            items, attention = self._attentions[position]
            place = bisect_left(items, item)
            if position < end.position:
                tokens, parents, scores = self._steps[position]
                token_ids.append(int(tokens[place, beam]))
                log_probabilities.append(float(scores[place, beam]))
                beam = int(parents[place, beam])
            attentions.append(attention[place, beam])
        return token_ids[::-1], log_probabilities[::-1], np.stack(attentions[::-1])
