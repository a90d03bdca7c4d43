"""One number of an evaluation, as the card and the README show it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """One number of an evaluation."""

    name: str
    """The Hub's name of the metric, such as "sacrebleu"."""
    title: str
    value: float
    signature: str
