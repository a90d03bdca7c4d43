"""The answering tab: a story, a question, the answer, and hop by hop what the network read to give it."""

import itertools
from collections.abc import Callable

import gradio as gr

import hub
from hub import CheckpointError
from pipelines import InputError
from pipelines.story_reading import MAXIMUM_QUESTION, read_story
from tasks import Task

from .asking import scroll_to
from .links import Field, Linked, one_of, text_of
from .served import Checkpoints, ask, or_refusal
from .snippets import answering_client_snippet, base_url, boxed, curl_snippet, program_boxes, python_snippet
from .story_answer import answer_html, changed_html, truth_html
from .story_builder import BUILDER_JS, builder_html
from .story_examples import LECTURE, TASKS, Example
from .story_hops import HOPS_JS, hops_html
from .story_patterns import known_words, patterns
from .story_world import KINDS, write_story

PARAMETERS = {"top_k": 5}
NO_STORY = "Expected a story; got none. Choose one, have one written, or write sentences, one a line."
NO_QUESTION = "Expected a question about the story; got none."
WORLD = "From a small world of ours, which knows the true answer."
HINT = "Choose a story, or have a new one written; or write your own, and press Answer."
NOTE = (
    "Trained on the bAbI tasks (Weston et al. 2015, CC BY 3.0) and nothing else. It knows few words, and can "
    "only answer with them. All stories on this page are our own, in those words."
)
PROGRAMS = "The same question from a program; the client cannot ask for the evidence, the two others do."
SHOW_ANSWER = scroll_to("qa-answer", from_share=0.4)
SHOW_CHANGE = """() => {
  const changed = document.querySelector("#qa-message .message") ?? document.querySelector("#qa-drawn .answer");
  changed?.scrollIntoView({ block: "nearest" });
}"""
"""Of a long story the last sentences are far below the answer."""


_NUMBERS = itertools.count()
"""Each drawing has its own: what a visitor changed in it, in vain, would stay where the same is drawn once more."""


def build_tab(task: Task, checkpoints: Checkpoints) -> Linked:
    """Lay the tab out and wire it.

    Args:
        task: the row in tasks.py.
        checkpoints: what answers.

    Returns:
        What a link to the tab holds.
    """
    with gr.Row():
        with gr.Column(scale=2, min_width=300):
            checkpoint = _choice_of_model(task)
            lecture, tasks, kind, write, tally = _choice_of_story()
            text, builder, question, button, back = _story_and_question(task.default_checkpoint)
        with gr.Column(scale=3, min_width=300, elem_id="qa-answer"):
            message = gr.HTML(visible=False, elem_id="qa-message", elem_classes=["flush"])
            drawn = gr.HTML(f'<p class="hint">{HINT}</p>', elem_id="qa-drawn", elem_classes=["flush"])
            hops = gr.HTML(js_on_load=HOPS_JS, elem_id="qa-hops", elem_classes=["flush"])
            gr.HTML(f'<p class="fine-print">{NOTE}</p>', elem_classes=["flush"])
    accordion, programs = program_boxes(PROGRAMS, "qa-programs")
    example, last, marks = gr.State(LECTURE[0]), gr.State(), gr.State(())

    asked, answered = [checkpoint, text, question, example], [message, drawn, hops, last]
    told, programmed = [text, question, example, tasks], [checkpoint, text, question]
    silent = {"api_visibility": "private", "show_progress": "hidden", "trigger_mode": "always_last"}
    answers, written = Answers(checkpoints), _writing(task)
    answer, answer_new = or_refusal(answers.answer, num_others=3), or_refusal(answers.answer_new, num_others=5)
    answer_changed = or_refusal(answers.answer_changed, num_others=3)
    pressed = gr.on([button.click, question.submit, text.submit], answer, asked, answered, **silent)
    left = gr.on([text.blur, question.blur], answer_changed, [*asked, last], answered, **silent)
    chosen = [
        lecture.click(choose_lecture, lecture, told, **silent).then(answer, asked, answered, **silent),
        tasks.select(choose_task, tasks, told, **silent).then(answer, asked, answered, **silent),
        write.click(tell_new_story, kind, told, **silent).then(
            answer_new, [*asked, marks], [*answered, tally, marks], **silent
        ),
    ]
    changed = [
        checkpoint.input(answer, asked, answered, **silent),
        back.click(bring_back, example, [text, question], **silent).then(answer, asked, answered, **silent),
        hops.edit(change_sentences, None, text, **silent).then(answer, asked, answered, **silent),
        builder.set_question(set_question, None, question, **silent).then(answer, asked, answered, **silent),
    ]
    added = builder.add_sentence(add_sentence, text, text, **silent).then(answer, asked, answered, **silent)
    for done in changed:
        done.then(None, js=SHOW_CHANGE, api_visibility="private")
    builder.start_afresh(empty_story, None, [text, example, tasks], **silent)
    for done in (pressed, *chosen):
        done.then(None, js=SHOW_ANSWER, api_visibility="private")
    for done in (pressed, left, *chosen, *changed, added):
        done.then(written, programmed, programs, queue=False, **silent)
    accordion.expand(written, programmed, programs, queue=False, **silent)
    fields = [
        Field("checkpoint", checkpoint, one_of("checkpoint", task.checkpoints)),
        Field("context", text, text_of("context")),
        Field("question", question, text_of("question", MAXIMUM_QUESTION)),
    ]
    return Linked(fields, [example, tasks], lambda values: {example: None, tasks: None} if values else {})


