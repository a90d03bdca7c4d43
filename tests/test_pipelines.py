"""What every pipeline promises, for every row of tasks.py; then translation's own."""

import base64
import io
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import transformers
from PIL import Image

import pipelines.__main__ as command
from pipelines import InputError, pipeline
from tasks import TASKS
from training.attention_nmt import train_tokenizer
from training.export import save_checkpoint

from .conftest import ROOT, is_close
from .tiny import SENTENCES, TINY, attention_nmt_model, picture


@pytest.fixture(scope="session")
def tiny_pipeline(tiny_checkpoint):
    return tiny_checkpoint.pipeline()


class TestEveryTask:
    def test_a_padded_batch_gives_what_single_inputs_give(self, tiny_checkpoint, tiny_pipeline):
        inputs = list(tiny_checkpoint.family.inputs)
        together = tiny_pipeline(inputs, batch_size=len(inputs), return_evidence=True)
        assert is_close(together, [tiny_pipeline(item, return_evidence=True) for item in inputs])

    def test_lists_are_answered_in_batches_by_ourselves_as_by_transformers(
        self, tiny_checkpoint, tiny_pipeline, monkeypatch
    ):
        inputs = [*tiny_checkpoint.family.inputs, tiny_checkpoint.family.inputs[0]]  # the last batch is of another size
        with monkeypatch.context() as patch:
            patch.setattr(type(tiny_pipeline), "get_iterator", transformers.Pipeline.get_iterator)
            theirs = [tiny_pipeline(inputs, batch_size=size) for size in (1, 2, 3)]
        assert [tiny_pipeline(inputs, batch_size=size) for size in (1, 2, 3)] == theirs
        assert tiny_pipeline(inputs, batch_size=2, num_workers=1) == theirs[1]

    def test_the_same_question_gets_the_same_answer(self, tiny_checkpoint, tiny_pipeline):
        item = tiny_checkpoint.family.inputs[0]
        assert tiny_pipeline(item, return_evidence=True) == tiny_pipeline(item, return_evidence=True)

    def test_evidence_comes_on_request_only_and_is_json(self, tiny_checkpoint, tiny_pipeline):
        item = tiny_checkpoint.family.inputs[0]
        assert "evidence" not in tiny_pipeline(item)[0]
        results = tiny_pipeline(item, return_evidence=True)
        assert json.loads(json.dumps(results, allow_nan=False)) == results
        assert "evidence" in results[0]

    def test_an_unknown_option_is_named_and_the_known_ones_are_listed(self, tiny_checkpoint, tiny_pipeline):
        with pytest.raises(InputError, match=r"beam_width.*Known options: .*return_evidence") as caught:
            tiny_pipeline(tiny_checkpoint.family.inputs[0], beam_width=3)
        assert caught.value.field == "beam_width"

    def test_every_option_refuses_what_it_does_not_mean(self, tiny_checkpoint, tiny_pipeline):
        for option in tiny_pipeline.options:
            too_long = "x" * ((option.maximum or 0) + 1) if option.kind in ("str", "texts") else ""
            wrong = {
                "bool": [1, "yes"],
                "int": [1.5, True, "3", (option.minimum or 0) - 1, (option.maximum or 0) + 1],
                "float": [float("nan"), float("inf"), "1", (option.minimum or 0) - 0.1, (option.maximum or 0) + 0.1],
                "str": [5, "\ud800", too_long],
                "texts": [5, [5], "", ["\ud800"], [too_long], ["x"] * 17],
            }
            for value in wrong[option.kind]:
                with pytest.raises(InputError, match=option.name) as caught:
                    tiny_pipeline(tiny_checkpoint.family.inputs[0], **{option.name: value})
                assert caught.value.field == option.name

    def test_no_input_and_a_list_without_inputs(self, tiny_pipeline):
        assert tiny_pipeline([]) == []
        with pytest.raises(InputError):
            tiny_pipeline(None)

    def test_a_wrong_item_of_a_list_is_named(self, tiny_checkpoint, tiny_pipeline):
        with pytest.raises(InputError, match=r"Input 1: .*None") as caught:
            tiny_pipeline([tiny_checkpoint.family.inputs[0], None])
        assert caught.value.field == "inputs[1]"

    def test_serve_reads_the_hubs_schema(self, tiny_checkpoint, tiny_pipeline):
        item = tiny_checkpoint.family.inputs[0]
        plain = tiny_pipeline.as_response(tiny_pipeline(item, return_evidence=True))
        assert tiny_pipeline.serve(item, {"return_evidence": True}) == plain
        assert tiny_pipeline.serve(item, {"generate_parameters": {"return_evidence": True}}) == plain
        for wrong in ({"generate_parameters": 3}, [1]):
            with pytest.raises(InputError, match="must be an object"):
                tiny_pipeline.serve(item, wrong)

    def test_stock_transformers_pipeline_knows_the_task(self, tiny_checkpoint, tiny_pipeline):
        names = ("tokenizer", "image_processor", "feature_extractor")
        processors = {name: getattr(tiny_pipeline, name, None) for name in names}
        stock = transformers.pipeline(tiny_checkpoint.task.name, model=tiny_pipeline.model, device="cpu", **processors)
        item = tiny_checkpoint.family.inputs[0]
        assert stock(item) == tiny_pipeline(item)

    def test_loaded_twice_at_once_both_answer_right(self, tiny_checkpoint, tiny_pipeline):
        with ThreadPoolExecutor(4) as pool:
            loaded = list(pool.map(lambda _: tiny_checkpoint.pipeline(), range(4)))
        item = tiny_checkpoint.family.inputs[0]
        assert [pipe(item) for pipe in loaded] == [tiny_pipeline(item)] * 4

    def test_the_checkpoint_tells_its_own_task(self, tiny_checkpoint):
        assert pipeline(model=str(tiny_checkpoint.folder), device="cpu").task == tiny_checkpoint.task.name


