"""float16 and bfloat16, on a CPU: what is delicate stays in float32, and answers stay close to those of float32."""

import functools
import math

import pytest
import torch
import transformers

import pipelines
from models.attention import AdditiveAttention
from models.precision import lstm_cell
from models.recurrent import RecurrentCells
from models.recurrent_layer import RecurrentLayer
from models.search_choice import forced_search
from pipelines import handler, pipeline

from .test_modeling_attention_nmt import batch
from .tiny import TINY, attention_nmt_model, char_rnn_model, memn2n_model

HALF = [torch.float16, torch.bfloat16]
TOLERANCE = {torch.float16: 0.01, torch.bfloat16: 0.06}
"""Of what is computed with so few digits, some units deep."""


def sums_of(task, evidence):
    """Return what must be 1: a sum for each token, hop or step."""
    if task == "captioning":
        return [math.fsum(math.fsum(row) for row in word) for word in evidence["attention"]]
    if task == "attention-translation":
        return [math.fsum(row) for row in evidence["attention"]]
    if task == "ctc-transcription":
        return [math.fsum(map(math.exp, row)) for row in evidence["log_probabilities"]]
    return []


def numbers_of(task, result):
    """Return an answer's scores."""
    if task == "ctc-transcription":
        return [value for row in result["evidence"]["log_probabilities"] for value in map(math.exp, row)]
    if task == "char-generation":
        return [value for row in result["evidence"]["activations"] for value in row["values"]]
    return [result["score"]]


@pytest.mark.parametrize("dtype", HALF, ids=str)
@pytest.mark.parametrize("task", TINY)
def test_every_family_answers_in_half_precision(task, dtype, tiny_checkpoint_of):
    checkpoint = tiny_checkpoint_of(task)
    other = pipeline(task, model=str(checkpoint.folder), device="cpu", dtype=dtype)
    exact = pipeline(task, model=str(checkpoint.folder), device="cpu", runtime="torch")
    assert other.model.dtype == dtype and exact.model.dtype == torch.float32
    for item in checkpoint.family.inputs:
        options = {"units": ["hidden.1.0", "memory.2.3"], "max_new_tokens": 1} if task == "char-generation" else {}
        result, expected = (pipe(item, return_evidence=True, **options) for pipe in (other, exact))
        result, expected = (some[0] if isinstance(some, list) else some for some in (result, expected))
        assert sums_of(task, result["evidence"]) == pytest.approx(
            [1.0] * len(sums_of(task, expected["evidence"])), abs=1e-3
        )
        assert numbers_of(task, result) == pytest.approx(numbers_of(task, expected), rel=0.1, abs=0.06)


@pytest.mark.parametrize("dtype", HALF, ids=str)
def test_the_hops_of_a_memory_network_sum_to_1(dtype):
    model = memn2n_model(dtype, null_memories=False)
    sentences = torch.randint(1, 12, (3, 4, 5), generator=torch.Generator().manual_seed(0))
    output = model(sentences, sentences[:, 0])
    assert output.attention.dtype == torch.float32 and output.logits.dtype == dtype
    torch.testing.assert_close(output.attention.sum(dim=2), torch.ones(3, model.config.num_hops), atol=1e-5, rtol=0)
    exact = memn2n_model(null_memories=False)(sentences, sentences[:, 0])
    torch.testing.assert_close(output.attention, exact.attention, atol=TOLERANCE[dtype], rtol=0)


@pytest.mark.parametrize("dtype", HALF, ids=str)
def test_attention_is_a_softmax_in_float32(dtype):
    torch.manual_seed(0)
    attention, exact = AdditiveAttention(6, 8, 5).to(dtype), AdditiveAttention(6, 8, 5)
    exact.load_state_dict(attention.state_dict())
    query, keys, mask = torch.randn(4, 6).to(dtype), torch.randn(2, 300, 8).to(dtype), torch.ones(2, 300).bool()
    mask[1, 200:] = False
    context, weights = attention(query, keys, attention.project_keys(keys), mask)
    assert context.dtype == dtype and weights.dtype == torch.float32
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(4), atol=1e-5, rtol=0)
    _, expected = exact(query.float(), keys.float(), exact.project_keys(keys.float()), mask)
    torch.testing.assert_close(weights, expected, atol=1e-3, rtol=0.05)


