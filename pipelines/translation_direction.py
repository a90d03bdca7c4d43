"""Which way a sentence is translated: as the caller says, as its language is guessed, or as the network can."""

from typing import Any

from .pipeline_common import InputError

CERTAIN = 0.99
"""A guess that is less sure than this gives way to a direction that the caller asks for."""


def directions_of(config: Any) -> list[tuple[str, str]]:
    """Return the source and target languages that a network translates between; ("", "") where nobody said."""
    several = [tuple(one.split("-")) for one in config.directions or ()]
    return several or [(config.source_language, config.target_language)]


def choose_direction(config: Any, tokenizer: Any, text: str, source: str | None, target: str | None) -> tuple[str, str]:
    """Choose the direction in which a text is translated.

    Args:
        config: of the network.
        tokenizer: guesses the text's language where it can.
        text: a sentence.
        source: its language; None where the caller does not say.
        target: the language wanted; None where the caller does not say.

    Returns:
        Source and target language: the first direction that fits what was said and, where the source was not, the
        language of the text.

    Raises:
        InputError: where none fits.
    """
    known = directions_of(config)
    for field, wanted, served in (
        ("src_lang", source, {one[0] for one in known}),
        ("tgt_lang", target, {one[1] for one in known}),
    ):
        if wanted is not None and served != {""} and wanted not in served:
            names = " or ".join(repr(name) for name in sorted(served))
            raise InputError(f"{field} must be {names}, this checkpoint's; got {wanted!r}.", field=field)
    if not config.directions:
        return known[0]
    fitting = [one for one in known if source in (None, one[0]) and target in (None, one[1])]
    if not fitting:
        raise InputError(
            f"This checkpoint translates {', '.join(config.directions)}; got {source}-{target}.", field="tgt_lang"
        )
    if source is None:
        source = _guessed_source(config, tokenizer, text, target, fitting)
        fitting = [one for one in fitting if source in (None, one[0])]
    return fitting[0]


def _guessed_source(
    config: Any, tokenizer: Any, text: str, target: str | None, fitting: list[tuple[str, str]]
) -> str | None:
    """Return the language of a text among those of the fitting directions, or None where nothing was counted.

    Raises:
        InputError: where the text is for sure in another language, which is not translated into the one wanted.
    """
    sources = list(dict.fromkeys(one[0] for one in directions_of(config)))
    if not set(sources) <= set(tokenizer.counted_languages):
        return None
    language, probability = tokenizer.guess_language(text, sources)
    candidates = list(dict.fromkeys(one[0] for one in fitting))
    if language in candidates:
        return language
    if probability >= CERTAIN:
        raise InputError(
            f"The text seems to be in {language!r}, and this checkpoint translates {', '.join(config.directions)}; "
            f"got tgt_lang {target!r}. Ask for another language, or name the text's in src_lang.",
            field="tgt_lang",
        )
    return tokenizer.guess_language(text, candidates)[0]
