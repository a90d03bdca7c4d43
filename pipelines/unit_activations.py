"""Single units of a recurrent network by name, and what they do while a text goes by.

A unit is named "memory.2.137": the cell, or "hidden" the output, number 137 (from 0) of layer 2 (from 1). A memory
cell is shown through tanh, as the output gate sees it: between -1 and 1, like the outputs.

Source: Karpathy, Johnson and Fei-Fei 2015 (arXiv:1506.02078), section 4.1.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .pipeline_common import InputError, shown


@dataclass(frozen=True)
class Unit:
    """One unit, and what it was found to follow."""

    kind: str
    """"memory" or "hidden"."""
    layer: int
    """From 1."""
    unit: int
    """From 0."""
    feature: str | None = None
    """What it follows, such as "inside quotes"."""
    correlation: float | None = None
    """Pearson's, with that, on the validation split."""

    @property
    def name(self) -> str:
        """Return the unit's address."""
        return f"{self.kind}.{self.layer}.{self.unit}"

    def of(self, activations: Any) -> Any:
        """Return its values over time among a text's numbers, (..., hidden) a layer."""
        values = getattr(activations, self.kind)[self.layer - 1][..., self.unit]
        return values.tanh() if self.kind == "memory" else values

    def describe(self) -> dict:
        """Return what a reader wants to know of it."""
        parts = {"unit": self.name, "feature": self.feature, "correlation": self.correlation}
        return {name: value for name, value in parts.items() if value is not None}


def chosen_units(config: Any, names: Sequence[str] | None) -> list[Unit]:
    """Return the named units, or those that the checkpoint calls interpretable.

    Args:
        config: the model's.
        names: such as "memory.2.137"; None for the checkpoint's.

    Raises:
        InputError: for a name of no unit, saying which there are.
    """
    fields = ("kind", "layer", "unit", "feature", "correlation")
    known = [Unit(**{field: entry[field] for field in fields}) for entry in config.interpretable_units or ()]
    if names is None:
        return known
    described = {unit.name: unit for unit in reversed(known)}
    return [described.get(name) or _parse(name, config) for name in names]


def _parse(name: str, config: Any) -> Unit:
    kinds = ("memory", "hidden") if config.cell_type == "lstm" else ("hidden",)
    found = re.fullmatch(rf"({'|'.join(kinds)})\.(\d{{1,4}})\.(\d{{1,6}})", name)
    if found:
        layer, unit = int(found[2]), int(found[3])
        if 1 <= layer <= config.num_hidden_layers and unit < config.hidden_size:
            return Unit(found[1], layer, unit)
    raise InputError(
        f"units: {shown(name)} is no unit. Expected KIND.LAYER.UNIT: kind {' or '.join(kinds)}, "
        f"layer 1 to {config.num_hidden_layers}, unit 0 to {config.hidden_size - 1}.",
        field="units",
    )
