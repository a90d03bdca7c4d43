"""The drawing of attention over a picture, against the numbers that it draws."""

import base64
import io
import re

import pytest
from PIL import Image

from demo.image_attention import (
    DARK_FOG,
    LIGHT_FOG,
    LONGEST_SIDE,
    PIXELS_PER_FIELD,
    DrawnPicture,
    draw_picture,
    fog,
    image_attention_html,
    num_fields_of_half,
    place,
)

PICTURE = DrawnPicture("data:image/jpeg;base64,AAAA", 1.5)
TOKENS = ["a", "<b>dog</b>", "</s>"]
WEIGHTS = [
    [[0.5, 0.25, 0.0], [0.125, 0.125, 0.0]],
    [[0.0, 0.0, 0.1], [0.0, 0.0, 0.9]],
    [[1 / 6] * 3] * 2,
]
PROBABILITIES = [0.5, 0.25, 1.0]


def drawing():
    return image_attention_html(PICTURE, TOKENS, WEIGHTS, PROBABILITIES)


def opened(address):
    return Image.open(io.BytesIO(base64.b64decode(address.split(",", 1)[1])))


def centres(image, rows, columns):
    """Read the opacity at each field's centre."""
    alpha = image.getchannel("A")
    middle = PIXELS_PER_FIELD // 2
    return [
        [alpha.getpixel((c * PIXELS_PER_FIELD + middle, r * PIXELS_PER_FIELD + middle)) for c in range(columns)]
        for r in range(rows)
    ]


@pytest.mark.parametrize("weights", WEIGHTS)
def test_fog_lies_where_a_word_did_not_look(weights):
    largest = max(map(max, weights))
    image = fog(weights)
    assert image.size == (3 * PIXELS_PER_FIELD, 2 * PIXELS_PER_FIELD)
    for drawn, row in zip(centres(image, 2, 3), weights, strict=True):
        assert drawn == [pytest.approx(255 * (1 - weight / largest), abs=0.51) for weight in row]


def test_fog_is_smooth_between_fields():
    row = fog([[1.0, 0.0]]).getchannel("A").crop((0, 4, 18, 5)).tobytes()
    assert list(row) == sorted(row) and len(set(row)) > 8


def test_fog_over_everything_where_nothing_was_looked_at():
    assert set(fog([[0.0, 0.0]]).getchannel("A").tobytes()) == {255}


def test_every_word_gets_the_fog_of_its_own_weights():
    found = re.findall(r"\.gaze-(\d) \{ --unseen: url\((data:image/png;base64,[^)]+)\)", drawing())
    assert [int(index) for index, _ in found] == [0, 1, 2]
    for (_, address), weights in zip(found, WEIGHTS, strict=True):
        assert centres(opened(address), 2, 3) == centres(fog(weights), 2, 3)


def test_a_word_is_chosen_without_a_script_and_named_for_those_who_cannot_see_it():
    page = drawing()
    assert "<script" not in page and re.search(r"\son\w+=", page) is None
    names = re.findall(r'<input type="radio" name="gaze" id="gaze-\d" class="gaze-\d" aria-label="([^"]*)"', page)
    assert names == [
        "“a”, probability 0.50: looked most at the top left; half of its attention is on 1 of 6 fields.",
        "“&lt;b&gt;dog&lt;/b&gt;”, probability 0.25: looked most at the bottom right; half of its attention is on "
        "1 of 6 fields.",
        "The caption&#x27;s end, probability 1.00: looked most at the top left; half of its attention is on "
        "3 of 6 fields.",
    ]
    assert page.count(" checked>") == 1
    assert page.count('class="gaze-frame') == page.count('class="gaze-word') == len(TOKENS)
    assert re.findall(r"--probability:([\d.]+)", page) == ["0.500", "0.250", "1.000"]


def test_words_are_text_never_markup():
    assert "<b>" not in drawing() and drawing().count("&lt;b&gt;dog&lt;/b&gt;") >= 4


def test_the_picture_is_in_the_page_once():
    assert drawing().count(PICTURE.address) == 1


@pytest.mark.parametrize(
    ("row", "column", "name"),
    [(0, 0, "top left"), (0, 3, "top"), (3, 3, "centre"), (3, 6, "right"), (6, 3, "bottom"), (5, 1, "bottom left")],
)
def test_places_have_names(row, column, name):
    grid = [[0.0] * 7 for _ in range(7)]
    grid[row][column] = 1.0
    assert place(grid) == name


def test_a_grid_may_be_one_field():
    assert place([[1.0]]) == "centre" and num_fields_of_half([[1.0]]) == 1


@pytest.mark.parametrize(("weights", "count"), [([[0.5, 0.3, 0.2]], 1), ([[0.4, 0.3, 0.3]], 2), ([[0.25] * 2] * 2, 2)])
def test_half_of_the_attention_is_counted_from_the_strongest(weights, count):
    assert num_fields_of_half(weights) == count


@pytest.mark.parametrize(
    ("size", "expected"), [((1280, 320), (640, 160)), ((300, 900), (213, 640)), ((20, 30), (20, 30))]
)
def test_the_picture_keeps_its_shape_and_is_small(size, expected):
    drawn = draw_picture(Image.new("RGB", size, "white"))
    assert opened(drawn.address).size == expected and max(expected) <= LONGEST_SIDE
    assert drawn.ratio == size[0] / size[1]


@pytest.mark.parametrize(("colour", "expected"), [("black", LIGHT_FOG), ("white", DARK_FOG)])
def test_fog_differs_from_the_picture(colour, expected):
    drawn = draw_picture(Image.new("RGB", (20, 20), colour))
    assert drawn.fog == expected
    assert f"--fog: {expected}" in image_attention_html(drawn, TOKENS, WEIGHTS, PROBABILITIES)
