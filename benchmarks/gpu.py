"""How fast decoders run on a CUDA device: `python -m benchmarks.gpu --output runs/gpu` (a few minutes).

Each answer is found in three ways, in turns: the search (or the draw) in NumPy or Python, with the network on the
device; all of it on the device, each operation started by Python; the same recorded as a CUDA graph. Medians, in
float32 and in float16. Sizes of the translation are those of `benchmarks.speed`.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from models.configuration_attention_nmt import AttentionNmtConfig
from models.modeling_attention_nmt import AttentionNmtForConditionalGeneration
from models.search_choice import Search, forced_search
from pipelines import pipeline

from .speed import NUM_PIECES, SIZE, SOURCE_PIECES, VOCAB_SIZE, in_turns

WAYS: dict[Search, str] = {"host": "search on the host", "device": "on the device", "recorded": "as a CUDA graph"}
PRECISIONS = (torch.float32, torch.float16)
COLUMNS = ("what", "precision", *WAYS.values(), "times")
NUM_CHARACTERS, NUM_WORDS = 256, 12
BATCHES = (1, 16, 64)
NO_CUDA = "There is no CUDA device here, so there is nothing to measure: run this on a machine with one."

Row = dict[str, Any]


def in_three_ways(what: str, precision: torch.dtype, answer: Callable[[], Any]) -> Row:
    """Time one answer; the last column tells how many times as fast the graph is as the search on the host."""

    def forced(way: Search) -> Callable[[], None]:
        def call() -> None:
            with forced_search(way):
                answer()  # its result is on the host, so it has waited for the device

        return call

    seconds = in_turns({way: forced(way) for way in WAYS})
    shown = [f"{1e3 * seconds[way]:.2f} ms" for way in WAYS]
    times = f"{seconds['host'] / seconds['recorded']:.1f}"
    return dict(zip(COLUMNS, (what, str(precision).removeprefix("torch."), *shown, times), strict=True))


def translation(
    device: str, batches: tuple[int, ...] = BATCHES, size: int = SIZE, vocab_size: int = VOCAB_SIZE
) -> list[Row]:
    """Translate with random weights, a fixed number of pieces."""
    torch.manual_seed(0)
    config = AttentionNmtConfig(
        vocab_size=vocab_size,
        embedding_size=size // 2,
        encoder_hidden_size=size,
        decoder_hidden_size=size,
        attention_size=size,
    )
    rows = []
    for precision in PRECISIONS:
        model = AttentionNmtForConditionalGeneration(config).eval().to(device, precision)
        for batch in batches:
            ids = torch.randint(10, vocab_size, (batch, SOURCE_PIECES), device=device)
            for num_beams in (1, 5):
                length = {"min_new_tokens": NUM_PIECES, "max_new_tokens": NUM_PIECES, "num_beams": num_beams}

                def answer(model=model, ids=ids, length=length) -> None:
                    model.translate(ids, torch.ones_like(ids), **length)

                what = f"translation, batch {batch}, {'greedy' if num_beams == 1 else f'beam {num_beams}'}"
                rows.append(in_three_ways(what, precision, answer))
    return rows


def captions(device: str, batches: tuple[int, ...] = BATCHES) -> list[Row]:
    """Describe grey pictures with the default checkpoint, a fixed number of words."""
    rows = []
    for precision in PRECISIONS:
        pipe = pipeline("captioning", device=device, dtype=precision)
        side = pipe.image_processor.size["height"]
        for batch in batches:
            pixels = torch.zeros(batch, 3, side, side, device=device, dtype=precision)
            features = pipe.model.encoder.begin(pixels)

            def answer(model=pipe.model, features=features) -> None:
                model.caption(encoder_features=features, min_new_tokens=NUM_WORDS, max_new_tokens=NUM_WORDS)

            rows.append(in_three_ways(f"captions, batch {batch}, the decoder alone", precision, answer))
    return rows


def characters(device: str, count: int = NUM_CHARACTERS) -> list[Row]:
    """Write on with the default checkpoint."""
    rows = []
    for precision in PRECISIONS:
        pipe = pipeline("char-generation", device=device, dtype=precision, runtime="torch")

        def answer(pipe=pipe) -> None:
            pipe("The ", max_new_tokens=count, seed=1)

        rows.append(in_three_ways(f"{count} characters, batch 1", precision, answer))
    return rows


def table(rows: list[Row]) -> str:
    """Write rows as Markdown."""
    lines = [COLUMNS, ["---"] * len(COLUMNS), *(list(row.values()) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


PARTS: dict[str, Callable[[str], list[Row]]] = {
    "translation": translation,
    "captions": captions,
    "characters": characters,
}


def main(arguments: list[str] | None = None) -> None:
    """Measure, print, and keep what was measured.

    Raises:
        SystemExit: where there is no CUDA device.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=list(PARTS))
    parser.add_argument("--output", type=Path, required=True, help="folder for gpu.json")
    options = parser.parse_args(arguments)
    if not torch.cuda.is_available():
        raise SystemExit(NO_CUDA)
    rows = []
    with torch.inference_mode():
        for part in options.parts:
            rows += PARTS[part]("cuda")
    found = {"device": torch.cuda.get_device_name(), "torch": torch.__version__, "rows": rows}
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "gpu.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    print(f"{found['device']}, torch {found['torch']}\n\n{table(rows)}")


if __name__ == "__main__":
    main()
