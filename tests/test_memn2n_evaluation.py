"""The memory network's evaluation: errors, supporting facts, restarts, and the card that tells them."""

import json
import statistics

import pytest
import torch

import hub
from pipelines import pipeline
from tasks import TASKS
from training.babi_stories import Example, load_split
from training.evaluate import evaluate
from training.export import save_checkpoint
from training.memn2n import Recipe, run, train
from training.memn2n_evaluation import Evaluation, agreement, measure, read_through
from training.published_babi import TEN_THOUSAND, THOUSAND, published
from training.readme import _rows

from .toy_stories import toy_task


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("en")
    for kind, number in (("train", 100), ("test", 30)):
        for task in (1, 6):
            (folder / f"qa{task}_toy_{kind}.txt").write_text(toy_task(number, seed=task * len(kind)))
    return folder


@pytest.fixture(scope="module")
def runs(data, tmp_path_factory):
    """Train jointly and alone, for an epoch or two."""
    folder = tmp_path_factory.mktemp("runs")
    small = {"data": [str(data)], "embedding_size": 8, "epochs": 2, "linear_start_epochs": 1, "restarts": 2}
    for name, tasks in (("joint", None), ("single/task-1", [1]), ("single/task-6", [6])):
        recipe = Recipe(output=str(folder / name), tasks=tasks, **small)
        save_checkpoint(folder / name, TASKS["memory-qa"], *train(recipe))
    return folder


@pytest.fixture(scope="module")
def measured(data, runs):
    options = Evaluation(data=[str(data)], run=str(runs / "joint"), single_runs=str(runs / "single"))
    return evaluate(runs / "joint", options)


def test_agreement_counts_supporting_facts_by_hop():
    most_attended = torch.tensor([[0, 3, 3], [1, 1, 2], [4, 4, 4], [2, 0, 1]])
    facts = [frozenset({0, 3}), frozenset({2}), frozenset(), frozenset({0, 5})]
    assert agreement(most_attended, facts) == {
        "supporting_fact_by_hop": [33.33, 66.67, 66.67],  # of the three questions with facts
        "all_supporting_facts": 66.67,
    }


def test_facts_are_counted_from_the_oldest_sentence_that_is_read(runs):
    pipe = pipeline("memory-qa", model=str(runs / "joint"), device="cpu")
    size = pipe.model.config.memory_size
    sentences = ("Mary went to the kitchen.",) * (size + 1) + ("John went to the garden.",)
    example = Example(1, 0, sentences, "Where is John?", "garden", (size + 1,))
    reading = read_through(pipe.model, pipe.tokenizer, [example])
    expected = [100.0 if place == size - 1 else 0.0 for place in reading.most_attended[0].tolist()]
    assert measure(pipe.model, pipe.tokenizer, [example])["supporting_fact_by_hop"] == expected
    forgotten = Example(1, 0, sentences, "Where is John?", "garden", (1,))
    assert measure(pipe.model, pipe.tokenizer, [forgotten])["supporting_fact_by_hop"] == [0.0] * len(expected)


def test_errors_are_those_of_the_pipelines_own_answers(data, runs, measured):
    pipe = pipeline("memory-qa", model=str(runs / "joint"), device="cpu")
    for task, numbers in measured["tasks"].items():
        examples = load_split([str(data)], "test").of_task(int(task))
        items = [{"context": list(example.sentences), "question": example.question} for example in examples]
        wrong = [results[0]["answer"] != example.answer for results, example in zip(pipe(items), examples, strict=True)]
        assert numbers["error"] == round(100 * sum(wrong) / len(wrong), 2)


def test_every_restart_is_measured_and_the_chosen_one_is_the_checkpoint(data, runs, measured):
    restarts = measured["restarts"]
    assert [restart["seed"] for restart in restarts] == [1, 2]
    chosen = min(restarts, key=lambda restart: restart["training_loss"])
    training = json.loads((runs / "joint" / "training.json").read_text())
    assert training["chosen_seed"] == chosen["seed"]
    errors = {task: numbers["error"] for task, numbers in measured["tasks"].items()}
    for task, error in chosen["errors"].items():
        assert error == pytest.approx(errors[task], abs=4)  # the checkpoint has 16 bits: a question may flip
    for task, single in measured["single"].items():
        assert len(single["restarts"]) == 2 and single["error"] in single["restarts"]
        again = run(Recipe(**training_options(runs / "single" / f"task-{task}", data)), [1, 2])
        losses = {each.facts["seed"]: each.facts["training_loss"] for each in again}
        assert losses[single["seed"]] == min(losses.values()) == min_loss(runs / "single" / f"task-{task}")


