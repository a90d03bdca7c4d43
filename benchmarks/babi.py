"""The bAbI table by one command: `python -m benchmarks.babi --data en --output runs/babi --processes 2`.

Trains on all tasks jointly and on each task alone, ten restarts each, and measures everything on the test split. What
is finished is kept: the same command goes on after an interruption, and writes the table anew when nothing is left.
"""

import argparse
import math
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tasks import TASKS
from training.babi_stories import load_split
from training.evaluate import evaluate
from training.export import save_checkpoint
from training.memn2n import Recipe, train
from training.memn2n_evaluation import Evaluation

TASK = TASKS["memory-qa"]
SINGLE = {
    **{"embedding_size": 20, "epochs": 100, "halve_every": 25, "linear_start_epochs": 20},
    **{"noise": "gaps", "weighted_ages": True, "together": 10},
}
"""What differs for one task alone (Sukhbaatar et al. 2015, section 4.2, and the authors' released code)."""


def train_into(folder: Path, recipe: Recipe) -> None:
    """Train, or go on, and leave a complete checkpoint."""
    started = time.monotonic()
    save_checkpoint(folder, TASK, *train(recipe))
    print(f"{folder.name}: {time.monotonic() - started:.0f} s", flush=True)


def main() -> None:
    """Train what is missing, measure, and print the table of the joint model's card."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="folder or archive of the published files, such as en/")
    parser.add_argument("--output", type=Path, required=True, help="folder for the runs")
    parser.add_argument("--restarts", type=int, default=10)
    parser.add_argument("--processes", type=int, default=1, help="joint restarts, and tasks, side by side")
    options = parser.parse_args()
    shared = {"data": [options.data], "restarts": options.restarts}
    joint, single = options.output / "joint", options.output / "single"
    together = math.ceil(options.restarts / options.processes)
    train_into(joint, Recipe(output=str(joint), together=together, processes=options.processes, **shared))
    folders = {task: single / f"task-{task}" for task in load_split([options.data], "train").sha256}
    recipes = [Recipe(output=str(folder), tasks=[task], **SINGLE, **shared) for task, folder in folders.items()]
    with ProcessPoolExecutor(options.processes, multiprocessing.get_context("spawn")) as pool:
        list(pool.map(train_into, folders.values(), recipes))
    evaluate(joint, Evaluation(data=[options.data], run=str(joint), single_runs=str(single)))
    print((joint / "README.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
