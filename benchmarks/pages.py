"""Tables between marks in the pages of docs/."""

from collections.abc import Sequence


def marks(name: str) -> tuple[str, str]:
    """Return what stands before and after what is filled in."""
    return f"<!-- {name} -->", f"<!-- end of {name} -->"


def fill(page: str, name: str, content: str) -> str:
    """Put a table between its marks."""
    begin, end = marks(name)
    before, rest = page.split(begin)
    return f"{before}{begin}\n\n{content}\n\n{end}{rest.split(end)[1]}"


def markdown_table(rows: Sequence[dict[str, str]]) -> str:
    """Write rows, all of the same columns, as Markdown."""
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(list(row.values()) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
