"""The character language model against its equations, its own step, and itself in parts."""

import math

import pytest
import torch
import torch.nn.functional as F

from models.configuration_char_rnn import CharRnnConfig
from models.modeling_char_rnn import CharRnnForCausalLM, variational_dropout
from models.recurrent_layer import RecurrentLayer

from .tiny import char_rnn_config, char_rnn_model

SHAPES = [
    {},
    {"cell_type": "gru"},
    {"layer_norm": True},
    {"cell_type": "gru", "layer_norm": True},
    {"input_encoding": "one_hot"},
    {"tie_word_embeddings": True, "embedding_size": 7},
    {"num_hidden_layers": 3},
]


@pytest.fixture(params=SHAPES, ids=lambda options: "-".join(map(str, options.values())) or "lstm")
def model(request):
    return char_rnn_model(**request.param)


def texts(batch, time, seed=0):
    return torch.randint(1, 9, (batch, time), generator=torch.Generator().manual_seed(seed))


def norm(layer, name, values):
    """Layer normalisation by its equation, or nothing for a layer without."""
    if layer.norms is None:
        return values
    centred = values - values.mean()
    scaled = centred / (centred.pow(2).mean() + 1e-5).sqrt()
    return scaled * layer.norms[name].weight + layer.norms[name].bias


def naive_step(layer, inputs, hidden, memory):
    """One step of one text, gate by gate, from the equations."""
    from_input = norm(layer, "input", layer.weight_input @ inputs) + layer.bias_input
    from_hidden = norm(layer, "hidden", layer.weight_hidden @ hidden) + layer.bias_hidden
    if layer.cell_type == "lstm":
        i, f, g, o = (from_input + from_hidden).chunk(4)
        memory = torch.sigmoid(f) * memory + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(norm(layer, "memory", memory)), memory
    (ri, zi, ni), (rh, zh, nh) = from_input.chunk(3), from_hidden.chunk(3)
    candidate = torch.tanh(ni + torch.sigmoid(ri + rh) * nh)
    update = torch.sigmoid(zi + zh)
    return (1 - update) * candidate + update * hidden, memory


def naive_log_probabilities(model, ids):
    """Predict every character of one text with nothing but the equations; it begins after the start character."""
    hidden = [torch.zeros(7, dtype=torch.float64) for _ in model.layers]
    memory = [torch.zeros(7, dtype=torch.float64) for _ in model.layers]
    predictions = []
    for token in [model.config.bos_token_id, *ids]:
        one_hot = F.one_hot(torch.tensor(token), model.config.vocab_size).double()
        values = one_hot if model.embedding is None else model.embedding.weight[token]
        for index, layer in enumerate(model.layers):
            hidden[index], memory[index] = naive_step(layer, values, hidden[index], memory[index])
            values = hidden[index]
        logits = model.output_projection.weight @ values + model.output_projection.bias
        predictions.append(logits - logits.logsumexp(0))
    return torch.stack(predictions)


@torch.no_grad()
def test_scores_equal_the_equations(model):
    model = model.double()
    ids = texts(1, 6)
    expected = naive_log_probabilities(model, ids[0].tolist())
    torch.testing.assert_close(model.score(ids)[0], expected)
    torch.testing.assert_close(model(ids).logits.log_softmax(-1)[0], expected[1:])
    loss = -expected[:-1].gather(1, ids.t()).mean()
    torch.testing.assert_close(model(ids, labels=ids).loss, loss)


@torch.no_grad()
def test_one_step_at_a_time_equals_the_whole_sequence(model):
    ids = texts(3, 11)
    whole = model(ids)
    state, logits = model.initial_state(3), []
    for column in ids.unbind(dim=1):
        scores, state = model.step(column, state)
        logits.append(scores)
    torch.testing.assert_close(torch.stack(logits, dim=1), whole.logits)
    torch.testing.assert_close(state.hidden, whole.past_key_values.hidden)
    torch.testing.assert_close(state.memory, whole.past_key_values.memory)


