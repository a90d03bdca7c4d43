"""Links to a tab: what is read of them is checked, and what does not fit changes nothing."""

from types import SimpleNamespace

import gradio as gr
import pytest

import hub
from demo.application import build_demo
from demo.links import LONGEST_TEXT, TAB, Field, Linked, link_script, one_of, read_link, text_of
from pipelines import InputError
from serving.checkpoints import ServedCheckpoints
from tasks import TASKS


@pytest.fixture(scope="module")
def demo():
    return build_demo(ServedCheckpoints.shipped())


@pytest.fixture
def follow(demo, monkeypatch):
    """Follow a link as the page does; return what changes, by label or by what kind of thing it is, and the warning."""
    handler = next(event.fn for event in demo.fns.values() if event.fn and event.fn.__name__ == "follow_link")

    def follow(**query):
        warnings = []
        monkeypatch.setattr(gr, "Warning", lambda message, **_: warnings.append(message))
        changed = handler(SimpleNamespace(query_params=query))
        return {getattr(one, "label", None) or one.get_block_name(): value for one, value in changed.items()}, warnings

    return follow


def test_a_link_opens_a_tab_with_its_inputs_and_options(follow):
    changed, warnings = follow(
        tab="attention-translation",
        checkpoint="attention-nmt-en-fr",
        text="A <b>dog</b> & I.",
        num_beams="7",
        length_penalty="0.35",
        target_prefix="Un",
    )
    assert changed.pop("tabs").selected == "attention-translation"
    assert [changed.pop(menu).choices for menu in ("From", "Into")] == [[("English", "")], [("French", "")]]
    assert changed.pop("button").interactive is False
    assert changed == {
        "Model": "attention-nmt-en-fr",
        "Your sentence": "A <b>dog</b> & I.",
        "num_beams": 7,
        "length_penalty": 0.35,
        "target_prefix": "Un",
    }
    assert warnings == []


def test_a_link_that_names_a_model_alone_gets_what_belongs_to_it(follow):
    changed, _ = follow(tab="attention-translation", checkpoint="attention-nmt-en-fr")
    assert changed["length_penalty"] == hub.decoding_defaults("attention-nmt-en-fr")["length_penalty"]
    changed, _ = follow(tab="char-generation", checkpoint="char-lstm-linux", map="true", seed="7")
    assert changed["Beginning"] == "static int " and changed["Your text"].startswith("/* Counts")
    assert (changed["Replace characters that the model never saw"], changed["seed"]) == (True, "7")
    assert "Linux" in changed["html"] and changed["Beginnings to try"].sample_labels[0] == "static int "


def test_a_link_to_a_picture_or_a_recording_names_an_example(follow):
    changed, _ = follow(tab="captioning", sample="tennis")
    assert changed["Picture"].endswith("/tennis.jpg")
    changed, _ = follow(tab="ctc-transcription", sample="an4_name", hot_words="enter, stop")
    assert changed["Recording"].endswith("/an4_name.flac") and changed["hot_words"] == "enter, stop"


def test_nobody_tells_the_truth_about_a_story_from_a_link(follow):
    changed, _ = follow(tab="memory-qa", context="Mary went to the garden.", question="Where is Mary?")
    assert changed["state"] is None
    assert changed["Story, one sentence a line"] == "Mary went to the garden."


@pytest.mark.parametrize("query", [{}, {"tab": "nothing", "text": "x"}, {"text": "x"}])
def test_a_link_to_no_tab_changes_nothing(follow, query):
    assert follow(**query) == ({"tabs": gr.skip()}, [])


@pytest.mark.parametrize(
    ("tab", "name", "value", "sentence"),
    [
        ("attention-translation", "num_beams", "999", "num_beams must be a whole number from 1 to 16; got 999 (int)."),
        ("attention-translation", "num_beams", "<i>", "num_beams must be a whole number from 1 to 16; got &#x27;&lt;i"),
        ("attention-translation", "length_penalty", "nan", "length_penalty must be a number from 0 to 3; got nan"),
        ("attention-translation", "checkpoint", "/etc", "checkpoint must be one of attention-nmt-en-de, attention-nmt"),
        ("attention-translation", "text", "x" * 1001, "text must have at most 1,000 characters."),
        ("attention-translation", "target_prefix", "x" * 10**5, "target_prefix must be a text of at most"),
        ("captioning", "sample", "../../../etc/passwd", "sample must be one of skateboarder, tennis"),
        ("char-generation", "map", "1", "map must be one of true, false"),
        ("char-generation", "text", "x" * (LONGEST_TEXT + 1), "text must have at most 4,000 characters."),
        ("memory-qa", "question", "x" * 501, "question must have at most 500 characters."),
    ],
)
def test_what_does_not_fit_is_named_and_left_as_it_was(follow, tab, name, value, sentence):
    before, _ = follow(tab=tab)
    changed, (warning,) = follow(tab=tab, **{name: value})
    assert sentence in warning
    assert changed.keys() == before.keys()


def test_every_option_on_a_tab_is_in_its_link(demo):
    for task in TASKS.values():
        script = next(event.js for event in demo.fns.values() if event.js and f'{TAB}: "{task.name}"' in str(event.js))
        (tab,) = [block for block in demo.blocks.values() if isinstance(block, gr.Tab) and block.id == task.name]
        labels = {block.label for block in demo.blocks.values() if isinstance(block, gr.Slider) and tab in above(block)}
        assert all(f'["{label}", null]' in script for label in labels)


def above(block):
    """List what a block lies in, at any height."""
    return [] if block.parent is None else [block.parent, *above(block.parent)]


def test_readers():
    assert one_of("a", ["x"])("x") == "x" and one_of("a", {"x": 1})("x") == 1
    with pytest.raises(InputError, match="a must be one of x; got 'y'"):
        one_of("a", ["x"])("y")
    assert text_of("a", 3)("abc") == "abc"
    with pytest.raises(InputError, match="a must have at most 3 characters"):
        text_of("a", 3)("abcd")


def test_a_script_names_its_fields_and_no_component_holds_what_nobody_checked():
    component = object()
    linked = {"t": Linked([Field("a", component, one_of("a", ["x"]))])}
    assert read_link({TAB: "t", "a": "x", "b": "y"}, linked) == ("t", {component: "x"}, "")
    assert '["a", null]' in link_script("t", linked["t"].fields)