def training_options(folder, data):
    """Return the options that a run was started with."""
    options = json.loads((folder / "training.json").read_text())["options"]
    return options | {"data": [str(data)], "output": str(folder)}


def min_loss(folder):
    return min(restart["training_loss"] for restart in json.loads((folder / "training.json").read_text())["restarts"])


def test_the_card_tells_errors_restarts_and_the_papers(runs, measured):
    card = (runs / "joint" / "README.md").read_text()
    first = measured["tasks"]["1"]
    assert f"| 1: single supporting fact | **{first['error']}** |" in card
    alone = [single["error"] for single in measured["single"].values()]
    assert f"Alone, best of 2, the mean error is {statistics.mean(alone):.2f} %, all restarts" in card
    assert "Of 2 trainings with different seeds" in card and "creative commons" in card.lower()
    assert f"| {THOUSAND.joint[5]} |" in card and f"| {THOUSAND.alone[5]} |" in card
    assert "without task 2 (two supporting facts), 3" in card
    (row,) = _rows(TASKS["memory-qa"], runs / "joint")
    assert "1.4, 0 failed (MemN2N" in row and "Mean error %" in row  # of tasks 1 and 6


def test_one_training_alone_is_measured_and_described_too(data, runs, tmp_path):
    for file in (runs / "joint").iterdir():
        if file.is_file():
            (tmp_path / file.name).write_bytes(file.read_bytes())
    numbers = evaluate(tmp_path, Evaluation(data=[str(data)]))
    assert "restarts" not in numbers and "single" not in numbers
    card = (tmp_path / "README.md").read_text()
    assert "the spread between seeds was not measured" in card
    assert hub.check(tmp_path) is TASKS["memory-qa"]


def test_a_task_that_was_not_learnt_does_not_count_and_is_told(data, tmp_path):
    recipe = Recipe(data=[str(data)], output=str(tmp_path), tasks=[1], embedding_size=8, epochs=1)
    save_checkpoint(tmp_path, TASKS["memory-qa"], *train(recipe))
    numbers = evaluate(tmp_path, Evaluation(data=[str(data)], run=str(tmp_path)))
    assert list(numbers["tasks"]) == ["1"] and list(numbers["errors_of_tasks_not_learnt"]) == ["6"]
    assert numbers["metrics"][0]["value"] == numbers["tasks"]["1"]["error"] and numbers["questions"] == 30
    told = (
        f"these tasks, and answers them wrong in: yes/no questions (6), {numbers['errors_of_tasks_not_learnt']['6']} %."
    )
    assert told in (tmp_path / "README.md").read_text()


def test_a_run_of_one_restart_has_no_spread(data, tmp_path):
    recipe = Recipe(data=[str(data)], output=str(tmp_path), embedding_size=8, epochs=1, linear_start_epochs=0)
    save_checkpoint(tmp_path, TASKS["memory-qa"], *train(recipe))
    numbers = evaluate(tmp_path, Evaluation(data=[str(data)], run=str(tmp_path)))
    assert len(numbers["restarts"]) == 1 and ", of 1|" in numbers["metrics"][0]["signature"]
    assert (
        numbers["training_questions"] == 200 and "200 questions to learn from" in (tmp_path / "README.md").read_text()
    )
    assert "the spread between seeds was not measured" in (tmp_path / "README.md").read_text()


@pytest.mark.parametrize(
    ("column", "mean", "failed"),
    [
        (THOUSAND.joint, 12.4, 11),
        (THOUSAND.alone, 13.9, 11),
        (TEN_THOUSAND.joint, 7.5, 6),
        (TEN_THOUSAND.alone, 6.6, 4),
    ],
)
def test_the_papers_columns_have_the_papers_means(column, mean, failed):
    assert len(column) == 20 and round(sum(column) / 20, 1) == mean
    assert sum(error > 5 for error in column) == failed


def test_a_network_is_compared_on_its_own_tasks_with_those_that_learnt_from_as_much():
    (_, joint), (_, alone), (_, other) = published(1000).systems(range(1, 21))
    assert (joint, alone, other) == ("12.4, 11 failed", "13.9, 11 failed", "9.9")
    (_, joint), (_, alone) = published(10_000).systems([*range(1, 3), *range(4, 21)])
    assert (joint, alone) == ("7.5, 5 failed", "6.5, 3 failed")