class Answers:
    """Answers questions about stories: what is to be seen, the message first."""

    def __init__(self, checkpoints: Checkpoints):
        self.checkpoints = checkpoints

    def answer(self, checkpoint: str, text: str | None, question: str | None, example: Example | None) -> tuple:
        """Draw the answer, and the hops that led to it.

        Args:
            checkpoint: what answers.
            text: the story, a sentence a line.
            question: about it.
            example: what the visitor began with; its truth holds as long as nothing is changed.
        """
        page, _ = self._answered(checkpoint, text, question, example)
        return page

    def answer_changed(
        self,
        checkpoint: str,
        text: str | None,
        question: str | None,
        example: Example | None,
        last: dict[str, str] | None,
    ) -> tuple:
        """Draw the answer unless nothing has changed since the last one."""
        if last == {"context": text, "question": question}:
            return gr.HTML(visible=False), gr.skip(), gr.skip(), gr.skip()
        return self.answer(checkpoint, text, question, example)

    def answer_new(
        self,
        checkpoint: str,
        text: str | None,
        question: str | None,
        example: Example | None,
        marks: tuple[bool, ...],
    ) -> tuple:
        """Draw the answer about a story that nobody has seen, and count whether it is right."""
        page, is_right = self._answered(checkpoint, text, question, example)
        marks = marks if is_right is None else (*marks, is_right)
        return *page, _tally(marks), marks

    def _answered(
        self, checkpoint: str, text: str | None, question: str | None, example: Example | None
    ) -> tuple[tuple, bool | None]:
        inputs = _inputs(text, question)
        story = read_story(inputs)
        response = ask(self.checkpoints, checkpoint, inputs, PARAMETERS)
        results = response if isinstance(response, list) else [response]
        best, told, facts, is_right = results[0], "", [], None
        if example is not None:
            truth = example.story
            if (list(story.sentences), story.question.strip()) == (truth.sentences, truth.question):
                told, facts = truth_html(best, truth, example.note), truth.supporting_facts
                is_right = best["answer"] == truth.answer
            else:
                told = changed_html(truth)
        marked = hops_html(story.sentences, best["evidence"]["attention"], best.get("dropped_sentences", 0), facts)
        marked += f"<!-- {next(_NUMBERS)} -->"
        return (gr.HTML(visible=False), answer_html(story.question, results, told), marked, inputs), is_right


def choose_lecture(index: int) -> tuple:
    """Return the lecture's story that was clicked."""
    return _told(LECTURE[index])


def choose_task(index: int) -> tuple:
    """Return the example of the task that was chosen."""
    return _told(TASKS[index], index)


def tell_new_story(kind: str) -> tuple:
    """Write a story that nobody has seen."""
    return _told(Example(kind, write_story(kind)))


def bring_back(example: Example | None) -> tuple:
    """Return the story that the visitor began with, as it was; of one that is the visitor's own there is no other."""
    return (gr.skip(), gr.skip()) if example is None else _told(example)[:2]


def change_sentences(changed: gr.EventData) -> str:
    """Return the story as the visitor left it among the marks; an emptied sentence is gone."""
    return _lines(changed.sentences)


def add_sentence(text: str | None, made: gr.EventData) -> str:
    """Put a sentence at the story's end."""
    return _lines([text or "", made.text])


