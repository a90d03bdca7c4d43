"""The answering tab, without a browser: the shipped network, which is tiny, behind it."""

import ast
import html
import inspect
import json
import logging
import re
import shlex
from types import SimpleNamespace

import gradio as gr
import pytest
from huggingface_hub import InferenceClient

import hub
from demo.memory_qa import (
    NO_QUESTION,
    NO_STORY,
    PARAMETERS,
    _learnt_from,
    add_sentence,
    bring_back,
    build_tab,
    change_sentences,
    choose_lecture,
    choose_task,
    empty_story,
    set_question,
    tell_new_story,
)
from demo.served import CANNOT_ANSWER
from demo.snippets import answering_client_snippet
from demo.story_answer import answer_html, truth_html
from demo.story_examples import LECTURE, Example
from demo.story_examples import TASKS as STORIES_OF_TASKS
from demo.story_hops import hop_sentence, hops_html, most_read
from demo.story_patterns import known_words
from demo.story_world import KINDS, Story
from pipelines import pipeline
from pipelines.story_reading import read_story
from serving.checkpoints import ServedCheckpoints
from serving.served_checkpoint import ServedCheckpoint
from tasks import TASKS
from training.babi_stories import TASK_NAMES

TASK = TASKS["memory-qa"]
NAME = TASK.default_checkpoint
EXAMPLES = [*LECTURE, *STORIES_OF_TASKS]
WRITTEN = Story(["Mary went to the <garden>.", "John left."], "Where is <Mary>?", "<garden>", [0])
RESULT = {"answer": "<garden>", "score": 0.9, "evidence": {"attention": [[0.8, 0.2], [0.3, 0.7]]}}


@pytest.fixture(scope="module")
def answering():
    """Serve the shipped network; return its pipeline and the page that asks it."""
    folder = hub.find(TASK.default_checkpoint)
    served = ServedCheckpoints([ServedCheckpoint(folder, TASK)])
    served.start()
    assert served.wait_until_loaded(60)
    with gr.Blocks() as demo:
        build_tab(TASK, served)
    return pipeline(TASK.name, model=str(folder), device="cpu"), demo


def handler(demo, name):
    """Return the function behind an event."""
    return next(event.fn for event in demo.fns.values() if event.fn is not None and event.fn.__name__ == name)


def ask(demo, text, question, example=None):
    """Ask as the page does."""
    return handler(demo, "answer")(NAME, text, question, example)


def ask_about(demo, example):
    return ask(demo, "\n".join(example.story.sentences), example.story.question, example)


def numbers(drawing, hop):
    """Read a hop's weights from a drawing."""
    return [float(weight) for weight in re.findall(rf'data-step="{hop}" style="--weight:([\d.]+)"', drawing)]


def starred(drawing):
    """List the places of the sentences with a star."""
    rows = re.findall(r"<tr .*?</tr>", drawing)
    return [place for place, row in enumerate(rows) if "★" in row]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.title)
def test_every_example_can_be_read_and_its_answer_given(answering, example):
    pipe, story = answering[0], example.story
    read = pipe.check_input({"context": "\n".join(story.sentences), "question": story.question})
    assert (list(read.sentences), read.question) == (story.sentences, story.question)
    assert story.answer in pipe.model.config.id2label.values()
    facts = story.supporting_facts
    assert facts and facts == sorted(set(facts)) and facts[-1] < len(story.sentences)


def test_there_is_an_example_of_every_task_in_their_order():
    assert [re.match(r"\d+", example.title)[0] for example in STORIES_OF_TASKS] == [str(task) for task in TASK_NAMES]


