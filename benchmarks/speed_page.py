"""Write docs/speed.md's tables from what was measured: `python -m benchmarks.speed_page runs/speed runs/rounding`."""

import json
import sys
from pathlib import Path

from .pages import fill, markdown_table, marks
from .speed import table

PAGE = Path(__file__).parents[1] / "docs" / "speed.md"
MARKS = {name: marks(name) for name in ("speed", "rates", "rounding")}


def rounding_table(found: dict[str, dict]) -> str:
    """Write what eight bits cost each checkpoint."""
    rows = []
    for checkpoint, runtimes in found.items():
        exact, rounded = runtimes["torch"]["metrics"], runtimes["onnx"]
        apart = rounded["evidence_apart"]
        rows += [
            {
                "checkpoint": f"`{checkpoint}`",
                "metric": name,
                "PyTorch": f"{value:g}",
                "ONNX Runtime, float32": f"{runtimes['onnx-float32']['metrics'][name]:g}",
                "int8": f"{rounded['metrics'][name]:g}",
                "evidence apart: mean, most": f"{apart['mean']:.1g}, {apart['most']:.2g}",
            }
            for name, value in exact.items()
        ]
    return markdown_table(rows)


def main(arguments: list[str]) -> None:
    """Fill the page's tables."""
    speed = json.loads(Path(arguments[0], "speed.json").read_text(encoding="utf-8"))
    rounding = json.loads(Path(arguments[1], "rounding.json").read_text(encoding="utf-8"))
    rates = speed.pop("best rates, GMAC/s")
    page = PAGE.read_text(encoding="utf-8")
    page = fill(page, "speed", table([row for part in speed.values() for row in part]))
    page = fill(page, "rates", ", ".join(f"{name} {rate}" for name, rate in rates.items()) + ".")
    page = fill(page, "rounding", rounding_table(rounding))
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
