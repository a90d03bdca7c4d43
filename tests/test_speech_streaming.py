"""Speech that comes in pieces gives what it would give in one, and nothing grows meanwhile."""

import copy
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from models.configuration_blstm_ctc import BlstmCtcConfig
from models.feature_extraction_blstm_ctc import BlstmCtcFeatureExtractor
from models.modeling_blstm_ctc import BlstmCtcForCTC, MaskedBatchNorm
from pipelines import speech_streaming
from pipelines.pipeline_common import InputError
from pipelines.speech_streaming import StreamingSession

CHARACTERS = ("", " ", "A", "B")
VARIANTS = [{}, {"front_end": "stack"}, {"front_end": "stack", "stacked_frames": 1}, {"normalisation": "batch"}]


def streaming_model(**options) -> BlstmCtcForCTC:
    """Return a seeded network of two layers of 5 units that reads forwards and writes each label as often."""
    torch.manual_seed(0)
    small = {"vocab_size": 4, "feature_size": 6, "convolution_channels": 3, "num_hidden_layers": 2, "hidden_size": 5}
    model = BlstmCtcForCTC(BlstmCtcConfig(**{**small, "bidirectional": False, **options})).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(std=0.3 if "bias" in name else 0.7)
        for norm in model.norms:
            if isinstance(norm, MaskedBatchNorm):
                norm.running_mean.normal_()
                norm.running_var.uniform_(0.5, 2.0)
        features = streaming_extractor()(speech(40_000, seed=1), 16000, return_tensors="pt")
        model.classifier.bias -= model(**features).logits[0].mean(dim=0)
    return model


def streaming_extractor() -> BlstmCtcFeatureExtractor:
    """Return one of 6 features with statistics like those of `speech`."""
    return BlstmCtcFeatureExtractor(feature_size=6, feature_means=[-3.5] * 6, feature_deviations=[5.1] * 6)


def speech(num_samples: int, seed: int = 0) -> np.ndarray:
    """Return a tone in some noise that changes every tenth of a second: float32 (samples)."""
    generator, num_tones = np.random.default_rng(seed), num_samples // 1600 + 1
    hertz = generator.uniform(100, 7000, num_tones).repeat(1600)[:num_samples]
    levels = (10 ** generator.uniform(-2, -0.5, num_tones)).repeat(1600)[:num_samples]
    tones = levels * np.sin(2 * np.pi * np.cumsum(hertz) / 16000)
    return (tones + 1e-3 * generator.standard_normal(num_samples)).astype(np.float32)


def at_once(model, waveform):
    """Return the log-probabilities of one pass by the model itself, and the best path's text."""
    features = streaming_extractor()(waveform, 16000, return_tensors="pt")["input_features"].to(model.dtype)
    with torch.inference_mode():
        log_probabilities = model(features).logits[0].log_softmax(dim=-1)
    path = log_probabilities.argmax(dim=-1).tolist()
    letters = [
        CHARACTERS[label] for index, label in enumerate(path) if label != 0 and path[index - 1 : index] != [label]
    ]
    return log_probabilities, " ".join("".join(letters).split())


def streamed(model, pieces):
    """Return what a session hears, after checking that text only grows."""
    session, before = StreamingSession(model, streaming_extractor(), CHARACTERS), ""
    for piece in pieces:
        text = session.feed(piece)
        assert text.startswith(before) and text == session.text
        before = text
    result = session.finish()
    assert result.text.startswith(before) and result.text == session.text
    return result


def cut(waveform, *sizes):
    """Cut into pieces of these sizes, over and over."""
    pieces, start = [], 0
    while start < len(waveform):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(waveform[start : start + size])
        start += size
    return pieces


@pytest.fixture(scope="module", params=VARIANTS, ids=lambda options: ",".join(map(str, options.values())) or "default")
def model(request):
    return streaming_model(**request.param)


@pytest.mark.parametrize("sizes", [(10**6,), (640,), (160,), (1601, 0, 7), (399, 401), (5000, 100)], ids=str)
def test_any_cut_gives_what_one_pass_gives(model, sizes):
    waveform = speech(40_123)
    expected, text = at_once(model, waveform)
    result = streamed(model, cut(waveform, *sizes))
    assert len(text) > 8 and " " in text
    torch.testing.assert_close(result.log_probabilities, expected, rtol=0, atol=1e-5)
    assert result.text == text


@pytest.mark.parametrize("seed", range(5))
def test_random_cuts_are_exact_in_float64(model, seed):
    double = copy.deepcopy(model).double()
    generator = np.random.default_rng(seed)
    waveform = speech(int(generator.integers(1, 30_000)), seed)
    sizes = [int(size) for size in 10 ** generator.uniform(0, 4, 20)]
    expected, text = at_once(double, waveform)
    result = streamed(double, cut(waveform, *sizes, 0))
    assert result.log_probabilities.dtype == torch.float64 and result.text == text
    torch.testing.assert_close(result.log_probabilities, expected, rtol=0, atol=1e-6)  # features are float32