@torch.no_grad()
def test_a_carried_state_equals_one_long_sequence(model):
    ids = texts(2, 12)
    first = model(ids[:, :5], labels=ids[:, :5])
    second = model(ids[:, 5:], labels=ids[:, 5:], past_key_values=first.past_key_values)
    whole = model(ids, labels=ids)
    torch.testing.assert_close(torch.cat([first.logits, second.logits], dim=1), whole.logits)
    torch.testing.assert_close((5 * first.loss + 7 * second.loss) / 12, whole.loss)


@torch.no_grad()
@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_is_never_read(model, side):
    ids, lengths = texts(3, 9), (9, 4, 1)
    padded = torch.full((3, 9), 3)
    mask = torch.zeros(3, 9, dtype=torch.long)
    for row, length in enumerate(lengths):
        place = slice(9 - length, None) if side == "left" else slice(length)
        padded[row, place], mask[row, place] = ids[row, :length], 1
    together = model(padded, attention_mask=mask)
    for row, length in enumerate(lengths):
        alone = model(ids[row : row + 1, :length])
        torch.testing.assert_close(together.logits[row][mask[row].bool()], alone.logits[0])
        for layer in range(model.config.num_hidden_layers):
            state, expected = together.past_key_values, alone.past_key_values
            torch.testing.assert_close(state.hidden[layer][row], expected.hidden[layer][0])
            if state.memory:
                torch.testing.assert_close(state.memory[layer][row], expected.memory[layer][0])


@torch.no_grad()
def test_activations_are_the_states_of_every_step(model):
    ids = texts(2, 8)
    found, state = model.activations(ids), model.initial_state(2)
    for time, column in enumerate(ids.unbind(dim=1)):
        _, state = model.step(column, state)
        for layer in range(model.config.num_hidden_layers):
            torch.testing.assert_close(found.hidden[layer][:, time], state.hidden[layer])
            if state.memory:
                torch.testing.assert_close(found.memory[layer][:, time], state.memory[layer])


def test_labels_of_minus_100_do_not_count():
    model, ids = char_rnn_model(), texts(1, 6)
    some = ids.clone()
    some[:, :4] = -100
    scores = model.score(ids)[0, :-1].gather(1, ids.t())
    torch.testing.assert_close(model(ids, labels=some).loss, -scores[4:].mean())


def test_every_parameter_gets_a_gradient(model):
    ids = texts(2, 9)
    model(ids, labels=ids).loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_the_first_loss_is_that_of_a_guess_and_a_text_is_learnt_by_heart(model):
    fresh = CharRnnForCausalLM(model.config)
    ids = texts(2, 16)
    assert fresh(ids, labels=ids).loss.item() == pytest.approx(math.log(9), rel=0.2)
    optimizer = torch.optim.Adam(fresh.parameters(), 0.03)
    for _ in range(1500):
        loss = fresh(ids, labels=ids).loss
        if loss < 0.1:
            break
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(fresh.parameters(), 1.0)
        optimizer.step()
    assert loss < 0.1


def test_variational_dropout_drops_the_same_units_at_every_step():
    torch.manual_seed(0)
    dropped = variational_dropout(torch.ones(4, 10, 50), 0.4, training=True)
    assert dropped.unique().tolist() == [0.0, pytest.approx(1 / 0.6)]
    assert (dropped == dropped[:, :1]).all()  # constant over time
    assert (dropped[0] != dropped[1]).any()  # but not over texts
    assert (dropped == 0).float().mean() == pytest.approx(0.4, abs=0.1)
    assert (variational_dropout(torch.ones(2, 3, 4), 0.4, training=False) == 1).all()


@pytest.mark.parametrize("name", ["input_dropout", "hidden_dropout", "output_dropout", "weight_dropout"])
def test_every_dropout_acts_in_training_only(name):
    model, ids = char_rnn_model(**{name: 0.5}), texts(2, 6)
    assert torch.equal(model(ids).logits, model(ids).logits)
    model.train()
    assert not torch.equal(model(ids).logits, model(ids).logits)