@pytest.fixture(scope="module")
def translate(tiny_checkpoint_of):
    """Load translation's tiny checkpoint."""
    return tiny_checkpoint_of("attention-translation").pipeline()


class TestTranslation:
    def test_evidence_has_the_promised_shape(self, translate):
        for result in translate(SENTENCES[1], num_beams=4, num_return_sequences=4, return_evidence=True):
            evidence, parts = result["evidence"], result["score_parts"]
            assert evidence["source_tokens"][-1] == "</s>"
            assert len(evidence["attention"]) == len(evidence["target_tokens"])
            for row in evidence["attention"]:
                assert len(row) == len(evidence["source_tokens"]) and sum(row) == pytest.approx(1.0, abs=1e-5)
            assert sum(evidence["token_log_probabilities"]) == pytest.approx(parts["log_probability"], abs=1e-4)
            assert result["score"] == pytest.approx(parts["log_probability"] / parts["length_denominator"])

    def test_scoring_the_answer_again_gives_its_score(self, translate):
        best = translate(SENTENCES[0], num_beams=3, return_evidence=True)[0]
        ids = translate.tokenizer.convert_tokens_to_ids(best["evidence"]["target_tokens"])
        given = translate.score(SENTENCES[0], "Ein Hund rennt.")
        assert given["translation_text"] == "Ein Hund rennt."
        assert given["evidence"]["target_tokens"][-1] == "</s>"
        source = translate.preprocess(SENTENCES[0])
        (again,) = translate.network.score(source["input_ids"], source["attention_mask"], [ids])
        assert again.score == pytest.approx(best["score"], abs=1e-5)

    def test_a_network_of_several_directions_is_asked_for_one(self, tmp_path):
        tokenizer = train_tokenizer(list(SENTENCES) * 4, 60, tmp_path / "vocabulary", ["de", "en", "fr"])
        model = attention_nmt_model(vocab_size=len(tokenizer), directions=["en-de", "en-fr", "de-en"])
        save_checkpoint(tmp_path / "several", TASKS["attention-translation"], model, [tokenizer], {})
        translate = pipeline("attention-translation", model=str(tmp_path / "several"), max_new_tokens=5)

        def asked(**languages):
            return translate(SENTENCES[0], return_evidence=True, **languages)[0]["evidence"]["source_tokens"][0]

        assert asked() == asked(tgt_lang="de") == "<2de>"
        assert asked(tgt_lang="fr") == "<2fr>" and asked(src_lang="de") == "<2en>"
        assert translate.score(SENTENCES[0], "Ein Hund.", tgt_lang="fr")["evidence"]["source_tokens"][0] == "<2fr>"
        with pytest.raises(InputError, match="tgt_lang must be 'de' or 'en' or 'fr', this checkpoint's; got 'es'"):
            asked(tgt_lang="es")
        with pytest.raises(InputError, match="translates en-de, en-fr, de-en; got de-fr"):
            asked(src_lang="de", tgt_lang="fr")

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "empty"),
            (" \n\t ", "empty"),
            ("x" * 100_000, "at most 1,000 characters; got 100,000"),
            ("\ud800", "surrogate"),
            ("A dog\udc00", "surrogate"),
            ("😀", "knows no part"),
            ("שלום עולם", "knows no part"),
            ("\x00\x01\x07", "knows no part"),
            (5, "Expected a text; got 5"),
            ({"text": "A dog"}, "Expected a text"),
        ],
    )
    def test_what_cannot_be_translated_is_refused_in_a_sentence(self, translate, text, message):
        with pytest.raises(InputError, match=message):
            translate(text)

    @pytest.mark.parametrize("text", ["A dog 😀 runs.", "A dog\x00\x07 runs.", "</s>", "A dog " * 160, "אב A dog"])
    def test_what_can_be_translated_in_part_is(self, translate, text):
        (result,) = translate(text, return_evidence=True)
        assert len(result["evidence"]["attention"]) == len(result["evidence"]["target_tokens"]) >= 1

    def test_options_that_contradict_each_other_are_refused(self, translate):
        with pytest.raises(InputError, match="at most num_beams, 2; got 5"):
            translate(SENTENCES[0], num_beams=2, num_return_sequences=5)
        with pytest.raises(InputError, match="min_new_tokens must be at most max_new_tokens, 3"):
            translate(SENTENCES[0], min_new_tokens=4, max_new_tokens=3)

    def test_more_translations_than_beams_by_default_widen_the_beam(self, translate):
        assert len(translate(SENTENCES[0], num_return_sequences=7)) == 7

    def test_languages_must_be_the_checkpoints(self, translate):
        assert translate(SENTENCES[0], src_lang="en", tgt_lang="de") == translate(SENTENCES[0])
        with pytest.raises(InputError, match=r"tgt_lang must be 'de'.*got 'fr'"):
            translate(SENTENCES[0], tgt_lang="fr")

    def test_a_prefix_begins_the_translation(self, translate):
        assert translate(SENTENCES[0], target_prefix="Ein Ball")[0]["translation_text"].startswith("Ein Ball")

    def test_ignored_parameters_of_the_hubs_schema_change_nothing(self, translate):
        parameters = {"clean_up_tokenization_spaces": True, "truncation": "longest_first", "src_lang": "en"}
        assert translate.serve(SENTENCES[0], parameters) == translate(SENTENCES[0])

    @pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
    def test_other_precisions_answer_too(self, translate, dtype):
        other = pipeline("attention-translation", model=translate.model.name_or_path, device="cpu", dtype=dtype)
        assert str(other.model.dtype) == f"torch.{dtype}"
        assert other(SENTENCES[0])[0]["score"] == pytest.approx(translate(SENTENCES[0])[0]["score"], rel=0.1)


