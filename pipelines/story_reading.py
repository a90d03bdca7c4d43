"""Reading a story and a question: its sentences, its words, and a plain word about what a model never saw."""

import difflib
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from .pipeline_common import InputError, check_text, shown

MAXIMUM_CONTEXT = 50_000
"""Characters of a story."""
MAXIMUM_QUESTION = 500
"""Characters of a question."""
MAXIMUM_SENTENCES = 1_000
"""Of a story; a network holds the newest ones."""
MAXIMUM_WORDS = 50
"""Of a sentence or a question; the networks were trained on a dozen."""
MAXIMUM_NAMED = 10
"""Unknown words that an error names."""
SENTENCE = re.compile(r"[^\n.!?]*[.!?]+|[^\n.!?]+")


@dataclass(frozen=True)
class Story:
    """A story with a question."""

    context: str
    """The whole text; of a list of sentences they are joined by spaces."""
    sentences: tuple[str, ...]
    starts: tuple[int, ...]
    """Where in `context` each sentence begins."""
    question: str

    def place_of(self, answer: str, order: Sequence[int]) -> tuple[int, int]:
        """Find where an answer stands as a whole word or words, in any case.

        Args:
            answer: what to look for.
            order: numbers of sentences, the one to look through first in front.

        Returns:
            Start and end in `context`; 0 and 0 where it stands nowhere.
        """
        pattern = re.compile(rf"(?<!\w){re.escape(answer)}(?!\w)", re.IGNORECASE)
        for number in order:
            if found := pattern.search(self.sentences[number]):
                return self.starts[number] + found.start(), self.starts[number] + found.end()
        return 0, 0


def read_story(item: Any) -> Story:
    """Read `{"context": a text or a list of sentences, "question": a text}`.

    Raises:
        InputError: for anything else, and for empty or too long parts.
    """
    if not isinstance(item, dict):
        raise InputError(f"Expected an object with context and question; got {shown(item)}.")
    if item.keys() != {"context", "question"}:
        raise InputError(f"Expected the keys context and question; got {shown(list(item))}.")
    question = _checked(item["question"], MAXIMUM_QUESTION, "inputs.question")
    context = item["context"]
    if not isinstance(context, (list, tuple)):
        text = _checked(context, MAXIMUM_CONTEXT, "inputs.context")
        places = [_stripped(found) for found in SENTENCE.finditer(text) if _has_words(found[0])]
        sentences, starts = tuple(text[start:end] for start, end in places), tuple(start for start, _ in places)
        return Story(text, _limited(sentences), starts, question)
    _limited(context)
    sentences = tuple(_checked_sentence(sentence, number) for number, sentence in enumerate(context))
    text = _checked(" ".join(sentences), MAXIMUM_CONTEXT, "inputs.context")
    ends = [0]
    for sentence in sentences:
        ends.append(ends[-1] + len(sentence) + 1)
    return Story(text, sentences, tuple(ends[:-1]), question)


def readable_words(vocabulary: Collection[str]) -> frozenset[str]:
    """Return the words of a tokenizer's vocabulary that a text can have.

    Special entries, and what stands for an answer that is no word of a text, are put in angle brackets.
    """
    return frozenset(entry for entry in vocabulary if not entry.startswith("<"))


def check_words(story: Story, words_of: Callable[[str], list[str]], known: Collection[str]) -> None:
    """Refuse words that a model never saw: what they mean it could only make up.

    Args:
        story: to be answered.
        words_of: cuts a text into words as the model's tokenizer does.
        known: the model's words.

    Raises:
        InputError: naming them, with the nearest known words; and for a sentence with too many words.
    """
    for field, texts in (("inputs.context", story.sentences), ("inputs.question", (story.question,))):
        words = [words_of(text) for text in texts]
        for text, found in zip(texts, words, strict=True):
            if not found:
                raise InputError(f"Expected words; got {shown(text)}.", field=field)
            if len(found) > MAXIMUM_WORDS:
                raise InputError(
                    f"Expected at most {MAXIMUM_WORDS} words in a sentence; got {len(found):,}. "
                    "A sentence ends with a full stop or a new line.",
                    field=field,
                )
        unknown = list(dict.fromkeys(word for found in words for word in found if word not in known))
        if unknown:
            raise InputError(_what_is_unknown(unknown, known), field=field)


def _what_is_unknown(unknown: Sequence[str], known: Collection[str]) -> str:
    named = ", ".join(_with_nearest(word, known) for word in unknown[:MAXIMUM_NAMED])
    more = f" and {len(unknown) - MAXIMUM_NAMED} more" if len(unknown) > MAXIMUM_NAMED else ""
    return f"The model never saw {named}{more}. It can only read the {len(known)} words that it was trained on."


def _with_nearest(word: str, known: Collection[str]) -> str:
    nearest = difflib.get_close_matches(word[:50], sorted(known), n=3)
    return f"{shown_word(word)} (nearest: {', '.join(nearest)})" if nearest else shown_word(word)


def shown_word(word: str) -> str:
    """Put a word in quotes; a very long one is cut."""
    return f"'{word}'" if len(word) <= 30 else f"'{word[:29]}…'"


def _checked(text: Any, maximum_characters: int, field: str) -> str:
    try:
        return check_text(text, maximum_characters)
    except InputError as error:
        raise InputError(str(error), field=field) from error


def _checked_sentence(sentence: Any, number: int) -> str:
    try:
        return check_text(sentence, MAXIMUM_CONTEXT).strip()
    except InputError as error:
        raise InputError(f"Sentence {number}: {error}", field="inputs.context") from error


def _limited(sentences: Sequence) -> Sequence:
    """Return sentences that are some, and not too many."""
    if not 1 <= len(sentences) <= MAXIMUM_SENTENCES:
        raise InputError(
            f"Expected a story of 1 to {MAXIMUM_SENTENCES:,} sentences; got {len(sentences):,}.", field="inputs.context"
        )
    return sentences


def _has_words(text: str) -> bool:
    return any(character.isalnum() for character in text)


def _stripped(found: re.Match) -> tuple[int, int]:
    """Return where a sentence begins and ends without the white space around it."""
    text = found[0]
    return found.start() + len(text) - len(text.lstrip()), found.end() - len(text) + len(text.rstrip())
