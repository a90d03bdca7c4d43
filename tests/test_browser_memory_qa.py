"""The answering tab in a real browser: ask, go from hop to hop, change a sentence, and have new stories written."""

import json
import urllib.request

import pytest

from demo.story_examples import LECTURE
from demo.story_examples import TASKS as STORIES_OF_TASKS

from .test_browser import at_one_width, browser, context, page, pytestmark  # noqa: F401  the same wish that nothing fails

SENTENCES, STORY, QUESTION = "#qa-hops .hop-sentence", "#qa-story textarea", "#qa-question textarea, #qa-question input"
STEPS, SAID, ANSWER = "#qa-hops .hop-steps input", "#qa-hops .hop-said", "#qa-drawn .answer"
STRENGTHS = """[...document.querySelectorAll("#qa-hops tbody tr")].map(
    row => Number(getComputedStyle(row).getPropertyValue("--at")))"""


@pytest.fixture
def tab(page):  # noqa: F811
    """Open the tab."""
    page.click("role=tab[name=Answering]")
    page.wait_for_selector("#qa-ask")
    return page


def expected(app, story, question, checkpoint="memn2n-babi"):
    """Ask the service what the page asks it; return the best answer and its hops' weights."""
    body = {"inputs": {"context": story, "question": question}, "parameters": {"return_evidence": True}}
    request = urllib.request.Request(
        f"{app.address}/models/{checkpoint}", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as response:
        result = json.load(response)
    return result["answer"], result["evidence"]["attention"]


def wait_for_answer(tab, app, sentences, question, checkpoint="memn2n-babi"):
    """Wait until the page shows what the service says, as words and as numbers; return the answer."""
    answer, attention = expected(app, "\n".join(sentences), question, checkpoint)
    tab.wait_for_function(
        """([question, answer, sentences, attention]) => {
            const text = selector => document.querySelector(selector)?.innerText.trim() ?? "";
            const rows = [...document.querySelectorAll("#qa-hops tbody tr")];
            return text("#qa-drawn .qa-asked") === question && text("#qa-drawn .answer").startsWith(answer + " ")
                && rows.length === sentences.length && rows.every((row, place) =>
                    row.querySelector(".hop-sentence").textContent === sentences[place]
                    && attention.every((hop, number) => Math.abs(
                        row.querySelectorAll(".hop-weight")[number].textContent - hop[place]) < 0.0051));
        }""",
        arg=[question, answer, sentences, attention],
    )
    return answer


def show_task(tab, app, number):
    """Choose a task's story."""
    tab.click("#qa-tasks input")
    tab.click(f"#qa-tasks [role=option] >> nth={number - 1}")
    story = STORIES_OF_TASKS[number - 1].story
    return story, wait_for_answer(tab, app, story.sentences, story.question)


def change_sentence(tab, place, text):
    tab.click(f"{SENTENCES} >> nth={place}")
    tab.keyboard.press("ControlOrMeta+A")
    tab.keyboard.type(text)


def wait_for_step(tab, step, weights):
    """Wait until a hop is chosen and every sentence is marked as strongly as it says."""
    tab.wait_for_function(
        f"""([step, weights]) => {{
            const at = {STRENGTHS};
            return document.querySelectorAll("{STEPS}")[step].checked
                && at.length === weights.length && at.every((one, place) => Math.abs(one - weights[place]) < 0.00051);
        }}""",
        arg=[step, weights],
    )


def test_the_lectures_first_question_is_answered_and_its_hops_are_stepped_through(tab, running_app):
    story = LECTURE[0].story
    asked = []
    tab.on("request", lambda request: asked.append(request.url) if request.method == "POST" else None)
    with tab.expect_request(lambda _: len(asked) == 3):  # for the story, the answer, and the programs
        tab.click("#qa-lecture button >> nth=0")
    answer = wait_for_answer(tab, running_app, story.sentences, story.question)
    verdict = "✓ Right" if answer == story.answer else "✗ Wrong"
    assert f"{verdict}: the true answer is {story.answer}." in tab.inner_text("#qa-drawn .qa-truth")
    _, attention = expected(running_app, "\n".join(story.sentences), story.question)
    means = [sum(weights) / len(weights) for weights in zip(*attention, strict=True)]
    wait_for_step(tab, 0, means)

    tab.focus(f"{STEPS}:checked")
    for hop, weights in enumerate(attention, start=1):
        tab.keyboard.press("ArrowRight")
        wait_for_step(tab, hop, weights)
        place = weights.index(max(weights))
        assert f"Hop {hop} took most" in tab.inner_text(SAID) and story.sentences[place][:-1] in tab.inner_text(SAID)
    tab.click("#qa-hops .hop-steps label >> nth=1")
    wait_for_step(tab, 1, attention[0])
    tab.click("#qa-hops .hop-steps label >> nth=0")
    wait_for_step(tab, 0, means)
    assert len(asked) == 3  # a step asks the server for nothing


def test_the_answer_comes_into_view(tab):
    tab.click("#qa-ask")
    tab.wait_for_function(
        f"() => (document.querySelector('{ANSWER}')?.getBoundingClientRect().top ?? innerHeight) < innerHeight * 0.7"
    )


def test_a_sentence_is_changed_where_it_stands_and_the_answer_changes(tab, running_app):
    story, before = show_task(tab, running_app, 1)
    tab.click("#qa-hops .hop-steps label >> nth=2")
    place = story.supporting_facts[0]
    changed = [*story.sentences]
    changed[place] = "Mary went back to the office."
    change_sentence(tab, place, changed[place])
    tab.keyboard.press("Enter")
    assert wait_for_answer(tab, running_app, changed, story.question) != before
    assert "Changed" in tab.inner_text("#qa-drawn .qa-truth")
    assert tab.input_value(STORY) == "\n".join(changed)
    tab.wait_for_function(f"document.querySelectorAll('{STEPS}')[2].checked")  # the step stays
    tab.wait_for_function(f"document.querySelectorAll('{SENTENCES}')[{place}] === document.activeElement")

    change_sentence(tab, place, story.sentences[place])
    tab.focus("#qa-ask")
    assert wait_for_answer(tab, running_app, story.sentences, story.question) == before
    assert "the true answer is" in tab.inner_text("#qa-drawn .qa-truth")


def test_changes_are_undone(tab, running_app):
    story, before = show_task(tab, running_app, 1)
    tab.fill(STORY, "Mary went to the office.")
    tab.click("#qa-ask")
    wait_for_answer(tab, running_app, ["Mary went to the office."], story.question)
    tab.click("#qa-back")
    assert wait_for_answer(tab, running_app, story.sentences, story.question) == before
    assert tab.input_value(STORY) == "\n".join(story.sentences)


def test_the_story_and_the_question_are_answered_again_when_they_are_left(tab, running_app):
    story, _ = show_task(tab, running_app, 6)
    changed = [*story.sentences, "Sandra went back to the hallway."]
    tab.fill(STORY, "\n".join(changed))
    tab.press(STORY, "Tab")
    wait_for_answer(tab, running_app, changed, story.question)
    tab.fill(QUESTION, "Is John in the bathroom?")
    tab.press(QUESTION, "Enter")
    wait_for_answer(tab, running_app, changed, "Is John in the bathroom?")


@at_one_width
def test_an_unknown_word_is_named_with_the_nearest_and_nothing_is_lost(tab, running_app):
    _, before = show_task(tab, running_app, 1)
    change_sentence(tab, 0, "Mary moved to the hallwy.")
    tab.keyboard.press("Enter")
    tab.wait_for_selector("#qa-message [role=alert] >> text=hallwy' (nearest: hallway")
    assert tab.inner_text(ANSWER).startswith(before)
    assert tab.input_value(STORY).startswith("Mary moved to the hallwy.\n")
    tab.click("#qa-lecture button >> nth=1")
    wait_for_answer(tab, running_app, LECTURE[1].story.sentences, LECTURE[1].story.question)
    tab.wait_for_selector("#qa-message .message", state="detached")
    change_sentence(tab, 0, "Nobody is a lion.")
    tab.keyboard.press("Enter")
    tab.wait_for_selector("#qa-message [role=alert] >> text=never saw 'nobody'")
    tab.click("#qa-lecture button >> nth=1")
    wait_for_answer(tab, running_app, LECTURE[1].story.sentences, LECTURE[1].story.question)


@at_one_width
def test_what_looks_like_markup_or_a_program_is_shown_as_it_is(tab, running_app):
    story, _ = show_task(tab, running_app, 1)
    odd = 'Mary <went> to {{}} the ${"kitchen"} & `garden`.'
    change_sentence(tab, 0, odd)
    tab.keyboard.press("Enter")
    wait_for_answer(tab, running_app, [odd, *story.sentences[1:]], story.question)


def test_a_new_story_is_written_and_the_truth_stands_beside_the_answer(tab, running_app):
    tab.click("#qa-kind input")
    tab.click("#qa-kind [role=option] >> nth=1")
    for number in (1, 2):
        before = tab.input_value(STORY)
        tab.click("#qa-write")
        tab.wait_for_selector(f"#qa-tally >> text={'of 1 new story' if number == 1 else 'of 2 new stories'}")
        tab.wait_for_function("before => document.querySelector('#qa-story textarea').value !== before", arg=before)
        sentences = tab.input_value(STORY).splitlines()
        answer = wait_for_answer(tab, running_app, sentences, tab.input_value(QUESTION))
        truth = tab.inner_text("#qa-drawn .qa-truth")
        assert truth.startswith(("✓ Right: the true answer is ", "✗ Wrong: the true answer is "))
        assert truth.startswith("✓") == (f"the true answer is {answer}." in truth)
        assert 1 <= tab.locator("#qa-hops td.hop-number b").count() <= 2


def test_a_story_is_built_without_typing(tab, running_app):
    tab.click("#qa-builder button >> nth=0")
    tab.click("#qa-builder .build-afresh")
    tab.wait_for_function("document.querySelector('#qa-story textarea').value === ''")
    line = "#qa-builder .build-line:not([hidden]) select"
    tab.select_option(f"{line} >> nth=0", "Mary")
    tab.select_option(f"{line} >> nth=1", "went")
    tab.select_option(f"{line} >> nth=2", "garden")
    tab.click("#qa-builder .build-use")
    tab.wait_for_function("document.querySelector('#qa-story textarea').value === 'Mary went to the garden.'")
    tab.select_option("#qa-builder .build-pattern", label="Where is somebody?")
    tab.select_option(line, "Mary")
    tab.click("#qa-builder .build-use >> text=Ask this")
    wait_for_answer(tab, running_app, ["Mary went to the garden."], "Where is Mary?")
    assert tab.input_value(QUESTION) == "Where is Mary?"
    assert tab.locator("#qa-drawn .qa-truth").count() == 0


@at_one_width
def test_another_model_answers_the_same_question(tab, running_app):
    story, _ = show_task(tab, running_app, 7)
    tab.click("#qa-model >> text=10,000 questions")
    wait_for_answer(tab, running_app, story.sentences, story.question, "memn2n-babi-10k")
    tab.click("#qa-programs >> text=Use via API")
    tab.wait_for_selector(f"text={running_app.address}/models/memn2n-babi-10k")


@at_one_width
def test_a_program_for_it(tab, running_app):
    tab.click("#qa-programs >> text=Use via API")
    tab.wait_for_selector(f"text={running_app.address}/models/memn2n-babi")
    assert "client.question_answering(" in tab.inner_text("#qa-programs")
    assert LECTURE[0].story.question in tab.inner_text("#qa-programs")
