"""Sentences and questions with gaps, and what may fill the gaps: only words that a network knows."""

import json
import re
from collections.abc import Collection
from dataclasses import dataclass

import hub
from hub import CheckpointError
from pipelines.story_reading import readable_words

from .story_world import FORMS, PEOPLE, PLACES, THINGS


@dataclass(frozen=True)
class Pattern:
    """A sentence or a question with gaps."""

    title: str
    parts: tuple[str | tuple[str, ...], ...]
    """Texts, and between them what there is to choose from."""

    @property
    def is_question(self) -> bool:
        """Whether it asks."""
        return self.parts[-1].endswith("?")


def _after_first(choices: tuple[str, ...]) -> tuple[str, ...]:
    """Let another one stand first: two gaps of a sentence are seldom filled alike."""
    return (*choices[1:], choices[0])


_PEOPLE = (*PEOPLE, "Bill", "Fred", "Jeff", "Julie")
_ALL_PLACES = (*PLACES, "cinema", "park", "school")
_ANIMALS = ("Brian", "Julius", "Bernhard", "Greg", "Lily")
_AFRAID = ("Gertrude", "Winona", "Jessica", "Emily")
_MOTIVATED = ("Sumit", "Yann", "Jason", "Antoine")
_SHAPES = ("red square", "blue square", "yellow square", "pink rectangle", "triangle", "red sphere")
_BOXES = ("box", "suitcase", "chest", "container", "chocolate", "box of chocolates")
_SPECIES = ("Mice", "Cats", "Wolves", "Sheep")
CHOICES = {
    "who": _PEOPLE,
    "whom": _after_first(_PEOPLE),
    "goes": FORMS["move"][1],
    "takes": FORMS["take"][1],
    "drops": FORMS["drop"][1],
    "gives": FORMS["give"][1],
    "thing": THINGS,
    "place": _ALL_PLACES,
    "other place": _after_first(_ALL_PLACES),
    "then": ("Then", "After that", "Afterwards", "Following that"),
    "they": ("she", "he", "they"),
    "when": ("This morning", "This afternoon", "This evening", "Yesterday"),
    "is in": ("is in", "is not in", "is no longer in"),
    "north": ("north", "east", "south", "west"),
    "shape": _SHAPES,
    "other shape": _after_first(_SHAPES),
    "above": ("above", "below", "to the left of", "to the right of"),
    "box": _BOXES,
    "other box": _after_first(_BOXES),
    "fits": ("fits inside", "is bigger than"),
    "animal": _ANIMALS,
    "lion": ("lion", "swan", "frog", "rhino"),
    "white": ("white", "green", "gray", "yellow"),
    "gertrude": _AFRAID,
    "mouse": ("mouse", "cat", "wolf", "sheep"),
    "mice": _SPECIES,
    "cats": tuple(species.lower() for species in _after_first(_SPECIES)),
    "sumit": _MOTIVATED,
    "hungry": ("hungry", "thirsty", "tired", "bored"),
}
_TEMPLATES = {
    "Somebody goes somewhere": "{who} {goes} to the {place}.",
    "Somebody takes something": "{who} {takes} the {thing} there.",
    "Somebody puts something down": "{who} {drops} the {thing}.",
    "Somebody gives something away": "{who} {gives} the {thing} to {whom}.",
    "Two go somewhere": "{who} and {whom} {goes} to the {place}.",
    "She, he or they go on": "{then} {they} {goes} to the {place}.",
    "Somebody goes at some time": "{when} {who} {goes} to the {place}.",
    "Somebody is there, or is not": "{who} {is in} the {place}.",
    "Here or there": "{who} is either in the {place} or the {other place}.",
    "Which way a place is": "The {place} is {north} of the {other place}.",
    "Where a shape is": "The {shape} is {above} the {other shape}.",
    "What is bigger": "The {box} {fits} the {other box}.",
    "What animal somebody is": "{animal} is a {lion}.",
    "What color somebody is": "{animal} is {white}.",
    "Who is afraid of whom": "{mice} are afraid of {cats}.",
    "Somebody is one of them": "{gertrude} is a {mouse}.",
    "How somebody feels": "{sumit} is {hungry}.",
    "Where is somebody?": "Where is {who}?",
    "Where is something?": "Where is the {thing}?",
    "Where was something before?": "Where was the {thing} before the {place}?",
    "Where was somebody before?": "Where was {who} before the {place}?",
    "Is somebody there?": "Is {who} in the {place}?",
    "How many things?": "How many objects is {who} carrying?",
    "Which things?": "What is {who} carrying?",
    "Who gave it?": "Who gave the {thing} to {whom}?",
    "What is north of it?": "What is {north} of the {place}?",
    "Which way?": "How do you go from the {place} to the {other place}?",
    "Is a shape there?": "Is the {shape} {above} the {other shape}?",
    "Does it fit?": "Does the {box} fit in the {other box}?",
    "What color?": "What color is {animal}?",
    "Afraid of what?": "What is {gertrude} afraid of?",
    "Where will somebody go?": "Where will {sumit} go?",
    "Why?": "Why did {sumit} go to the {place}?",
}


def patterns(known: Collection[str]) -> list[Pattern]:
    """Return the sentences and questions that can be made of known words, with the choices that are known.

    Args:
        known: words in lower case.
    """
    found = []
    for title, template in _TEMPLATES.items():
        pieces = re.split(r"\{(.+?)\}", template)
        texts = pieces[::2]
        gaps = [tuple(choice for choice in CHOICES[name] if _is_known(choice, known)) for name in pieces[1::2]]
        if all(_is_known(text, known) for text in texts) and all(gaps):
            between = [part for pair in zip(texts, gaps, strict=False) for part in pair]
            found.append(Pattern(title, (*between, texts[-1])))
    return found


def known_words(checkpoint: str) -> list[str]:
    """Return the words that a shipped checkpoint knows, in the alphabet's order; none where it is not there."""
    try:
        tokenizer = json.loads((hub.find(checkpoint) / "tokenizer.json").read_text("utf-8"))
    except (CheckpointError, FileNotFoundError):  # whoever asks it will read so
        return []
    return sorted(readable_words(tokenizer["model"]["vocab"]))


def _is_known(text: str, known: Collection[str]) -> bool:
    return all(word in known for word in re.findall(r"\w+", text.lower()))
