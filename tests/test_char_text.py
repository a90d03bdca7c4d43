"""The writing tab's widgets: coloured text, buttons for next characters, and what is known of each model."""

import ast
import html
import json
import re
import time

import pytest

import hub
from demo.char_models import MODELS, char_model
from demo.char_next import next_characters_html
from demo.char_passage import PACE, grouped
from demo.char_text import NOTHING, SURPRISE, UNIT, Alternative, ColouredText, coloured_text_html, percent, scale_html
from demo.snippets import generation_client_snippet
from tasks import TASKS

TASK = TASKS["char-generation"]
NAME = TASK.default_checkpoint
TEXT = ColouredText(
    'a<\n\t"', (True, True, False, False, False), (1.0, 12.0, 0.0, 4.0, 2.0), [[Alternative("<", 0.25)]] * 5
)


def drawn_characters(page_text):
    """Return (tag, --at or None, character) for everything that is drawn."""
    found = re.findall(
        r'<(b|span)(?: class="(?:line-end|tab)")?(?: style="--at:([-\d.]+)")?[^>]*>([^<]+)</\1>',
        page_text.partition("<div")[2],
    )
    return [(tag, float(at) if at else None, html.unescape(character)) for tag, at, character in found]


def text_of(page_text):
    """Return the text that is drawn."""
    return "".join(character for _, _, character in drawn_characters(page_text))


def test_everything_shown_is_text_never_markup():
    drawn = coloured_text_html(TEXT, SURPRISE)
    assert "<b" in drawn and ">&lt;</b>" in drawn and ">&quot;</span>" in drawn
    assert 'data-said="&lt;: 12.00 bits (&lt; 0.1 %)" data-expected="Expected: &lt; 25 %"' in drawn
    buttons = next_characters_html([Alternative('"', 0.5), Alternative("<", 0.25), Alternative("\n", 0.2)])
    assert 'data-character="&quot;"' in buttons and "<b>&lt;</b>" in buttons and "<b>⏎</b>" in buttons
    assert 'aria-label="line end, 20 %"' in buttons and 'data-character="\n"' in buttons
    assert "&lt;unit&gt;" in scale_html(UNIT, True, "<unit>")


def test_line_ends_and_tabs_are_marked_and_stay_what_they_are():
    drawn = coloured_text_html(TEXT, NOTHING)
    assert re.search(r'<span class="line-end"[^>]*>\n</span><span class="tab"[^>]*>\t</span>', drawn)
    assert "--at" not in drawn


def test_what_the_visitor_gave_is_marked_where_there_is_something_else():
    assert "<b" in coloured_text_html(TEXT, NOTHING)
    assert "<b" not in coloured_text_html(ColouredText("ab", (True, True), (1.0, 1.0)), NOTHING)
    assert "Bold" in scale_html(NOTHING, True) and "Bold" not in scale_html(SURPRISE, False)


def test_surprise_is_the_colours_strength():
    drawn = drawn_characters(coloured_text_html(TEXT, SURPRISE))
    assert [at for _, at, _ in drawn] == [0.12, 1.0, 0.0, 0.5, 0.25]


@pytest.mark.parametrize(
    ("probability", "expected"), [(0.0, "< 0.1 %"), (0.002, "0.2 %"), (0.5, "50 %"), (1.0, "100 %")]
)
def test_percent(probability, expected):
    assert percent(probability) == expected


def test_events_come_in_groups_no_faster_than_the_pace():
    events = [{"index": index} for index in range(120)]
    begun = time.monotonic()
    groups = list(grouped(events, drawn=0))
    seconds = time.monotonic() - begun
    assert [event for group in groups for event in group] == events
    assert len(groups) > 4 and seconds >= 0.8 * 120 / PACE - 0.1
    assert len(list(grouped(events, drawn=4000))) < len(groups)


def test_every_shipped_model_has_its_examples():
    assert set(TASK.checkpoints) <= set(MODELS)
    for model in MODELS.values():
        assert all(len(beginning) <= 60 for beginning in model.beginnings)
    assert char_model("somebody's").title == "somebody's"


@pytest.mark.parametrize("name", TASK.checkpoints)
def test_examples_hold_only_what_the_network_knows(name):
    vocabulary = json.loads((hub.CHECKPOINTS / name / "tokenizer.json").read_text("utf-8"))["model"]["vocab"]
    model = MODELS[name]
    assert set("".join((*model.beginnings, model.own_text))) <= set(vocabulary)


def test_the_clients_program_is_a_program():
    program = generation_client_snippet("http://a:1", NAME, 'It\'s "so"\n', {"top_k": 3})
    constants = {node.value for node in ast.walk(ast.parse(program)) if isinstance(node, ast.Constant)}
    assert {'It\'s "so"\n', 3, f"http://a:1/models/{NAME}"} <= constants
