"""Attention NMT against the paper's equations, and its own contract."""

import itertools
import math

import pytest
import torch
from huggingface_hub.errors import StrictDataclassError

from models.configuration_attention_nmt import AttentionNmtConfig
from models.modeling_attention_nmt import AttentionNmtForConditionalGeneration

from .tiny import attention_nmt_config, attention_nmt_model

PAPER = {
    "attention_query": "previous_state",
    "input_feeding": False,
    "readout_activation": "maxout",
    "tie_word_embeddings": False,
}
VARIANTS = [
    {},
    PAPER,
    {"cell_type": "lstm"},
    {"encoder_layers": 2, "decoder_layers": 2},
    {"cell_type": "lstm", "decoder_layers": 2, **PAPER},
    {"attention_query": "previous_state", "input_feeding": True},
    {"input_feeding": False, "tie_word_embeddings": False},
    {"input_feeding": False, "cell_type": "lstm", "decoder_layers": 2},
]
COMPARED = [
    {"attention_type": "none"},
    {"attention_type": "none", "cell_type": "lstm", "encoder_layers": 2, **PAPER},
    {"attention_type": "none", "reverse_source": True, "bidirectional_encoder": False, "input_feeding": False},
    {"reverse_source": True, "cell_type": "lstm", "encoder_layers": 2, "decoder_layers": 2},
    {"reverse_source": True, "input_feeding": False},
    {"bidirectional_encoder": False},
]
"""Networks that are there to be compared with; they have no graphs."""


@pytest.fixture(params=[*VARIANTS, *COMPARED], ids=lambda options: ",".join(map(str, options.values())) or "default")
def model(request):
    return attention_nmt_model(**request.param)


def batch(*lengths, seed=1, vocab_size=60):
    """Return sources of the given lengths, their mask, and targets one longer."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(4, vocab_size, (len(lengths), max(lengths)), generator=generator)
    mask = torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1)
    labels = torch.randint(4, vocab_size, (len(lengths), max(lengths) + 1), generator=generator)
    label_mask = torch.arange(max(lengths) + 1) < torch.tensor(lengths).unsqueeze(1) + 1
    return ids.masked_fill(~mask, 0), mask, labels.masked_fill(~label_mask, -100)


def gru_cell(weights, prefix, x, h):
    """One GRU step in torch's form: h' = (1 - z) n + z h, n = tanh(W x + r (U h))."""
    gates_x = weights[f"{prefix}.weight_ih"] @ x + weights[f"{prefix}.bias_ih"]
    gates_h = weights[f"{prefix}.weight_hh"] @ h + weights[f"{prefix}.bias_hh"]
    reset_x, update_x, new_x = gates_x.chunk(3)
    reset_h, update_h, new_h = gates_h.chunk(3)
    reset, update = torch.sigmoid(reset_x + reset_h), torch.sigmoid(update_x + update_h)
    return (1 - update) * torch.tanh(new_x + reset * new_h) + update * h


def naive_logits(model, source, target):
    """Appendix A, a piece at a time, without batches: the paper's order and ours."""
    weights, config = model.state_dict(), model.config
    embed = weights["encoder.embedding.weight"]
    size = config.encoder_hidden_size

    def direction(ids, suffix):
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        cell = {f"c.{name}": weights[f"encoder.recurrent.layers.{name}_l0{suffix}"] for name in names}
        state, states = torch.zeros(size).double(), []
        for index in ids:
            state = gru_cell(cell, "c", embed[index], state)
            states.append(state)
        return states

    forward, backward = direction(source, ""), direction(source[::-1], "_reverse")[::-1]
    annotations = [torch.cat(pair) for pair in zip(forward, backward, strict=True)]
    state = torch.tanh(
        weights["decoder.initial_projection.weight"] @ backward[0] + weights["decoder.initial_projection.bias"]
    )
    readout, logits = torch.zeros(config.embedding_size).double(), []

    def attend(query):
        energies = [
            weights["decoder.attention.energy.weight"][0]
            @ torch.tanh(
                weights["decoder.attention.query_projection.weight"] @ query
                + weights["decoder.attention.key_projection.weight"] @ annotation
                + weights["decoder.attention.key_projection.bias"]
            )
            for annotation in annotations
        ]
        alphas = [energy.exp() / sum(e.exp() for e in energies) for energy in energies]
        return sum(alpha * annotation for alpha, annotation in zip(alphas, annotations, strict=True))

    for last in [config.decoder_start_token_id, *target[:-1]]:
        y = weights["decoder.embedding.weight"][last]
        if config.attention_query == "previous_state":
            context, seen = attend(state), state
            state = gru_cell(weights, "decoder.cells.cells.0", torch.cat([y, context]), state)
        else:
            state = gru_cell(weights, "decoder.cells.cells.0", torch.cat([y, readout]), state)
            context, seen = attend(state), state
        t = weights["decoder.readout_projection.weight"] @ torch.cat([seen, y, context])
        t = t + weights["decoder.readout_projection.bias"]
        maxout = config.readout_activation == "maxout"
        readout = torch.stack([pair.max() for pair in t.view(-1, 2)]) if maxout else torch.tanh(t)
        logits.append(weights["output_projection.weight"] @ readout + weights["output_projection.bias"])
    return torch.stack(logits)


