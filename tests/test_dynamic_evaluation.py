"""Learning from what was just predicted: never from what comes, and never in the model that was given."""

import copy

import pytest
import torch

from training.char_rnn_evaluation import nats_per_character
from training.dynamic_evaluation import choose_learning_rate, dynamic_nats_per_character

from .tiny import char_rnn_model


@pytest.fixture
def model():
    return char_rnn_model()


def text(length, seed=0):
    return torch.randint(1, 9, (length,), generator=torch.Generator().manual_seed(seed))


def test_without_learning_it_is_the_ordinary_loss(model):
    ids = text(53)
    assert dynamic_nats_per_character(model, ids, 0.0, 7) == pytest.approx(nats_per_character(model, ids), rel=1e-5)


def test_it_is_one_gradient_step_after_each_segment(model):
    ids, learner, losses, state = text(10), copy.deepcopy(model), [], None
    optimizer = torch.optim.SGD(learner.parameters(), 0.2)
    for start in (0, 4, 8):
        part = ids[start : start + 4].unsqueeze(0)
        output = learner(part, labels=part, past_key_values=state)
        losses.append(output.loss.item() * part.shape[1])
        optimizer.zero_grad()
        output.loss.backward()
        optimizer.step()
        state = output.past_key_values.detach()
    assert dynamic_nats_per_character(model, ids, 0.2, 4) == pytest.approx(sum(losses) / 10, rel=1e-5)


def test_what_comes_later_changes_nothing_before(model):
    ids, other = text(30), text(30)
    other[20:] = 3
    parts = [dynamic_nats_per_character(model, numbers[:20], 0.3, 5) for numbers in (ids, other)]
    assert parts[0] == parts[1]


def test_a_text_that_repeats_itself_is_learnt_and_the_model_is_as_before(model):
    before = copy.deepcopy(model.state_dict())
    ids = text(12).repeat(40)
    assert dynamic_nats_per_character(model, ids, 0.3) < nats_per_character(model, ids) - 0.2
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_the_best_rate_is_chosen(model):
    ids = text(12).repeat(20)
    rates = (0.0, 0.3, 1e4)
    assert choose_learning_rate(model, ids, rates) == 0.3
