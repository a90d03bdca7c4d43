"""A tiny training of the memory network: it learns a toy task by heart, and restarts choose by the training loss."""

import dataclasses
import json
import math
import pickle

import pytest
import torch

from training.memn2n import Recipe, Run, Training, build_model, measure, prepare, run, run_all, train
from training.stacked_memn2n import StackedMemn2n
from training.story_batches import StoryCollator

from .toy_stories import toy_task


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("en")
    (folder / "qa1_single-supporting-fact_train.txt").write_text(toy_task(200, 1))
    (folder / "qa1_single-supporting-fact_test.txt").write_text(toy_task(50, 2))
    return folder


def small(data, **options):
    defaults = {
        "output": str(data / "run"),
        "embedding_size": 16,
        "epochs": 12,
        "halve_every": 5,
        "linear_start_epochs": 3,
        "num_hops": 2,
    }
    return Recipe(data=[str(data)], **{"linear_start_epochs": 3, **defaults, **options})


@pytest.mark.parametrize("options", [{}, {"tying": "layer_wise"}, {"gated": True, "any_word_answers": True}], ids=str)
def test_a_toy_task_is_learnt(data, options):
    schedule = {"epochs": 40, "halve_every": 15, "learning_rate": 0.03, "linear_start_epochs": 8}
    model, (tokenizer,), facts = train(small(data, **schedule, **options))
    assert facts["restarts"][0]["training_error"] == 0 and facts["restarts"][0]["validation_error"] <= 5
    assert not model.training and facts["chosen_by"] == "lowest loss on the training split"
    assert facts["data"]["train"]["questions"] == 180 and facts["data"]["validation"]["questions"] == 20
    assert facts["parameters"] == sum(parameter.numel() for parameter in model.parameters())
    assert facts["steps"] == len(facts["learning_curve"]) * 6
    assert str(data) not in json.dumps(facts) and facts["options"]["data"] == [data.name]

    words = tokenizer(["Mary went to the garden.", "John went to the kitchen."], return_tensors="pt")["input_ids"]
    question = tokenizer(["Where is Mary?"], return_tensors="pt")["input_ids"]
    assert model.config.id2label[int(model(words.unsqueeze(0), question).logits.argmax())] == "garden"


def test_the_network_is_as_large_as_the_data_needs(data):
    config = build_model(small(data), prepare(small(data))).config
    assert (config.memory_size, config.longest_sentence) == (3, 6)  # "Mary went to the garden", and its age
    recipe = small(data, memory_size=2)
    assert build_model(recipe, prepare(recipe)).config.memory_size == 2


def curve_of(recipe, seeds=(1,)):
    training = Training(recipe, prepare(recipe), seeds)
    training.fit()
    return training.curves[0]


def test_the_linear_start_comes_before_the_other_epochs(data):
    curve = curve_of(small(data, epochs=2, halve_every=1, linear_start_epochs=3, learning_rate=0.02))
    assert [entry["linear"] for entry in curve] == [True, True, True, False, False]
    assert [entry["learning_rate"] for entry in curve] == [0.005, 0.005, 0.005, 0.02, 0.01]


def test_no_linear_start_at_all(data):
    curve = curve_of(small(data, epochs=1, linear_start_epochs=0))
    assert [entry["linear"] for entry in curve] == [False]


def test_an_answer_that_training_never_showed_is_wrong_and_has_no_loss(data):
    recipe = small(data)
    material = prepare(recipe)
    model, questions = build_model(recipe, material).eval(), material.validation
    network = StackedMemn2n([model, build_model(recipe, material)])
    whole, _ = measure(network, questions)
    batch = StoryCollator()(questions.questions)
    output = model(questions.word_ids[batch.stories], questions.word_ids[batch.questions], batch.labels)
    labels = torch.tensor([question.label for question in questions.questions])
    wrong = (output.logits.argmax(dim=1) != labels).double().mean().item()
    assert whole == {"loss": pytest.approx(output.loss.item(), rel=1e-4), "error": pytest.approx(100 * wrong)}
    for question in questions.questions:
        object.__setattr__(question, "label", -100)
    assert measure(network, questions) == [{"loss": 0.0, "error": 100.0}] * 2