def test_the_lecture_is_told_with_what_was_changed():
    assert [example.story.answer for example in LECTURE] == ["bedroom", "white", "hallway"]
    assert all(example.note for example in LECTURE)
    assert LECTURE[1].story.sentences[0] == "Brian is a lion."


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.title)
def test_an_answer_is_called_right_only_where_it_is(answering, example):
    pipe, demo = answering
    best = pipe({"context": example.story.sentences, "question": example.story.question})[0]
    message, answer, drawing, _ = ask_about(demo, example)
    is_right = best["answer"] == example.story.answer
    assert not message.visible
    assert ("✓ Right" in answer, "✗ Wrong" in answer) == (is_right, not is_right)
    assert html.escape(f"the true answer is {example.story.answer}.") in answer
    assert html.escape(example.note) in answer
    assert starred(drawing) == example.story.supporting_facts


def test_the_page_draws_the_evidence_of_its_answer(answering):
    pipe, demo = answering
    context, question = (
        "Mary went to the kitchen.\nJohn moved to the garden. Mary took the milk there",
        "Where is Mary?",
    )
    expected = pipe({"context": context, "question": question}, top_k=PARAMETERS["top_k"], return_evidence=True)
    _, answer, drawing, asked = ask(demo, context, question)
    assert asked == {"context": context, "question": question}
    shown = re.findall(r'--probability:([\d.]+)"><span>(.*?)</span>', answer)
    assert [name for _, name in shown] == [result["answer"] for result in expected]
    assert [float(score) for score, _ in shown] == pytest.approx([result["score"] for result in expected], abs=6e-4)
    evidence = expected[0]["evidence"]
    for hop, weights in enumerate(evidence["attention"], start=1):
        assert numbers(drawing, hop) == pytest.approx(weights, abs=6e-4)
    for sentence in evidence["sentences"]:
        assert f">{sentence}</span>" in drawing
    assert "qa-truth" not in answer and starred(drawing) == []


def test_the_mean_of_the_hops_is_shown_first_and_each_hop_has_its_own_strength():
    drawing = hops_html(["One.", "Two."], [[1.0, 0.0], [0.5, 0.5]], 0, ())
    assert re.findall(r'<tr style="(.*?)"', drawing) == [
        "--step-0:0.750;--step-1:1.000;--step-2:0.500;--at:var(--step-0)",
        "--step-0:0.250;--step-1:0.000;--step-2:0.500;--at:var(--step-0)",
    ]


def test_a_hop_names_the_sentence_that_it_took_most_from():
    attention = [[0.2, 0.8], [0.6, 0.4]]
    assert most_read(attention, 3) == [4, 3]
    sentences = ["a.", "b.", "c.", "d.", "e."]
    assert hop_sentence(sentences, attention, 0, 3) == "Hop 1 took most (0.80) from sentence 5, “e”."
    last = "Hop 2 took most (0.60) from sentence 4, “d”, and then the network answers."
    assert hop_sentence(sentences, attention, 1, 3) == last


def test_the_truth_of_a_changed_story_is_not_known_until_it_is_changed_back(answering):
    _, demo = answering
    example = STORIES_OF_TASKS[0]
    text, question, *_ = choose_task(0)
    for changed in ((text.replace("garden", "office"), question), (text, "Where is Daniel?")):
        _, answer, drawing, _ = ask(demo, *changed, example)
        assert "Changed" in answer and "Right" not in answer and "Wrong" not in answer
        assert f"the true answer {example.story.answer}." in answer and starred(drawing) == []
    _, answer, drawing, _ = ask(demo, f"{text}\n\n", f" {question} ", example)
    assert "Changed" not in answer and starred(drawing) == example.story.supporting_facts


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_story_comes_with_the_truth_and_is_counted(answering, kind):
    _, demo = answering
    text, question, example, task = tell_new_story(kind)
    assert task is None
    answer_new = handler(demo, "answer_new")
    message, answer, drawing, _, tally, marks = answer_new(NAME, text, question, example, (True, False))
    is_right = "✓ Right" in answer
    assert not message.visible and is_right != ("✗ Wrong" in answer)
    assert marks == (True, False, is_right)
    assert tally.visible and f"{1 + is_right} of 3 new stories" in tally.value
    assert starred(drawing) == example.story.supporting_facts


