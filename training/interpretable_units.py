"""Units of a character network that follow something a reader can name, found by correlation on a text.

Source: Karpathy, Johnson and Fei-Fei 2015 (arXiv:1506.02078), section 4.1, where people looked for such cells by eye.

Names of dimensions in this file:
    characters  those of the text
    streams     parts of the text that are read side by side
    time        characters of a stream that are read at once
    hidden      units of a layer
    features    what units are compared with
"""

import re
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from models.modeling_char_rnn import Activations, CharRnnForCausalLM
from models.recurrent import RecurrentState

NUM_STREAMS = 32
CHUNK_LENGTH = 250
"""Characters of each stream at once: what every unit did fits in memory for so many, not for a whole split."""
MINIMUM_CORRELATION = 0.3
"""Below it a unit's colour on a text no longer looks like the feature."""

C_TOKENS = re.compile(
    r"(?P<comment>/\*[\s\S]*?(?:(?P<comment_end>\*/)|\Z)|//[^\n]*)"
    r'|(?P<string>"(?:\\[\s\S]|[^"\\\n])*(?P<string_end>")?)'
    r"|'(?:\\[\s\S]|[^'\\\n])*'?"
)
"""Comments, strings and character constants of C: brackets and quotes inside them are none."""
C_DIRECTIVE = re.compile(r"^[ \t]*(#(?:\\\n|[^\n])*)", re.MULTILINE)
C_BLOCK_END = r"(?<![^\n])\}"
"""A brace that begins a line ends a function: conditional compilation can leave others unbalanced before it."""
SPEAKER = re.compile(r"(?:\A|(?<=\n\n))[A-Z][^\n:]{0,40}(?=:\n)")
"""In plays, a line of its own before a speech."""

UnitKey = tuple[str, int]
"""("memory" or "hidden"; layer, from 1)."""


def text_features(text: str) -> dict[str, np.ndarray]:
    """Say of every character what a reader knows after it.

    Args:
        text: C code, lines that are texts of their own, or prose and plays with blank lines; it is taken for C where
            it includes headers and has comments, because elsewhere slashes and braces mean other things.

    Returns:
        float64 (characters) by the feature's name; 0 and 1 where it is a matter of yes and no. Features that are the
        same throughout the text are left out.
    """
    is_code = "#include" in text and "/*" in text
    found = _layout_features(text) | (_code_features(text) if is_code else _prose_features(text))
    return {name: values.astype(np.float64) for name, values in found.items() if values.min() < values.max()}


def find_units(
    model: CharRnnForCausalLM, ids: Tensor, text: str, num_units_per_feature: int = 1
) -> list[dict[str, str | int | float]]:
    """Find the units that follow a text's features most closely.

    A memory cell counts through tanh: that is what the output gate lets through, and it is bounded, so that a few
    huge values cannot make or break a correlation.

    Args:
        model: in evaluation mode.
        ids: int64 (characters), the text.
        text: the same, as characters.
        num_units_per_feature: how many units to name for each.

    Returns:
        For `config.interpretable_units`: `name`, `kind` ("memory" or "hidden"), `layer` (from 1), `unit` (from 0),
        `feature` and `correlation` (Pearson's), the closest first; none below `MINIMUM_CORRELATION`.

    Raises:
        ValueError: when `ids` and `text` differ in length.
    """
    if len(ids) != len(text) or not text:
        raise ValueError(f"Expected as many ids as characters, at least one; got {len(ids)} and {len(text)}.")
    features = text_features(text)
    found = []
    for index, (kind, layer, unit, correlation) in _closest(model, ids, features, num_units_per_feature):
        name = list(features)[index]
        unit = {"kind": kind, "layer": layer, "unit": unit, "feature": name, "correlation": round(correlation, 3)}
        found.append({"name": name} | unit)
    close = [unit for unit in found if abs(unit["correlation"]) >= MINIMUM_CORRELATION]
    return sorted(close, key=lambda unit: -abs(unit["correlation"]))


