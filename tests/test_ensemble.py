"""Ensembles of translators against a loop in float64, and what they promise."""

import itertools
import json
from pathlib import Path

import pytest
import torch
from fastapi.testclient import TestClient

import pipelines.__main__ as command
from demo.translation_handlers import picture_html
from models.ensemble_attention_nmt import AttentionNmtEnsemble
from pipelines import CheckpointError, InputError, pipeline
from serving.application import create_application
from serving.checkpoints import ServedCheckpoints
from serving.served_checkpoint import ServedCheckpoint
from tasks import TASKS
from training.attention_nmt import train_tokenizer
from training.export import save_checkpoint

from .test_modeling_attention_nmt import batch
from .tiny import SENTENCES, attention_nmt_model, sentencepiece_tokenizer

END = 2
SEARCH = {"num_beams": 4, "num_return_sequences": 4, "max_new_tokens": 8}


def members(*many, vocab_size=12):
    """Return models whose weights differ, with the options given for each."""
    models = [attention_nmt_model(vocab_size=vocab_size, **options).double() for options in many]
    for number, model in enumerate(models):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(1 + 0.2 * number).add_(0.05 * number)
    return models


def sources():
    ids, mask, _ = batch(3, 7, 5, vocab_size=12)
    return ids, mask


def next_piece(models, source, target):
    """Return the mean of the models' probabilities of the piece after `target`, and of their attentions."""
    outputs = [model(torch.tensor([source]), labels=torch.tensor([[*target, END]])) for model in models]
    probabilities = sum(output.logits[0, -1].softmax(dim=0) for output in outputs) / len(models)
    attentions = [output.cross_attentions[0][0, -1] for output in outputs if output.cross_attentions]
    return probabilities, sum(attentions) / len(attentions) if attentions else None


def rows(ids, mask):
    return [source[real].tolist() for source, real in zip(ids, mask, strict=True)]


MIXED = ({}, {"cell_type": "lstm", "decoder_layers": 2}, {"attention_type": "none", "reverse_source": True})


def test_greedy_takes_the_likeliest_piece_of_the_mean_and_looks_where_they_look_on_average():
    models = members(*MIXED)
    found = AttentionNmtEnsemble(models).translate(*sources(), max_new_tokens=8)
    for source, (hypothesis,) in zip(rows(*sources()), found, strict=True):
        for step, piece in enumerate(hypothesis.token_ids):
            probabilities, attention = next_piece(models, source, hypothesis.token_ids[:step])
            assert piece == int(probabilities.argmax())
            assert hypothesis.token_log_probabilities[step] == pytest.approx(probabilities[piece].log().item())
            torch.testing.assert_close(hypothesis.attention[step].double(), attention, rtol=1e-4, atol=1e-5)


def test_a_beam_finds_what_a_beam_written_out_finds():
    ensemble = AttentionNmtEnsemble(members(*MIXED))
    found = ensemble.translate(*sources(), num_beams=3, max_new_tokens=5, min_new_tokens=5)
    for source, (best,) in zip(rows(*sources()), found, strict=True):
        growing = [([], 0.0)]
        for _ in range(5):
            extended = []
            for target, total in growing:
                log_probabilities = next_piece(ensemble.members, source, target)[0].log().tolist()
                extended += [
                    ([*target, piece], total + value) for piece, value in enumerate(log_probabilities) if piece != END
                ]
            growing = sorted(extended, key=lambda one: -one[1])[:3]
        assert best.token_ids == growing[0][0]
        assert best.score == pytest.approx(growing[0][1] / 5)


@pytest.mark.parametrize("copies", [1, 2])
def test_copies_of_one_model_are_that_model(copies):
    (model,) = members({})
    ours = AttentionNmtEnsemble([model] * copies).translate(*sources(), **SEARCH)
    theirs = model.translate(*sources(), **SEARCH)
    for one, other in zip(itertools.chain(*ours), itertools.chain(*theirs), strict=True):
        assert one.token_ids == other.token_ids and one.score == pytest.approx(other.score)
        torch.testing.assert_close(one.attention, other.attention)


def test_what_was_found_gets_its_score_again():
    ensemble = AttentionNmtEnsemble(members(*MIXED))
    ids, mask = sources()
    options = {"coverage_penalty": 0.2, "length_penalty": 0.7}
    for number, hypotheses in enumerate(ensemble.translate(ids, mask, **SEARCH, **options)):
        source = ids[number : number + 1, : mask[number].sum()]
        for hypothesis in hypotheses:
            (again,) = ensemble.score(source, torch.ones_like(source), [hypothesis.token_ids], **options)
            assert again.score == pytest.approx(hypothesis.score, abs=1e-5)


