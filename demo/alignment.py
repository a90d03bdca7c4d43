"""From pieces to words: for people who want to see which words, not which pieces, were looked at."""

import re

WORD_START = "▁"
END = "</s>"
WANTED = re.compile(r"<2(\w+)>")
"""The piece that tells a network of several languages which to write."""


def word_groups(tokens: list[str]) -> list[list[int]]:
    """Group the indices of pieces that make up a word.

    Args:
        tokens: SentencePiece pieces; "▁" begins a word. "</s>" stands alone, as does punctuation at a word's end.
    """
    groups: list[list[int]] = []
    for index, token in enumerate(tokens):
        ends_word = index + 1 == len(tokens) or tokens[index + 1].startswith((WORD_START, END))
        closes = ends_word and not any(character.isalnum() for character in token)
        if not groups or closes or token.startswith((WORD_START, END)):
            groups.append([])
        groups[-1].append(index)
    return groups


def merge_words(
    source_tokens: list[str], target_tokens: list[str], weights: list[list[float]]
) -> tuple[list[str], list[str], list[list[float]]]:
    """Merge an alignment of pieces into one of words.

    A target word gives a source word the attention that its pieces give all the source word's pieces, averaged
    over the target word's pieces: rows still sum to 1.

    Args:
        source_tokens: S pieces.
        target_tokens: T pieces.
        weights: T lists of S weights.

    Returns:
        Source words, target words, and their weights.
    """
    sources, targets = word_groups(source_tokens), word_groups(target_tokens)
    merged = [
        [sum(weights[row][column] for row in rows for column in columns) / len(rows) for columns in sources]
        for rows in targets
    ]
    return _join(source_tokens, sources), _join(target_tokens, targets), merged


def by_source(weights: list[list[float]]) -> list[list[float]]:
    """Turn an alignment round: for each source, how the attention that it got is shared among the targets.

    Args:
        weights: T lists of S weights.

    Returns:
        S lists of T shares, which sum to 1; of a source that got no attention at all they are 0.
    """
    columns = [list(column) for column in zip(*weights, strict=True)]
    return [[weight / (sum(column) or 1.0) for weight in column] for column in columns]


def readable(token: str) -> str:
    """Write a piece for people: without the mark of a word's start; the end, and the language wanted, as a sign."""
    if token == END:
        return "⏎"
    wanted = WANTED.fullmatch(token)
    if wanted:
        return f"→ {wanted[1]}"
    return token.removeprefix(WORD_START) or "␣"


def _join(tokens: list[str], groups: list[list[int]]) -> list[str]:
    return ["".join(tokens[index] for index in group) for group in groups]
