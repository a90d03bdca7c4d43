"""Characters drawn in blocks where the network is, against those that the host draws one by one."""

from random import Random

import pytest
import torch

from models.captured_step import step_cache
from models.device_sampling import BLOCK, DrawingPlan, DrawingRules, draw, drawing_step
from models.search_choice import forced_search
from pipelines import pipeline
from pipelines.sampling import SamplingOptions
from pipelines.sampling import draw as draw_on_the_host

from .tiny import char_rnn_model
from .waiting import Counted

OPTIONS = [
    {},
    {"temperature": 0.3},
    {"top_k": 3},
    {"top_k": 1},
    {"top_k": 1000},
    {"top_p": 0.6},
    {"top_p": 0.01},
    {"temperature": 1.7, "top_k": 6, "top_p": 0.8},
    {"do_sample": False},
    {"temperature": 0.0},
]


def rules_of(options, banned, uniform, vocab_size):
    mask = torch.zeros(vocab_size, dtype=torch.bool)
    mask[list(banned)] = True
    return DrawingRules(
        temperature=torch.tensor([options.temperature], dtype=torch.float64),
        top_k=torch.tensor([options.top_k]),
        top_p=torch.tensor([options.top_p], dtype=torch.float64),
        banned=mask,
        uniforms=torch.tensor([uniform], dtype=torch.float64),
    )


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_one_character_is_drawn_as_on_the_host(options):
    options, generator, random = SamplingOptions(**options), torch.Generator().manual_seed(0), Random(0)
    for trial in range(300):
        logits = 3 * torch.randn(12, generator=generator)
        if trial % 3 == 0:
            logits = logits.round()  # with ties
        banned = {0, 5} if trial % 2 else set()
        uniform = [0.0, 1 - 2**-53, random.random()][min(trial, 2)]
        rules = rules_of(options, banned, uniform, 12)
        plan = DrawingPlan(options.is_greedy, 0 < options.top_k < 12, options.top_p < 1)
        found = draw(logits, rules, plan, rules.uniforms)
        chance = Random()
        chance.random = lambda uniform=uniform: uniform
        assert found.tolist() == [draw_on_the_host(logits.tolist(), options, chance, banned)]


@pytest.fixture(scope="module")
def write(tiny_checkpoint_of):
    """Load the tiny generator in float64, which the host steps exactly."""
    folder = str(tiny_checkpoint_of("char-generation").folder)
    return pipeline("char-generation", model=folder, device="cpu", dtype="float64")


@pytest.mark.parametrize("way", ["device", "recorded"])
@pytest.mark.parametrize("length", [1, BLOCK - 1, BLOCK, BLOCK + 1, 100])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_the_same_seed_gives_the_same_text(write, options, length, way):
    options = {
        "do_sample": True,
        "seed": 3,
        "max_new_tokens": length,
        "return_evidence": True,
        "details": True,
    } | options
    options |= {"units": ["hidden.1.0", "memory.2.3"], "top_n_tokens": 3}
    expected = write("The ", num_return_sequences=2, **options)
    with forced_search(way):
        found = write("The ", num_return_sequences=2, **options)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours["generated_text"] == theirs["generated_text"] and len(ours["generated_text"]) == length
        one, other = ours["evidence"], theirs["evidence"]
        assert one["log_probabilities"] == pytest.approx(other["log_probabilities"], abs=1e-9)
        for unit, same in zip(one["activations"], other["activations"], strict=True):
            assert unit["values"] == pytest.approx(same["values"], abs=1e-9)
        assert [token["id"] for token in ours["details"]["tokens"]] == [t["id"] for t in theirs["details"]["tokens"]]
        assert ours["details"]["finish_reason"] == theirs["details"]["finish_reason"] == "length"


def test_what_ends_a_text_ends_it_inside_a_block(write):
    options = {"do_sample": True, "seed": 3, "max_new_tokens": 100}
    text = write("The ", **options)[0]["generated_text"]
    stop = text[40:43]
    with forced_search("device"):
        assert write("The ", stop=stop, **options) == [{"generated_text": text[: text.index(stop) + 3]}]
    end = write.tokenizer.get_vocab()[text[7]]
    write.model.generation_config.eos_token_id = end
    try:
        expected = write("The ", details=True, **options)
        with forced_search("device"):
            assert write("The ", details=True, **options) == expected
        assert expected[0]["details"]["finish_reason"] == "eos_token" and len(expected[0]["generated_text"]) < 8
    finally:
        write.model.generation_config.eos_token_id = None


def test_what_is_streamed_and_what_is_filtered_is_drawn_on_the_host(write, monkeypatch):
    def fail(*args, **kwargs):
        raise AssertionError("drawn in a block")

    monkeypatch.setattr(type(write.model), "draw_block", fail)
    with forced_search("device"):
        assert len("".join(write.stream("The ", seed=1, max_new_tokens=20))) == 20
        with pytest.raises(AssertionError, match="drawn in a block"):
            write("The ", seed=1)
        monkeypatch.setitem(vars(write), "_words", _NoWords())
        assert len(write("The ", seed=1, max_new_tokens=20)[0]["generated_text"]) == 20


class _NoWords:
    """A filter that blocks nothing."""

    def blocks(self, word):
        return False

    def find(self, text):
        return None


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("options", [{}, {"cell_type": "gru"}, {"layer_norm": True}], ids=str)
def test_every_network_draws_blocks(options, dtype):
    """Each character is what its own logits say; and the next block goes on where the last one ended."""
    model = char_rnn_model(**options).to(dtype)
    output = model(torch.tensor([[3, 4, 5]]))
    logits, state, chance, read = output.logits[0, -1], output.past_key_values, Random(1), []
    expected, again = Random(1), output.past_key_values
    scores = logits
    with forced_search("recorded"):
        for _ in range(2):
            block, logits, state = model.draw_block(logits, state, chance, temperature=0.8, banned=(0,))
            for token, drawn_from in zip(block.tokens.tolist(), block.logits, strict=True):
                torch.testing.assert_close(drawn_from, scores.to(drawn_from.dtype), atol=1e-6, rtol=1e-6)
                wanted = draw_on_the_host(drawn_from.tolist(), SamplingOptions(temperature=0.8), expected, {0})
                assert token == wanted
                scores, again = model.exact_step(token, again)
                read.append(token)
    assert len(read) == 2 * BLOCK and len(set(read)) > 2 and len(step_cache(model)) == 1


@pytest.mark.parametrize("options", [{}, {"cell_type": "gru"}, {"layer_norm": True}], ids=str)
@pytest.mark.parametrize("chance", [None, Random(1)])
@torch.inference_mode()
def test_the_host_waits_for_no_character(options, chance, monkeypatch):
    model = char_rnn_model(**options)
    output = model(torch.tensor([[3, 4, 5]]))
    counts = []

    def counted_step(*arguments, **named):
        with Counted() as counted:
            drawing_step(*arguments, **named)
        counts.append(counted)

    monkeypatch.setattr("models.device_sampling.drawing_step", counted_step)
    with forced_search("device"):
        model.draw_block(output.logits[0, -1], output.past_key_values, chance, 0.8, 5, 0.9, (0,))
    assert len(counts) == BLOCK and all(counted.calls["index_copy_"] == 2 for counted in counts)
    assert [counted.waits for counted in counts] == [0] * BLOCK
