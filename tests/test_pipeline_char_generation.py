"""The writing pipeline: seeds, streams, details, evidence, and looking into a text."""

import math

import pytest
import torch
import transformers
from huggingface_hub import TextGenerationOutput

from pipelines import InputError, pipeline
from tasks import TASKS
from training.export import save_checkpoint

from .tiny import TINY

PROMPT = "A dog "


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("writing")
    task = TASKS["char-generation"]
    model, processors = TINY[task.name].build(folder)
    model.config.interpretable_units = [
        {"name": "x", "kind": "memory", "layer": 2, "unit": 3, "feature": "inside quotes", "correlation": -0.8}
    ]
    model.generation_config.do_sample = True
    save_checkpoint(folder / "tiny", task, model, list(processors.values()), {})
    return folder / "tiny"


@pytest.fixture(scope="module")
def write(folder):
    return pipeline("char-generation", model=str(folder), device="cpu")


def text_of(results):
    (result,) = results
    return result["generated_text"]


class TestSeeds:
    def test_the_same_seed_writes_the_same_and_another_one_something_else(self, write):
        texts = {text_of(write(PROMPT, seed=seed)) for seed in range(8)}
        assert len(texts) > 4
        assert text_of(write(PROMPT, seed=3)) == text_of(write(PROMPT, seed=3))

    def test_without_a_seed_it_is_by_chance_and_the_details_tell_the_seed(self, write):
        (result,) = write(PROMPT, details=True)
        assert text_of(write(PROMPT, seed=result["details"]["seed"])) == result["generated_text"]
        assert len({text_of(write(PROMPT)) for _ in range(8)}) > 4

    def test_several_texts_have_seeds_in_a_row(self, write):
        several = write(PROMPT, seed=5, num_return_sequences=3)
        assert [[result] for result in several] == [write(PROMPT, seed=seed) for seed in (5, 6, 7)]

    def test_a_list_gives_each_what_it_gets_alone(self, write):
        prompts = [PROMPT, "E", "Two children play"]
        assert write(prompts, seed=2, batch_size=3) == [write(prompt, seed=2) for prompt in prompts]

    def test_nothing_is_left_to_chance_without_sampling(self, write):
        greedy = text_of(write(PROMPT, do_sample=False))
        assert greedy == text_of(write(PROMPT, temperature=0)) == text_of(write(PROMPT, top_k=1))
        assert write(PROMPT, do_sample=False, details=True)[0]["details"]["seed"] is None


class TestStream:
    @pytest.mark.parametrize("options", [{}, {"do_sample": False}, {"stop": ["e", "n"], "max_new_tokens": 200}])
    def test_the_stream_is_the_answer_in_pieces(self, write, options):
        pieces = list(write.stream(PROMPT, seed=4, **options))
        assert len(pieces) > 1 and "".join(pieces) == text_of(write(PROMPT, seed=4, **options))

    def test_events_are_those_of_the_hubs_schema(self, write):
        events = list(write.serve_stream(PROMPT, {"seed": 4, "max_new_tokens": 5, "top_n_tokens": 2}))
        (result,) = write(PROMPT, seed=4, max_new_tokens=5, details=True, top_n_tokens=2)
        assert [event["token"] for event in events] == result["details"]["tokens"]
        assert [event["top_tokens"] for event in events] == result["details"]["top_tokens"]
        assert [event["index"] for event in events] == list(range(5))
        assert [event["generated_text"] for event in events] == [None] * 4 + [result["generated_text"]]
        assert events[-1]["details"] == {
            "finish_reason": "length",
            "generated_tokens": 5,
            "input_length": len(PROMPT),
            "seed": 4,
        }

    def test_mistakes_are_told_before_anything_is_streamed(self, write):
        for prompt, options in (("", {}), ("é", {}), (PROMPT, {"seed": -1}), (PROMPT, {"beams": 1}), (None, {})):
            with pytest.raises(InputError):
                write.stream(prompt, **options)
        with pytest.raises(InputError, match="num_return_sequences must be 1"):
            write.stream(PROMPT, num_return_sequences=2)

    def test_only_what_is_asked_for_is_written(self, write, monkeypatch):
        steps = []
        monkeypatch.setattr(write, "_step", lambda *given, step=write._step: steps.append(1) or step(*given))
        stream = write.stream(PROMPT, max_new_tokens=1000, seed=1)
        next(stream), next(stream)
        stream.close()
        assert len(steps) <= 3


