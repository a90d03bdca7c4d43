"""The story builder: it makes sentences and questions out of what the network can read, and of nothing else."""

import itertools
import re

import gradio as gr

import hub
from demo.memory_qa import build_tab
from demo.story_builder import builder_html
from demo.story_patterns import known_words, patterns
from pipelines import pipeline
from serving.checkpoints import ServedCheckpoints
from tasks import TASKS

TASK = TASKS["memory-qa"]


def test_the_builder_makes_only_what_the_network_reads():
    pipe = pipeline(TASK.name, device="cpu")
    words = known_words(TASK.default_checkpoint)
    assert set(words) == pipe.known_words and words == sorted(words)
    found = patterns(words)
    assert sum(pattern.is_question for pattern in found) >= 10 and len(found) >= 30
    for pattern in found:
        gaps = [[part] if isinstance(part, str) else part for part in pattern.parts]
        for number in range(max(map(len, gaps))):
            made = "".join(choices[number % len(choices)] for choices in gaps)
            assert re.fullmatch(r"[A-Z][\w ]+[.?]", made)
            story = (["Mary went."], made) if pattern.is_question else ([made], "Where is Mary?")
            pipe.check_input(dict(zip(("context", "question"), story, strict=True)))


def test_the_builder_offers_no_unknown_word():
    (pattern,) = patterns({"where", "is", "mary", "the"})
    assert pattern.parts == ("Where is ", ("Mary",), "?")
    drawn = builder_html([pattern], ["mary", "<b>"])
    assert drawn.count("<option>") == 1 and "All 2 words" in drawn and "<b>" not in drawn
    assert "Ask this" in drawn and "Add to the story" not in drawn


def test_without_a_checkpoint_there_is_a_page_but_no_word(tmp_path, monkeypatch):
    monkeypatch.setattr(hub, "CHECKPOINTS", tmp_path)
    assert known_words(TASK.default_checkpoint) == []
    assert "<select" not in builder_html(patterns([]), [])
    with gr.Blocks():
        build_tab(TASK, ServedCheckpoints([]))


def test_all_choices_of_a_pattern_are_spelt_in_the_line_that_is_shown():
    for pattern in patterns(known_words(TASK.default_checkpoint)):
        drawn = builder_html([pattern], ["mary"])
        texts = [part for part in pattern.parts if isinstance(part, str) and part]
        assert re.findall(r'data-text="(.*?)"', drawn) == texts
        choices = itertools.chain(*(part for part in pattern.parts if not isinstance(part, str)))
        assert re.findall(r"<option>(.*?)</option>", drawn) == list(choices)