@pytest.mark.parametrize("num_samples", [1, 2, 399, 400, 401, 559, 560, 880, 1040, 1200, 2000])
def test_short_recordings_sample_by_sample(model, num_samples):
    waveform = speech(num_samples)
    expected, text = at_once(model, waveform)
    result = streamed(model, cut(waveform, 1))
    torch.testing.assert_close(result.log_probabilities, expected, rtol=0, atol=1e-5)
    assert result.text == text


def test_text_comes_before_the_end(model):
    waveform = speech(32_000)
    session = StreamingSession(model, streaming_extractor(), CHARACTERS)
    lengths = [len(session.feed(piece)) for piece in cut(waveform, 1600)]
    assert 0 < lengths[5] < lengths[-1]


def test_steps_are_scored_as_soon_as_their_frames_are_there():
    session = StreamingSession(streaming_model(), streaming_extractor(), CHARACTERS)
    steps = []
    for piece in cut(speech(3000), 1):
        session.feed(piece)
        steps.append(sum(map(len, session._log_probabilities)))
    # Step t reads frames up to 4 t + 3, and frame f ends with sample 160 f + 400.
    assert [steps.index(number) + 1 for number in (1, 2, 3)] == [160 * (4 * step + 3) + 400 for step in (0, 1, 2)]


def test_without_a_sample_there_is_no_text(model):
    result = streamed(model, [np.zeros(0, np.float32)])
    assert result.text == "" and result.log_probabilities.shape == (0, 4)


def test_collapsing_goes_on_over_the_cuts():
    session = StreamingSession(streaming_model(), streaming_extractor(), CHARACTERS)
    for label in (1, 2, 2, 0, 2, 1, 1, 0, 1, 3, 3, 1):
        session._hear(torch.nn.functional.one_hot(torch.tensor([label]), 4).float())
    assert session.text == "AA B"


def test_a_session_keeps_little(monkeypatch):
    monkeypatch.setattr(speech_streaming, "SECONDS_AT_ONCE", 1)
    session = StreamingSession(streaming_model(), streaming_extractor(), CHARACTERS)
    for size in (100_000, 1, 777, 50_000, 0):
        session.feed(speech(size))
        assert len(session._samples) < 400 and len(session._reader._frames) < 8


def test_sessions_share_a_model():
    model, waveforms = streaming_model(), [speech(20_000, seed) for seed in range(6)]
    alone = [streamed(model, cut(waveform, 700)) for waveform in waveforms]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(lambda waveform: streamed(model, cut(waveform, 700)), waveforms))
    for first, second in zip(alone, together, strict=True):
        assert first.text == second.text
        torch.testing.assert_close(first.log_probabilities, second.log_probabilities, rtol=0, atol=0)


def test_a_checkpoint_that_needs_the_whole_recording_is_refused():
    with pytest.raises(InputError, match=r"reads both ways.*whole recording"):
        StreamingSession(streaming_model(bidirectional=True), streaming_extractor(), CHARACTERS)
    with pytest.raises(InputError, match=r"no feature_means.*whole recording"):
        StreamingSession(streaming_model(), BlstmCtcFeatureExtractor(feature_size=6), CHARACTERS)
    with pytest.raises(ValueError, match="reads from both ends"):
        streaming_model(bidirectional=True).read_on(torch.zeros(1, 4, 6), 0, None)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros(10, np.int16), r"floats between -1 and 1; got int16 \(10,\)\. Divide"),
        (np.zeros((10, 2), np.float32), r"mono.*\(10, 2\)"),
        (np.float32([0, np.nan]), "between -1 and 1; got nan"),
        (np.float64([0, np.inf]), "between -1 and 1; got inf"),
        (np.float32([0, 20_000]), "between -1 and 1; got 20000"),
    ],
)
def test_bad_samples_are_refused_and_change_nothing(samples, message):
    model, waveform = streaming_model(), speech(5000)
    session = StreamingSession(model, streaming_extractor(), CHARACTERS)
    session.feed(waveform[:3000])
    with pytest.raises(InputError, match=message):
        session.feed(samples)
    session.feed(waveform[3000:])
    expected, _ = at_once(model, waveform)
    torch.testing.assert_close(session.finish().log_probabilities, expected, rtol=0, atol=1e-5)


def test_a_session_ends(monkeypatch):
    monkeypatch.setattr(speech_streaming, "MAXIMUM_SECONDS", 2)
    session = StreamingSession(streaming_model(), streaming_extractor(), CHARACTERS)
    session.feed(speech(32_000))
    with pytest.raises(InputError, match=r"at most 2 seconds.*another session"):
        session.feed(speech(1))
    session.finish()
    for late in (lambda: session.feed(speech(1)), session.finish):
        with pytest.raises(ValueError, match="finished"):
            late()