class TestLstm:
    """Its memory adds up over time, so it is kept in float32."""

    @pytest.mark.parametrize("dtype", [*HALF, torch.float32, torch.float64])
    def test_the_cell_is_torchs(self, dtype):
        torch.manual_seed(0)
        cell = torch.nn.LSTMCell(5, 7).to(dtype)
        weights = (cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh)
        inputs, hidden, memory = torch.randn(3, 5).to(dtype), torch.randn(3, 7).to(dtype), torch.randn(3, 7).to(dtype)
        found = lstm_cell(inputs, hidden, memory, weights)
        expected = torch.lstm_cell(
            inputs.double(), (hidden.double(), memory.double()), *(weight.double() for weight in weights)
        )
        assert [values.dtype for values in found] == [dtype, torch.float32 if dtype in HALF else dtype]
        for ours, theirs in zip(found, expected, strict=True):
            torch.testing.assert_close(ours.double(), theirs, atol=TOLERANCE.get(dtype, 1e-6), rtol=0)

    @pytest.mark.parametrize("dtype", HALF, ids=str)
    def test_what_is_added_to_a_large_memory_is_not_lost(self, dtype):
        """A gate that keeps all and an input of 0.01: in half precision the memory would stop growing."""
        weights = (torch.zeros(4, 1), torch.zeros(4, 1), torch.tensor([20.0, 20.0, 0.01, 20.0]), torch.zeros(4))
        weights = tuple(weight.to(dtype) for weight in weights)
        hidden, memory = torch.zeros(1, 1, dtype=dtype), torch.full((1, 1), 64.0)
        for _ in range(100):
            hidden, memory = lstm_cell(hidden, hidden, memory, weights)
        assert memory.item() == pytest.approx(65.0, abs=0.01)
        assert torch.tensor(64.0, dtype=dtype) + torch.tensor(0.01, dtype=dtype) == 64.0

    @pytest.mark.parametrize("dtype", HALF, ids=str)
    def test_steps_and_the_fused_run_agree(self, dtype):
        torch.manual_seed(0)
        cells = RecurrentCells("lstm", 5, 7, num_layers=2, dropout=0.0).to(dtype)
        inputs = torch.randn(3, 6, 5).to(dtype)
        state = first = cells.initial_state(torch.zeros(3, 7, dtype=dtype))
        outputs, last = cells.unroll(inputs, first)
        for values in inputs.unbind(dim=1):
            state = cells(values, state)
        for stepped, ran in ((state.hidden[-1], outputs[:, -1]), (state.memory[1], last.memory[1])):
            torch.testing.assert_close(stepped, ran, atol=TOLERANCE[dtype], rtol=0)
        assert {memory.dtype for memory in (*first.memory, *state.memory, *last.memory)} == {torch.float32}

    @pytest.mark.parametrize("dtype", HALF, ids=str)
    @pytest.mark.parametrize("layer_norm", [False, True])
    @pytest.mark.parametrize("cell_type", ["lstm", "gru"])
    def test_layers_of_the_generator(self, cell_type, layer_norm, dtype):
        torch.manual_seed(0)
        exact = RecurrentLayer(cell_type, 5, 7, layer_norm, 0.0)
        rough = RecurrentLayer(cell_type, 5, 7, layer_norm, 0.0)
        rough.load_state_dict(exact.state_dict())
        rough.to(dtype)
        inputs, hidden = torch.randn(3, 6, 5), torch.zeros(3, 7)
        memory = hidden if cell_type == "lstm" else None
        expected, _ = exact(inputs, hidden, memory)
        outputs, cells = rough(inputs.to(dtype), hidden.to(dtype), memory)
        torch.testing.assert_close(outputs.float(), expected, atol=TOLERANCE[dtype], rtol=0)
        stepped = hidden.to(dtype)
        for values in inputs.to(dtype).unbind(dim=1):
            stepped, memory = rough.step(values, stepped, memory)
        torch.testing.assert_close(stepped.float(), expected[:, -1], atol=TOLERANCE[dtype], rtol=0)
        if cell_type == "lstm":
            assert cells.dtype == memory.dtype == torch.float32