def set_question(made: gr.EventData) -> str:
    """Return the question that was made."""
    return made.text


def empty_story() -> tuple[str, None, None]:
    """Begin afresh: no example, no task, no truth."""
    return "", None, None


def _tally(marks: tuple[bool, ...]) -> gr.HTML:
    """Say how many new stories were answered right."""
    stories = "1 new story" if len(marks) == 1 else f"{len(marks)} new stories"
    said = f'<p class="fine-print" role="status">Right so far: {sum(marks)} of {stories}.</p>'
    return gr.HTML(said, visible=bool(marks))


def _told(example: Example, task: int | None = None) -> tuple[str, str, Example, int | None]:
    """Return story, question, the example itself and which task's it is."""
    return "\n".join(example.story.sentences), example.story.question, example, task


def _lines(texts: list[str]) -> str:
    return "\n".join(line for text in texts for line in text.splitlines() if line.strip())


def _inputs(text: str | None, question: str | None) -> dict[str, str]:
    """Return what the pipeline is asked."""
    if not (text or "").strip():
        raise InputError(NO_STORY)
    if not (question or "").strip():
        raise InputError(NO_QUESTION)
    return {"context": text, "question": question}


def _choice_of_model(task: Task) -> gr.Radio:
    """Offer the checkpoints, where there is more than one, by how much they learnt from."""
    choices = [(_learnt_from(name), name) for name in task.checkpoints]
    return gr.Radio(choices, value=task.default_checkpoint, label="Model", visible=len(choices) > 1, elem_id="qa-model")


def _learnt_from(checkpoint: str) -> str:
    try:
        facts = hub.facts(hub.find(checkpoint))
    except (CheckpointError, FileNotFoundError):
        facts = {}
    if not facts:
        return checkpoint
    questions = round(facts["training_questions"] / len(facts["tasks"]), -3)
    missing = "".join(f", without task {task}" for task in facts["missing_tasks"])
    return f"Learnt from {questions:,.0f} questions a task{missing}"


def _choice_of_story() -> tuple[gr.Dataset, gr.Dropdown, gr.Dropdown, gr.Button, gr.HTML]:
    lecture = gr.Dataset(
        components=["textbox"],
        samples=[[example.title] for example in LECTURE],
        label="Stories of the lecture",
        type="index",
        elem_id="qa-lecture",
    )
    tasks = gr.Dropdown(
        [(example.title, index) for index, example in enumerate(TASKS)],
        value=None,
        label="The 20 bAbI tasks, a story for each",
        filterable=False,
        elem_id="qa-tasks",
    )
    with gr.Group():
        kind = gr.Dropdown(
            list(KINDS), label="A story that nobody has seen", info=WORLD, filterable=False, elem_id="qa-kind"
        )
        write = gr.Button("Write me a new story", elem_id="qa-write")
    return lecture, tasks, kind, write, gr.HTML(visible=False, elem_id="qa-tally", elem_classes=["flush"])


def _story_and_question(checkpoint: str) -> tuple[gr.Textbox, gr.HTML, gr.Textbox, gr.Button, gr.Button]:
    first, words = LECTURE[0].story, known_words(checkpoint)
    text = gr.Textbox(
        "\n".join(first.sentences), label="Story, one sentence a line", lines=5, max_lines=16, elem_id="qa-story"
    )
    with gr.Accordion("Build it from known words", open=False, elem_id="qa-builder"):
        builder = gr.HTML(builder_html(patterns(words), words), js_on_load=BUILDER_JS, elem_classes=["flush"])
    question = gr.Textbox(first.question, label="Question", max_lines=1, elem_id="qa-question")
    button = gr.Button("Answer", variant="primary", elem_id="qa-ask")
    return text, builder, question, button, gr.Button("Undo my changes", size="sm", elem_id="qa-back")


def _writing(task: Task) -> Callable:
    """Return the handler that writes programs which ask what the page asks."""

    def write_answering_programs(
        request: gr.Request, checkpoint: str, text: str | None, question: str | None
    ) -> list[str]:
        address, inputs = base_url(request), {"context": text or "", "question": question or ""}
        options = PARAMETERS | {"return_evidence": True}
        return boxed(
            python_snippet(task.name, checkpoint, inputs, options),
            curl_snippet(address, checkpoint, inputs, options),
            answering_client_snippet(address, checkpoint, inputs, PARAMETERS),
        )

    return write_answering_programs