def test_the_command_line_answers_in_json(tiny_checkpoint, tmp_path, capsys):
    item = tiny_checkpoint.family.inputs[0]
    if isinstance(item, bytes):
        (tmp_path / "file").write_bytes(item)
        item = str(tmp_path / "file")
    argument = item if isinstance(item, str) else json.dumps(item)
    assert (
        command.main([tiny_checkpoint.task.name, argument, "--model", str(tiny_checkpoint.folder), "--evidence"]) == 0
    )
    answer = json.loads(capsys.readouterr().out)
    assert is_close(answer, tiny_checkpoint.pipeline()(item, return_evidence=True))


def test_the_command_line_is_a_program_whose_output_is_the_answer_alone(translate):
    program = [sys.executable, "-m", "pipelines", "attention-translation", SENTENCES[0]]
    options = ["--model", translate.model.name_or_path, "--evidence"]
    done = subprocess.run([*program, *options], cwd=ROOT, capture_output=True, text=True, check=True)
    assert is_close(json.loads(done.stdout), translate(SENTENCES[0], return_evidence=True))


@pytest.fixture(scope="module")
def describe(tiny_checkpoint_of):
    """Load captioning's tiny checkpoint."""
    return tiny_checkpoint_of("captioning").pipeline()


class TestCaptioning:
    def test_every_kind_of_input_gives_the_same_answer(self, describe, tmp_path):
        content = TINY["captioning"].inputs[1]
        path = tmp_path / "picture.png"
        path.write_bytes(content)
        image = Image.open(path)
        expected = describe(content, return_evidence=True)
        for same in (path, str(path), image, np.array(image), image.convert("RGBA"), np.array(image) / 255):
            assert describe(same, return_evidence=True) == expected
        assert describe([content, str(path), image], return_evidence=True) == [expected] * 3

    def test_evidence_has_the_promised_shape(self, describe):
        for result in describe(TINY["captioning"].inputs[0], num_beams=4, num_return_sequences=4, return_evidence=True):
            evidence, parts = result["evidence"], result["score_parts"]
            assert evidence["grid"] == [4, 4] and len(evidence["attention"]) == len(evidence["tokens"])
            for word in evidence["attention"]:
                assert [len(row) for row in word] == [4] * 4
                assert sum(map(sum, word)) == pytest.approx(1.0, abs=1e-5)
            assert sum(evidence["token_log_probabilities"]) == pytest.approx(parts["log_probability"], abs=1e-4)
            assert result["score"] == pytest.approx(parts["log_probability"] / parts["length_denominator"])

    def test_what_was_not_used_is_said(self, describe):
        file = io.BytesIO()
        frames = [picture(seed) for seed in range(3)]
        frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
        (result,) = describe(file.getvalue())
        assert result["notices"] == ["The first of 3 frames was used."]
        assert "notices" not in describe(TINY["captioning"].inputs[0])[0]

    def test_scoring_the_answer_again_gives_its_score(self, describe):
        best = describe(TINY["captioning"].inputs[0], num_beams=3, min_new_tokens=3, return_evidence=True)[0]
        if best["evidence"]["tokens"][-1] == "</s>":
            again = describe.score(TINY["captioning"].inputs[0], best["generated_text"])
            assert again["score"] == pytest.approx(best["score"], abs=1e-5)
        given = describe.score(TINY["captioning"].inputs[0], "A dog runs.")
        assert given["evidence"]["tokens"] == ["a", "dog", "runs", "</s>"]
        with pytest.raises(InputError, match="words that the model knows; got 'A unicorn'"):
            describe.score(TINY["captioning"].inputs[0], "A unicorn")

    @pytest.mark.parametrize("item", [b"", b"no picture", "missing.jpg", 5, None, {"url": "x"}, b"<svg></svg>"])
    def test_what_is_no_picture_is_refused(self, describe, item):
        with pytest.raises(InputError, match="Expected"):
            describe(item)
        with pytest.raises(InputError, match="Input 1: Expected"):
            describe([TINY["captioning"].inputs[0], item])

    def test_a_url_is_fetched_only_from_a_host_that_the_caller_names(self, describe):
        with pytest.raises(InputError, match="no URL is fetched"):
            describe("http://example.org/dog.jpg")
        with pytest.raises(InputError, match=r"example\.org"):
            describe("http://example.org/dog.jpg", allowed_hosts=("example.com",))
        with pytest.raises(InputError, match=r"Input 0: .*example\.org"):
            describe(["http://example.org/dog.jpg"], allowed_hosts=["example.com"])
        with pytest.raises(InputError, match="Unknown option 'allowed_hosts'"):
            describe.serve(TINY["captioning"].inputs[0], {"allowed_hosts": ["example.org"]})

    def test_no_text_of_a_request_is_a_path(self, describe, tmp_path):
        path = tmp_path / "abcd"
        path.write_bytes(TINY["captioning"].inputs[0])
        for inputs in (str(path), [str(path)], "abcd"):
            with pytest.raises(InputError):
                describe.serve(inputs)
        encoded = base64.b64encode(TINY["captioning"].inputs[0]).decode()
        assert describe.serve([encoded]) == [describe(TINY["captioning"].inputs[0])]

    @pytest.mark.parametrize("dtype", ["bfloat16", "float64"])
    def test_other_precisions_answer_too(self, describe, dtype):
        other = pipeline("captioning", model=describe.model.name_or_path, device="cpu", dtype=dtype)
        item = TINY["captioning"].inputs[0]
        assert other(item)[0]["score"] == pytest.approx(describe(item)[0]["score"], rel=0.1)
