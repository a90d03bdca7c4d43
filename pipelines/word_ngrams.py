"""Word n-grams with back-off, as an ARPA file holds them.

References:
    Katz 1987: backing off.
    The file format: SRILM's manual, ngram-format(5). KenLM (Heafield 2011) reads it too.
"""

import functools
import itertools
import math
from collections.abc import Sequence
from pathlib import Path

START, END, UNKNOWN = "<s>", "</s>", "<unk>"
NO_WORDS = frozenset({START, END, UNKNOWN})
NEVER = -99.0
"""What stands in a file for the logarithm of 0: nothing predicts a sentence's start."""
UNKNOWN_WITHOUT_ENTRY = -100.0
"""Logarithm to the base 10 of an unknown word, where a file has no `<unk>`; KenLM's."""

Entry = tuple[float, float]
"""Logarithms to the base 10: the probability of an n-gram's last word, and the back-off weight of all its words."""
NUM_REMEMBERED = 100_000
"""Predictions: the hypotheses of a search share most of theirs."""


class WordNGrams:
    """A back-off language model of words."""

    def __init__(self, ngrams: dict[tuple[str, ...], Entry]):
        """Keep n-grams.

        Args:
            ngrams: of every order, `<s>` and `</s>` among those of order 1.

        Raises:
            ValueError: without these two.
        """
        missing = [mark for mark in (START, END) if (mark,) not in ngrams]
        if missing:
            raise ValueError(f"Expected {START} and {END} among the 1-grams; there is no {missing[0]}.")
        self.ngrams = ngrams
        self.order = max(map(len, ngrams))
        self.vocabulary = frozenset(ngram[0] for ngram in ngrams if len(ngram) == 1) - NO_WORDS
        """The words that it knows."""
        self._log10_of_last = functools.lru_cache(NUM_REMEMBERED)(self._look_up)

    def log_probability(self, words: Sequence[str], start: bool = True, end: bool = True) -> float:
        """Return the log-probability of words in nats; a word that is not in the vocabulary counts as `<unk>`.

        Args:
            words: of a sentence, or of a part of it.
            start: whether a sentence begins with them.
            end: whether it ends with them, which is a further prediction.
        """
        known = [word if word in self.vocabulary else UNKNOWN for word in words] if self.num_unknown(words) else words
        sentence = (*[START] * start, *known, *[END] * end)
        short = [sentence[:length] for length in range(1 + start, min(self.order, 1 + len(sentence)))]
        first = int(start and self.order == 1)  # nothing predicts the start of a sentence
        whole = zip(*(sentence[first + at :] for at in range(self.order)), strict=False)
        return math.log(10) * sum(map(self._log10_of_last, itertools.chain(short, whole)))

    def num_unknown(self, words: Sequence[str]) -> int:
        """Count the words that are not in the vocabulary."""
        if self.vocabulary.issuperset(words):
            return 0
        return len(words) - sum(map(self.vocabulary.__contains__, words))

    def _look_up(self, ngram: tuple[str, ...]) -> float:
        """Predict the last word from those before it."""
        total = 0.0
        while ngram not in self.ngrams:
            if len(ngram) == 1:
                return total + UNKNOWN_WITHOUT_ENTRY
            _, backoff = self.ngrams.get(ngram[:-1], (NEVER, 0.0))
            total, ngram = total + backoff, ngram[1:]
        return total + self.ngrams[ngram][0]

    @classmethod
    def read(cls, path: str | Path) -> "WordNGrams":
        """Read an ARPA file.

        Raises:
            ValueError: for a damaged file, naming the line.
        """
        sections = _sections(path)
        counts = dict(_declared(path, *line) for line in sections.pop(0))
        if not counts or sorted(counts) != list(range(1, len(counts) + 1)):
            raise ValueError(f"{path}: expected counts of the orders 1, 2 and so on; got those of {sorted(counts)}.")
        ngrams: dict[tuple[str, ...], Entry] = {}
        for order, count in sorted(counts.items()):
            lines = sections.pop(order, [])
            if len(lines) != count:
                at = f", line {lines[-1][0]}" if lines else ""
                raise ValueError(f"{path}{at}: expected {count} {order}-grams; got {len(lines)}.")
            for number, line in lines:
                ngram, entry = _parsed(path, number, line, order)
                if ngram in ngrams or not all((word,) in ngrams for word in ngram if order > 1):
                    raise ValueError(
                        f"{path}, line {number}: {ngram} was there before, or has a word that no 1-gram has."
                    )
                ngrams[ngram] = entry
        if sections:
            raise ValueError(f"{path}: there are {min(sections)}-grams that the file's head does not count.")
        return cls(ngrams)

    def write(self, path: str | Path) -> None:
        """Write an ARPA file, each order sorted: the same model gives the same file."""
        orders = [sorted(ngram for ngram in self.ngrams if len(ngram) == order) for order in range(1, self.order + 1)]
        lines = ["\\data\\", *(f"ngram {order}={len(ngrams)}" for order, ngrams in enumerate(orders, start=1))]
        for order, ngrams in enumerate(orders, start=1):
            lines += ["", f"\\{order}-grams:"]
            for ngram in ngrams:
                probability, backoff = self.ngrams[ngram]
                weight = f"\t{backoff:.7f}" if order < self.order else ""
                lines.append(f"{probability:.7f}\t{' '.join(ngram)}{weight}")
        lines += ["", "\\end\\", ""]
        Path(path).write_text("\n".join(lines), encoding="utf-8", newline="\n")


