"""Beam search against enumeration, a plain greedy loop, and transformers' generate."""

import itertools
import math

import pytest
import torch

from models.beam_search import beam_search
from models.decoding import DecodingOptions, coverage_penalty
from models.token_stepper import TorchStepper

from .test_modeling_attention_nmt import batch
from .tiny import attention_nmt_model

END = 2


@pytest.fixture
def model():
    return attention_nmt_model(vocab_size=12).double()


@pytest.fixture
def sources():
    ids, mask, _ = batch(3, 7, 5, vocab_size=12)
    return ids, mask


def log_probability(model, source, target):
    """Return log P(target | source), the pieces scored one by one."""
    labels = torch.tensor([target])
    logits = model(torch.tensor([source]), labels=labels).logits[0]
    return sum(logits.log_softmax(dim=-1)[step, piece].item() for step, piece in enumerate(target))


def greedy(model, source, length):
    """Take the likeliest piece until the end."""
    target = []
    while len(target) < length and END not in target:
        logits = model(torch.tensor([source]), labels=torch.tensor([[*target, END]])).logits[0, len(target)]
        target.append(int(logits.argmax()))
    return target


def rows(ids, mask):
    return [source[real].tolist() for source, real in zip(ids, mask, strict=True)]


def test_one_beam_is_greedy_search(model, sources):
    found = model.translate(*sources, max_new_tokens=9)
    assert [hypotheses[0].token_ids for hypotheses in found] == [greedy(model, s, 9) for s in rows(*sources)]


@pytest.mark.parametrize("penalty", [0.0, 1.0])
def test_a_beam_as_wide_as_the_search_space_finds_what_enumeration_finds(penalty):
    model, source, pieces = attention_nmt_model(vocab_size=6).double(), [5, 3, 4], range(6)
    found = model.translate(
        torch.tensor([source]),
        torch.ones(1, 3),
        num_beams=36,
        num_return_sequences=20,
        max_new_tokens=3,
        length_penalty=penalty,
        early_stopping="never",
    )[0]

    endings = [(END,), *((a, END) for a in pieces if a != END)]
    endings += [(a, b, c) for a, b, c in itertools.product(pieces, repeat=3) if END not in (a, b)]
    scores = {target: log_probability(model, source, target) / len(target) ** penalty for target in endings}
    best = sorted(scores, key=scores.get, reverse=True)[:20]
    assert [tuple(hypothesis.token_ids) for hypothesis in found] == best
    assert [hypothesis.score for hypothesis in found] == pytest.approx([scores[target] for target in best])


@pytest.mark.parametrize(
    ("beams", "options"),
    [
        (1, {}),
        *itertools.product(
            (2, 5), ({}, {"length_penalty": 0.0}, {"early_stopping": True}, {"early_stopping": "never"})
        ),
    ],
)
def test_equals_generate_token_for_token(model, sources, beams, options):
    ids, mask = sources
    model.generation_config.update(max_new_tokens=10)
    theirs = model.generate(ids, attention_mask=mask, num_beams=beams, num_return_sequences=beams, **options)
    ours = model.translate(ids, mask, num_beams=beams, num_return_sequences=beams, **options)
    expected = [row[1:].tolist() for row in theirs]
    flat = [hypothesis.token_ids for hypotheses in ours for hypothesis in hypotheses]
    assert [row + [0] * (len(expected[0]) - len(row)) for row in flat] == expected


@pytest.mark.parametrize(
    "options", [{"min_new_tokens": 6}, {"no_repeat_ngram_size": 2}, {"suppress_tokens": [3, 5, 7]}], ids=str
)
def test_constraints_equal_those_of_generate(model, sources, options):
    ids, mask = sources
    theirs = model.generate(ids, attention_mask=mask, num_beams=3, max_new_tokens=10, **options)
    ours = model.translate(ids, mask, num_beams=3, max_new_tokens=10, **options)
    for row, hypotheses in zip(theirs, ours, strict=True):
        tokens = hypotheses[0].token_ids
        assert row[1 : len(tokens) + 1].tolist() == tokens