def correlations(model: CharRnnForCausalLM, ids: Tensor, features: np.ndarray) -> dict[UnitKey, np.ndarray]:
    """Correlate every unit with every feature over a text, which is read in streams that each begin afresh.

    Args:
        model: in evaluation mode.
        ids: int64 (characters); up to `NUM_STREAMS` - 1 of the last are left out, so that the streams are equal.
        features: float64 (features, characters).

    Returns:
        Pearson's correlation, float64 (hidden, features), for each kind and layer; 0 where a unit or a feature does
        not change.
    """
    streams = min(NUM_STREAMS, len(ids))
    length = len(ids) // streams
    ids = ids[: streams * length].view(streams, length).to(model.device)
    standardised = _standardised(torch.from_numpy(features[:, : streams * length]))
    standardised = standardised.view(-1, streams, length).permute(1, 2, 0)  # streams, time, features
    sums: dict[UnitKey, list[Tensor]] = {}
    state, start = None, 0
    for chunk in ids.split(CHUNK_LENGTH, dim=1):
        activations = model.activations(chunk, state)
        state = RecurrentState(_last(activations.hidden), _last(activations.memory))
        compared = standardised[:, start : start + chunk.shape[1]].flatten(0, 1)
        start += chunk.shape[1]
        for key, values in _values(activations):
            parts = [values.sum(dim=0), values.square().sum(dim=0), values.t() @ compared]
            sums[key] = [before + part for before, part in zip(sums.get(key, (0, 0, 0)), parts, strict=True)]
    return {key: _correlation(*parts, count=streams * length) for key, parts in sums.items()}


def _closest(
    model: CharRnnForCausalLM, ids: Tensor, features: dict[str, np.ndarray], number: int
) -> Iterator[tuple[int, tuple[str, int, int, float]]]:
    """Yield for each feature, by its place, the units that correlate with it most: kind, layer, unit, correlation."""
    if not features:
        return
    by_key = correlations(model, ids, np.stack(list(features.values())))
    for index in range(len(features)):
        units = [
            (kind, layer, unit, float(value))
            for (kind, layer), found in by_key.items()
            for unit, value in enumerate(found[:, index])
        ]
        for unit in sorted(units, key=lambda unit: -abs(unit[3]))[:number]:
            yield index, unit


def _values(activations: Activations) -> Iterator[tuple[UnitKey, Tensor]]:
    """Yield every kind and layer's float64 (streams * time, hidden), between -1 and 1."""
    for layer, memory in enumerate(activations.memory, start=1):
        yield ("memory", layer), memory.tanh().flatten(0, 1).cpu().double()
    for layer, hidden in enumerate(activations.hidden, start=1):
        yield ("hidden", layer), hidden.flatten(0, 1).cpu().double()


