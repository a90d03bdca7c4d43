"""Writing a text character by character: stop strings, the end, and words that are not to be written."""

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Literal

from .sampling import SamplingOptions, draw, log_probabilities

FinishReason = Literal["length", "eos_token", "stop_sequence"]
"""TGI's names."""

Step = Callable[[int, Any], tuple[Any, Any]]
"""(character; state) to (logits (vocabulary); state)."""


@dataclass(frozen=True)
class Written:
    """One character that the network wrote, and how sure it was."""

    token_id: int
    text: str
    """Empty for the end."""
    scores: list[float]
    """The logits that it was drawn from."""
    logits: Any
    """float (vocabulary), the prediction after it."""
    state: Any
    """The network's state after it."""
    finish_reason: FinishReason | None = None
    """Why it is the last one, where it is."""

    @property
    def log_probability(self) -> float:
        """Return the network's own, in nats, whatever temperature it was drawn with."""
        return log_probabilities(self.scores)[self.token_id]

    def forgetful(self) -> "Written":
        """Return it without what is only needed to write on."""
        return Written(self.token_id, self.text, self.scores, None, None, self.finish_reason)


@dataclass(frozen=True)
class WritingOptions:
    """How to write."""

    sampling: SamplingOptions
    max_new_tokens: int
    seed: int | None = None
    stop: tuple[str, ...] = ()
    """The text ends with the first of these, which belongs to it."""
    suppressed: frozenset[int] = frozenset()
    """Characters that are never written."""
    ends: frozenset[int] = frozenset()
    """Characters that end the text and do not belong to it."""


class WordFilter:
    """Knows words that are not to be written."""

    def __init__(self, blocked: Sequence[str]):
        """Compile a list.

        Args:
            blocked: words in lower case; with a star at the end, all words that begin so.
        """
        patterns = [re.escape(word.removesuffix("*")) + ("[a-z]*" if word.endswith("*") else "") for word in blocked]
        self._pattern = re.compile("|".join(patterns) or r"(?!)")

    def blocks(self, word: str) -> bool:
        """Whether a word is on the list, whatever its case."""
        return self._pattern.fullmatch(word.lower()) is not None

    def find(self, text: str) -> str | None:
        """Return the first blocked word of a text, or None."""
        return next((word for word in re.findall("[A-Za-z]+", text) if self.blocks(word)), None)


class CharacterWriter:
    """Writes on from a state; a blocked word is taken back whole and written anew, before anybody sees it."""

    def __init__(self, step: Step, characters: Sequence[str], options: WritingOptions, words: WordFilter | None):
        """Prepare to write.

        Args:
            step: the network.
            characters: of the vocabulary, by their numbers.
            options: how.
            words: what not to write; with it, characters come in whole words.
        """
        self.step = step
        self.characters = characters
        self.options = options
        self.words = words

    def write(self, logits: Any, state: Any, prompt: str) -> Iterator[Written]:
        """Write until something ends the text.

        Args:
            logits: float (vocabulary), the prediction after the prompt.
            state: the network's state there.
            prompt: what was read, for a word that it leaves unfinished.
        """
        text = ""
        for number, written in enumerate(self._characters(logits, state, prompt), start=1):
            text += written.text
            reason = written.finish_reason
            if reason is None and any(text.endswith(stop) for stop in self.options.stop):
                reason = "stop_sequence"
            elif reason is None and number == self.options.max_new_tokens:
                reason = "length"
            if reason is not None:
                yield replace(written, finish_reason=reason)
                return
            yield written

    def _characters(self, logits: Any, state: Any, prompt: str) -> Iterator[Written]:
        """Write without a limit."""
        random = Random(self.options.seed)
        unfinished = re.search("[A-Za-z]*$", prompt)[0]
        while True:
            if self.words is None:
                written = [self._next(logits, state, random, frozenset())]
            else:
                written = self._word(logits, state, random, unfinished)
            yield from written
            logits, state, unfinished = written[-1].logits, written[-1].state, ""

    def _word(self, logits: Any, state: Any, random: Random, unfinished: str) -> list[Written]:
        """Write a word and what follows it; a blocked one's first character becomes impossible, and on it goes."""
        impossible: set[int] = set()
        while True:
            word = [self._next(logits, state, random, impossible)]
            while word[-1].text.isalpha() and len(word) < self.options.max_new_tokens:
                word.append(self._next(word[-1].logits, word[-1].state, random, frozenset()))
            letters = unfinished + "".join(written.text for written in word if written.text.isalpha())
            if not self.words.blocks(letters):
                return word
            impossible.add(word[0].token_id)

    def _next(self, logits: Any, state: Any, random: Random, impossible: Collection[int]) -> Written:
        scores = logits.tolist()
        token_id = draw(scores, self.options.sampling, random, self.options.suppressed.union(impossible))
        if token_id in self.options.ends:
            return Written(token_id, "", scores, logits, state, "eos_token")
        logits, state = self.step(token_id, state)
        return Written(token_id, self.characters[token_id], scores, logits, state)
