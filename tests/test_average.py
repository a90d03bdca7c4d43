"""Averages of checkpoints' weights, and what is refused."""

import pytest
import torch
from safetensors.torch import load_file, save_file

import training.average as command
from hub import WEIGHTS, CheckpointError
from pipelines import pipeline
from tasks import TASKS
from training.callbacks import AVERAGE_FILE
from training.export import save_checkpoint

from .tiny import SENTENCES, attention_nmt_model, sentencepiece_tokenizer


def moved(model, amount):
    """Add to every weight; powers of two, which float16 holds exactly."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(amount)
    return model


@pytest.fixture
def folders(tmp_path):
    """Write three checkpoints whose weights lie 0, 1 and 5 above those of the first."""
    tokenizer = sentencepiece_tokenizer(tmp_path / "vocabulary")
    for name, amount in (("a", 0.0), ("b", 1.0), ("c", 5.0)):
        model = moved(attention_nmt_model(vocab_size=len(tokenizer)), amount)
        model.generation_config.max_new_tokens = 12
        save_checkpoint(tmp_path / name, TASKS["attention-translation"], model, [tokenizer], {})
    return [tmp_path / name for name in "abc"]


def test_every_weight_is_the_mean_and_the_folder_is_complete(folders, tmp_path, capsys):
    output = tmp_path / "mean"
    assert command.main([*map(str, folders), "--output", str(output)]) == 0
    assert "mean of 3" in capsys.readouterr().out
    each = [load_file(folder / WEIGHTS) for folder in folders]
    found = load_file(output / WEIGHTS)
    assert found.keys() == each[0].keys()
    for name, weights in found.items():
        expected = sum(one[name].double() for one in each) / 3
        torch.testing.assert_close(weights, expected.half(), rtol=0, atol=0)
    translate = pipeline("attention-translation", model=str(output), device="cpu")
    assert translate(SENTENCES[0])[0]["translation_text"] is not None
    assert translate.network is not translate.model  # it has graphs, as what it was made of


def test_the_mean_of_one_is_that_one(folders, tmp_path):
    command.average_checkpoints(folders[:1] * 3, tmp_path / "same")
    one, other = load_file(folders[0] / WEIGHTS), load_file(tmp_path / "same" / WEIGHTS)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_trainings_own_checkpoints_are_averaged_with_what_the_run_has_beside_them(folders, tmp_path):
    run = folders[0]
    for step, amount in ((10, 2.0), (20, 4.0)):
        (run / f"checkpoint-{step}").mkdir()
        model = attention_nmt_model(vocab_size=int(load_file(run / WEIGHTS)["encoder.embedding.weight"].shape[0]))
        moved(model, amount).save_pretrained(run / f"checkpoint-{step}")
        average = {name: tensor.clone() for name, tensor in moved(model, 1.0).state_dict().items()}
        save_file(average, run / f"checkpoint-{step}" / AVERAGE_FILE)
    steps = [str(run / "checkpoint-10"), str(run / "checkpoint-20")]
    for flags, amount in (([], 3.0), (["--exponential"], 4.0)):
        assert command.main([*steps, "--output", str(tmp_path / "mean"), *flags]) == 0
        first, mean = load_file(run / WEIGHTS), load_file(tmp_path / "mean" / WEIGHTS)
        name = "decoder.readout_projection.weight"
        torch.testing.assert_close(mean[name].float(), first[name].float() + amount, rtol=0, atol=4e-3)


def test_what_does_not_fit_together_is_refused(folders, tmp_path, capsys):
    tokenizer = sentencepiece_tokenizer(tmp_path / "vocabulary")
    wider = attention_nmt_model(vocab_size=len(tokenizer), decoder_hidden_size=8)
    save_checkpoint(tmp_path / "wider", TASKS["attention-translation"], wider, [tokenizer], {})
    deeper = attention_nmt_model(vocab_size=len(tokenizer), decoder_layers=2)
    save_checkpoint(tmp_path / "deeper", TASKS["attention-translation"], deeper, [tokenizer], {})
    with pytest.raises(CheckpointError, match=r"wider/model.safetensors: decoder\..* has shape .*; in a it has"):
        command.average_checkpoints([folders[0], tmp_path / "wider"], tmp_path / "mean")
    with pytest.raises(CheckpointError, match="in a it has none, it is missing"):
        command.average_checkpoints([folders[0], tmp_path / "deeper"], tmp_path / "mean")

    (folders[1] / "spm.model").write_bytes(b"another")
    with pytest.raises(CheckpointError, match=r"b/spm.model: another vocabulary than that of a"):
        command.average_checkpoints(folders[:2], tmp_path / "mean")
    (folders[2] / WEIGHTS).write_bytes(b"no weights")
    with pytest.raises(CheckpointError, match=r"c/model.safetensors: not a safetensors file"):
        command.average_checkpoints([folders[0], folders[2]], tmp_path / "mean")
    (folders[2] / WEIGHTS).unlink()
    (folders[2] / "pytorch_model.bin").write_bytes(b"a pickle")
    assert command.main([str(folders[0]), str(folders[2]), "--output", str(tmp_path / "mean")]) == 1
    assert "error: c/model.safetensors: the file is missing." in capsys.readouterr().err
    assert not (tmp_path / "mean").exists()
