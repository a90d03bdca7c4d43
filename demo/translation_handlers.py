"""What happens on the translation tab: each handler returns what is to be seen now."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from pipelines import InputError

from .alignment import END, by_source, merge_words, word_groups
from .heat_map import heat_map_html
from .served import Checkpoints, ask
from .translation_answer import alternatives_html, answer_html, chosen_html, hint_html, told_html
from .translation_languages import is_of_several

FROM_TARGET, FROM_SOURCE = "target", "source"
"""Which way an alignment is looked at."""
NO_ALIGNMENT = "<p>This network has no attention: it reads the whole sentence as one vector. There is no alignment.</p>"
CAPTIONS = {
    FROM_TARGET: "Each row is a {unit} of the translation, each column one of your sentence: the stronger the blue, "
    "the more attention. The bar beside a row is the probability the model gave it; ⏎ ends the sentence.",
    FROM_SOURCE: "Each row is a {unit} s of your sentence, each column one, t, of the translation: of all the "
    "attention α that the translation paid to s, the share that came from t, α(t, s) / Σ α(t′, s), the sum "
    "over all t′. ⏎ ends the sentence.",
}
NUM_ALTERNATIVES = 6
"""The present word is mostly one of them."""
FORGOTTEN = "The server no longer has this answer. Press Translate again."


@dataclass(frozen=True)
class Asked:
    """What an answer on the page is the answer to."""

    checkpoint: str
    text: str
    parameters: dict[str, Any]


@dataclass(frozen=True)
class Offered:
    """Translations that go on differently from a place."""

    position: int
    results: list[dict]


class TranslationHandlers:
    """Answers what visitors do."""

    def __init__(self, checkpoints: Checkpoints):
        self.checkpoints = checkpoints

    def translate(self, merged: bool, way: str, checkpoint: str, text: str, parameters: dict[str, Any]) -> tuple:
        """Translate: message, evidence, what is told, answer, alternatives, hypotheses, picture, and three states."""
        found = ask(self.checkpoints, checkpoint, text, parameters)
        told = told_html(found[0], "src_lang" not in parameters, is_of_several(checkpoint))
        return (
            gr.HTML(visible=False),
            gr.Column(visible=True),
            told,
            answer_html(found[0]),
            hint_html(),
            gr.Radio(_choices(found, len(found)), value=0),
            picture_html(found[0], merged, way),
            found,
            Asked(checkpoint, text, parameters),
            None,
        )

    def look_at_word(self, rank: int, results: list[dict], asked: Asked | None, chosen: gr.EventData) -> tuple:
        """Find what else could stand in a word's place: message, alternatives, and the state that offers them."""
        result = known_result(rank, results)
        tokens, position = result["evidence"]["target_tokens"], chosen.position
        if asked is None or type(position) is not int or not 0 <= position < len(tokens):
            raise InputError(FORGOTTEN)
        options = {name: value for name, value in asked.parameters.items() if name not in _NOT_OF_ONE_PLACE}
        found = self.checkpoints.inspect(
            asked.checkpoint, asked.text, target_tokens=tokens, position=position, num=NUM_ALTERNATIVES, **options
        )["alternatives"]
        return gr.HTML(visible=False), alternatives_html(found, result, position), Offered(position, found)


_NOT_OF_ONE_PLACE = ("num_return_sequences", "target_prefix")


def show(rank: int, results: list[dict], merged: bool, way: str = FROM_TARGET) -> tuple[str, str, str]:
    """Show another hypothesis of the same answer: answer, picture and no alternatives; nothing is computed anew."""
    try:
        result = known_result(rank, results)
    except InputError as error:
        raise gr.Error(str(error)) from error
    return answer_html(result), picture_html(result, merged, way), hint_html()


def redraw(rank: int, results: list[dict], merged: bool, way: str) -> str:
    """Draw the same alignment otherwise."""
    return show(rank, results, merged, way)[1]


def go_on_with(
    results: list[dict], asked: Asked | None, offered: Offered | None, merged: bool, way: str, chosen: gr.EventData
) -> tuple:
    """Show the alternative that was chosen, as a hypothesis more.

    Returns:
        Message, answer, alternatives, hypotheses, picture and all results.
    """
    if asked is None or offered is None or chosen.rank not in range(len(offered.results)):
        raise InputError(FORGOTTEN)
    result = offered.results[chosen.rank]
    pieces = [one["evidence"]["target_tokens"] for one in results]
    if result["evidence"]["target_tokens"] not in pieces:
        results, pieces = [*results, result], [*pieces, result["evidence"]["target_tokens"]]
    rank = pieces.index(result["evidence"]["target_tokens"])
    num_found = asked.parameters.get("num_return_sequences", 1)
    return (
        gr.HTML(visible=False),
        answer_html(result),
        chosen_html(result, offered.position),
        gr.Radio(_choices(results, num_found), value=rank),
        picture_html(result, merged, way),
        results,
    )


def known_result(rank: int | None, results: Sequence[dict]) -> dict:
    """Return the hypothesis that is on the page."""
    if rank is None or rank >= len(results):
        raise InputError(FORGOTTEN)
    return results[rank]


def picture_html(result: dict, merged: bool, way: str = FROM_TARGET) -> str:
    """Draw the alignment of a hypothesis, of pieces or of words, either way."""
    evidence = result["evidence"]
    sources, targets, weights = evidence["source_tokens"], evidence["target_tokens"], evidence["attention"]
    log_probabilities = evidence["token_log_probabilities"]
    if weights is None:
        return NO_ALIGNMENT
    if merged:
        log_probabilities = [sum(log_probabilities[index] for index in group) for group in word_groups(targets)]
        sources, targets, weights = merge_words(sources, targets, weights)
    caption = CAPTIONS[way].format(unit="word" if merged else "piece")
    if way == FROM_SOURCE:
        return heat_map_html(targets, sources, by_source(weights), caption, arrow="→")
    return heat_map_html(sources, targets, weights, caption, [math.exp(value) for value in log_probabilities])


def hypothesis_labels(results: list[dict], num_found: int | None = None) -> list[str]:
    """Name hypotheses for a list: the text, the score, and what two of the same text differ in.

    Args:
        results: all of them.
        num_found: how many the search found; the others the visitor chose word by word. None: all.
    """
    labels, seen = [], set()
    for rank, result in enumerate(results):
        text = result["translation_text"]
        remarks = [f"{result['score']:.2f}".replace("-", "−")]
        if num_found is not None and rank >= num_found:
            remarks.append("your choice")
        if text in seen:
            remarks.append("other pieces")
        if result["evidence"]["target_tokens"][-1] != END:
            remarks.append("cut off")
        seen.add(text)
        labels.append(f"{rank + 1}. {text} ({', '.join(remarks)})")
    return labels


def _choices(results: list[dict], num_found: int) -> list[tuple[str, int]]:
    return [(label, rank) for rank, label in enumerate(hypothesis_labels(results, num_found))]
