"""Paths, sums over alignments and forced alignments, against their enumeration."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F

from models.ctc import Alignment, best_path, collapse, forced_alignment, log_probability, num_needed_steps


def random_log_probabilities(steps: int, vocabulary: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (2 * torch.randn(steps, vocabulary, generator=generator, dtype=torch.float64)).log_softmax(dim=1)


def paths_with_scores(log_probabilities: torch.Tensor) -> dict[tuple[int, ...], float]:
    steps, vocabulary = log_probabilities.shape
    return {
        path: sum(log_probabilities[step, label].item() for step, label in enumerate(path))
        for path in itertools.product(range(vocabulary), repeat=steps)
    }


def totals(log_probabilities: torch.Tensor, blank: int) -> dict[tuple[int, ...], float]:
    """Sum the paths of every sequence of labels, one by one."""
    sums: dict[tuple[int, ...], float] = {}
    for path, score in paths_with_scores(log_probabilities).items():
        labels = tuple(collapse(path, blank))
        sums[labels] = sums.get(labels, 0.0) + math.exp(score)
    return {labels: math.log(total) for labels, total in sums.items()}


@pytest.mark.parametrize("path", ["a-ab-", "-aa--abb-"])
def test_collapse_merges_repeats_before_it_drops_blanks(path):
    assert collapse(["-ab".index(letter) for letter in path], blank=0) == [1, 1, 2]


def test_collapse_of_nothing():
    assert collapse([], blank=0) == collapse([0, 0], blank=0) == []


def test_labels_and_the_blanks_between_equal_ones_need_steps():
    assert [num_needed_steps(labels) for labels in ([], [1], [1, 2], [1, 1], [1, 1, 1, 2])] == [0, 1, 2, 3, 6]


@pytest.mark.parametrize("blank", [0, 2])
def test_the_best_path_is_the_best_of_all(blank):
    for seed in range(5):
        log_probabilities = random_log_probabilities(5, 3, seed)
        found = best_path(log_probabilities, blank)
        paths = paths_with_scores(log_probabilities)
        assert tuple(found.path) == max(paths, key=paths.get)
        assert found.labels == collapse(found.path, blank)
        assert found.log_probability == pytest.approx(paths[tuple(found.path)], abs=1e-12)


@pytest.mark.parametrize("blank", [0, 2])
@pytest.mark.parametrize("steps", [1, 2, 5, 6])
def test_it_sums_over_all_alignments(blank, steps):
    log_probabilities = random_log_probabilities(steps, 3, seed=steps)
    expected = totals(log_probabilities, blank)
    found = log_probability(log_probabilities, list(expected), blank)  # of all lengths together
    assert found.dtype == torch.float64
    assert found.tolist() == pytest.approx(list(expected.values()), abs=1e-12)
    assert found.exp().sum().item() == pytest.approx(1, abs=1e-12)


def test_the_sum_is_that_of_the_training_loss():
    log_probabilities = random_log_probabilities(50, 6)
    sequences = [[1, 2, 2, 5], [3], [4] * 20, []]
    found = log_probability(log_probabilities.float(), sequences, blank=0)
    for labels, total in zip(sequences, found, strict=True):
        length = torch.tensor([len(labels)])
        targets = torch.tensor([labels], dtype=torch.long)
        loss = F.ctc_loss(log_probabilities.unsqueeze(1), targets, torch.tensor([50]), length, reduction="sum")
        assert total.item() == pytest.approx(-loss.item(), rel=1e-6)


def test_labels_that_do_not_fit_are_impossible_and_nothing_is_certain_of_nothing():
    found = log_probability(random_log_probabilities(2, 3), [[1, 1], [1, 2, 1], [1, 2]], blank=0)
    assert found[:2].tolist() == [-math.inf, -math.inf] and math.isfinite(found[2])
    assert log_probability(torch.empty(0, 3), [[], [1]], blank=0).tolist() == [0.0, -math.inf]
    assert log_probability(torch.empty(4, 3), [], blank=0).tolist() == []


def test_what_can_only_be_blank_stays_a_number():
    log_probabilities = torch.full((4, 3), -math.inf)
    log_probabilities[:, 0] = 0.0
    assert log_probability(log_probabilities, [[], [1]], blank=0).tolist() == [0.0, -math.inf]


@pytest.mark.parametrize("blank", [0, 2])
@pytest.mark.parametrize("labels", [[], [1], [1, 1], [1, 1, 1], "other", "both"])
def test_the_alignment_is_the_best_path_of_the_labels(blank, labels):
    other = 2 - blank
    labels = {"other": [other], "both": [1, other, other]}.get(labels, labels) if isinstance(labels, str) else labels
    for seed in range(5):
        log_probabilities = random_log_probabilities(6, 3, seed)
        paths = paths_with_scores(log_probabilities)
        expected = max((path for path in paths if collapse(path, blank) == labels), key=paths.get)
        found = forced_alignment(log_probabilities, labels, blank)
        path = tuple(blank if position == -1 else labels[position] for position in found.positions)
        assert path == expected
        assert found.log_probability == pytest.approx(paths[expected], abs=1e-12)


def test_each_label_has_a_span():
    assert Alignment([-1, 0, 0, -1, 1, 2, 2, 2, -1], 0.0).spans() == [(1, 3), (4, 5), (5, 8)]
    assert Alignment([-1, -1], 0.0).spans() == Alignment([], 0.0).spans() == []
    spans = forced_alignment(random_log_probabilities(9, 3), [1, 1, 2, 1], blank=0).spans()
    assert len(spans) == 4
    assert all(start < end for start, end in spans)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans))
    assert spans[0][1] < spans[1][0]  # a blank between the equal labels


def test_nothing_is_aligned_with_no_steps():
    assert forced_alignment(torch.empty(0, 3), [], blank=0) == Alignment([], 0.0)


def test_just_enough_steps_leave_one_alignment():
    log_probabilities = random_log_probabilities(4, 3)
    found = forced_alignment(log_probabilities, [1, 1, 2], blank=0)
    assert found.positions == [0, -1, 1, 2]
    assert found.log_probability == pytest.approx(log_probability(log_probabilities, [[1, 1, 2]], blank=0).item())


def test_a_long_alignment_is_found_where_it_was_put():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(1, 28, (150,), generator=generator).tolist()
    log_probabilities = torch.full((1200, 28), -12.0)
    log_probabilities[:, 0] = -0.1
    for position, label in enumerate(labels):
        log_probabilities[8 * position + 3, [0, label]] = torch.tensor([-12.0, -0.1])
    found = forced_alignment(log_probabilities, labels, blank=0)
    assert found.spans() == [(8 * position + 3, 8 * position + 4) for position in range(150)]
    assert found.log_probability == pytest.approx(-120, abs=1e-3)


def test_what_cannot_be_aligned_is_refused():
    with pytest.raises(ValueError, match="3 labels needs 4 steps; got 3"):
        forced_alignment(random_log_probabilities(3, 3), [1, 1, 2], blank=0)
    with pytest.raises(ValueError, match="every alignment of these 1 labels has probability 0".capitalize()):
        forced_alignment(torch.tensor([[0.0, -math.inf]]), [1], blank=0)
    for function in (lambda *given: forced_alignment(*given), lambda *given: log_probability(given[0], [given[1]], 0)):
        with pytest.raises(ValueError, match="must not contain the blank, 0"):
            function(random_log_probabilities(3, 3), [1, 0], 0)
