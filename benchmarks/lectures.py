"""What the lectures teach about translation, each with its gain, by one command.

    python -m benchmarks.lectures --data DATA/multi30k --output runs/lectures

Trains small networks on the training split, measures them on the validation split, and writes the table and the picture
of docs/translation.md. What is finished is kept: the same command goes on after an interruption. The table is written
anew after every measurement. To train again, delete a run's folder; to measure again, its file in `results`.
"""

import argparse
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from training.average import average_checkpoints
from training.json_files import write_json
from training.parallel_text import ParallelSplit, load_split

from .lectures_measure import measure
from .lectures_page import DOCS, write_page

COMMON = {
    **{"vocab_size": 4000, "sampling_alpha": 0.0, "cell_type": "lstm", "input_feeding": False},
    **{"embedding_size": 128, "encoder_hidden_size": 192, "decoder_hidden_size": 192, "attention_size": 128},
    **{"embedding_dropout": 0.1, "encoder_dropout": 0.2, "decoder_dropout": 0.2, "readout_dropout": 0.2},
    **{"epochs": 4.0, "learning_rate": 3e-3, "warmup_steps": 200, "average_decay": 0.995},
    **{"checkpoints_kept": 4, "log_to": "none"},
    **{"cpu": True, "bf16": True, "threads": 1},
}
"""Options of every run. The vocabulary is trained on the same text each time, and comes out the same."""
LAST = 3
"""Checkpoints of a run that are averaged."""


@dataclass(frozen=True, eq=False)
class Row:
    """One line of the table."""

    name: str
    title: str
    options: dict = field(default_factory=dict)
    """What differs from COMMON; only of a network that is trained."""
    members: tuple[str, ...] = ()
    """The rows of an ensemble."""
    averages: int = 0
    """How many of the last checkpoints of the first row's run this one is the mean of; not what is trained."""


FIXED = {"attention_type": "none"}
ONE_WAY = FIXED | {"bidirectional_encoder": False, "encoder_hidden_size": 384}
"""One direction of as many units as two have together: the fixed vector has the same size."""
ROWS = (
    Row("attention", "attention", {"evaluations_per_epoch": 2}),  # its last checkpoints are near its end
    Row("fixed", "no attention: one fixed vector", FIXED),
    Row("one-way", "no attention, one-way encoder", ONE_WAY),
    Row("reversed", "no attention, one-way, source reversed", ONE_WAY | {"reverse_source": True}),
    Row("last", "attention, its last weights, not their exponential average", averages=1),
    Row("mean", f"attention, the mean of its last {LAST} checkpoints' weights", averages=LAST),
    Row("second-seed", "attention, another seed", {"seed": 2}),
    Row("ensemble", "attention, ensemble of the two seeds", members=("attention", "second-seed")),
    Row("two-layers", "attention, two layers on both sides", {"encoder_layers": 2, "decoder_layers": 2}),
)


def train(row: Row, data: str, folder: Path) -> None:
    """Train a network as a user would, and note the minutes that a processor spent on it."""
    if (folder / "minutes.json").is_file():
        return
    options = {"data": data, "output": str(folder), **COMMON, **row.options}
    flags = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    with (folder.parent / f"{row.name}.log").open("w") as log:
        command = [sys.executable, "-m", "training", "attention-translation", *flags]
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        raise SystemExit(f"The training of {row.name} failed; see {log.name}.")
    write_json(folder / "minutes.json", {"cpu_minutes": round((usage.ru_utime + usage.ru_stime) / 60, 1)})


def last_checkpoints(run: Path, number: int) -> list[Path]:
    """Return the folders that a training left last, the earliest first."""
    return sorted(run.glob("checkpoint-*"), key=lambda folder: int(folder.name.split("-")[1]))[-number:]


def folders_of(row: Row, data: str, output: Path) -> list[Path]:
    """Train or average what a row measures, unless that is done; return its checkpoints."""
    if row.members:
        return [output / name for name in row.members]
    folder = output / row.name
    if not row.averages:
        train(row, data, folder)
    elif not (folder / "training.json").is_file():
        average_checkpoints(last_checkpoints(output / ROWS[0].name, row.averages), folder)
    return [folder]


def measure_row(row: Row, data: str, validation: ParallelSplit, output: Path) -> None:
    """Train and measure a row, and keep what it has to tell, unless that was done before."""
    path = output / "results" / f"{row.name}.json"
    if path.is_file():
        return
    folders = folders_of(row, data, output)
    runs = [ROWS[0].name] if row.averages else row.members or [row.name]
    minutes = [json.loads((output / run / "minutes.json").read_text())["cpu_minutes"] for run in runs]
    path.parent.mkdir(exist_ok=True)
    write_json(path, {"cpu_minutes": round(sum(minutes), 1), **measure(folders, validation)})


def write_measured(output: Path, docs: Path = DOCS) -> None:
    """Write the page of the rows that have been measured, in their order; it names those that have not."""
    paths = {row: output / "results" / f"{row.name}.json" for row in ROWS}
    results = [
        {"name": row.name, "title": row.title, **json.loads(path.read_text(encoding="utf-8"))}
        for row, path in paths.items()
        if path.is_file()
    ]
    write_page(results, [row.title for row, path in paths.items() if not path.is_file()], docs)


def main() -> None:
    """Train, measure and write what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="folder of Multi30k's published files")
    parser.add_argument("--output", type=Path, required=True, help="folder for the runs")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    validation = load_split([options.data], "validation", "en", "de")
    for row in ROWS:
        measure_row(row, options.data, validation, options.output)
        write_measured(options.output)
        print(f"{row.name}: done", flush=True)


if __name__ == "__main__":
    main()
