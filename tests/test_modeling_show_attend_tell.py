"""The captioner against the paper's equations, and its own contract."""

import itertools
import math

import pytest
import torch
from huggingface_hub.errors import StrictDataclassError

from models.caption_losses import doubly_stochastic_penalty
from models.configuration_show_attend_tell import ShowAttendTellConfig
from models.image_encoder import ImageEncoder

from .tiny import show_attend_tell_config, show_attend_tell_model

PAPER = {
    "annotation_size": 0,
    "readout_activation": "identity",
    "tie_word_embeddings": False,
    "doubly_stochastic_weight": 1.0,
}
VARIANTS = [{}, PAPER, {"attention_type": "hard"}, {"attention_type": "hard", **PAPER}, {"trained_backbone_blocks": 2}]


@pytest.fixture(params=VARIANTS, ids=lambda options: ",".join(map(str, options.values())) or "default")
def model(request):
    return show_attend_tell_model(**request.param)


def pixels(count, seed=1):
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(seed))


def captions(*lengths, seed=2, vocab_size=9):
    """Return labels, int64 (texts, longest), -100 on padding."""
    labels = torch.randint(4, vocab_size, (len(lengths), max(lengths)), generator=torch.Generator().manual_seed(seed))
    return labels.masked_fill(torch.arange(max(lengths)) >= torch.tensor(lengths).unsqueeze(1), -100)


def lstm_cell(weights, x, h, c):
    gates = weights["decoder.cells.cells.0.weight_ih"] @ x + weights["decoder.cells.cells.0.bias_ih"]
    gates = gates + weights["decoder.cells.cells.0.weight_hh"] @ h + weights["decoder.cells.cells.0.bias_hh"]
    input_gate, forget_gate, new, output_gate = gates.chunk(4)
    c = torch.sigmoid(forget_gate) * c + torch.sigmoid(input_gate) * torch.tanh(new)
    return torch.sigmoid(output_gate) * torch.tanh(c), c


def naive(model, grid, target):
    """Sections 3.1 and 4, a pixel and a word at a time: logits and attention of one caption."""
    weights, config = model.state_dict(), model.config

    def affine(name, x):
        return weights[f"decoder.{name}.weight"] @ x + weights[f"decoder.{name}.bias"]

    places = [grid[:, row, column] for row in range(grid.shape[1]) for column in range(grid.shape[2])]
    if config.annotation_size:
        rectified = [affine("annotation_projection.0", place).clamp_min(0) for place in places]
        places = [
            (place - place.mean())
            / (place.var(correction=0) + 1e-5).sqrt()
            * weights["decoder.annotation_projection.2.weight"]
            + weights["decoder.annotation_projection.2.bias"]
            for place in rectified
        ]
    mean = sum(places) / len(places)
    h, c = torch.tanh(affine("initial_hidden", mean)), torch.tanh(affine("initial_memory", mean))
    logits, attention = [], []
    for last in [config.decoder_start_token_id, *target[:-1]]:
        energies = [
            weights["decoder.attention.energy.weight"][0]
            @ torch.tanh(
                weights["decoder.attention.query_projection.weight"] @ h + affine("attention.key_projection", place)
            )
            for place in places
        ]
        alphas = [(energy - torch.stack(energies).logsumexp(0)).exp() for energy in energies]
        if config.attention_type == "hard":
            likeliest = max(range(len(alphas)), key=lambda index: alphas[index])
            alphas = [torch.tensor(float(index == likeliest)).double() for index in range(len(alphas))]
        beta = torch.sigmoid(affine("gate", h))
        context = beta * sum(alpha * place for alpha, place in zip(alphas, places, strict=True))
        y = weights["decoder.embedding.weight"][last]
        h, c = lstm_cell(weights, torch.cat([y, context]), h, c)
        readout = y + affine("readout_of_state", h) + weights["decoder.readout_of_context.weight"] @ context
        readout = readout if config.readout_activation == "identity" else torch.tanh(readout)
        logits.append(weights["output_projection.weight"] @ readout + weights["output_projection.bias"])
        attention.append(torch.stack(alphas))
    return torch.stack(logits), torch.stack(attention)


