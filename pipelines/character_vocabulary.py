"""Which characters a model knows, and what stands for the others."""

import unicodedata
from collections.abc import Collection

from .pipeline_common import InputError

TYPEWRITER = {
    '"': ("'",),
    "`": ("'",),
    "\u2018": ("'",),
    "\u2019": ("'",),
    "\u201a": ("'",),
    "\u201c": ('"', "'"),
    "\u201d": ('"', "'"),
    "\u201e": ('"', "'"),
    "\u00ab": ('"', "'"),
    "\u00bb": ('"', "'"),
    "\u2010": ("-",),
    "\u2011": ("-",),
    "\u2012": ("-",),
    "\u2013": ("-",),
    "\u2014": ("-",),
    "\u2026": ("...",),
    "\u00a0": (" ",),
    "\u00df": ("ss",),
    "\u00e6": ("ae",),
    "\u00f8": ("o",),
    "\t": ("    ",),
    "\r": ("",),
}
"""What a typewriter has for characters that plain text files lack, the best first."""


def check_characters(text: str, known: Collection[str]) -> None:
    """Refuse a text with characters that the model never saw, naming them.

    Raises:
        InputError: with up to ten of them and with what the model knows.
    """
    strange = sorted(set(text) - set(known))
    if strange:
        shown = ", ".join(repr(character) for character in strange[:10]) + (", …" if len(strange) > 10 else "")
        raise InputError(
            f"The model never saw {shown}. It knows: {_summary(known)}. "
            'Write without them, or have them replaced: unknown_characters="map".'
        )


def map_characters(text: str, known: Collection[str]) -> str:
    """Replace what the model does not know by what comes nearest, in the end by a space or nothing.

    In this order: a typewriter's character, the letter without its accents, the other case.
    """
    return "".join(character if character in known else _nearest(character, known) for character in text)


def _nearest(character: str, known: Collection[str]) -> str:
    bare = unicodedata.normalize("NFKD", character)
    bare = "".join(part for part in bare if not unicodedata.combining(part))
    for candidate in (*TYPEWRITER.get(character, ()), bare, character.swapcase(), bare.swapcase()):
        if set(candidate) <= set(known):
            return candidate
    return " " if " " in known else ""


def _summary(known: Collection[str]) -> str:
    """List characters, runs of letters and digits shortened."""
    rest = set(known)
    parts = []
    for first, last in (("a", "z"), ("A", "Z"), ("0", "9")):
        run = {chr(code) for code in range(ord(first), ord(last) + 1)}
        if run <= rest:
            parts.append(f"{first}-{last}")
            rest -= run
    names = {"\n": "line end", " ": "space", "\t": "tab"}
    parts += [names[character] for character in names if character in rest]
    return ", ".join(parts) + ", " + " ".join(sorted(rest - names.keys()))
