"""The GPU's table: there is no GPU here, so its parts run on a CPU, small, and nothing is made of the times."""

import pytest
import torch

from benchmarks import gpu
from models.search_choice import chosen_search


def test_without_a_gpu_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="There is no CUDA device here"):
        gpu.main(["--output", str(tmp_path / "gpu")])
    assert not (tmp_path / "gpu").exists()


def test_an_answer_is_found_in_three_ways(monkeypatch):
    ways = []
    row = gpu.in_three_ways("an answer", torch.float16, lambda: ways.append(chosen_search("cpu")))
    assert ways[:6] == ["host", "device", "recorded"] * 2
    assert list(row) == list(gpu.COLUMNS) and row["precision"] == "float16" and row["what"] == "an answer"
    assert len(gpu.table([row]).splitlines()) == 3


@pytest.mark.parametrize(
    ("measure", "number"),
    [
        (lambda: gpu.translation("cpu", batches=(2,), size=8, vocab_size=40), 4),
        (lambda: gpu.captions("cpu", batches=(1,)), 2),
        (lambda: gpu.characters("cpu", count=3), 2),
    ],
    ids=["translation", "captions", "characters"],
)
@torch.inference_mode()
def test_every_part_runs(measure, number, monkeypatch):
    monkeypatch.setattr(gpu, "in_turns", lambda sides: {name: side() or 1.0 for name, side in sides.items()})
    rows = measure()
    assert len(rows) == number and {row["times"] for row in rows} == {"1.0"}