@pytest.mark.parametrize("options", [PAPER, {}], ids=["paper", "default"])
def test_logits_equal_the_equations(options):
    model = attention_nmt_model(**options).double()
    source, target = [5, 9, 30, 2], [8, 41, 17, 2]
    output = model(torch.tensor([source]), labels=torch.tensor([target]))

    expected = naive_logits(model, source, target)
    torch.testing.assert_close(output.logits[0], expected, rtol=1e-9, atol=1e-9)
    nats = [-expected[i].log_softmax(0)[piece].item() for i, piece in enumerate(target)]
    assert output.loss.item() == pytest.approx(sum(nats) / 4)


def test_padded_equals_alone_whatever_the_padding_holds(model):
    ids, mask, labels = batch(3, 7)
    ids = torch.where(mask, ids, 59)
    together = model(ids, mask, labels=labels)

    for row, length in enumerate((3, 7)):
        alone = model(ids[row : row + 1, :length], labels=labels[row : row + 1, : length + 1])
        torch.testing.assert_close(together.logits[row, : length + 1], alone.logits[0], rtol=1e-4, atol=1e-5)
        if model.config.attention_type == "none":
            assert together.cross_attentions is None and alone.cross_attentions is None
            continue
        attention = together.cross_attentions[0][row, : length + 1]
        torch.testing.assert_close(attention[:, :length], alone.cross_attentions[0][0], rtol=1e-4, atol=1e-5)
        assert attention[:, length:].abs().sum() == 0


def test_one_step_at_a_time_equals_the_whole_sequence(model):
    ids, mask, labels = batch(4, 6)
    whole = model(ids, mask, labels=labels).logits
    inputs, state, steps = model.prepare_decoder_input_ids_from_labels(labels), None, []
    for piece in inputs.unbind(dim=1):
        output = model(ids, mask, decoder_input_ids=piece.unsqueeze(1), past_key_values=state)
        state = output.past_key_values
        steps.append(output.logits)
    torch.testing.assert_close(torch.cat(steps, dim=1), whole, rtol=1e-4, atol=1e-5)


def test_padding_gets_no_gradient_and_every_parameter_gets_some(model):
    ids, mask, labels = batch(3, 5)
    model(ids, mask, labels=labels).loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
    used = set(ids[mask].tolist()) | set(labels[labels >= 0].tolist()) | {model.config.decoder_start_token_id}
    unused = sorted(set(range(60)) - used)
    if not model.config.tie_word_embeddings:  # tied, every row is an output row too
        assert model.encoder.embedding.weight.grad[unused].abs().sum() == 0
        assert model.decoder.embedding.weight.grad[unused].abs().sum() == 0
    assert model.encoder.embedding.weight.grad[0].abs().sum() == 0 or model.config.tie_word_embeddings


def test_loss_ignores_padded_labels_and_smooths_in_training_only():
    ids, mask, labels = batch(3, 5)
    model = attention_nmt_model(label_smoothing=0.1)
    logits = model(ids, mask, labels=labels).logits
    log_probabilities = logits.log_softmax(dim=-1)
    real = [(row, step) for row, step in itertools.product(range(2), range(6)) if labels[row, step] >= 0]
    nats = [-log_probabilities[row, step, labels[row, step]].item() for row, step in real]
    uniform = [-log_probabilities[row, step].mean().item() for row, step in real]

    assert model(ids, mask, labels=labels).loss.item() == pytest.approx(sum(nats) / len(nats), rel=1e-5)
    expected = 0.9 * sum(nats) / len(nats) + 0.1 * sum(uniform) / len(uniform)
    assert model.train()(ids, mask, labels=labels).loss.item() == pytest.approx(expected, rel=1e-5)