def test_logits_attention_and_loss_equal_the_equations(model):
    model = model.double()
    images, labels = pixels(2).double(), captions(4, 3)
    output = model(images, labels=labels)

    nats = []
    for row, length in enumerate((4, 3)):
        target = labels[row, :length].tolist()
        logits, attention = naive(model, model.encoder(images[row : row + 1]).last_hidden_state[0], target)
        torch.testing.assert_close(output.logits[row, :length], logits, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(output.cross_attentions[0][row, :length], attention, rtol=1e-9, atol=1e-9)
        nats += [-logits[position].log_softmax(0)[word].item() for position, word in enumerate(target)]
    assert output.loss.item() == pytest.approx(sum(nats) / 7)


def test_attention_sums_to_one_at_every_word(model):
    labels = captions(5, 2, 1)
    weights = model(pixels(3), labels=labels).cross_attentions[0]
    torch.testing.assert_close(weights.sum(dim=-1), (labels != -100).float())
    for hypotheses in model.caption(pixels(3), num_beams=3, num_return_sequences=3, max_new_tokens=6):
        for hypothesis in hypotheses:
            assert hypothesis.attention.shape == (len(hypothesis.token_ids), 4, 4)
            torch.testing.assert_close(hypothesis.attention.sum(dim=(1, 2)), torch.ones(len(hypothesis.token_ids)))


def test_captions_of_a_picture_together_equal_each_alone(model):
    labels = captions(3, 7, 1, 5, 7, 2).view(2, 3, 7)
    together = model(pixels(2), labels=labels)
    for picture, caption in itertools.product(range(2), range(3)):
        length = int((labels[picture, caption] != -100).sum())
        alone = model(pixels(2)[picture : picture + 1], labels=labels[picture : picture + 1, caption, :length])
        row = 3 * picture + caption
        torch.testing.assert_close(together.logits[row, :length], alone.logits[0], rtol=1e-4, atol=1e-5)
        attention = together.cross_attentions[0][row, :length]
        torch.testing.assert_close(attention, alone.cross_attentions[0][0], rtol=1e-4, atol=1e-5)
        assert together.logits[row, length:].abs().sum() == 0


def test_one_step_at_a_time_equals_the_whole_caption(model):
    labels = captions(5, 5)
    whole = model(pixels(2), labels=labels).logits
    inputs, state, steps = model.prepare_decoder_input_ids_from_labels(labels), None, []
    for words in inputs.unbind(dim=1):
        output = model(pixels(2), decoder_input_ids=words.unsqueeze(1), past_key_values=state)
        state = output.past_key_values
        steps.append(output.logits)
    torch.testing.assert_close(torch.cat(steps, dim=1), whole, rtol=1e-4, atol=1e-5)


def test_doubly_stochastic_penalty_equals_its_formula():
    steps = [torch.rand(3, 4).softmax(dim=1), torch.rand(3, 4).softmax(dim=1), torch.rand(1, 4).softmax(dim=1)]
    expected = 0.0
    for text, length in enumerate((3, 2, 2)):
        for place in range(4):
            expected += (1 - sum(steps[step][text, place].item() for step in range(length))) ** 2
    assert doubly_stochastic_penalty(steps).item() == pytest.approx(expected, rel=1e-5)


def test_the_training_loss_adds_the_penalty_and_evaluation_leaves_it_out():
    model, labels = show_attend_tell_model(doubly_stochastic_weight=0.3), captions(4, 6)
    evaluated = model(pixels(2), labels=labels)
    looked = [evaluated.cross_attentions[0][row, : (4, 6)[row]] for row in range(2)]
    penalty = sum(((1 - weights.sum(dim=0)) ** 2).sum() for weights in looked)
    trained = model.train()(pixels(2), labels=labels)
    assert trained.loss.item() == pytest.approx(evaluated.loss.item() + 0.3 * penalty.item() / 10, rel=1e-5)


def test_caption_weights_weigh_captions():
    model, labels = show_attend_tell_model(), captions(3, 5)
    alone = [model(pixels(2)[row : row + 1], labels=labels[row : row + 1, :length]) for row, length in ((0, 3), (1, 5))]
    weighed = model(pixels(2), labels=labels, caption_weights=torch.tensor([[2.0], [-1.0]])).loss
    assert weighed.item() == pytest.approx((2 * 3 * alone[0].loss.item() - 5 * alone[1].loss.item()) / 8, rel=1e-4)


def test_gradients_reach_all_that_is_trained_and_nothing_else(model):
    model.encoder.freeze()
    torch.manual_seed(0)
    model.train()(pixels(4), labels=captions(4, 5, 6, 3)).loss.backward()
    trained = model.config.trained_backbone_blocks
    for name, parameter in model.named_parameters():
        is_late = any(f"blocks.{block}." in name for block in (1, 2)[2 - trained :]) or "encoder.top_" in name
        expected = not name.startswith("encoder.") or (bool(trained) and is_late and "squeeze" not in name)
        got = parameter.grad is not None and bool(parameter.grad.abs().sum() > 0)
        assert got == expected, name
    if not model.config.tie_word_embeddings:
        assert model.decoder.embedding.weight.grad[model.config.pad_token_id].abs().sum() == 0


def test_the_first_loss_is_about_the_vocabulary():
    torch.manual_seed(0)
    model = type(show_attend_tell_model())(show_attend_tell_config(vocab_size=50)).eval()
    loss = model(pixels(4), labels=captions(6, 6, 6, 6, vocab_size=50)).loss
    assert loss.item() == pytest.approx(math.log(50), abs=0.3)


@pytest.mark.parametrize("attention_type", ["soft", "hard"])
def test_four_pictures_are_learnt_by_heart(attention_type):
    model = show_attend_tell_model(
        attention_type=attention_type, trained_backbone_blocks=2, decoder_hidden_size=24, hard_soft_share=0.3
    )
    model.encoder.freeze()
    colours = torch.tensor([[2.0, -2.0, 0.0], [-2.0, 0.0, 2.0], [0.0, 2.0, -2.0], [1.0, 1.0, 1.0]])
    images, labels = colours[:, :, None, None] + 0.1 * pixels(4), captions(5, 6, 4, 7)
    labels[labels == -100] = model.config.eos_token_id
    labels[3, -1] = model.config.eos_token_id
    optimiser = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.02)
    model.train()
    for _ in range(150):
        optimiser.zero_grad()
        model(images, labels=labels).loss.backward()
        optimiser.step()
    found = model.eval().caption(images, num_beams=1, max_new_tokens=7)
    wanted = [[*itertools.takewhile(lambda word: word != 2, row), 2] for row in labels.tolist()]
    assert [hypotheses[0].token_ids[: len(target)] for hypotheses, target in zip(found, wanted, strict=True)] == wanted


