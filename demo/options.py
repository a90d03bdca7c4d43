"""Sliders for a task's options: names, limits and explanations are the pipeline's."""

from collections.abc import Sequence
from typing import Any

import gradio as gr

from pipelines import Option, pipeline_class
from tasks import Task


def option_sliders(task: Task, values: dict[str, float]) -> list[gr.Slider]:
    """Lay out a slider for each of some options, in a row.

    Args:
        task: whose options they are.
        values: what the sliders stand at, by the option's name.
    """
    known = {option.name: option for option in pipeline_class(task).options}
    with gr.Row():
        return [
            gr.Slider(
                known[name].minimum,
                known[name].maximum,
                value=value,
                step=_step(known[name]),
                label=name,
                info=known[name].description,
                min_width=200,
            )
            for name, value in values.items()
        ]


def named(names: Sequence[str], values: Sequence[Any]) -> dict[str, Any]:
    """Name the options; an emptied field leaves its option to the checkpoint."""
    return {name: value for name, value in zip(names, values, strict=True) if value not in (None, "")}


def _step(option: Option) -> float:
    """Return the distance between values; they are counted from the smallest, and are to meet the largest."""
    if option.kind == "int":
        return 1
    return 0.05 if option.minimum % 0.05 == 0 else 0.01
