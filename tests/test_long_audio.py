"""A long recording in chunks gives what one pass gives."""

import tracemalloc

import numpy as np
import pytest
import torch

from models.configuration_blstm_ctc import BlstmCtcConfig
from models.feature_extraction_blstm_ctc import BlstmCtcFeatureExtractor
from models.modeling_blstm_ctc import BlstmCtcForCTC
from pipelines import long_audio
from pipelines.long_audio import log_probabilities_of

VARIANTS = [{}, {"front_end": "stack", "stacked_frames": 3}, {"bidirectional": False}]


def speech_model(**options) -> BlstmCtcForCTC:
    """Return a seeded network of two layers of 8 units with the weights that a training begins with."""
    torch.manual_seed(0)
    small = {"vocab_size": 4, "feature_size": 6, "convolution_channels": 3, "num_hidden_layers": 2, "hidden_size": 8}
    return BlstmCtcForCTC(BlstmCtcConfig(**{**small, **options})).eval()


def speech(seconds: float, seed: int = 0) -> np.ndarray:
    """Return noise whose level changes every tenth of a second, and is low in the first half: float32 (samples)."""
    generator, num_samples = np.random.default_rng(seed), round(16000 * seconds)
    levels = np.repeat(10 ** generator.uniform(-3, -1, num_samples // 1600 + 1), 1600)[:num_samples]
    levels[: num_samples // 2] /= 10
    return (levels * generator.standard_normal(num_samples)).astype(np.float32)


def one_pass(model, waveform, extractor):
    """Return log-probabilities by the model itself."""
    features = extractor(waveform, 16000, return_tensors="pt")["input_features"].to(model.dtype)
    with torch.inference_mode():
        return model(features).logits[0].log_softmax(dim=-1)


def greatest_difference(model, extractor, waveform, *seconds):
    """Return what cutting changes: the greatest difference of a probability from that of one pass."""
    (whole,) = log_probabilities_of(model, extractor, [waveform], chunk_seconds=1000.0)
    (joined,) = log_probabilities_of(model, extractor, [waveform], *seconds)
    return float((joined.exp() - whole.exp()).abs().max())


@pytest.fixture(scope="module")
def extractor():
    return BlstmCtcFeatureExtractor(feature_size=6)


@pytest.fixture(scope="module", params=VARIANTS, ids=lambda options: ",".join(map(str, options.values())) or "default")
def model(request):
    return speech_model(**request.param)


@pytest.mark.parametrize("seconds", [1 / 16000, 0.02, 0.3, 2.0, 3.1, 7.77])
def test_chunks_give_what_one_pass_gives(model, extractor, seconds):
    waveform = speech(seconds)
    (found,) = log_probabilities_of(model, extractor, [waveform], chunk_seconds=1.0, stride_seconds=3.0)
    expected = one_pass(model, waveform, extractor)
    assert found.dtype == torch.float32 and found.shape == expected.shape
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize("chunk_seconds", [0.0, 0.04, 0.33, 1.0, 100.0])
def test_reading_forwards_is_exact_in_float64(extractor, chunk_seconds):
    model, waveform = speech_model(bidirectional=False).double(), speech(3.2)
    (found,) = log_probabilities_of(model, extractor, [waveform], chunk_seconds, stride_seconds=0)
    torch.testing.assert_close(found, one_pass(model, waveform, extractor), rtol=0, atol=1e-12)


def test_more_context_is_nearer_to_one_pass(extractor):
    model, waveform = speech_model(), speech(12.0)
    differences = [greatest_difference(model, extractor, waveform, 1.0, stride) for stride in (0.0, 0.5, 1.5, 5.0)]
    assert differences == sorted(differences, reverse=True)
    assert differences[0] > 1e-2 and differences[-1] < 1e-5
    assert greatest_difference(model, extractor, waveform) == 0


def test_chunks_are_heard_at_the_level_of_the_whole(extractor):
    model, waveform = speech_model(), speech(8.0)
    (found,) = log_probabilities_of(model, extractor, [waveform], chunk_seconds=1.0, stride_seconds=1.0)
    alone = one_pass(model, waveform[:32_000], extractor)
    assert (found[:25].exp() - alone[:25].exp()).abs().max() > 1e-2


def test_several_recordings_are_batched_and_stay_apart(model, extractor, monkeypatch):
    monkeypatch.setattr(long_audio, "CHUNKS_AT_ONCE", 3)
    waveforms = [speech(seconds, seed) for seed, seconds in enumerate((3.3, 0.01, 1.0, 5.0))]
    options = {"chunk_seconds": 1.0, "stride_seconds": 0.5}
    together = log_probabilities_of(model, extractor, waveforms, **options)
    for waveform, found in zip(waveforms, together, strict=True):
        (alone,) = log_probabilities_of(model, extractor, [waveform], **options)
        torch.testing.assert_close(found, alone, rtol=0, atol=1e-5)
    assert log_probabilities_of(model, extractor, []) == []


def test_short_recordings_go_through_in_one_pass(extractor, monkeypatch):
    shapes = []
    model = speech_model()
    model.register_forward_pre_hook(lambda module, inputs: shapes.append(inputs[0].shape))
    log_probabilities_of(model, extractor, [speech(30.0)])
    log_probabilities_of(model, extractor, [speech(71.0)])
    # 30 seconds with 5 after them; 30 between two times 5; 11 after 5.
    assert [tuple(shape) for shape in shapes] == [(1, 2998, 6), (3, 5000, 6)]


def test_ten_minutes_take_little(extractor):
    waveform, model = speech(600.0), speech_model()
    tracemalloc.start()
    (found,) = log_probabilities_of(model, extractor, [waveform])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(found) == -(-extractor.num_frames(len(waveform)) // 4) == 15_000
    features_bytes = extractor.num_frames(len(waveform)) * 6 * 4
    assert peak < 4 * features_bytes + 15e6  # a block's windows in float64; the samples are not copied


def test_silence_and_half_precision(extractor):
    for model in (speech_model(), speech_model().to(torch.bfloat16)):
        (found,) = log_probabilities_of(model, extractor, [np.zeros(80_000, np.float32)], 1.0, 0.5)
        assert found.dtype == torch.float32 and found.isfinite().all()
