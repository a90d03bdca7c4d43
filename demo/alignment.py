"""From pieces to words: for people who want to see which words, not which pieces, were looked at."""

WORD_START = "▁"
END = "</s>"


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


def readable(token: str) -> str:
    """Write a piece for people: without the mark of a word's start; the end of the sentence as a sign."""
    if token == END:
        return "⏎"
    return token.removeprefix(WORD_START) or "␣"


def _join(tokens: list[str], groups: list[list[int]]) -> list[str]:
    return ["".join(tokens[index] for index in group) for group in groups]
