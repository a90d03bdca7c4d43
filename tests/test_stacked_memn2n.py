"""Networks side by side compute, and learn, what each of them does by itself."""

import math

import pytest
import torch

from models.modeling_memn2n import Memn2nForQuestionAnswering
from training.stacked_memn2n import StackedMemn2n
from training.story_batches import StoryBatch

from .tiny import memn2n_config

VARIANTS = [
    {},
    {"sentence_encoding": "fixed_position", "null_memories": True},
    {"sentence_encoding": "fixed_position", "null_memories": True, "weighted_ages": True},
    {"sentence_encoding": "bag_of_words", "temporal_encoding": False},
    {"tying": "layer_wise", "hop_activation": "relu"},
    {"gated": True, "null_memories": True, "num_hops": 1},
]
NUM_NETWORKS = 3


@pytest.fixture(params=VARIANTS, ids=str)
def models(request):
    torch.manual_seed(0)
    config = memn2n_config(**request.param)
    return [Memn2nForQuestionAnswering(config).double() for _ in range(NUM_NETWORKS)]


@pytest.fixture
def word_ids(models):
    """Twelve sentences of one to four words; the first one is empty."""
    words = torch.randint(1, models[0].config.vocab_size, (12, 4))
    lengths = torch.tensor([0, 1, 2, 3, 4, 4, 3, 2, 1, 4, 3, 2])
    return words * (torch.arange(4) < lengths.unsqueeze(1))


@pytest.fixture
def batch(models):
    """Stories that share sentences, have gaps, or have nothing."""
    stories = torch.tensor([[1, 2, 3, 4, 5], [3, 3, 0, 6, 0], [0, 0, 0, 0, 0], [7, 8, 9, 0, 0]])
    ages = torch.tensor([[60, 5, 3, 1, 0], [4, 3, 2, 1, 0], [0, 0, 0, 0, 0], [2, 1, 0, -1, -1]])
    labels = torch.arange(4) % models[0].config.num_labels
    return StoryBatch(stories, ages, torch.tensor([9, 10, 11, 10]), labels)


def apart(model, word_ids, batch, linear):
    return model(word_ids[batch.stories], word_ids[batch.questions], batch.labels, linear, batch.ages)


@pytest.mark.parametrize("linear", [False, True])
def test_each_network_answers_as_by_itself(models, word_ids, batch, linear):
    logits = StackedMemn2n(models)(word_ids, batch, linear)
    losses, is_right = StackedMemn2n(models).losses(word_ids, batch, linear)
    for number, model in enumerate(models):
        alone = apart(model, word_ids, batch, linear)
        torch.testing.assert_close(logits[number], alone.logits)
        torch.testing.assert_close(losses[number].mean(), alone.loss)
        assert is_right[number].tolist() == (alone.logits.argmax(dim=1) == batch.labels).tolist()


def test_each_network_takes_its_own_step_of_plain_gradient_descent(models, word_ids, batch):
    stacked = StackedMemn2n(models)
    (4 * apart(models[1], word_ids, batch, False).loss).backward()
    norm = math.sqrt(sum(float(parameter.grad.square().sum()) for parameter in models[1].parameters()))
    stacked.step(word_ids, batch, False, learning_rate=0.1, max_norm=norm / 2)
    for model in models:
        model.zero_grad()
        (4 * apart(model, word_ids, batch, False).loss).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), norm / 2)
    for number, model in enumerate(models):
        weights = stacked.weights_of(number)
        assert weights.keys() == model.state_dict().keys()
        for name, parameter in model.named_parameters():
            torch.testing.assert_close(weights[name], (parameter - 0.1 * parameter.grad).detach())


def test_a_network_that_diverged_leaves_the_others_alone(models, word_ids, batch):
    with torch.no_grad():
        models[0].word_tables[0].weight.mul_(math.inf)
    stacked = StackedMemn2n(models)
    stacked.step(word_ids, batch, False, 0.1, 40.0)
    assert not all(bool(weights.isfinite().all()) for weights in stacked.weights_of(0).values())
    assert all(bool(weights.isfinite().all()) for weights in stacked.weights_of(2).values())


def test_an_answer_without_a_number_is_wrong_and_has_no_loss(models, word_ids, batch):
    losses, is_right = StackedMemn2n(models).losses(
        word_ids, StoryBatch(batch.stories, batch.ages, batch.questions, torch.full((4,), -100))
    )
    assert losses.eq(0).all() and not is_right.any()