def test_a_mixed_batch_gives_what_single_sentences_give(model, sources):
    options = {"num_beams": 4, "num_return_sequences": 4, "max_new_tokens": 9, "coverage_penalty": 0.3}
    together = model.translate(*sources, **options)
    for hypotheses, source in zip(together, rows(*sources), strict=True):
        alone = model.translate(torch.tensor([source]), torch.ones(1, len(source)), **options)[0]
        assert [h.token_ids for h in hypotheses] == [h.token_ids for h in alone]
        assert [h.score for h in hypotheses] == pytest.approx([h.score for h in alone])
        for ours, theirs in zip(hypotheses, alone, strict=True):
            torch.testing.assert_close(ours.attention, theirs.attention)


@pytest.mark.parametrize("early_stopping", [True, False])
def test_an_input_that_is_done_is_left_alone_while_others_go_on(model, early_stopping):
    with torch.no_grad():
        model.output_projection.bias[END] += 3.5  # ends come early, at different lengths
    ids, mask, _ = batch(3, 7, 5, 6, 4, 7, 3, 5, seed=3, vocab_size=12)
    options = {"num_beams": 3, "max_new_tokens": 20, "early_stopping": early_stopping, "length_penalty": 2.0}
    together = model.translate(ids, mask, num_return_sequences=3, **options)
    for hypotheses, source in zip(together, rows(ids, mask), strict=True):
        alone = model.translate(torch.tensor([source]), torch.ones(1, len(source)), num_return_sequences=3, **options)
        assert [h.token_ids for h in hypotheses] == [h.token_ids for h in alone[0]]
    assert len({len(hypotheses[0].token_ids) for hypotheses in together}) > 1


def test_evidence_belongs_to_its_hypothesis(model, sources):
    options = {"coverage_penalty": 0.2, "length_penalty": 0.7, "length_normalization": "gnmt"}
    found = model.translate(*sources, num_beams=5, num_return_sequences=5, max_new_tokens=9, **options)
    for hypotheses, source in zip(found, rows(*sources), strict=True):
        assert len({tuple(h.token_ids) for h in hypotheses}) == 5
        for hypothesis in hypotheses:
            given = model.score(torch.tensor([source]), torch.ones(1, len(source)), [hypothesis.token_ids], **options)[
                0
            ]
            assert hypothesis.token_log_probabilities == pytest.approx(given.token_log_probabilities)
            assert hypothesis.score == pytest.approx(given.score)
            assert hypothesis.score_parts == pytest.approx(given.score_parts)
            torch.testing.assert_close(hypothesis.attention, given.attention)
            assert hypothesis.attention.sum(dim=1).tolist() == pytest.approx([1.0] * len(hypothesis.token_ids))


def test_scores_are_made_of_their_parts_and_sorted(model, sources):
    options = {"coverage_penalty": 0.4, "length_penalty": 0.6, "length_normalization": "gnmt"}
    for hypotheses in model.translate(*sources, num_beams=4, num_return_sequences=4, max_new_tokens=8, **options):
        assert [h.score for h in hypotheses] == sorted((h.score for h in hypotheses), reverse=True)
        for hypothesis in hypotheses:
            length, attention = len(hypothesis.token_ids), hypothesis.attention.tolist()
            received = [sum(row[j] for row in attention) for j in range(len(attention[0]))]
            coverage = 0.4 * sum(math.log(min(amount, 1.0)) for amount in received)
            total = sum(hypothesis.token_log_probabilities)
            assert hypothesis.score == pytest.approx(total / ((5 + length) / 6) ** 0.6 + coverage, abs=1e-5)