@pytest.mark.parametrize("dtype", HALF, ids=str)
@pytest.mark.parametrize("cell_type", ["lstm", "gru"])
def test_a_recorded_search_in_half_precision(cell_type, dtype):
    """Its tensors keep their types from step to step: else memory that is float32 would be written into half."""
    ids, mask, _ = batch(3, 7, 5, vocab_size=12)
    exact, rough = (attention_nmt_model(vocab_size=12, cell_type=cell_type).to(kind) for kind in (torch.float32, dtype))
    with forced_search("recorded"):
        found = rough.translate(ids, mask, num_beams=3, max_new_tokens=15)
    for hypotheses, source, real in zip(found, ids, mask.bool(), strict=True):
        best = hypotheses[0]
        assert best.attention.dtype == torch.float32
        torch.testing.assert_close(best.attention.sum(dim=1), torch.ones(len(best.token_ids)), atol=1e-3, rtol=0)
        given = exact.score(source[real][None], real[real][None], [best.token_ids])[0]
        assert best.score == pytest.approx(given.score, rel=0.1)


@pytest.mark.parametrize("dtype", HALF, ids=str)
@pytest.mark.parametrize("options", [{}, {"cell_type": "gru"}, {"layer_norm": True}], ids=str)
def test_the_generator_scores_in_float32(options, dtype):
    exact, rough = char_rnn_model(**options), char_rnn_model(**options).to(dtype)
    ids = torch.randint(1, 9, (2, 30), generator=torch.Generator().manual_seed(0))
    scores = rough.score(ids)
    assert scores.dtype == torch.float32
    torch.testing.assert_close(scores.exp().sum(dim=2), torch.ones(2, 31), atol=1e-5, rtol=0)
    torch.testing.assert_close(scores, exact.score(ids), atol=20 * TOLERANCE[dtype], rtol=0)
    mask = torch.ones_like(ids)
    mask[1, :5] = 0
    assert rough(ids, mask).logits.dtype == dtype
    assert all(values.isfinite().all() for values in rough.activations(ids).hidden)


class TestAutomaticPrecision:
    @pytest.mark.parametrize(
        ("device", "there_is_cuda", "expected"),
        [
            (None, True, True),
            (None, False, False),
            (0, True, True),
            (1, False, False),
            (-1, True, False),
            ("cpu", True, False),
            ("cuda", True, True),
            ("cuda:1", True, True),
            (torch.device("cuda", 0), True, True),
            (torch.device("cpu"), True, False),
        ],
    )
    def test_which_device_it_will_be(self, device, there_is_cuda, expected, monkeypatch):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: there_is_cuda)
        assert pipelines.will_run_on_cuda(device) is expected

    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            ({"device": "cuda"}, torch.float16),
            ({"device": "cuda", "dtype": "auto"}, torch.float16),
            ({"device": "cuda", "dtype": "float32"}, "float32"),
            ({"device": "cuda", "dtype": torch.bfloat16}, torch.bfloat16),
            ({"device": "cpu", "dtype": "auto"}, "auto"),
        ],
    )
    def test_what_transformers_is_asked_for(self, arguments, expected, monkeypatch):
        asked = {}

        @functools.wraps(transformers.pipeline)
        def record(**options):
            asked.update(options)

        monkeypatch.setattr(pipelines.transformers, "pipeline", record)
        pipelines.pipeline("memory-qa", **arguments)
        assert asked["dtype"] == expected

    @pytest.mark.parametrize(("there_is_cuda", "expected"), [(True, torch.float16), (False, "auto")])
    def test_an_inference_endpoint_does_the_same(self, there_is_cuda, expected, monkeypatch):
        asked = {}
        monkeypatch.setattr(torch.cuda, "is_available", lambda: there_is_cuda)
        monkeypatch.setattr(handler, "pipeline", lambda **options: asked.update(options))
        handler.EndpointHandler("somewhere")
        assert asked == {"model": "somewhere", "trust_remote_code": True, "dtype": expected}

    def test_a_cpu_computes_in_float32(self, tiny_checkpoint_of):
        folder = str(tiny_checkpoint_of("memory-qa").folder)
        assert pipeline("memory-qa", model=folder, device="cpu", dtype="auto").model.dtype == torch.float32
