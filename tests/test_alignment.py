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


def test_merging_keeps_rows_and_columns_that_are_words_already():
    words = ["▁A", "▁dog", "</s>"]
    assert merge_words(words, words[:2], [[0.5, 0.25, 0.25], [0.1, 0.9, 0.0]]) == (
        words,
        words[:2],
        [[0.5, 0.25, 0.25], [0.1, 0.9, 0.0]],
    )


def test_nothing_merges_to_nothing():
    assert merge_words([], [], []) == ([], [], [])
    assert merge_words(["▁A"], [], []) == (["▁A"], [], [])


@pytest.mark.parametrize(("rows", "columns"), [(0, 0), (0, 3), (1, 1), (2, 7), (20, 20)])
def test_every_weight_is_drawn_in_its_cell(rows, columns):
    sources, targets = [f"▁s{index}" for index in range(columns)], [f"▁t{index}" for index in range(rows)]
    weights = [[(row * 7 + column * 3) % 11 / 10 for column in range(columns)] for row in range(rows)]
    html = heat_map_html(sources, targets, weights, "title")
    assert html.count('scope="col"') == columns and html.count('scope="row"') == rows
    cells = re.findall(r'<td style="--weight:([\d.]+)" title="(.*?) ← (.*?): ([\d.]+)">([\d.]+)</td>', html)
    assert cells == [
        (f"{weight:.3f}", f"t{row}", f"s{column}", f"{weight:.2f}", f"{weight:.2f}")
        for row, line in enumerate(weights)
        for column, weight in enumerate(line)
    ]


def test_a_row_shows_the_probability_of_its_target():
    html = heat_map_html(["▁A"], ["▁Ein", "▁Hund"], [[1.0], [1.0]], "title", probabilities=[0.25, 1.0])
    assert re.findall(r"--probability:([\d.]+)", html) == ["0.250", "1.000"]
    assert "chosen with probability 0.25" in html
    assert "probability" not in heat_map_html(["▁A"], ["▁Ein"], [[1.0]], "title")


def test_a_word_start_is_drawn_without_its_mark_and_a_continuation_is_dimmed():
    html = heat_map_html(["▁cy", "cl", "</s>"], ["▁Rad"], [[0.2, 0.3, 0.5]], "title")
    assert "▁" not in html and "</s>" not in html
    assert re.findall(r'<span class="continues">(.*?)<', html) == ["cl"]


def test_numbers_that_do_not_fit_the_tokens_are_refused():
    with pytest.raises(ValueError):
        heat_map_html(["▁A", "▁dog"], ["▁Ein"], [[1.0]], "title")
    with pytest.raises(ValueError):
        heat_map_html(["▁A"], ["▁Ein"], [[1.0], [1.0]], "title")


def test_what_people_typed_is_escaped():
    html = heat_map_html(["▁<script>", '"x'], ["&amp;"], [[0.5, 0.5]], '<b>"')
    for raw in ("<script", "<b>", '"x', '""'):
        assert raw not in html
    assert "&lt;script&gt;" in html and "&amp;amp;" in html