def test_weight_dropout_drops_entries_of_the_recurrent_matrix_for_a_whole_sequence():
    torch.manual_seed(1)
    layer = RecurrentLayer("lstm", 3, 4, layer_norm=False, weight_dropout=0.5)
    with torch.no_grad():
        layer.weight_hidden.fill_(1.0)
    inputs, zeros = torch.randn(2, 5, 3), torch.zeros(2, 4)
    torch.manual_seed(7)
    outputs, _ = layer(inputs, zeros, zeros)
    torch.manual_seed(7)
    kept = F.dropout(torch.ones(16, 4), 0.5)
    assert set(kept.unique().tolist()) == {0.0, 2.0}
    with torch.no_grad():
        layer.weight_hidden.copy_(kept)
    torch.testing.assert_close(layer.eval()(inputs, zeros, zeros)[0], outputs)


def test_the_quantized_step_is_near_the_exact_one():
    torch.manual_seed(0)
    model = CharRnnForCausalLM(char_rnn_config(vocab_size=40, hidden_size=64, embedding_size=16)).eval()
    fast, state, exact = model.fast_step(), model.initial_state(1), model.initial_state(1)
    assert fast.__class__.__name__ == "QuantizedStep"
    for token in texts(1, 30)[0].tolist():
        logits, state = fast(token, state)
        expected, exact = model.exact_step(token, exact)
        torch.testing.assert_close(logits, expected, atol=0.05, rtol=0)


@pytest.mark.parametrize("options", [{"cell_type": "gru"}, {"layer_norm": True}])
def test_where_there_is_no_quantized_step_the_exact_one_is_taken(options):
    model = char_rnn_model(**options)
    assert model.fast_step() == model.exact_step


def test_generate_of_transformers_writes_what_the_steps_say(model):
    ids = texts(1, 5)
    written = model.generate(ids, max_new_tokens=8, do_sample=False)[0, 5:].tolist()
    logits, state, expected = model(ids).logits[0, -1], model(ids).past_key_values, []
    for _ in range(8):
        expected.append(int(logits.argmax()))
        logits, state = model.exact_step(expected[-1], state)
    assert written == expected
    beams = model.generate(ids, max_new_tokens=4, num_beams=3, do_sample=False)
    assert beams.shape == (1, 9)


def test_left_padded_prompts_are_generated_from_like_single_ones(model):
    ids = texts(2, 6)
    padded, mask = ids.clone(), torch.ones(2, 6, dtype=torch.long)
    padded[1, :3], mask[1, :3] = 0, 0
    together = model.generate(padded, attention_mask=mask, max_new_tokens=5, do_sample=False)
    for row, start in ((0, 0), (1, 3)):
        alone = model.generate(ids[row : row + 1, start:], max_new_tokens=5, do_sample=False)
        assert together[row, 6:].tolist() == alone[0, 6 - start :].tolist()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"cell_type": "rnn"}, "cell_type"),
        ({"input_encoding": "bytes"}, "input_encoding"),
        ({"hidden_size": 0}, "hidden_size must be at least 1"),
        ({"weight_dropout": 1.0}, "weight_dropout"),
        ({"tie_word_embeddings": True}, "embedding_size = hidden_size; got 5 and 7"),
        ({"tie_word_embeddings": True, "input_encoding": "one_hot"}, "one-hot"),
    ],
)
def test_a_configuration_that_cannot_be_built_is_refused(options, words):
    with pytest.raises(Exception, match=words):
        char_rnn_config(**options)


def test_the_configuration_survives_being_saved(tmp_path):
    units = [{"kind": "memory", "layer": 2, "unit": 3, "feature": "inside quotes", "correlation": 0.8}]
    char_rnn_config(interpretable_units=units, blocked_words=["bad*"]).save_pretrained(tmp_path)
    loaded = CharRnnConfig.from_pretrained(tmp_path)
    assert loaded.interpretable_units == units and loaded.blocked_words == ["bad*"]


@pytest.mark.parametrize("options", [{}, {"cell_type": "gru"}, {"layer_norm": True}], ids=str)
def test_looking_is_scoring_and_following_the_units(options):
    network, ids = char_rnn_model(**options), torch.tensor([[3, 5, 1, 8], [2, 2, 6, 4]])
    scores, activations = network.look(ids)
    torch.testing.assert_close(scores, network.score(ids))
    torch.testing.assert_close(activations.hidden, network.activations(ids).hidden)
    torch.testing.assert_close(activations.memory, network.activations(ids).memory)