def _sections(path: str | Path) -> dict[int, list[tuple[int, str]]]:
    """Split a file into its head, under 0, and the n-grams of each order: lines that are not empty, numbered."""
    sections: dict[int, list[tuple[int, str]]] = {}
    current: list[tuple[int, str]] | None = None  # before the head comes whatever
    number = 0
    with open(path, "rb") as file:
        for number, raw in enumerate(file, start=1):
            line = _text(path, number, raw)
            if line == "\\end\\" and current is not None:
                return sections
            if line.startswith("\\") and (current is not None or line == "\\data\\"):
                order = _order_of(path, number, line)
                if order in sections:
                    raise ValueError(f"{path}, line {number}: {line} was there before.")
                current = sections[order] = []
            elif line and current is not None:
                current.append((number, line))
    wanted = "\\data\\" if current is None else "\\end\\"
    raise ValueError(f"{path} ends in line {number} without {wanted}: it is no ARPA file, or was cut off.")


def _text(path: str | Path, number: int, raw: bytes) -> str:
    try:
        return raw.decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}, line {number}: expected UTF-8; {error}.") from error


def _order_of(path: str | Path, number: int, line: str) -> int:
    """Read a section's heading, such as `\\2-grams:`; the head's is 0."""
    order = line.removeprefix("\\").removesuffix("-grams:")
    if line == "\\data\\":
        return 0
    if not line.endswith("-grams:") or not order.isdecimal() or int(order) == 0:
        raise ValueError(f"{path}, line {number}: expected the heading of a section, such as \\1-grams:; got {line!r}.")
    return int(order)


def _declared(path: str | Path, number: int, line: str) -> tuple[int, int]:
    """Read an order and its count from a line of the head, such as `ngram 2=1192`."""
    order, _, count = line.removeprefix("ngram ").partition("=")
    if not line.startswith("ngram ") or not order.strip().isdecimal() or not count.strip().isdecimal():
        raise ValueError(f"{path}, line {number}: expected a count, such as ngram 1=100; got {line!r}.")
    return int(order), int(count)


def _parsed(path: str | Path, number: int, line: str, order: int) -> tuple[tuple[str, ...], Entry]:
    """Read an n-gram: the probability, the words, and perhaps a back-off weight."""
    fields = line.split()
    try:
        probability, backoff = float(fields[0]), float(fields[order + 1]) if len(fields) == order + 2 else 0.0
    except ValueError:
        probability = backoff = math.nan
    if len(fields) not in (order + 1, order + 2) or not probability <= 0 or not math.isfinite(backoff):
        raise ValueError(
            f"{path}, line {number}: expected a logarithm of at most 0, words as many as {order}, and perhaps a "
            f"back-off weight; got {line!r}."
        )
    return tuple(fields[1 : order + 1]), (probability, backoff)
