"""How often the training text of each language has each piece: what a tokenizer guesses languages by.

`python -m training.language_counts FOLDER DATA…` gives the counts to a checkpoint of several directions, whose
tokenizer has none; FOLDER's config.json names the directions, and DATA are the folders of the corpora.
"""

import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from models.tokenization_attention_nmt import AttentionNmtTokenizer, written_counts

from .directed_text import DirectedText, load_directions
from .json_files import write_json


def count_pieces(tokenizer: AttentionNmtTokenizer, texts: Mapping[str, Iterable[str]]) -> dict[str, Counter[int]]:
    """Count the pieces of each language's text; unknown ones are left out.

    Args:
        tokenizer: cuts them, always in the same way.
        texts: sentences by language.
    """
    counts = {}
    for language, sentences in texts.items():
        counted = Counter(piece for sentence in sentences for piece in tokenizer.sp_model.encode(sentence))
        counted.pop(tokenizer.unk_token_id, None)
        counts[language] = counted
    return counts


def sources_by_language(texts: list[DirectedText]) -> dict[str, list[str]]:
    """Collect what the network reads of each language that it translates from."""
    sources: dict[str, list[str]] = {}
    for one in texts:
        sources.setdefault(one.direction.split("-")[0], []).extend(one.split.sources)
    return sources


def add_counts(folder: Path, data: list[str]) -> None:
    """Let the tokenizer of a checkpoint, or of a run, guess languages.

    Args:
        folder: of a checkpoint with several directions.
        data: the folders of the corpora, of which the training split is read.

    Raises:
        ValueError: where the checkpoint has one direction.
    """
    directions = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("directions")
    if not directions:
        raise ValueError(f"{folder.name} has one direction: there is no language to be guessed.")
    tokenizer = AttentionNmtTokenizer(str(folder / "spm.model"))
    counts = count_pieces(tokenizer, sources_by_language(load_directions(data, "train", directions)))
    path = folder / "tokenizer_config.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    written = {language: written_counts(pieces) for language, pieces in counts.items()}
    write_json(path, content | {"piece_counts": written})


if __name__ == "__main__":
    if len(sys.argv) < 3:
        raise SystemExit("usage: python -m training.language_counts FOLDER DATA...")
    add_counts(Path(sys.argv[1]), sys.argv[2:])
