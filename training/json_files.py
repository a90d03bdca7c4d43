"""JSON that people read too."""

import json
from pathlib import Path


def write_json(path: Path, content: dict) -> None:
    """Write a dictionary as readable JSON."""
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
