"""The speed table's own arithmetic; what it measures is not measured here."""

import json

import pytest

from benchmarks import speed, speed_page
from benchmarks.speed import calling, in_turns, table


def test_sides_take_turns_and_the_first_round_does_not_count():
    calls, seconds = [], iter([9.0, 1.0, 3.0, 2.0])

    def other() -> float:
        calls.append("other")
        return next(seconds)

    found = in_turns({"here": calling(calls.append, "here"), "other": other}, rounds=3)
    assert calls == ["here", "other"] * 4
    assert found["other"] == 2.0 and 0 <= found["here"] < 1


def test_rows_say_how_many_times_as_fast():
    row = speed._row("a step", 0.0005, "a peer", 0.004, 0.00025)
    assert row == {"what": "a step", "here": "500 us", "other": "a peer: 4.0 ms", "times": "8.0", "floor": "250 us"}
    assert speed._row("alone", 2.5)["here"] == "2.50 s"
    assert table([row]).splitlines()[-1] == "| a step | 500 us | a peer: 4.0 ms | 8.0 | 250 us |"


def test_without_the_peers_it_is_said_how_to_install_them(monkeypatch, tmp_path):
    monkeypatch.setattr(speed, "PEERS", tmp_path / "python")
    with pytest.raises(SystemExit, match=r"benchmarks/peers/install\.sh"), speed.peer("translation", {}):
        pass


def test_the_page_gets_its_tables_and_keeps_the_rest(monkeypatch, tmp_path):
    page = tmp_path / "speed.md"
    marks = "\n\n".join(f"{begin}\nold\n{end}" for begin, end in speed_page.MARKS.values())
    page.write_text(f"# Speed\n\n{marks}\n\nThe end.\n", encoding="utf-8")
    monkeypatch.setattr(speed_page, "PAGE", page)
    rows = [speed._row("a step", 0.0005)]
    (tmp_path / "speed.json").write_text(json.dumps({"writing": rows, "best rates, GMAC/s": {"int8, 1 rows": 17.5}}))
    measured = {"metrics": {"BLEU": 38.5}, "evidence_apart": {"mean": 0.0004, "most": 0.012}}
    found = {"a-checkpoint": {runtime: measured for runtime in ("torch", "onnx-float32", "onnx")}}
    (tmp_path / "rounding.json").write_text(json.dumps(found))
    for _ in range(2):
        speed_page.main([str(tmp_path), str(tmp_path)])
        text = page.read_text(encoding="utf-8")
        assert "old" not in text and text.startswith("# Speed") and text.endswith("The end.\n")
        assert "| a step | 500 us |" in text and "int8, 1 rows 17.5." in text
        assert "| `a-checkpoint` | BLEU | 38.5 | 38.5 | 38.5 | 0.0004, 0.012 |" in text