def test_the_restart_with_the_lowest_training_loss_is_kept_and_seeds_repeat_themselves(data, tmp_path):
    recipe = small(data, epochs=2, restarts=3, seed=5, output=str(tmp_path / "first"))
    model, _, facts = train(recipe)
    losses = {entry["seed"]: entry["training_loss"] for entry in facts["restarts"]}
    assert list(losses) == [5, 6, 7] and len(set(losses.values())) == 3
    assert facts["chosen_seed"] == min(losses, key=losses.get)
    runs = run(dataclasses.replace(recipe, output=str(tmp_path / "again")), [5, 6, 7])
    again = runs[facts["chosen_seed"] - 5]
    assert without_seconds(again.facts) in map(without_seconds, facts["restarts"])
    assert again.learning_curve == facts["learning_curve"]
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, again.weights[name])


def without_seconds(facts):
    return {name: value for name, value in facts.items() if name != "seconds"}


def test_an_interrupted_training_ends_as_one_that_was_not(data, monkeypatch, tmp_path):
    recipe, seeds = small(data, epochs=3, linear_start_epochs=2), [3, 4]
    whole = Training(recipe, prepare(recipe), seeds)
    whole.fit()
    monkeypatch.setattr("training.memn2n.SECONDS_BETWEEN_SAVES", 0.0)
    state, epoch = tmp_path / "state.pt", Training._epoch
    broken = Training(recipe, prepare(recipe), seeds, state)

    def stop(training, number):
        if number == 3:
            raise KeyboardInterrupt
        epoch(training, number)

    monkeypatch.setattr(Training, "_epoch", stop)
    with pytest.raises(KeyboardInterrupt):
        broken.fit()
    done = []
    monkeypatch.setattr(Training, "_epoch", lambda training, number: done.append(number) or epoch(training, number))
    again = Training(recipe, prepare(recipe), seeds, state)
    again.fit()
    assert done == [3, 4] and again.curves == whole.curves
    for name, weights in whole.network.state_dict().items():
        assert torch.equal(weights, again.network.state_dict()[name])
    other = Training(dataclasses.replace(recipe, learning_rate=0.01), prepare(recipe), seeds, state)
    other._load()
    assert other.curves == [[], []]  # what is kept is another run's


class PickledCalls:
    """Stands for a pool of processes: what goes in and what comes out is pickled, all else happens here."""

    def __init__(self, num_processes, context):
        assert (num_processes, context.get_start_method()) == (2, "spawn")

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def map(self, function, *arguments):
        calls = (pickle.loads(pickle.dumps((function, call))) for call in zip(*arguments, strict=False))
        return [pickle.loads(pickle.dumps(function(*call))) for function, call in calls]


def test_groups_side_by_side_are_the_same_as_one_after_the_other(data, monkeypatch, tmp_path):
    options = {"epochs": 1, "restarts": 3, "together": 2}
    apart = run_all(small(data, **options, output=str(tmp_path / "apart")))
    monkeypatch.setattr("training.memn2n.ProcessPoolExecutor", PickledCalls)
    beside = run_all(small(data, **options, processes=2, output=str(tmp_path / "beside")))
    assert [each.facts["seed"] for each in beside] == [1, 2, 3]
    assert [without_seconds(each.facts) for each in beside] == [without_seconds(each.facts) for each in apart]
    assert torch.equal(beside[2].weights["word_tables.0.weight"], apart[2].weights["word_tables.0.weight"])


def test_a_run_that_is_started_again_goes_on_with_the_groups_that_are_missing(data, monkeypatch, tmp_path):
    recipe = small(data, epochs=1, restarts=2, together=2, output=str(tmp_path))
    first, _ = run_all(recipe)
    trained, whole = [], Training.fit
    monkeypatch.setattr(Training, "fit", lambda training: trained.append(training.seeds) or whole(training))
    again, _, _ = run_all(dataclasses.replace(recipe, restarts=3))
    assert trained == [[3]] and again.facts == first.facts and again.learning_curve == first.learning_curve
    assert all(torch.equal(tensor, again.weights[name]) for name, tensor in first.weights.items())
    run_all(dataclasses.replace(recipe, epochs=2))
    assert trained == [[3], [1, 2]]  # restarts with other options are others
    assert not list(tmp_path.rglob("*.pt"))


def test_a_restart_that_diverged_is_not_chosen():
    assert Run({}, 1, [], {"training_loss": math.nan}).training_loss == math.inf