def test_first_loss_is_that_of_guessing_and_a_batch_is_learnt_by_heart():
    torch.manual_seed(0)
    model = AttentionNmtForConditionalGeneration(attention_nmt_config(embedding_size=16, decoder_hidden_size=16))
    ids, mask, labels = batch(3, 5, 4)
    assert model(ids, mask, labels=labels).loss.item() == pytest.approx(math.log(60), rel=0.05)

    optimiser = torch.optim.Adam(model.parameters(), lr=0.03)
    for _ in range(150):
        optimiser.zero_grad()
        loss = model(ids, mask, labels=labels).loss
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.05
    found = model.eval().translate(ids, mask, max_new_tokens=4)
    assert [hypotheses[0].token_ids for hypotheses in found] == [row[:4].tolist() for row in labels]


def test_dropout_is_off_in_evaluation_and_on_in_training():
    ids, mask, labels = batch(3, 5)
    model = attention_nmt_model(embedding_dropout=0.5, encoder_dropout=0.5, readout_dropout=0.5)
    assert model(ids, mask, labels=labels).loss == model(ids, mask, labels=labels).loss
    model.train()
    assert model(ids, mask, labels=labels).loss != model(ids, mask, labels=labels).loss


def test_tied_embeddings_are_one_matrix_and_untied_three():
    assert (
        attention_nmt_model().num_parameters() + 2 * 60 * 6
        == attention_nmt_model(tie_word_embeddings=False).num_parameters()
    )


@pytest.mark.parametrize(
    "options",
    [
        {"cell_type": "elman"},
        {"attention_query": "none"},
        {"readout_activation": "relu"},
        {"attention_type": "dot"},
    ],
)
def test_a_configuration_that_cannot_be_built_is_refused(options):
    with pytest.raises(StrictDataclassError, match=next(iter(options))):
        AttentionNmtConfig(**options)


def test_two_requests_at_once_do_not_read_each_other(model):
    first, second = batch(4, seed=1), batch(6, seed=2)
    memories = [
        model.decoder.prepare(model.encoder(ids, mask).last_hidden_state, mask) for ids, mask, _ in (first, second)
    ]
    states = [model.decoder.initial_state(memory) for memory in memories]
    piece = model.decoder.embed(torch.tensor([7]))
    alone, _ = model.decoder.step(piece, states[0], memories[0])
    model.decoder.step(piece, states[1], memories[1])
    again, _ = model.decoder.step(piece, states[0], memories[0])
    torch.testing.assert_close(alone.readout, again.readout, rtol=0, atol=0)