def _last(layers: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(layer[:, -1] for layer in layers)


def _standardised(features: Tensor) -> Tensor:
    """Shift and scale float64 (features, characters) to mean 0 and deviation 1; 0 where nothing changes."""
    centred = features - features.mean(dim=1, keepdim=True)
    deviation = centred.square().mean(dim=1, keepdim=True).sqrt()
    return centred / deviation.where(deviation > 0, 1.0)


def _correlation(total: Tensor, squares: Tensor, products: Tensor, count: int) -> np.ndarray:
    """Return float64 (hidden, features) from the sums over all characters; the features are standardised."""
    variance = squares / count - (total / count).square()
    changes = variance > 1e-12  # below it there is nothing but rounding
    deviation = variance.where(changes, 1.0).sqrt()
    return (products / count / deviation.unsqueeze(1) * changes.unsqueeze(1)).numpy()


def _layout_features(text: str) -> dict[str, np.ndarray]:
    """Return features that need no understanding: lines, indentation and words."""
    line_end = _among(text, lambda character: character == "\n")
    in_word = _among(text, lambda character: character.isalnum() or character == "_")
    upper, lower = _among(text, str.isupper), _among(text, str.islower)
    printed = _among(text, lambda character: character not in " \t\n")
    indents = np.array([{"\t": 1.0, " ": 1 / 8}.get(character, 0.0) for character in text])
    is_indent = _count_since(printed, line_end) == 0
    all_capitals = (_count_since(upper, ~in_word) >= 2) & (_count_since(lower, ~in_word) == 0)
    return {
        "position in line": _count_since(np.ones(len(text)), line_end),
        "indentation depth": _count_since(indents * is_indent, line_end),
        "position in word": _count_since(in_word, ~in_word),
        "inside a word in capitals": all_capitals,
    }


def _code_features(text: str) -> dict[str, np.ndarray]:
    tokens = list(C_TOKENS.finditer(text))
    comments = [
        (token.start() + 1, token.end() - (token["comment_end"] is not None)) for token in tokens if token["comment"]
    ]
    strings = [(token.start(), token.end() - (token["string_end"] is not None)) for token in tokens if token["string"]]
    code = C_TOKENS.sub(lambda token: " " * len(token[0]), text)
    return {
        "inside a comment": _inside(text, comments),
        "inside quotes": _inside(text, strings),
        "inside a preprocessor line": _inside(text, [match.span(1) for match in C_DIRECTIVE.finditer(code)]),
        "bracket depth": _depth(code, "()[]{}", C_BLOCK_END),
        "curly-brace depth": _depth(code, "{}", C_BLOCK_END),
        "inside parentheses": _depth(code, "()", C_BLOCK_END) > 0,
    }


def _prose_features(text: str) -> dict[str, np.ndarray]:
    """Return features of plays and prose, or, where there is no blank line, of lines that are texts of their own."""
    lines_are_texts = "\n\n" not in text
    end = r"\n" if lines_are_texts else r"\n\n"  # a quotation mark or a bracket that was forgotten reaches no further
    clause_end = _among(text, lambda character: character in ".,;:?!")
    clause_end[[match.end() - 1 for match in re.finditer(end, text)]] = True
    quotations = re.finditer(rf'"(?:(?!{end})[^"])*(")?', text)
    features = {
        "position in clause": _count_since(np.ones(len(text)), clause_end),
        "inside quotes": _inside(text, [(match.start(), match.end() - (match[1] is not None)) for match in quotations]),
        "bracket depth": _depth(text, "()[]{}", end),
    }
    if lines_are_texts:
        line_end, question = (_among(text, lambda character, mark=mark: character == mark) for mark in "\n?")
        return features | {"past the question mark": _count_since(question, line_end) > 0}
    return features | {"inside a speaker's name": _inside(text, [match.span() for match in SPEAKER.finditer(text)])}


def _among(text: str, holds: Callable[[str], bool]) -> np.ndarray:
    """Return bool (characters), whether something holds of each."""
    chosen = {character for character in set(text) if holds(character)}
    return np.fromiter((character in chosen for character in text), dtype=bool, count=len(text))


def _count_since(marks: np.ndarray, resets: np.ndarray) -> np.ndarray:
    """Add up marks, (characters), from after the last reset, bool (characters), or from the text's beginning."""
    sums = np.cumsum(marks)
    last_reset = np.maximum.accumulate(np.where(resets, np.arange(len(resets)), -1))
    return sums - np.where(last_reset >= 0, sums[last_reset], 0)


def _inside(text: str, spans: list[tuple[int, int]]) -> np.ndarray:
    """Return bool (characters), True from each span's first place to before its end."""
    values = np.zeros(len(text), dtype=bool)
    for start, end in spans:
        values[start:end] = True
    return values


def _depth(text: str, brackets: str, reset: str) -> np.ndarray:
    """Return int64 (characters), how many brackets are open, never below 0, and 0 after a match of `reset`."""
    places, depths = [0], [0]
    for match in re.finditer(rf"(?P<reset>{reset})|[{re.escape(brackets)}]", text):
        change = 1 if match[0] in "([{" else -1
        depths.append(0 if match["reset"] else max(depths[-1] + change, 0))
        places.append(match.end() - 1)
    return np.repeat(depths, np.diff([*places, len(text)]))
