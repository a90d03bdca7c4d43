"""`python -m training TASK …`: train a family and leave a complete checkpoint folder in `--output`."""

import importlib
import os
import sys
from pathlib import Path

from transformers import HfArgumentParser

from tasks import TASKS


def main(arguments: list[str]) -> None:
    """Train the task named first, with the options of its recipe."""
    if not arguments or arguments[0] not in TASKS:
        print(f"usage: python -m training TASK [options]\ntasks: {', '.join(TASKS)}", file=sys.stderr)
        raise SystemExit(2)
    task = TASKS[arguments[0]]
    family = importlib.import_module(f"training.{task.recipe}")
    parser = HfArgumentParser(family.Recipe, prog=f"python -m training {task.name}")
    (recipe,) = parser.parse_args_into_dataclasses(arguments[1:])
    model, processors, facts = family.train(recipe)
    if int(os.environ.get("RANK", "0")) > 0:  # under torchrun the first process writes for all
        return

    from training.export import save_checkpoint  # after the training, which needs none of it

    save_checkpoint(Path(recipe.output), task, model, processors, facts)
    print(f"Saved {recipe.output}. Next: python -m training.evaluate {recipe.output}")


if __name__ == "__main__":
    main(sys.argv[1:])