def test_a_coverage_penalty_prefers_hypotheses_that_read_everything():
    """Two answers as likely as each other: one reads both source positions, the other one twice."""

    class Still:
        def __init__(self, last):
            self.last = last

        def select(self, rows):
            return Still(self.last[rows])

    def step(tokens, state, memory):
        logits = torch.full((len(tokens), 6), -20.0)
        attention = torch.tensor([[0.99, 0.01]]).repeat(len(tokens), 1)
        for row, token in enumerate(tokens.tolist()):
            logits[row, [3, 4] if token == 1 else [END]] = 0.0
            if token == 3:
                attention[row] = torch.tensor([0.01, 0.99])
        return logits, Still(tokens), attention

    mask, config = torch.ones(1, 2, dtype=torch.bool), attention_nmt_model(vocab_size=6).config
    for weight, best in ((0.5, 3), (0.0, None)):
        options = DecodingOptions(num_beams=2, num_return_sequences=2, max_new_tokens=3, coverage_penalty=weight)
        stepper = TorchStepper(step, Still(torch.zeros(1)), None, mask.device)
        first, second = beam_search(stepper, mask, options, config)[0]
        assert (
            first.score - second.score == pytest.approx(0.0, abs=1e-6) if best is None else first.token_ids[0] == best
        )


def test_coverage_counts_a_position_at_most_once_and_never_as_nothing():
    assert coverage_penalty(torch.tensor([2.0, 1.0]), 1.0) == 0.0
    assert coverage_penalty(torch.tensor([0.0]), 2.0) == pytest.approx(2 * math.log(1e-6))


def test_a_forced_prefix_begins_every_hypothesis_and_counts_in_its_score(model, sources):
    found = model.translate(
        *sources,
        num_beams=3,
        num_return_sequences=3,
        max_new_tokens=8,
        prefix_ids=(7, 4, 9),
        length_penalty=0.0,
    )
    for hypotheses, source in zip(found, rows(*sources), strict=True):
        for hypothesis in hypotheses:
            assert hypothesis.token_ids[:3] == [7, 4, 9]
            assert hypothesis.score == pytest.approx(log_probability(model, source, hypothesis.token_ids))
    theirs = model.generate(
        *sources[:1],
        attention_mask=sources[1],
        decoder_input_ids=torch.tensor([[1, 7, 4, 9]] * 3),
        num_beams=3,
        max_new_tokens=5,
        length_penalty=0.0,
    )
    for row, hypotheses in zip(theirs, found, strict=True):
        tokens = hypotheses[0].token_ids
        assert row[1 : len(tokens) + 1].tolist() == tokens


def test_lengths_stay_within_their_limits(model, sources):
    for hypotheses in model.translate(
        *sources, num_beams=3, num_return_sequences=3, min_new_tokens=4, max_new_tokens=6
    ):
        for hypothesis in hypotheses:
            content = [token for token in hypothesis.token_ids if token != END]
            assert len(content) >= 4 and len(hypothesis.token_ids) <= 6


def test_an_unknown_option_is_an_error(model, sources):
    with pytest.raises(TypeError, match="beam_width"):
        model.translate(*sources, beam_width=3)


def test_half_precision_scores_are_close(sources):
    exact, rough = attention_nmt_model(vocab_size=12), attention_nmt_model(vocab_size=12).to(torch.bfloat16)
    target = [[4, 5, END]] * 3
    for ours, theirs in zip(exact.score(*sources, target), rough.score(*sources, target), strict=True):
        assert ours.score == pytest.approx(theirs.score, rel=0.05)


def test_inputs_that_are_done_cost_nothing_more(model, monkeypatch):
    ids, mask, _ = batch(3, 7, 5, vocab_size=12)
    with torch.no_grad():
        model.output_projection.bias[END] += 2.5  # so that it ends, sooner or later
    rows = []
    advance = TorchStepper.advance

    def counted(stepper, tokens, *rest):
        rows.append(len(tokens))
        return advance(stepper, tokens, *rest)

    monkeypatch.setattr(TorchStepper, "advance", counted)
    together = model.translate(ids, mask, num_beams=2, max_new_tokens=30)
    spent, steps = sum(rows), []
    for row, length in zip(ids, (3, 7, 5), strict=True):
        rows.clear()
        model.translate(row[None, :length], torch.ones(1, length), num_beams=2, max_new_tokens=30)
        steps.append(len(rows))
    assert spent == sum(1 + 2 * (number - 1) for number in steps)
    assert len({len(hypotheses[0].token_ids) for hypotheses in together}) > 1 and len(set(steps)) > 1
