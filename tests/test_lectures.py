"""The lectures' table and picture: what they are made of; the runs themselves take an hour."""

import json
import xml.etree.ElementTree as ElementTree

import pytest
from sacrebleu.metrics import BLEU

from benchmarks import lectures
from benchmarks.lectures_measure import by_length, measure
from benchmarks.length_curve import HEIGHT, TOP, Curve, length_curve
from tasks import TASKS
from training.attention_nmt import Recipe
from training.export import save_checkpoint
from training.parallel_text import ParallelSplit

from .tiny import SENTENCES, attention_nmt_model, sentencepiece_tokenizer

SPLIT = ParallelSplit(list(SENTENCES[:3]), list(SENTENCES[3:]))
SVG = "{http://www.w3.org/2000/svg}"


def test_every_row_trains_with_options_that_the_recipe_has():
    for row in lectures.ROWS:
        assert (lectures.COMMON | row.options).keys() <= Recipe.__dataclass_fields__.keys()
        assert set(row.members) <= {one.name for one in lectures.ROWS}


def test_lengths_are_scored_apart():
    split = ParallelSplit(["a b", "a " * 9, "a " * 25, "a " * 11], ["eins zwei drei vier"] * 4)
    translations = ["eins zwei drei vier", "eins zwei drei vier", "etwas anderes", "nein"]
    found = by_length(split, translations)
    assert [(row["first"], row["sentences"]) for row in found] == [(1, 1), (9, 2), (20, 1)]
    assert found[0]["bleu"] == pytest.approx(100.0)
    both = BLEU().corpus_score([translations[1], translations[3]], [[split.targets[1], split.targets[3]]])
    assert found[1]["bleu"] == both.score


@pytest.fixture
def runs(tmp_path):
    """Write finished runs with their training's checkpoints, one for each row that is trained."""
    tokenizer = sentencepiece_tokenizer(tmp_path / "vocabulary")
    for row in lectures.ROWS:
        if row.averages or row.members:
            continue
        shape = {"attention_type", "bidirectional_encoder", "reverse_source", "encoder_layers", "decoder_layers"}
        options = {name: value for name, value in row.options.items() if name in shape}
        model, folder = attention_nmt_model(vocab_size=len(tokenizer), **options), tmp_path / "runs" / row.name
        for step in (8, 9, 10, 11):
            model.save_pretrained(folder / f"checkpoint-{step}")
        save_checkpoint(folder, TASKS["attention-translation"], model, [tokenizer], {})
        (folder / "minutes.json").write_text(json.dumps({"cpu_minutes": 1.5}))
    return tmp_path / "runs"


def test_every_row_is_measured_once_and_written_as_it_comes(runs, tmp_path, monkeypatch):
    marks = "\n\n".join(f"<!-- {name} -->\nold\n<!-- end of {name} -->" for name in ("lectures", "lengths"))
    (tmp_path / "translation.md").write_text(f"# Translation\n\n{marks}\n\nThe end.\n")
    for row in lectures.ROWS:
        lectures.measure_row(row, "nowhere", SPLIT, runs)
        lectures.write_measured(runs, tmp_path)
        page = (tmp_path / "translation.md").read_text()
        assert ("Not measured yet" in page) == (row is not lectures.ROWS[-1])
    results = [json.loads((runs / "results" / f"{row.name}.json").read_text()) for row in lectures.ROWS]
    assert "old" not in page and page.startswith("# Translation") and page.endswith("The end.\n")
    assert all(f"| {row.title} |" in page for row in lectures.ROWS)
    assert [one["cpu_minutes"] for one in results] == [1.5] * 7 + [3.0, 1.5]
    assert results[7]["parameters"] == 2 * results[0]["parameters"]
    assert json.loads((runs / "last" / "training.json").read_text())["averaged"] == [
        "attention/checkpoint-11/model.safetensors"
    ]
    assert len(json.loads((runs / "mean" / "training.json").read_text())["averaged"]) == 3

    monkeypatch.setattr(lectures, "measure", None)  # nothing is measured again
    for row in lectures.ROWS:
        lectures.measure_row(row, "nowhere", SPLIT, runs)


def test_an_ensemble_is_measured_as_one_network(runs):
    twice = measure([runs / "attention", runs / "attention"], SPLIT)
    once = measure([runs / "attention"], SPLIT)
    assert (twice["greedy"], twice["beam"], twice["lengths"]) == (once["greedy"], once["beam"], once["lengths"])
    assert twice["parameters"] == 2 * once["parameters"]


def test_the_picture_has_a_point_for_every_value_at_its_height():
    curves = [Curve("with <attention>", (30.0, 25.0, 20.0)), Curve("without", (28.0, 18.0, 11.0))]
    root = ElementTree.fromstring(length_curve(("1–8", "9–11", "12 and more"), (3, 4, 5), curves))
    lines = [line.get("points").split() for line in root.iter(f"{SVG}polyline")]
    heights = [[float(point.split(",")[1]) for point in line] for line in lines]
    assert [len(line) for line in heights] == [3, 3]
    assert heights[0][0] == TOP  # 30 is the highest level
    for line in heights:
        assert line == sorted(line) and line[-1] < HEIGHT
    assert heights[0][1] - heights[0][0] == pytest.approx(heights[0][2] - heights[0][1], abs=0.11)
    texts = ["".join(text.itertext()) for text in root.iter(f"{SVG}text")]
    assert "with <attention>" in texts and "length of the source, in words" in texts and "9–11n = 4" in texts
