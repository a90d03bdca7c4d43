"""Additive attention against its equation."""

import math

import pytest
import torch

from models.attention import AdditiveAttention


@pytest.fixture
def attention():
    torch.manual_seed(0)
    return AdditiveAttention(query_size=3, key_size=4, attention_size=5).double()


def naive_weights(attention, query, keys):
    """e_j = v . tanh(W s + U h_j + b); softmax over j (Bahdanau et al. 2014, appendix A.1.2), in loops."""
    state = attention.state_dict()
    energies = []
    for key in keys.tolist():
        energy = 0.0
        for unit in range(5):
            inner = state["key_projection.bias"][unit].item()
            inner += sum(state["query_projection.weight"][unit, i].item() * query[i].item() for i in range(3))
            inner += sum(state["key_projection.weight"][unit, i].item() * key[i] for i in range(4))
            energy += state["energy.weight"][0, unit].item() * math.tanh(inner)
        energies.append(energy)
    total = sum(math.exp(energy) for energy in energies)
    return [math.exp(energy) / total for energy in energies]


def test_equals_the_equation_for_every_query_of_a_source(attention):
    keys, queries = torch.randn(2, 6, 4).double(), torch.randn(2 * 3, 3).double()
    context, weights = attention(queries, keys, attention.project_keys(keys))

    for row in range(6):
        expected = naive_weights(attention, queries[row], keys[row // 3])
        assert weights[row].tolist() == pytest.approx(expected, abs=1e-12)
        for feature in range(4):
            mean = sum(w * keys[row // 3, j, feature].item() for j, w in enumerate(expected))
            assert context[row, feature].item() == pytest.approx(mean, abs=1e-12)


def test_padding_gets_no_weight_and_changes_nothing(attention):
    keys, query = torch.randn(1, 3, 4).double(), torch.randn(1, 3).double()
    alone, weights_alone = attention(query, keys, attention.project_keys(keys))

    padded = torch.cat([keys, torch.full((1, 2, 4), 1e30).double()], dim=1)
    mask = torch.tensor([[True, True, True, False, False]])
    context, weights = attention(query, padded, attention.project_keys(padded), mask)

    torch.testing.assert_close(weights[:, :3], weights_alone)
    assert weights[:, 3:].tolist() == [[0.0, 0.0]]
    torch.testing.assert_close(context, alone)


def test_gradients_are_those_of_finite_differences(attention):
    keys, query = torch.randn(1, 3, 4).double(), torch.randn(2, 3).double()
    mask = torch.tensor([[True, True, False]])

    def context(query, keys):
        return attention(query, keys, attention.project_keys(keys), mask)[0]

    assert torch.autograd.gradcheck(context, (query.requires_grad_(), keys.requires_grad_()))