def lstm(weights, prefix, suffix, inputs):
    """Run an LSTM over inputs, a step at a time; return its last state."""
    of_input, of_hidden, bias, other = (
        weights[f"{prefix}.{name}{suffix}"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    state = memory = torch.zeros(of_hidden.shape[1]).double()
    for values in inputs:
        entering, keeping, candidate, leaving = (of_input @ values + of_hidden @ state + bias + other).chunk(4)
        memory = torch.sigmoid(keeping) * memory + torch.sigmoid(entering) * torch.tanh(candidate)
        state = torch.sigmoid(leaving) * torch.tanh(memory)
    return state


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("reverse", [False, True])
def test_without_attention_every_step_reads_what_the_encoder_ends_with(bidirectional, reverse):
    options = {"input_feeding": False, "bidirectional_encoder": bidirectional, "reverse_source": reverse}
    model = attention_nmt_model(attention_type="none", cell_type="lstm", **options).double()
    source, target = [5, 9, 30, 2], [8, 41, 17, 2]
    weights = model.state_dict()
    embedded = [weights["encoder.embedding.weight"][piece] for piece in source]
    read = embedded[::-1] if reverse else embedded
    ends = [lstm(weights, "encoder.recurrent.layers", "_l0", read)]
    if bidirectional:
        ends.append(lstm(weights, "encoder.recurrent.layers", "_l0_reverse", read[::-1]))
    context = torch.cat(ends)

    memory = torch.zeros(7).double()
    state = torch.tanh(
        weights["decoder.initial_projection.weight"] @ context + weights["decoder.initial_projection.bias"]
    )
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    of_input, of_hidden, bias, other = (weights[f"decoder.cells.cells.0.{name}"] for name in names)
    for step, last in enumerate([model.config.decoder_start_token_id, *target[:-1]]):
        y = weights["decoder.embedding.weight"][last]
        gates = of_input @ torch.cat([y, context]) + of_hidden @ state + bias + other
        entering, keeping, candidate, leaving = gates.chunk(4)
        memory = torch.sigmoid(keeping) * memory + torch.sigmoid(entering) * torch.tanh(candidate)
        state = torch.sigmoid(leaving) * torch.tanh(memory)
        seen = torch.cat([state, y, context])
        readout = torch.tanh(
            weights["decoder.readout_projection.weight"] @ seen + weights["decoder.readout_projection.bias"]
        )
        expected = weights["output_projection.weight"] @ readout + weights["output_projection.bias"]
        found = model(torch.tensor([source]), labels=torch.tensor([target])).logits[0, step]
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("options", [{}, {"attention_type": "none"}, {"bidirectional_encoder": False}], ids=str)
def test_a_reversed_source_is_the_ids_reversed_by_hand_and_told_in_the_readers_order(options):
    reverses, plain = (attention_nmt_model(reverse_source=reverse, **options).double() for reverse in (True, False))
    ids, mask, labels = batch(3, 7)
    by_hand = ids.clone()
    for row, length in enumerate((3, 7)):
        by_hand[row, :length] = ids[row, :length].flip(0)
    found, expected = reverses(ids, mask, labels=labels), plain(by_hand, mask, labels=labels)
    torch.testing.assert_close(found.logits, expected.logits)
    torch.testing.assert_close(found.loss, expected.loss)

    search = {"num_beams": 3, "num_return_sequences": 3, "max_new_tokens": 6}
    ours, theirs = reverses.translate(ids, mask, **search), plain.translate(by_hand, mask, **search)
    for one, other in zip(itertools.chain(*ours), itertools.chain(*theirs), strict=True):
        assert one.token_ids == other.token_ids
        torch.testing.assert_close(one.attention, other.attention.flip(1))


def test_a_network_without_attention_translates_and_its_hypotheses_have_no_alignment():
    model = attention_nmt_model(attention_type="none")
    ids, mask, _ = batch(3, 7)
    for length, hypotheses in zip((3, 7), model.translate(ids, mask, num_beams=3, max_new_tokens=6), strict=True):
        assert hypotheses[0].attention.shape == (len(hypotheses[0].token_ids), length)
        assert not hypotheses[0].attention.any()
    assert not model.attends and attention_nmt_model().attends
    assert model.num_parameters() < attention_nmt_model(attention_query="previous_state").num_parameters()


def test_without_attention_a_bidirectional_encoder_gains_nothing_from_a_reversed_source():
    """Reversing only lets its two directions change places, which other weights undo."""
    options = {"attention_type": "none", "input_feeding": False}
    plain, reverses = (attention_nmt_model(reverse_source=reverse, **options).double() for reverse in (False, True))
    weights, config = plain.state_dict(), plain.config
    places = {"decoder.initial_projection.weight": 0, "decoder.cells.cells.0.weight_ih": config.embedding_size}
    places["decoder.readout_projection.weight"] = config.decoder_hidden_size + config.embedding_size
    changed = {}
    for name, weight in weights.items():
        if name.startswith("encoder.recurrent"):
            other = name.removesuffix("_reverse") if name.endswith("_reverse") else f"{name}_reverse"
            changed[name] = weights[other]
        elif name in places:
            before, forward, backward = weight.split([places[name], 5, 5], dim=1)
            changed[name] = torch.cat([before, backward, forward], dim=1)
        else:
            changed[name] = weight
    reverses.load_state_dict(changed)
    ids, mask, labels = batch(3, 7)
    torch.testing.assert_close(reverses(ids, mask, labels=labels).logits, plain(ids, mask, labels=labels).logits)
