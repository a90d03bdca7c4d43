"""The speech recogniser against the paper's equations, and its own contract."""

import itertools
import math

import numpy as np
import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import AutoTokenizer, Wav2Vec2CTCTokenizer, pipeline

from models.ctc import num_needed_steps
from models.feature_extraction_blstm_ctc import BlstmCtcFeatureExtractor
from models.modeling_blstm_ctc import BlstmCtcForCTC, MaskedBatchNorm, reverse
from training.blstm_ctc import build_tokenizer

from .tiny import blstm_ctc_config, blstm_ctc_model

VARIANTS = [
    {},
    {"front_end": "stack", "stacked_frames": 3},
    {"bidirectional": False},
    {"normalisation": "batch"},
    {"normalisation": "none", "front_end": "stack", "stacked_frames": 1},
]


@pytest.fixture(params=VARIANTS, ids=lambda options: ",".join(map(str, options.values())) or "default")
def model(request):
    return blstm_ctc_model(**request.param)


def batch(*lengths: int, feature_size: int = 6, seed: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """Return features and mask of utterances of the given lengths; the padding holds noise."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(len(lengths), max(lengths), feature_size, generator=generator)
    return features, torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1)


def collapse(path: tuple[int, ...], blank: int) -> list[int]:
    """Merge repeats, then drop blanks: the map B of section 3.1."""
    return [label for label, _ in itertools.groupby(path) if label != blank]


@pytest.mark.parametrize("blank", [0, 3])
@pytest.mark.parametrize("transcript", [[1, 2], [2, 2], [1], []])
def test_loss_sums_the_probability_of_every_alignment(blank, transcript):
    model = blstm_ctc_model(front_end="stack", stacked_frames=1, pad_token_id=blank)
    features, mask = batch(5)
    labels = torch.tensor([transcript], dtype=torch.int64).reshape(1, -1)
    output = model(features, mask, labels=labels)

    probabilities = output.logits[0].softmax(dim=-1)
    total = sum(
        math.prod(probabilities[step, label].item() for step, label in enumerate(path))
        for path in itertools.product(range(4), repeat=5)
        if collapse(path, blank) == transcript
    )
    assert output.loss.item() == pytest.approx(-math.log(total) / max(1, len(transcript)), rel=1e-5)


def test_loss_is_weighted_by_labels():
    model = blstm_ctc_model()
    features, mask = batch(40, 20)
    labels = torch.tensor([[1, 2, 3, 2], [1, -100, -100, -100]])
    alone = [model(features[row : row + 1], mask[row : row + 1], labels=labels[row : row + 1]).loss for row in (0, 1)]
    assert model(features, mask, labels=labels).loss.item() == pytest.approx((4 * alone[0] + alone[1]).item() / 5)


def lstm(weights: dict, prefix: str, inputs: list[torch.Tensor]) -> list[torch.Tensor]:
    """Step through an LSTM in torch's form, gates in the order input, forget, candidate, output."""
    hidden = memory = torch.zeros(5).double()
    outputs = []
    for x in inputs:
        gates = weights[f"{prefix}.weight_ih_l0"] @ x + weights[f"{prefix}.bias_ih_l0"]
        gates = gates + weights[f"{prefix}.weight_hh_l0"] @ hidden + weights[f"{prefix}.bias_hh_l0"]
        i, f, g, o = gates.chunk(4)
        memory = f.sigmoid() * memory + i.sigmoid() * g.tanh()
        hidden = o.sigmoid() * memory.tanh()
        outputs.append(hidden)
    return outputs


def normalise(weights: dict, prefix: str, x: torch.Tensor) -> torch.Tensor:
    """Layer normalisation by its definition."""
    deviation = (((x - x.mean()) ** 2).mean() + 1e-5).sqrt()
    return weights[f"{prefix}.weight"] * (x - x.mean()) / deviation + weights[f"{prefix}.bias"]


def test_logits_equal_the_equations():
    model = blstm_ctc_model(front_end="stack", stacked_frames=2).double()
    features, mask = batch(7)
    weights, features = model.state_dict(), features.double()
    rows = [*features[0], torch.zeros(6).double()]
    hidden = [torch.cat(pair) for pair in zip(rows[::2], rows[1::2], strict=True)]
    for layer in range(2):
        inputs = [normalise(weights, f"norms.{layer}", x) for x in hidden]
        forwards = lstm(weights, f"layers.{layer}.forwards", inputs)
        backwards = lstm(weights, f"layers.{layer}.backwards", inputs[::-1])[::-1]
        hidden = [torch.cat(pair) for pair in zip(forwards, backwards, strict=True)]
    outputs = [normalise(weights, "norms.2", x) for x in hidden]
    expected = torch.stack([weights["classifier.weight"] @ x + weights["classifier.bias"] for x in outputs])
    torch.testing.assert_close(model(features, mask).logits[0], expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("padding", [float("nan"), float("inf"), 1e30])
def test_padding_is_never_read(model, padding):
    lengths = (3, 14, 9, 1)
    features, mask = batch(*lengths)
    features[~mask] = padding
    together = model(features, mask.int()).logits
    for row, length in enumerate(lengths):
        alone = model(features[row : row + 1, :length]).logits[0]
        torch.testing.assert_close(together[row, : len(alone)], alone, rtol=1e-4, atol=1e-5)
        rest = together[row, len(alone) :]
        assert (rest.argmax(dim=-1) == 0).all() and (rest.softmax(dim=-1)[:, 0] == 1).all()


def test_padding_gets_no_gradient_and_every_parameter_some(model):
    model.train()
    features, mask = batch(16, 24)
    features.requires_grad_()
    loss = model(features, mask, labels=torch.tensor([[1, 2, -100], [3, 3, 1]])).loss
    loss.backward()
    assert not features.grad[~mask].any() and features.grad[mask].abs().sum() > 0
    assert all(parameter.grad.abs().sum() > 0 for parameter in model.parameters())


def test_padding_changes_no_gradient():
    gradients = []
    for length in (12, 20):
        model = blstm_ctc_model()
        features, mask = batch(12, length)
        model(features[:1], mask[:1], labels=torch.tensor([[1, 2]])).loss.backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    for alone, padded in zip(*gradients, strict=True):
        torch.testing.assert_close(alone, padded, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("front_end", "last_frame_read"), [("convolution", 3), ("stack", 2)])
def test_reading_forwards_looks_no_further_than_the_front_end(front_end, last_frame_read):
    model = blstm_ctc_model(front_end=front_end, bidirectional=False)
    features, _ = batch(24)
    logits = model(features).logits[0]
    for step in range(len(logits) - 1):
        first_unread = step * model.config.subsampling + last_frame_read + 1
        changed = features.clone()
        changed[0, first_unread:] = 9.0
        torch.testing.assert_close(model(changed).logits[0, : step + 1], logits[: step + 1], rtol=1e-4, atol=1e-5)
        changed[0, first_unread - 1] = 9.0
        assert (model(changed).logits[0, step] - logits[step]).abs().max() > 1e-4


def test_reading_both_ways_sees_the_end_from_the_beginning():
    model = blstm_ctc_model()
    features, _ = batch(24)
    changed = features.clone()
    changed[0, -1] = 9.0
    assert (model(changed).logits[0, 0] - model(features).logits[0, 0]).abs().max() > 1e-5


def test_utterances_are_turned_round_by_their_own_lengths():
    inputs = torch.tensor([[1, 2, 3, 0, 0], [1, 2, 3, 4, 5]]).unsqueeze(2)
    turned = reverse(inputs, torch.tensor([3, 5])).squeeze(2)
    assert turned.tolist() == [[3, 2, 1, 0, 0], [5, 4, 3, 2, 1]]


def test_batch_statistics_are_those_of_real_frames():
    norm = MaskedBatchNorm(3, momentum=1.0)
    inputs, is_real = batch(2, 5, feature_size=3)
    norm(torch.where(is_real.unsqueeze(2), inputs, 1e6), is_real)
    torch.testing.assert_close(norm.running_mean, inputs[is_real].mean(dim=0))


@pytest.mark.parametrize("front_end", ["convolution", "stack"])
def test_lengths_are_foretold(front_end):
    model = blstm_ctc_model(front_end=front_end)
    for frames in range(1, 20):
        steps = model(torch.zeros(1, frames, 6)).logits.shape[1]
        assert steps == model._get_feat_extract_output_lengths(frames) == -(-frames // model.config.subsampling)
    assert model.config.inputs_to_logits_ratio == {"convolution": 640, "stack": 480}[front_end]


def test_needed_steps_are_counted():
    assert [num_needed_steps(labels) for labels in ([], [1], [1, 2], [1, 1], [1, 1, 1, 2])] == [0, 1, 2, 3, 6]
    model = blstm_ctc_model(front_end="stack", stacked_frames=1)
    assert model(*batch(2), labels=torch.tensor([[1, 1]])).loss.item() == 0  # impossible counts as nothing
    assert model(*batch(3), labels=torch.tensor([[1, 1]])).loss.item() > 0


def test_dropout_is_for_training_only():
    model = blstm_ctc_model(hidden_dropout=0.5, input_dropout=0.5)
    features, mask = batch(9)
    torch.testing.assert_close(model(features, mask).logits, model(features, mask).logits, rtol=0, atol=0)
    model.train()
    assert (model(features, mask).logits - model(features, mask).logits).abs().max() > 1e-3


def test_saved_and_loaded_it_is_the_same_model(model, tmp_path):
    model.save_pretrained(tmp_path)
    loaded = BlstmCtcForCTC.from_pretrained(tmp_path)
    features, mask = batch(9, 13)
    torch.testing.assert_close(loaded(features, mask).logits, model(features, mask).logits, rtol=0, atol=0)
    assert loaded.config.to_diff_dict() == model.config.to_diff_dict()


def test_left_padding_is_refused():
    features, mask = batch(4, 6)
    with pytest.raises(ValueError, match="padding belongs at the end"):
        blstm_ctc_model()(features, mask.flip(1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"front_end": "pooling"}, "front_end must be one of convolution, stack"),
        ({"normalisation": "group"}, "normalisation must be one of layer, batch, none"),
        ({"hidden_dropout": 1.0}, "hidden_dropout must be"),
        ({"stacked_frames": 0}, "stacked_frames must be at least 1"),
        ({"pad_token_id": 4}, "blank and must be one of the 4 labels"),
        ({"pad_token_id": None}, "blank"),
    ],
)
def test_what_cannot_be_built_is_refused(options, message):
    with pytest.raises(StrictDataclassError, match=message):
        blstm_ctc_config(**options)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory) -> Wav2Vec2CTCTokenizer:
    return build_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.mark.parametrize("path", ["A-AB-", "-AA--ABB-"])