def test_hard_attention_estimates_the_exact_gradient():
    """Average the estimate over all 16 ** 2 ways to look at a picture for two words; no place is sampled."""
    options = {"hard_soft_share": 0.0, "hard_reward_weight": 1.0, "hard_entropy_weight": 0.0}
    model = show_attend_tell_model(attention_type="hard", doubly_stochastic_weight=0.0, **options).double()
    features, labels = model.encoder(pixels(1).double()).last_hidden_state.detach()[:, :, :2, :1], captions(2)
    parameters = dict(model.decoder.named_parameters())

    def gradients(value):
        found = torch.autograd.grad(value, parameters.values(), allow_unused=True)
        pairs = zip(parameters, found, strict=True)
        return {name: torch.zeros(()) if gradient is None else gradient for name, gradient in pairs}

    model.train()
    bound, expected_estimate = 0.0, dict.fromkeys(parameters, 0.0)
    for path in itertools.product(range(2), repeat=2):
        chosen = []

        def draw(probabilities, path=path, chosen=chosen):
            place = path[len(chosen)]
            chosen.append(probabilities[0, place])
            return torch.tensor([place])

        model.decoder.draw_places = draw
        model.baseline.fill_(-1.7)  # the expectation does not depend on it
        output = model(encoder_outputs=(features,), labels=labels)
        probability = math.prod(chosen)
        estimate = gradients(2 * output.loss)  # the loss is a mean over two words
        for name in parameters:
            expected_estimate[name] = expected_estimate[name] + probability.detach() * estimate[name]
        chosen.clear()
        model.eval()
        log_likelihood = -2 * model(encoder_outputs=(features,), labels=labels).loss
        bound = bound + math.prod(chosen) * log_likelihood
        model.train()
    exact = gradients(-bound)
    for name in parameters:
        torch.testing.assert_close(torch.as_tensor(expected_estimate[name]), exact[name].double(), msg=name)


