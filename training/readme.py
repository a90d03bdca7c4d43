"""`python -m training.readme`: write the README's table of models from the checkpoints' measurements."""

import importlib
import re
import sys
from pathlib import Path

import hub
from tasks import TASKS, Task

README = hub.CHECKPOINTS.parent / "README.md"
BEGIN, END = "<!-- models: written by `python -m training.readme` -->", "<!-- end of models -->"


def table() -> str:
    """Return the table of every shipped checkpoint that was measured."""
    rows = [row for task in TASKS.values() for name in task.checkpoints for row in _rows(task, hub.CHECKPOINTS / name)]
    return "\n".join(["| checkpoint | split | measured here | to compare with |", "|---|---|---|---|", *rows])


def _rows(task: Task, folder: Path) -> list[str]:
    evaluation = hub.facts(folder)
    if not evaluation:
        return []
    family = importlib.import_module(f"training.{task.recipe}_evaluation")
    headlines = [metric for metric in evaluation["metrics"] if metric["title"] in family.HEADLINES]
    measured = "; ".join(f"{metric['title']} **{metric['value']}**" for metric in headlines)
    published = "; ".join(f"{value} ({system})" for system, value in family.published_results(folder))
    size = (folder / hub.WEIGHTS).stat().st_size / 1e6
    return [f"| `{folder.name}` ({size:.1f} MB) | {evaluation['split']} | {measured} | {published} |"]


def write(path: Path = README) -> None:
    """Put the table between its two marks."""
    text = path.read_text(encoding="utf-8")
    block = f"{BEGIN}\n\n{table()}\n\n{END}"
    path.write_text(re.sub(f"{BEGIN}.*?{END}", lambda _: block, text, flags=re.DOTALL), encoding="utf-8")


if __name__ == "__main__":
    write()
    print(table(), file=sys.stderr)
