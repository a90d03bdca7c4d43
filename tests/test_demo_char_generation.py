"""The writing tab, without a browser: a tiny network behind it."""

import ast
import html
import itertools
import json
import logging
import math
import re
import shlex
from types import SimpleNamespace

import gradio as gr
import pytest

from demo.char_generation import build_tab, choose_beginning, choose_model, stop_writing
from demo.char_handlers import NO_TEXT, NOT_OFFERED, OPTION_NAMES, status_html
from demo.char_models import MODELS
from demo.char_passage import Colouring, Passage, Run
from demo.char_text import NOTHING, SURPRISE, UNIT, Alternative
from demo.served import CANNOT_ANSWER
from pipelines import pipeline, pipeline_class
from serving.checkpoints import ServedCheckpoints
from serving.served_checkpoint import ServedCheckpoint
from tasks import TASKS
from training.export import save_checkpoint

from .char_tab import Tab, message_of
from .test_char_text import drawn_characters, text_of
from .tiny import TINY

TASK = TASKS["char-generation"]
NAME = TASK.default_checkpoint
FEATURES = (("memory", 1, 3, "inside <quotes>", 0.83), ("hidden", 2, 5, "line end", -0.5))


class Recording(ServedCheckpoints):
    """The service, which remembers what it streamed."""

    def stream(self, *arguments):
        self.streamed = super().stream(*arguments)
        return self.streamed


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Serve a real but tiny network as if it were shipped; return its pipeline, the service and the tab."""
    folder = tmp_path_factory.mktemp("demo") / NAME
    model, processors = TINY[TASK.name].build(folder.parent)
    fields = ("kind", "layer", "unit", "feature", "correlation")
    model.generation_config.do_sample = True
    model.config.interpretable_units = [
        {"name": values[3]} | dict(zip(fields, values, strict=True)) for values in FEATURES
    ]
    save_checkpoint(folder, TASK, model, list(processors.values()), {})
    served = Recording([ServedCheckpoint(folder, TASK)])
    served.start()
    assert served.wait_until_loaded(60)
    with gr.Blocks() as demo:
        build_tab(TASK, served)
    return SimpleNamespace(
        pipe=pipeline(TASK.name, model=str(folder), device="cpu"), served=served, demo=demo, tab=Tab(demo, NAME)
    )


def test_the_page_shows_what_the_pipeline_writes(tiny):
    *growing, last = tiny.tab.write("The ", seed="7", temperature=1.0, max_new_tokens=60)
    expected = (
        "The " + tiny.pipe("The ", seed=7, temperature=1.0, do_sample=True, max_new_tokens=60)[0]["generated_text"]
    )
    assert last.passage.characters == expected == text_of(last.text)
    assert last.passage.yours == (True,) * 4 + (False,) * 60
    assert [tag for tag, _, _ in drawn_characters(last.text)] == ["b"] * 4 + ["span"] * 60
    lengths = [len(page.passage.characters) for page in growing]
    assert lengths[0] == 4 and lengths == sorted(lengths) and len(set(lengths)) > 3
    assert all(page.stop.interactive for page in growing) and not last.stop.interactive
    assert "Seed 7:" in last.status and last.run is None and message_of(last) is None


def test_while_it_grows_only_what_is_new_is_sent(tiny):
    *growing, _ = tiny.tab.write("The ", max_new_tokens=60)
    for before, after in itertools.pairwise(growing):
        assert after.text.startswith(before.text) and ' writing"' in after.text


def test_numbers_are_those_of_inspect(tiny):
    *_, last = tiny.tab.write("A man", seed="1", max_new_tokens=20)
    looked = tiny.pipe.inspect(last.passage.characters, top=10)
    assert last.passage.log_probabilities == pytest.approx(looked["log_probabilities"])
    bits = [-value / math.log(2) for value in looked["log_probabilities"]]
    drawn = [at for _, at, _ in drawn_characters(last.text)]
    assert drawn == pytest.approx([min(value / 8, 1) for value in bits], abs=0.006)
    assert f"{looked['nats_per_character']:.3f} nats" in last.status
    assert f"{looked['bits_per_character']:.3f} bits" in last.status
    best = looked["next"][0]
    assert last.passage.next_characters[0] == Alternative(best["character"], math.exp(best["log_probability"]))


def test_stopping_keeps_the_text_and_ends_the_servers_work(tiny):
    pages = tiny.tab.write("The ", max_new_tokens=3000)
    for page in (next(pages), next(pages), next(pages)):
        run = page.run
    assert not stop_writing(run).interactive
    *_, last = pages
    assert 10 < len(last.passage.characters) < 1000
    assert last.passage.looked is not None and text_of(last.text) == last.passage.characters
    assert not tiny.served.streamed.is_open


def test_a_visitor_who_leaves_ends_the_servers_work(tiny):
    pages = tiny.tab.handlers["write_anew"](None, SURPRISE, None, NAME, "The ", False, "", 1.0, 1.0, 0, 3000)
    next(pages), next(pages)
    assert tiny.served.streamed.is_open
    pages.close()
    assert not tiny.served.streamed.is_open


def test_the_newest_writing_wins(tiny):
    first = tiny.tab.write("The ", max_new_tokens=3000)
    run = (next(first), next(first))[1].run
    second = tiny.tab.write("A man", run=run, max_new_tokens=5)
    assert next(second).passage.characters == "A man"
    assert list(first) == []
    assert (*second,)[-1].passage.characters.startswith("A man")


def test_what_cannot_begin_leaves_a_writing_alone(tiny):
    run = Run(Colouring(SURPRISE))
    (page,) = tiny.tab.write("", run=run)
    assert "got an empty one" in message_of(page) and not run.stopped


def test_stop_before_anything_was_written_does_nothing():
    assert not stop_writing(None).interactive


@pytest.mark.parametrize(
    ("text", "options", "sentence"),
    [
        ("", {}, "got an empty one"),
        (None, {}, "got an empty one"),
        ("A dög", {}, "The model never saw 'ö'"),
        ("x" * 10_001, {}, "at most 10,000 characters"),
        ("The ", {"seed": "seven"}, "seed must be a whole number"),
        ("The ", {"seed": str(2**70)}, "seed must be a whole number"),
        ("The ", {"temperature": 9.0}, "temperature must be a number from 0 to 5"),
    ],
)
def test_a_mistake_is_a_sentence_and_everything_else_stays(tiny, text, options, sentence):
    (page,) = tiny.tab.write(text, **options)
    assert sentence in message_of(page)
    assert all(vars(page)[name] == gr.skip() for name in Tab.OUTPUTS[1:])


def test_a_mistake_in_a_text_to_look_into(tiny):
    page = tiny.tab.look("A dög")
    assert 'unknown_characters="map"' in message_of(page) and page.text == gr.skip()


def test_unknown_characters_are_mapped_when_asked_for(tiny):
    *_, last = tiny.tab.write("A dög", maps=True, seed="3", max_new_tokens=8)
    expected = tiny.pipe("A dög", unknown_characters="map", seed=3, max_new_tokens=8)[0]["generated_text"]
    assert last.passage.characters == "A dog" + expected
    assert tiny.tab.look("A dög", maps=True).passage.characters == "A dog"


def test_a_fault_of_ours_says_nothing_about_the_inside_but_the_log_does(tiny, caplog):
    with caplog.at_level(logging.ERROR):
        ((message, *_),) = tiny.tab.handlers["write_anew"](
            None, SURPRISE, None, "<none>", "The ", False, "", 1, 1, 0, 5
        )
    assert CANNOT_ANSWER in html.unescape(message.value) and "none" not in message.value
    assert "RequestError" in caplog.text


def test_nothing_is_said_of_a_seed_where_nothing_is_left_to_chance(tiny):
    *_, last = tiny.tab.write("The ", temperature=0, max_new_tokens=5)
    assert "Nothing was left to chance." in last.status and "Seed" not in last.status


def test_without_a_seed_one_is_drawn_and_named(tiny):
    *_, first = tiny.tab.write("The ", max_new_tokens=30, temperature=1.0)
    (seed,) = re.findall(r"Seed (\d+):", first.status)
    *_, again = tiny.tab.write("The ", max_new_tokens=30, temperature=1.0, seed=seed)
    assert again.passage == first.passage


def test_choosing_a_character_appends_it_as_the_visitors(tiny):
    *_, page = tiny.tab.write("The ", seed="1", max_new_tokens=6)
    chosen = page.passage.next_characters[3].character
    after = tiny.tab.choose(page.passage, chosen)
    assert after.passage.characters == page.passage.characters + chosen
    assert after.passage.yours == (True,) * 4 + (False,) * 6 + (True,)
    shown = [html.unescape(one) for one in re.findall(r'data-character="([^"]+)"', after.next)]
    expected = [one["character"] for one in tiny.pipe.inspect(after.passage.characters, top=10)["next"]]
    assert shown == expected
    *_, further = tiny.tab.write_on(after.passage, seed="5", max_new_tokens=4)
    text = after.passage.characters
    assert further.passage.characters == text + tiny.pipe(text, seed=5, max_new_tokens=4)[0]["generated_text"]
    assert further.passage.yours == after.passage.yours + (False,) * 4


@pytest.mark.parametrize("character", ["<", "", "Th"])
def test_only_what_is_on_offer_can_be_chosen(tiny, character):
    page = tiny.tab.choose(tiny.tab.look("The ").passage, character)
    assert message_of(page) == NOT_OFFERED and page.passage == gr.skip()


def test_there_must_be_a_text_to_go_on_from(tiny):
    (page,) = tiny.tab.write_on(None)
    assert message_of(page) == NO_TEXT
    assert message_of(tiny.tab.choose(None, "a")) == NOT_OFFERED


def test_a_text_is_kept_as_short_as_can_be_looked_into(tiny):
    (page,) = tiny.tab.write_on(Passage(NAME, "a" * 10_000, (True,) * 10_000, (0.0,) * 10_000), max_new_tokens=300)
    assert "there is no more room" in message_of(page)
    *_, page = tiny.tab.write_on(Passage(NAME, "a" * 9_990, (True,) * 9_990, (0.0,) * 9_990), max_new_tokens=300)
    assert len(page.passage.characters) == 10_000 and message_of(page) is None


def test_a_text_is_coloured_by_a_unit(tiny):
    page = tiny.tab.look("A dog runs.", UNIT)
    assert page.unit.visible and page.unit.value == "memory.1.3"
    assert page.unit.choices == [
        ("inside <quotes> (memory.1.3, correlation +0.83)", "memory.1.3"),
        ("line end (hidden.2.5, correlation −0.50)", "hidden.2.5"),
    ]
    for unit in ("memory.1.3", "hidden.2.5", "hidden.1.0"):
        recoloured = tiny.tab.recolour(page.passage, UNIT, unit)
        (activation,) = tiny.pipe.inspect("A dog runs.", units=[unit])["activations"]
        drawn = [at for _, at, _ in drawn_characters(recoloured.text)]
        assert drawn == pytest.approx(activation["values"], abs=0.006)
        assert "by-unit" in recoloured.text and recoloured.passage == gr.skip()
    assert "inside &lt;quotes&gt;" in page.scale and "hidden.1.0: −1" in recoloured.scale


def test_a_unit_that_there_is_not_loses_no_text(tiny):
    page = tiny.tab.look("A dog runs.", UNIT, "memory.9.9")
    assert "'memory.9.9'" in message_of(page)
    assert text_of(page.text) == "A dog runs." and "by-nothing" in page.text and page.unit == gr.skip()
    page = tiny.tab.recolour(page.passage, UNIT, "nonsense")
    assert "'nonsense'" in message_of(page) and page.text == gr.skip()


def test_a_text_that_is_being_written_can_be_coloured_otherwise(tiny):
    pages = tiny.tab.write("The ", colour_by=NOTHING, max_new_tokens=60)
    page = (next(pages), next(pages))[1]
    assert "by-nothing" in page.text
    recoloured = tiny.tab.recolour(page.passage, SURPRISE, run=page.run)
    assert recoloured.text == gr.skip() and not recoloured.unit.visible
    *growing, last = pages
    assert "by-surprise" in growing[-1].text and "by-surprise" in last.text
    assert tiny.tab.recolour(None, UNIT).unit.visible


def test_an_end_is_told(tiny):
    passage = tiny.tab.look("The ").passage
    assert "ended" not in status_html(passage)
    ended = Passage(NAME, "The ", passage.yours, passage.log_probabilities, passage.looked, "eos_token")
    assert "The network ended the text itself." in status_html(ended)


def test_another_model_brings_its_own_examples():
    run = Run(Colouring(SURPRISE))
    facts, beginning, own_text, examples, message, text, *_, passage, left = choose_model(run, "char-lstm-linux")
    model = MODELS["char-lstm-linux"]
    assert (beginning, own_text) == (model.beginnings[0], model.own_text)
    assert examples.raw_samples == [[beginning] for beginning in model.beginnings]
    assert html.escape(model.note) in facts and 'class="hint"' in text
    assert run.superseded and passage is None and left is None and message == gr.update(visible=False)
    assert [choose_beginning(index, "char-lstm-linux") for index in range(5)] == list(model.beginnings)


def test_options_stay_within_the_pipelines_limits_and_sliders_reach_them(tiny):
    known = {option.name: option for option in pipeline_class(TASK).options}
    sliders = {block.label: block for block in tiny.demo.blocks.values() if isinstance(block, gr.Slider)}
    assert set(sliders) == set(OPTION_NAMES) - {"seed"}
    for name, slider in sliders.items():
        assert (slider.minimum, slider.maximum) == (known[name].minimum, known[name].maximum)
        assert known[name].check(slider.value) == slider.value
        for value in (slider.value, slider.maximum):
            steps = (value - slider.minimum) / slider.step
            assert steps == pytest.approx(round(steps))


def test_the_page_writes_programs_for_what_it_shows(tiny):
    request = SimpleNamespace(headers={"host": "demo:1"})
    write = tiny.tab.handlers["write_generation_programs"]
    python, curl, client = write(request, NAME, "It's\n", True, "7", 0.8, 1.0, 0, 20)
    options = {"seed": 7, "temperature": 0.8, "top_p": 1.0, "top_k": 0, "max_new_tokens": 20}
    assert f'model="{NAME}"' in python and "unknown_characters='map'" in python
    words = shlex.split(curl.replace("\\\n", ""))
    assert words[1] == f"http://demo:1/models/{NAME}"
    assert json.loads(words[-1]) == {"inputs": "It's\n", "parameters": options | {"unknown_characters": "map"}}
    assert client.startswith("# ") and "stream=True" in client
    calls = [node for node in ast.walk(ast.parse(client)) if isinstance(node, ast.Call) and node.keywords]
    asked = [{word.arg: word.value.value for word in call.keywords} for call in calls if len(call.keywords) > 2]
    assert options in asked and options | {"stream": True} in asked
    assert "seed" not in write(request, NAME, "The ", False, "", 0.8, 1.0, 0, 20)[0]