def test_both_paths_of_the_lecture_are_aab(tokenizer, path):
    labels = {"-": tokenizer.pad_token_id} | tokenizer.get_vocab()
    ids = [labels[letter] for letter in path]
    assert tokenizer.decode(ids) == "AAB"
    assert collapse(tuple(ids), tokenizer.pad_token_id) == tokenizer("AAB").input_ids


def test_the_vocabulary_is_what_the_network_scores(tokenizer, tmp_path):
    assert len(tokenizer) == tokenizer.vocab_size == 28 and tokenizer.pad_token_id == 0
    assert tokenizer.decode(tokenizer("GO TO A B").input_ids, group_tokens=False) == "GO TO A B"
    tokenizer.save_pretrained(tmp_path)
    loaded = Wav2Vec2CTCTokenizer.from_pretrained(tmp_path)
    assert loaded.get_vocab() == tokenizer.get_vocab() and len(loaded) == 28
    assert loaded("GO TO A B").input_ids == tokenizer("GO TO A B").input_ids


def test_transformers_own_pipeline_answers(tokenizer):
    model = blstm_ctc_model(vocab_size=28, feature_size=80)
    pipe = pipeline(
        "automatic-speech-recognition",
        model=model,
        tokenizer=tokenizer,
        feature_extractor=BlstmCtcFeatureExtractor(),
        device="cpu",
    )
    generator = np.random.default_rng(0)
    waveforms = [0.1 * generator.standard_normal(size).astype(np.float32) for size in (16000, 5000, 1)]
    assert pipe.type == "ctc"
    alone = [pipe({"raw": waveform, "sampling_rate": 16000}) for waveform in waveforms]
    assert pipe(waveforms, batch_size=3) == alone and alone[0]["text"]
    words = pipe(waveforms[0], return_timestamps="word")["chunks"]
    assert " ".join(word["text"] for word in words) == alone[0]["text"]
    assert all(0 <= word["timestamp"][0] < word["timestamp"][1] <= 1.0 for word in words)


def test_a_saved_folder_is_complete_and_safe(tokenizer, tmp_path):
    for part in (blstm_ctc_model(vocab_size=28), tokenizer, BlstmCtcFeatureExtractor()):
        part.save_pretrained(tmp_path)
    files = {"config.json", "model.safetensors", "vocab.json", "tokenizer_config.json", "preprocessor_config.json"}
    assert {path.name for path in tmp_path.iterdir() if path.suffix != ".py"} == files
    assert type(AutoTokenizer.from_pretrained(tmp_path)) is Wav2Vec2CTCTokenizer