def test_the_baseline_follows_the_likelihood_of_captions():
    model, labels = show_attend_tell_model(attention_type="hard", hard_soft_share=1.0), captions(4, 4)
    expected = -4 * model.train()(pixels(2), labels=labels).loss
    model = show_attend_tell_model(attention_type="hard", hard_soft_share=1.0, doubly_stochastic_weight=0.0).train()
    loss = model(pixels(2), labels=labels).loss
    assert model.baseline.item() == pytest.approx(-0.1 * 4 * loss.item(), rel=1e-4)
    assert expected < -4 * loss  # the penalty on the attention is no part of the reward


def test_beam_one_is_greedy_and_beams_equal_transformers_search():
    model = show_attend_tell_model()
    images = pixels(3)
    for beams in (1, 3):
        theirs = model.generate(pixel_values=images, num_beams=beams, max_new_tokens=7, do_sample=False)
        ours = model.caption(images, num_beams=beams, max_new_tokens=7)
        for row, hypotheses in zip(theirs[:, 1:].tolist(), ours, strict=True):
            assert row[: len(hypotheses[0].token_ids)] == hypotheses[0].token_ids


def test_a_picture_alone_equals_the_same_among_others(model):
    images, options = pixels(3), {"num_beams": 3, "num_return_sequences": 2, "max_new_tokens": 6}
    together = model.caption(images, **options)
    for row in range(3):
        for ours, theirs in zip(model.caption(images[row : row + 1], **options)[0], together[row], strict=True):
            assert ours.token_ids == theirs.token_ids
            assert ours.score == pytest.approx(theirs.score, abs=1e-5)
            torch.testing.assert_close(ours.attention, theirs.attention, rtol=1e-4, atol=1e-5)


def test_a_found_caption_scores_as_it_did_in_the_search(model):
    (hypotheses,) = model.caption(pixels(1), num_beams=4, num_return_sequences=4, max_new_tokens=5)
    for hypothesis in hypotheses:
        (scored,) = model.score(pixels(1), [hypothesis.token_ids])
        assert scored.score == pytest.approx(hypothesis.score, abs=1e-5)
        torch.testing.assert_close(scored.attention, hypothesis.attention, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("blocks", [0, 1, 3])
def test_begun_and_finished_equals_the_whole_backbone(blocks):
    model = show_attend_tell_model(trained_backbone_blocks=blocks)
    expected = model.encoder.backbone(pixels(2)).last_hidden_state
    torch.testing.assert_close(model.encoder(pixels(2)).last_hidden_state, expected)
    assert model.train().encoder.backbone.training is False


def test_another_layer_gives_a_finer_grid():
    model = show_attend_tell_model(grid_layer=1, grid_channels=8)
    (hypothesis,) = model.caption(pixels(1), num_beams=1, max_new_tokens=3)[0]
    assert hypothesis.attention.shape[1:] == (8, 8)


def test_another_backbone_takes_its_place():
    backbone = {"model_type": "resnet", "embedding_size": 4, "hidden_sizes": [6, 8], "depths": [1, 1]}
    options = {"backbone_config": backbone, "grid_channels": 8}
    model = show_attend_tell_model(**options)
    assert model.caption(pixels(1), num_beams=2, max_new_tokens=3)[0][0].attention.shape[1:] == (4, 4)
    with pytest.raises(ValueError, match="trained_backbone_blocks must be 0 with a resnet backbone"):
        ImageEncoder(show_attend_tell_config(**options, trained_backbone_blocks=1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"attention_type": "medium"}, "attention_type must be one of soft, hard; got 'medium'"),
        ({"readout_activation": "relu"}, "readout_activation must be one of tanh, identity"),
        ({"trained_backbone_blocks": 1, "grid_layer": 2}, "trained_backbone_blocks needs grid_layer -1"),
        ({"vocab_size": "many"}, "vocab_size"),
    ],
)
def test_a_configuration_that_cannot_be_built_is_refused(options, message):
    with pytest.raises((StrictDataclassError, ValueError), match=message):
        ShowAttendTellConfig(**options)
