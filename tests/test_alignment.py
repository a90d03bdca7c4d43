"""What the demo draws of an alignment, against the alignment."""

import re

import pytest

from demo.alignment import merge_words, readable, word_groups
from demo.heat_map import heat_map_html

SOURCE = ["▁A", "▁cy", "cl", "ist", "▁rides", ".", "</s>"]
TARGET = ["▁Ein", "▁Rad", "fahrer", "▁fährt", ".", "</s>"]
WEIGHTS = [[(row * 7 + column * 3) % 5 + 1 for column in range(7)] for row in range(6)]
WEIGHTS = [[weight / sum(row) for weight in row] for row in WEIGHTS]


def test_words_are_merged_by_sum_over_sources_and_mean_over_targets():
    sources, targets, merged = merge_words(SOURCE, TARGET, WEIGHTS)
    assert sources == ["▁A", "▁cyclist", "▁rides", ".", "</s>"]
    assert targets == ["▁Ein", "▁Radfahrer", "▁fährt", ".", "</s>"]
    assert merged[1][1] == pytest.approx(sum(WEIGHTS[row][column] for row in (1, 2) for column in (1, 2, 3)) / 2)
    assert [sum(row) for row in merged] == pytest.approx([1.0] * 5)


@pytest.mark.parametrize(
    ("tokens", "groups"),
    [
        ([], []),
        (["</s>"], [[0]]),
        (["a", "b"], [[0, 1]]),
        (["▁T", "-", "shirt", "▁,", "</s>"], [[0, 1, 2], [3], [4]]),
        (["▁dog", ",", "▁cat", "."], [[0], [1], [2], [3]]),
        (["▁", "x"], [[0, 1]]),
    ],
)
def test_pieces_of_a_word_are_grouped(tokens, groups):
    assert word_groups(tokens) == groups


def test_pieces_are_written_for_people():
    assert [readable(token) for token in ("▁dog", "gy", "▁", "</s>")] == ["dog", "gy", "␣", "⏎"]


def test_every_weight_is_drawn_in_its_cell():
    html = heat_map_html(SOURCE, TARGET, WEIGHTS, "caption", notes=["note"] * 6)
    cells = re.findall(r'<td style="--weight:([\d.]+)" title="(.*?) ← (.*?): ([\d.]+)">', html)
    assert len(cells) == 42 and html.count("<tr>") == 7 and html.count('scope="col"') == 7
    for index, (weight, target, source, shown) in enumerate(cells):
        assert float(weight) == pytest.approx(WEIGHTS[index // 7][index % 7], abs=1e-3)
        assert float(shown) == pytest.approx(float(weight), abs=0.006)
        assert (target, source) == (readable(TARGET[index // 7]), readable(SOURCE[index % 7]))


def test_what_people_typed_is_escaped():
    html = heat_map_html(["▁<script>", '"x'], ["&amp;"], [[0.5, 0.5]], "<b>", notes=['"><i>'])
    for raw in ("<script>", "<b>", "<i>", '""x'):
        assert raw not in html
    assert "&lt;script&gt;" in html