class TestOptions:
    def test_the_prompt_comes_back_on_request(self, write):
        assert text_of(write(PROMPT, seed=1, return_full_text=True)) == PROMPT + text_of(write(PROMPT, seed=1))

    def test_a_stop_string_may_be_given_alone(self, write):
        text = text_of(write(PROMPT, seed=1, stop="e", max_new_tokens=500))
        assert text.endswith("e") and text.count("e") == 1

    def test_details_are_those_of_the_hubs_schema(self, write):
        (result,) = write(PROMPT, seed=1, details=True, decoder_input_details=True, top_n_tokens=3)
        details = result["details"]
        parsed = TextGenerationOutput.parse_obj_as_instance(result)
        assert parsed.details.finish_reason == "length" and parsed.details.generated_tokens == 12
        assert "".join(token.text for token in parsed.details.tokens) == result["generated_text"]
        assert "".join(token["text"] for token in details["prefill"]) == PROMPT
        assert all(len(top) == 3 and top[0]["logprob"] >= top[1]["logprob"] for top in details["top_tokens"])

    def test_strange_characters_are_refused_or_replaced(self, write):
        with pytest.raises(InputError, match="'é', '☃'"):
            write("A café ☃")
        results = write("A dôg ", unknown_characters="map", seed=1, return_full_text=True)
        assert text_of(results) == text_of(write("A dog ", seed=1, return_full_text=True))

    def test_limits(self, write):
        with pytest.raises(InputError, match="at most 10,000 characters; got 10,001"):
            write("A" * 10_001)
        with pytest.raises(InputError, match="max_new_tokens must be a whole number from 1 to 5000"):
            write(PROMPT, max_new_tokens=5001)
        with pytest.raises(InputError, match="send a line end"):
            write("")
        assert text_of(write("A" * 10_000, max_new_tokens=1))

    def test_blocked_words_are_neither_taken_nor_written(self, folder):
        strict = pipeline("char-generation", model=str(folder), device="cpu")
        strict.model.config.blocked_words = ["dog"]
        with pytest.raises(InputError, match="does not go on from 'dog'"):
            strict(PROMPT)
        text = text_of(strict("A d", max_new_tokens=200, seed=1))
        assert "".join(strict.stream("A d", max_new_tokens=200, seed=1)) == text


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_other_precisions_write_and_look_too(folder, write, dtype):
    other = pipeline("char-generation", model=str(folder), device="cpu", dtype=dtype)
    assert str(other.model.dtype) == f"torch.{dtype}"
    assert len(text_of(other(PROMPT, seed=1))) == 12
    expected = write.inspect(PROMPT)["nats_per_character"]
    assert other.inspect(PROMPT)["nats_per_character"] == pytest.approx(expected, rel=0.02)


class TestEvidence:
    def test_it_is_about_the_characters_of_the_answer(self, write):
        (result,) = write(PROMPT, seed=1, return_evidence=True, units=["hidden.1.0", "memory.2.3"])
        evidence = result["evidence"]
        assert "".join(evidence["characters"]) == result["generated_text"]
        assert len(evidence["log_probabilities"]) == len(result["generated_text"])
        named, known = evidence["activations"]
        assert named["unit"] == "hidden.1.0" and "feature" not in named
        assert (known["unit"], known["feature"], known["correlation"]) == ("memory.2.3", "inside quotes", -0.8)
        assert all(-1 <= value <= 1 for value in named["values"] + known["values"])

    def test_it_is_what_inspecting_the_text_finds(self, write):
        (result,) = write(PROMPT, seed=1, return_evidence=True)
        inspected = write.inspect(PROMPT + result["generated_text"])
        start = len(PROMPT)
        evidence = result["evidence"]
        assert evidence["log_probabilities"] == inspected["log_probabilities"][start:]
        (unit,), (same,) = evidence["activations"], inspected["activations"]
        assert unit["values"] == same["values"][start:] and len(unit["values"]) == len(evidence["characters"])

    @pytest.mark.parametrize("name", ["memory.3.0", "memory.0.0", "hidden.1.7", "cell.1.1", "hidden.1", "x"])
    def test_a_unit_that_is_not_there_is_refused(self, write, name):
        with pytest.raises(InputError, match=r"layer 1 to 2, unit 0 to 6"):
            write(PROMPT, units=[name])
        with pytest.raises(InputError, match=r"is no unit"):
            write.inspect(PROMPT, units=[name])


class TestInspect:
    def test_log_probabilities_sum_to_the_loss(self, write):
        text = "A dog runs.\nTwo children play"
        inspected = write.inspect(text)
        ids = torch.tensor([[write.tokenizer.get_vocab()[character] for character in text]])
        loss = write.model(ids, labels=ids).loss.item()
        assert -sum(inspected["log_probabilities"]) / len(text) == pytest.approx(loss, rel=1e-5)
        assert inspected["nats_per_character"] == pytest.approx(loss, rel=1e-5)
        assert inspected["bits_per_character"] == pytest.approx(loss / math.log(2), rel=1e-5)
        assert "".join(inspected["characters"]) == text

    def test_alternatives_are_the_best_and_the_next_ones_follow_the_text(self, write):
        inspected = write.inspect(PROMPT, top=3)
        assert len(inspected["top"]) == len(PROMPT) and all(len(place) == 3 for place in inspected["top"])
        greedy = text_of(write(PROMPT, do_sample=False, max_new_tokens=1))
        assert inspected["next"][0]["character"] == greedy
        scores = [candidate["log_probability"] for candidate in inspected["next"]]
        assert scores == sorted(scores, reverse=True)

    def test_activations_are_those_of_the_network(self, write):
        (unit,) = write.inspect(PROMPT, units=["memory.1.5"])["activations"]
        ids = torch.tensor([[write.tokenizer.get_vocab()[character] for character in PROMPT]])
        expected = write.model.activations(ids).memory[0][0, :, 5].tanh().tolist()
        assert unit["values"] == pytest.approx(expected)

    def test_what_does_not_fit_is_refused(self, write):
        for text in ("", "é", None, "A" * 10_001):
            with pytest.raises(InputError):
                write.inspect(text)
        with pytest.raises(InputError, match=r"^top must be a whole number from 0 to 20; got 21"):
            write.inspect(PROMPT, top=21)
        assert write.inspect("A é", unknown_characters="map")["characters"] == ["A", " ", "e"]


def test_transformers_own_text_generation_works_with_the_checkpoint(folder, write):
    stock = transformers.pipeline("text-generation", model=str(folder), device="cpu")
    text = stock(PROMPT, do_sample=False, max_new_tokens=9)[0]["generated_text"]
    assert text == text_of(write(PROMPT, do_sample=False, max_new_tokens=9, return_full_text=True))
    together = stock([PROMPT, "E"], do_sample=False, max_new_tokens=5, batch_size=2)
    alone = [stock(prompt, do_sample=False, max_new_tokens=5) for prompt in (PROMPT, "E")]
    assert together == alone
