"""What benchmarks.load measured, a row for each checkpoint and server: `python -m benchmarks.load_summary FILE`."""

import json
import sys
from pathlib import Path
from typing import Any

COLUMNS = (
    "checkpoint",
    "server",
    "1 client that pauses: p50 ms",
    "1 client: answers/s, p50 ms",
    "16 clients: answers/s",
    "half of that: p95 ms",
    "one and a half: answers/s, refused",
    "wrong, lost",
)


def summary(found: dict[str, list[dict[str, Any]]]) -> str:
    """Return the table as Markdown.

    Args:
        found: rows of benchmarks.load, by checkpoint.
    """
    rows = [COLUMNS, ["---"] * len(COLUMNS)]
    for checkpoint, measured in found.items():
        for server in dict.fromkeys(row["server"] for row in measured):
            rows.append(_row(checkpoint, server, [row for row in measured if row["server"] == server]))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _row(checkpoint: str, server: str, measured: list[dict[str, Any]]) -> list[str]:
    loads = {row["load"]: row for row in measured}
    alone, one, many = (
        loads["1 client that pauses"],
        loads["1 client"],
        next(row for name, row in loads.items() if name.endswith("clients")),
    )
    half, over = (next(row for name, row in loads.items() if name.endswith(f"({share})")) for share in ("50%", "150%"))
    return [
        f"`{checkpoint}`",
        server,
        f"{alone['p50 ms']}",
        f"{one['answers/s']}, {one['p50 ms']}",
        f"{many['answers/s']}",
        f"{half['p95 ms']}",
        f"{over['answers/s']}, {over['refused']}",
        f"{sum(row['wrong'] for row in measured)}, {sum(row['lost'] for row in measured)}",
    ]


if __name__ == "__main__":
    print(summary(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))
