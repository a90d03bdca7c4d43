"""Writing in blocks that are drawn where the network is: on a GPU, looking at a character costs more than writing it.

A text that nobody waits for character by character is written so, unless words are taken back from it.
"""

from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

from .character_writing import CharacterWriter, WritingOptions, Written

DrawBlock = Callable[..., tuple[Any, Any, Any]]
"""See `BlockSamplingMixin.draw_block`."""


class BlockWriter(CharacterWriter):
    """Writes what a `CharacterWriter` without a list of words writes with the same seed."""

    def __init__(self, draw_block: DrawBlock, characters: Sequence[str], options: WritingOptions):
        """Prepare to write.

        Args:
            draw_block: the model's.
            characters: of the vocabulary, by their numbers.
            options: how.
        """
        super().__init__(draw_block, characters, options, None)

    def _characters(self, logits: Any, state: Any, prompt: str) -> Iterator[Written]:
        sampling = self.options.sampling
        chance = None if sampling.is_greedy else Random(self.options.seed)
        numbers = {"temperature": sampling.temperature, "top_k": sampling.top_k, "top_p": sampling.top_p}
        while True:
            block, logits, state = self.step(logits, state, chance, banned=sorted(self.options.suppressed), **numbers)
            for token_id, scores in zip(block.tokens.tolist(), block.logits.tolist(), strict=True):
                yield self._written(token_id, scores)

    def _written(self, token_id: int, scores: list[float]) -> Written:
        if token_id in self.options.ends:
            return Written(token_id, "", scores, None, None, "eos_token")
        return Written(token_id, self.characters[token_id], scores, None, None)
