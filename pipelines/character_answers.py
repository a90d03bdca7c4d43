"""What a written text looks like in an answer: ours, and that of Hugging Face's text-generation endpoints.

The schema of details and streamed tokens is text-generation-inference's, which huggingface_hub's client reads.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from .character_writing import Written
from .sampling import log_probabilities
from .unit_activations import Unit


@dataclass(frozen=True)
class TextAnswer:
    """One text that was written for a prompt."""

    prompt: str
    written: list[Written]
    seed: int | None
    """What the chance began with; None where nothing was left to chance."""
    units: Sequence[Unit] = ()
    """Whom its evidence follows."""

    @property
    def text(self) -> str:
        """Return what was written, without the prompt."""
        return "".join(written.text for written in self.written)

    def details(self, prefill: list[dict], top_n_tokens: int, characters: Sequence[str]) -> dict:
        """Return TGI's `details`."""
        details = {
            "finish_reason": self.written[-1].finish_reason,
            "generated_tokens": len(self.written),
            "seed": self.seed,
            "prefill": prefill,
            "tokens": [token_of(written) for written in self.written],
        }
        if top_n_tokens:
            details["top_tokens"] = [top_tokens(written.scores, characters, top_n_tokens) for written in self.written]
        return details


def token_of(written: Written) -> dict:
    """Return TGI's description of a token; the end is special and has no text."""
    return {
        "id": written.token_id,
        "text": written.text,
        "logprob": written.log_probability,
        "special": not written.text,
    }


def top_tokens(logits: Sequence[float], characters: Sequence[str], number: int) -> list[dict]:
    """Return TGI's descriptions of the most probable tokens, the best first."""
    return [
        {"id": token, "text": characters[token], "logprob": score, "special": False}
        for token, score in _best(logits, characters, number)
    ]


def top_characters(logits: Sequence[float], characters: Sequence[str], number: int) -> list[dict]:
    """Return the most probable characters, the best first: `character` and `log_probability` in nats."""
    return [
        {"character": characters[token], "log_probability": score} for token, score in _best(logits, characters, number)
    ]


def _best(logits: Sequence[float], characters: Sequence[str], number: int) -> list[tuple[int, float]]:
    scored = [(token, score) for token, score in enumerate(log_probabilities(logits)) if characters[token]]
    return sorted(scored, key=lambda pair: -pair[1])[:number]


def streamed(written: Written, index: int, answer: TextAnswer | None, top: list[dict] | None) -> dict:
    """Return TGI's event for a character.

    Args:
        written: the character.
        index: its number, from 0.
        answer: the whole, with the last character.
        top: alternatives, where they are wanted.
    """
    event = {"index": index, "token": token_of(written), "generated_text": None, "details": None}
    if top is not None:
        event["top_tokens"] = top
    if answer is not None:
        event["generated_text"] = answer.text
        event["details"] = {
            "finish_reason": written.finish_reason,
            "generated_tokens": index + 1,
            "input_length": len(answer.prompt),
            "seed": answer.seed,
        }
    return event


def events(
    characters: Iterator[Written], prompt: str, seed: int | None, top_n_tokens: int, vocabulary: Sequence[str]
) -> Iterator[dict]:
    """Yield TGI's events as a text is written."""
    written = []
    for index, character in enumerate(characters):
        written.append(character.forgetful())
        answer = TextAnswer(prompt, written, seed) if character.finish_reason else None
        top = top_tokens(character.scores, vocabulary, top_n_tokens) if top_n_tokens else None
        yield streamed(character, index, answer, top)


def look_into(model: Any, input_ids: Tensor, text: str, vocabulary: Sequence[str], top: int, units: list[Unit]) -> dict:
    """Score a text and follow units through it.

    Args:
        model: with `score` and `look`.
        input_ids: int64 (1, characters).
        text: the same.
        vocabulary: characters by number.
        top: how many characters to name at each place.
        units: whom to follow.
    """
    scores, log_probabilities, activations = _read(model, input_ids, units)
    nats = -math.fsum(log_probabilities) / len(text)
    expected = [top_characters(place, vocabulary, top) for place in scores.tolist()]
    return {
        "characters": list(text),
        "log_probabilities": log_probabilities,
        "top": expected[:-1],
        "next": expected[-1],
        "activations": activations,
        "nats_per_character": nats,
        "bits_per_character": nats / math.log(2),
    }


def evidence_of(model: Any, input_ids: Tensor, answer: TextAnswer) -> dict:
    """Return what the network makes of a text that was written: it reads it again, without rounding anything.

    Args:
        model: with `score` and `look`.
        input_ids: int64 (1, characters): the prompt's, and then the text's.
        answer: the text.
    """
    _, log_probabilities, activations = _read(model, input_ids, answer.units)
    start = len(answer.prompt)
    return {
        "characters": list(answer.text),
        "log_probabilities": log_probabilities[start:],
        "activations": [followed | {"values": followed["values"][start:]} for followed in activations],
    }


def _read(model: Any, input_ids: Tensor, units: Sequence[Unit]) -> tuple[Tensor, list[float], list[dict[str, Any]]]:
    """Return scores, the log-probability of each character among them, and what units were after it."""
    scores, activations = model.look(input_ids) if units else (model.score(input_ids), None)
    log_probabilities = scores[0, :-1].gather(1, input_ids[0].unsqueeze(1)).squeeze(1).tolist()
    followed = [unit.describe() | {"values": unit.of(activations)[0].tolist()} for unit in units]
    return scores[0], log_probabilities, followed