def test_a_changed_story_is_brought_back():
    text, question = bring_back(LECTURE[0])
    assert (text.splitlines(), question) == (LECTURE[0].story.sentences, LECTURE[0].story.question)
    assert bring_back(None) == (gr.skip(), gr.skip())


def test_a_story_that_was_changed_meanwhile_is_not_counted(answering):
    _, question, example, _ = tell_new_story(next(iter(KINDS)))
    *_, tally, marks = handler(answering[1], "answer_new")(NAME, "Mary went to the kitchen.", question, example, ())
    assert marks == () and not tally.visible


@pytest.mark.parametrize(
    ("text", "question", "sentence"),
    [
        ("", "Where is Mary?", NO_STORY),
        (None, "Where is Mary?", NO_STORY),
        ("Mary went to the kitchen.", " ", NO_QUESTION),
        ("Mary went to the kitchen.", None, NO_QUESTION),
        ("Mary went to the <kitcen>.", "Where is Mary?", "'kitcen' (nearest: kitchen"),
        ("Mary went to the kitchen.", "Wher is Mary?", "'wher' (nearest: where"),
        ("Mary " * 60, "Where is Mary?", "at most 50 words"),
        ("x" * 50_001, "Where is Mary?", "at most 50,000 characters"),
    ],
)
def test_a_mistake_is_a_sentence_and_everything_else_stays(answering, text, question, sentence):
    message, *others = ask(answering[1], text, question)
    assert message.visible and 'role="alert"' in message.value and sentence in html.unescape(message.value)
    assert others == [gr.skip()] * 3


def test_a_fault_of_ours_says_nothing_about_the_inside_but_the_log_does(caplog):
    nothing = ServedCheckpoints([])
    nothing.start()  # else it is waited for
    with gr.Blocks() as demo:
        build_tab(TASK, nothing)
    with caplog.at_level(logging.ERROR):
        message, *_ = ask_about(demo, LECTURE[0])
    assert CANNOT_ANSWER in html.unescape(message.value) and "memn2n" not in message.value
    assert "RequestError" in caplog.text


def test_old_sentences_that_are_not_read_are_named(answering):
    pipe, demo = answering
    size = pipe.model.config.memory_size
    text = "\n".join(["John went to the office."] * 2 + ["Mary went to the kitchen."] * size)
    _, answer, drawing, _ = ask(demo, text, "Where is Mary?")
    assert "the oldest 2 sentences were not read" in answer
    assert drawing.count("not read") == 2 and len(numbers(drawing, 1)) == size
    assert "the oldest sentence was not read" in answer_html("?", [RESULT | {"dropped_sentences": 1}], "")


def test_everything_from_people_or_a_network_is_escaped(answering):
    _, answer, drawing, _ = ask(answering[1], "Mary <went> to the & kitchen.", 'Where is "Mary"<?>')
    assert "Mary &lt;went&gt; to the &amp; kitchen." in drawing and "<went>" not in drawing
    assert "Where is &quot;Mary&quot;&lt;?&gt;" in answer and "<?>" not in answer
    drawn = answer_html(WRITTEN.question, [RESULT], truth_html(RESULT, WRITTEN, "<note>"))
    drawn += answer_html("", [RESULT | {"answer": "<lie>"}], truth_html(RESULT | {"answer": "<lie>"}, WRITTEN, ""))
    assert not re.search("<(garden|Mary|lie|note)>", drawn)
    assert drawn.count("✓ Right: the true answer is &lt;garden&gt;.") == 1
    assert drawn.count("✗ Wrong: the true answer is &lt;garden&gt;.") == 1
    assert "follows from sentence 1. Hop by hop, the network took most from sentences 1, 2." in drawn


