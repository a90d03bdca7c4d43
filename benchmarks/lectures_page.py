"""Write the lectures' table and picture into docs/translation.md and docs/length-curve.svg."""

from collections.abc import Sequence
from pathlib import Path

from .length_curve import Curve, length_curve
from .pages import fill, markdown_table

DOCS = Path(__file__).parents[1] / "docs"
PAGE, PICTURE = "translation.md", "length-curve.svg"
DRAWN = ("attention", "fixed", "one-way", "reversed")
"""The rows whose curves are drawn; the first is also what all are compared with."""


def write_page(results: Sequence[dict], missing: Sequence[str], docs: Path) -> None:
    """Fill what has been measured so far into the page.

    Args:
        results: of `benchmarks.lectures`; the first is what the others are compared with.
        missing: titles of the rows that have not been measured.
        docs: where page and picture are.
    """
    page = (docs / PAGE).read_text(encoding="utf-8")
    remarks = [f"sacreBLEU `{results[0]['signature']}`."]
    remarks += [f"Not measured yet: {'; '.join(missing)}."] if missing else []
    page = fill(page, "lectures", "\n\n".join([_table(results), *remarks]))
    drawn = [one for one in results if one["name"] in DRAWN]
    page = fill(page, "lengths", _lengths_table(drawn))
    (docs / PAGE).write_text(page, encoding="utf-8")
    lengths = drawn[0]["lengths"]
    curves = [Curve(one["title"], [length["bleu"] for length in one["lengths"]]) for one in drawn]
    counts = [length["sentences"] for length in lengths]
    picture = length_curve([_words(length) for length in lengths], counts, curves)
    (docs / PICTURE).write_text(picture, encoding="utf-8")


def _table(results: Sequence[dict]) -> str:
    first = results[0]["beam"]
    return markdown_table(
        [
            {
                "network": one["title"],
                "parameters": f"{one['parameters'] / 1e6:.2f} million",
                "minutes of training": f"{one['cpu_minutes']:.1f}",
                "BLEU, greedy": f"{one['greedy']:.1f}",
                "BLEU, beam 5": f"{one['beam']:.1f}",
                "gain": "" if one is results[0] else f"{one['beam'] - first:+.1f}".replace("-", "−"),
            }
            for one in results
        ]
    )


def _lengths_table(results: Sequence[dict]) -> str:
    return markdown_table(
        [
            {"words": _words(length), "sentences": str(length["sentences"])}
            | {one["title"]: f"{one['lengths'][place]['bleu']:.1f}" for one in results}
            for place, length in enumerate(results[0]["lengths"])
        ]
    )


def _words(length: dict) -> str:
    return f"{length['first']} and more" if length["last"] >= 1000 else f"{length['first']}–{length['last']}"