def test_members_must_speak_of_the_same_pieces():
    with pytest.raises(ValueError, match="must have the same vocab_size; got 12 and 13"):
        AttentionNmtEnsemble([attention_nmt_model(vocab_size=12), attention_nmt_model(vocab_size=13)])
    with pytest.raises(ValueError, match="must have the same target_language; got de and fr"):
        AttentionNmtEnsemble([attention_nmt_model(), attention_nmt_model(target_language="fr")])


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Write checkpoints of one vocabulary: two with attention, one without; and one of another vocabulary."""
    root, saved = tmp_path_factory.mktemp("members"), {}
    tokenizer = sentencepiece_tokenizer(root / "vocabulary")
    for name, options in (("a", {}), ("b", {"cell_type": "lstm"}), ("fixed", {"attention_type": "none"})):
        model = attention_nmt_model(vocab_size=len(tokenizer), **options)
        model.generation_config.max_new_tokens = 12
        save_checkpoint(root / name, TASKS["attention-translation"], model, [tokenizer], {})
        saved[name] = str(root / name)
    other = train_tokenizer(list(SENTENCES) * 4, 50, root / "other-vocabulary")
    model = attention_nmt_model(vocab_size=len(other))
    save_checkpoint(root / "other", TASKS["attention-translation"], model, [other], {})
    return saved | {"other": str(root / "other")}


def ask(*names, **options):
    return pipeline("attention-translation", model=list(names), device="cpu", **options)


class TestPipeline:
    def test_several_checkpoints_answer_together(self, folders):
        both = ask(folders["a"], folders["b"])
        results = both(list(SENTENCES[:2]), batch_size=2, return_evidence=True, num_beams=3)
        for sentence, (result, *_) in zip(SENTENCES, results, strict=False):
            evidence = result["evidence"]
            assert [sum(row) for row in evidence["attention"]] == pytest.approx([1.0] * len(evidence["attention"]))
            again = both.score(sentence, result["translation_text"])
            assert again["translation_text"] == result["translation_text"]
            alone = [pipeline(model=folders[name], device="cpu", runtime="torch") for name in "ab"]
            scores = [one.score(sentence, result["translation_text"])["score"] for one in alone]
            assert min(scores) - 1e-6 <= again["score"]

    def test_one_checkpoint_in_a_list_is_that_checkpoint(self, folders):
        alone = pipeline("attention-translation", model=folders["a"], device="cpu", runtime="torch")
        for names in (["a"], ["a", "a"]):
            ours = ask(*(folders[name] for name in names))(SENTENCES[1], num_beams=3, return_evidence=True)[0]
            theirs = alone(SENTENCES[1], num_beams=3, return_evidence=True)[0]
            assert ours["evidence"]["target_tokens"] == theirs["evidence"]["target_tokens"]
            assert ours["score"] == pytest.approx(theirs["score"], abs=1e-5)

    def test_what_does_not_fit_together_is_refused(self, folders, tmp_path):
        with pytest.raises(CheckpointError, match=r"same vocabulary, spm.model; a and other have not"):
            ask(folders["a"], folders["other"])
        with pytest.raises(ValueError, match="runtime 'onnx': an ensemble runs in PyTorch; use 'torch'"):
            ask(folders["a"], folders["b"], runtime="onnx")
        with pytest.raises(ValueError, match="a name or a list of names; got \\[\\]"):
            ask()
        with pytest.raises(ValueError, match="revision is of one repository"):
            ask(folders["a"], folders["b"], revision="main")
        with pytest.raises(ValueError, match="An ensemble cannot be saved as one checkpoint"):
            ask(folders["a"], folders["b"]).save_pretrained(tmp_path)
        with pytest.raises(CheckpointError, match="CharRnnForCausalLM has no ensembles"):
            pipeline("char-generation", model=["char-lstm-jokes", "char-lstm-jokes"], device="cpu")

    def test_the_command_line_takes_several_models(self, folders, capsys):
        models = ["--model", folders["a"], "--model", folders["b"]]
        assert command.main(["attention-translation", SENTENCES[0], *models]) == 0
        expected = ask(folders["a"], folders["b"])(SENTENCES[0])
        assert json.loads(capsys.readouterr().out)[0]["translation_text"] == expected[0]["translation_text"]


class TestWithoutAttention:
    def test_the_checkpoint_chooses_pytorch_and_its_evidence_has_no_alignment(self, folders):
        translate = pipeline(model=folders["fixed"], device="cpu")
        assert translate.network is translate.model
        result = translate(SENTENCES[0], return_evidence=True)[0]
        assert result["evidence"]["attention"] is None
        assert result["evidence"]["source_tokens"][-1] == "</s>"
        assert json.loads(json.dumps(result, allow_nan=False)) == result
        together = translate(list(SENTENCES[:3]), batch_size=3)
        assert [one[0]["translation_text"] for one in together] == [
            translate(sentence)[0]["translation_text"] for sentence in SENTENCES[:3]
        ]
        with pytest.raises(ValueError, match="graphs"):
            pipeline(model=folders["fixed"], device="cpu", runtime="onnx")

    def test_the_service_and_the_tab_have_nothing_to_draw(self, folders):
        served = ServedCheckpoints([ServedCheckpoint(Path(folders["fixed"]), TASKS["attention-translation"])])
        with TestClient(create_application(served)) as client:
            assert served.wait_until_loaded(60)
            asked = {"inputs": SENTENCES[0], "parameters": {"return_evidence": True}}
            (result,) = client.post("/models/fixed", json=asked).raise_for_status().json()
        assert result["evidence"]["attention"] is None
        for merged in (False, True):
            assert "no attention" in picture_html(result, merged)

    def test_a_penalty_on_attention_is_refused(self, folders):
        for names in (["fixed"], ["fixed", "fixed"]):
            translate = ask(*(folders[name] for name in names))
            with pytest.raises(InputError, match="has no attention") as caught:
                translate(SENTENCES[0], coverage_penalty=0.2)
            assert caught.value.field == "coverage_penalty"
        assert ask(folders["a"], folders["fixed"])(SENTENCES[0], coverage_penalty=0.2)
