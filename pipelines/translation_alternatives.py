"""Other words in a place of a translation: after the same beginning, each answer goes on with another one."""

from collections.abc import Callable, Sequence
from typing import Any

WIDER = 3
"""Next pieces that are looked at for each word that is wanted: some begin the same word."""


def find_alternatives(
    translate: Callable[..., list],
    prefix: Sequence[int],
    number: int,
    longest: int,
    end_token_id: int,
    word_at: Callable[[list[int], int], str],
    **options: Any,
) -> list:
    """Find translations that begin alike and go on with different words, the most probable next piece first.

    Args:
        translate: searches with the fields of `DecodingOptions`; returns hypotheses, best first.
        prefix: the pieces that all begin with.
        number: how many.
        longest: most pieces of a translation, more than the prefix has.
        end_token_id: ends a translation.
        word_at: the word that a translation's pieces have in a place.
        **options: of the search that completes each.

    Returns:
        At most `number` hypotheses.
    """
    width = WIDER * number
    place = len(prefix)
    one_step = {"num_beams": width, "num_return_sequences": width, "max_new_tokens": place + 1}
    found, words = [], set()
    for hypothesis in translate(**options | one_step, prefix_ids=tuple(prefix)):
        piece = hypothesis.token_ids[-1]
        if piece != end_token_id and place + 1 < longest:
            begun = {"num_return_sequences": 1, "prefix_ids": (*prefix, piece)}
            hypothesis = translate(**options | begun)[0]
        word = word_at(hypothesis.token_ids, place)
        if word not in words:
            words.add(word)
            found.append(hypothesis)
        if len(found) == number:
            break
    return found