def test_nothing_is_answered_again_when_nothing_has_changed(answering):
    _, demo = answering
    *_, last = ask_about(demo, LECTURE[0])
    answer_changed = handler(demo, "answer_changed")
    message, *others = answer_changed(NAME, last["context"], last["question"], LECTURE[0], last)
    assert not message.visible and others == [gr.skip()] * 3
    _, answer, *_ = answer_changed(NAME, last["context"], "Where is Daniel?", LECTURE[0], last)
    assert "Where is Daniel?" in answer


def test_what_a_visitor_changed_in_vain_is_drawn_anew(answering):
    first, second = (ask_about(answering[1], LECTURE[0])[2] for _ in range(2))
    assert first != second and re.sub("<!--.*-->", "", first) == re.sub("<!--.*-->", "", second)


def test_sentences_are_changed_added_and_taken_away():
    assert change_sentences(SimpleNamespace(sentences=["One.", "", "Two.\nThree.", " "])) == "One.\nTwo.\nThree."
    assert add_sentence("One.\n\n", SimpleNamespace(text="Two.")) == "One.\nTwo."
    assert add_sentence(None, SimpleNamespace(text="Two.")) == "Two."
    assert set_question(SimpleNamespace(text="Where?")) == "Where?"
    assert empty_story() == ("", None, None)
    assert choose_lecture(1)[2:] == (LECTURE[1], None) and choose_task(4)[2:] == (STORIES_OF_TASKS[4], 4)


def test_the_page_writes_programs_for_what_it_shows(answering):
    text, question, *_ = choose_lecture(0)
    inputs = {"context": text, "question": question}
    write = handler(answering[1], "write_answering_programs")
    python, curl, client = write(SimpleNamespace(headers={"host": "demo:1"}), NAME, text, question)
    (call,) = [node for node in ast.walk(ast.parse(python)) if getattr(getattr(node, "func", None), "id", "") == "pipe"]
    assert ast.literal_eval(call.args[0]) == inputs
    options = PARAMETERS | {"return_evidence": True}
    assert {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords} == options
    assert json.loads(shlex.split(curl.replace("\\\n", ""))[-1]) == {"inputs": inputs, "parameters": options}
    address = f"http://demo:1/models/{TASK.default_checkpoint}"
    assert [address in program for program in (python, curl, client)] == [False, True, True]


def test_the_clients_program_calls_what_there_is():
    inputs = {"context": 'He said "no".\nNo', "question": "Where?"}
    program = answering_client_snippet("http://a:1", "memn2n", inputs, PARAMETERS)
    calls = [node for node in ast.walk(ast.parse(program)) if isinstance(node, ast.Call)]
    (call,) = [node for node in calls if getattr(node.func, "attr", "") == "question_answering"]
    arguments = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
    assert arguments == inputs | PARAMETERS
    assert arguments.keys() <= inspect.signature(InferenceClient.question_answering).parameters.keys()


def test_a_note_stands_only_beside_its_own_story(answering):
    other = Example("other", STORIES_OF_TASKS[0].story, "a note of its own")
    assert "a note of its own" in ask_about(answering[1], other)[1]
    text, question, *_ = choose_lecture(0)
    assert "a note of its own" not in ask(answering[1], text, question, other)[1]
    assert read_story({"context": text, "question": question}).sentences == tuple(LECTURE[0].story.sentences)


def test_the_models_are_told_apart_by_how_much_they_learnt_from(answering):
    (model,) = [block for block in answering[1].blocks.values() if getattr(block, "elem_id", "") == "qa-model"]
    assert [name for _, name in model.choices] == list(TASK.checkpoints) and model.value == NAME
    assert model.choices[0][0] == "Learnt from 1,000 questions a task"
    assert model.visible == (len(TASK.checkpoints) > 1)
    assert _learnt_from("nothing-here") == "nothing-here"
    words = [known_words(name) for name in TASK.checkpoints]
    assert words[0] and all(others == words[0] for others in words)  # the builder offers the same ones to all
