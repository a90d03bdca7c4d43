"""`python -m training.evaluate FOLDER …`: the paper's metric on the paper's split, into the checkpoint's card."""

import importlib
import os
import sys
from pathlib import Path

from transformers import HfArgumentParser

import hub
from pipelines import pipeline

from .card import write_card
from .json_files import write_json


def main(arguments: list[str]) -> None:
    """Measure the checkpoint named first; write evaluation.json and README.md into its folder."""
    if not arguments or arguments[0].startswith("-"):
        print("usage: python -m training.evaluate FOLDER [options]", file=sys.stderr)
        raise SystemExit(2)
    folder = hub.find(arguments[0])
    task = hub.check(folder)
    family = importlib.import_module(f"training.{task.recipe}_evaluation")
    parser = HfArgumentParser(family.Evaluation, prog=f"python -m training.evaluate {folder.name}")
    (options,) = parser.parse_args_into_dataclasses(arguments[1:])
    evaluate(folder, options)


def evaluate(folder: Path, options: object) -> dict:
    """Measure a checkpoint with its family's options; return what evaluation.json then holds."""
    task = hub.check(folder)
    family = importlib.import_module(f"training.{task.recipe}_evaluation")
    pipe = pipeline(task.name, model=str(folder), device=options.device, dtype="float32")  # the same on every device
    measured = family.evaluate(pipe, options)
    measured["device"] = f"{pipe.device}, {os.cpu_count()} cores"
    write_json(folder / "evaluation.json", {"task": task.name, **measured})
    if pipe.model.can_generate():
        pipe.model.generation_config.save_pretrained(folder)
    write_card(folder, task, family.card_facts(pipe, measured))
    return measured


if __name__ == "__main__":
    main(sys.argv[1:])
