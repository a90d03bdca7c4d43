"""What one request may ask for, checked before it waits for a model."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from pipelines import EvidencePipeline, InputError, Option
from pipelines.pipeline_common import GENERATION_GROUPS

from .settings import Settings

LIMITED_OPTIONS = ("num_beams", "num_return_sequences", "max_new_tokens")


def check_limits(inputs: list, parameters: Any, options: Sequence[Option], settings: Settings) -> None:
    """Refuse a request that asks for more than the operator allows.

    Args:
        inputs: those of the request, each of one answer.
        parameters: as they came.
        options: those of the task; what does not fit them they refuse themselves.
        settings: with the limits.

    Raises:
        InputError: naming the field, the limit and what came.
    """
    if len(inputs) > settings.inputs_per_request:
        raise InputError(f"Expected at most {settings.inputs_per_request} inputs in a request; got {len(inputs):,}.")
    for item in inputs:
        length = sum(len(text) for text in _texts(item))
        if length > settings.text_characters:
            raise InputError(f"Expected at most {settings.text_characters:,} characters; got {length:,}.")
    for option in options:
        if option.name in LIMITED_OPTIONS:
            most = getattr(settings, option.name)
            for value in _values(parameters, option.name):
                if isinstance(value, int | float) and most < value <= option.maximum:
                    raise InputError(f"{option.name} must be at most {most:,} here; got {value:,}.", field=option.name)


def group_of(parameters: Any) -> str | None:
    """Return what requests must have in common to be answered together; None for one that goes alone."""
    if parameters is None:
        return "null"
    try:
        return json.dumps(parameters, sort_keys=True)
    except (TypeError, ValueError):
        return None


def largest_batch(kind: type[EvidencePipeline], settings: Settings) -> int:
    """Return how many requests a pipeline of this kind answers together at most."""
    return min(settings.maximum_batch, kind.most_together or settings.maximum_batch)


def length_of(inputs: Any) -> int:
    """Return an input's length, for requests of about the same to be answered together."""
    if isinstance(inputs, bytes | str):
        return max(len(inputs), 1)
    return max(sum(len(text) for text in _texts(inputs)), 1)


def _texts(item: Any) -> Iterator[str]:
    if isinstance(item, str):
        yield item
    elif isinstance(item, dict | list):
        for part in item.values() if isinstance(item, dict) else item:
            yield from _texts(part) if isinstance(part, str | list) else ()


def _values(parameters: Any, name: str) -> Iterator[Any]:
    """Find an option where clients put it."""
    if isinstance(parameters, dict):
        groups = (parameters, *(parameters.get(group) for group in GENERATION_GROUPS))
        yield from (group[name] for group in groups if isinstance(group, dict) and name in group)
