"""A damaged checkpoint is refused with the name of the file that is wrong."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

import hub
from hub import CheckpointError
from pipelines import pipeline


@pytest.fixture
def copy(tiny_checkpoint, tmp_path):
    """Return a copy of a family's checkpoint, to be damaged."""
    return shutil.copytree(tiny_checkpoint.folder, tmp_path / "damaged")


def refused(folder, message):
    with pytest.raises(CheckpointError, match=message):
        pipeline(model=str(folder), device="cpu")


def test_a_good_checkpoint_names_its_task(tiny_checkpoint):
    assert hub.check(tiny_checkpoint.folder) is tiny_checkpoint.task


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_missing_or_empty_file_is_named(copy, tiny_checkpoint, name):
    (copy / name).write_bytes(b"")
    with pytest.raises(CheckpointError, match=f"damaged/{name}: the file is missing or empty"):
        pipeline(tiny_checkpoint.task.name, model=str(copy), device="cpu")
    (copy / name).unlink()
    with pytest.raises(CheckpointError, match=f"damaged/{name}: the file is missing or empty"):
        pipeline(tiny_checkpoint.task.name, model=str(copy), device="cpu")


def test_a_missing_vocabulary_is_named(copy, tiny_checkpoint):
    if tiny_checkpoint.task.tokenizer is None:
        pytest.skip("the family has no tokenizer")
    for name in hub.vocabulary_files(tiny_checkpoint.task):
        (copy / name).unlink()
        refused(copy, f"damaged/{name}: the file is missing or empty")


def test_a_tensor_of_the_wrong_shape_is_named(copy):
    tensors = load_file(copy / "model.safetensors")
    name = sorted(tensors)[0]
    save_file(tensors | {name: torch.zeros(3, 2, 1)}, copy / "model.safetensors")
    refused(copy, rf"damaged/model.safetensors: {name} has shape \(3, 2, 1\); config.json asks for")


def test_a_missing_tensor_is_named(copy):
    tensors = load_file(copy / "model.safetensors")
    name = sorted(tensors)[-1]
    save_file({key: value for key, value in tensors.items() if key != name}, copy / "model.safetensors")
    refused(copy, f"damaged/model.safetensors: the tensor {name} is missing")


def test_a_pickle_is_never_opened(copy):
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    refused(copy, "damaged/pytorch_model.bin: a pickle can run any program")


def test_weights_that_are_no_safetensors_are_refused(copy):
    (copy / "model.safetensors").write_bytes(b"\x80\x04 this is a pickle, not a table of tensors")
    refused(copy, "damaged/model.safetensors: not a safetensors file")


@pytest.mark.parametrize(("text", "message"), [("{", "not JSON"), ("[1]", "expected a JSON object")])
def test_a_configuration_that_is_no_configuration_is_refused(copy, text, message):
    (copy / "config.json").write_text(text)
    refused(copy, f"damaged/config.json: {message}")


@pytest.mark.parametrize("name", ["tokenizer_config.json", "generation_config.json"])
def test_other_files_that_are_no_json_are_refused(copy, name):
    if not (copy / name).is_file():
        pytest.skip("the family has no such file")
    (copy / name).write_text("{")
    refused(copy, f"damaged/{name}: not JSON")


def test_a_family_that_generates_must_say_how_and_no_other(copy, tiny_checkpoint):
    (copy / "generation_config.json").unlink(missing_ok=True)
    if hub.model_code(tiny_checkpoint.task.model).can_generate():
        refused(copy, "damaged/generation_config.json: the file is missing or empty")
    else:
        assert hub.check(copy) is tiny_checkpoint.task


def test_a_strangers_model_is_refused(copy):
    (copy / "config.json").write_text(json.dumps({"model_type": "bert"}))
    refused(copy, "model_type 'bert' is none of this project's families")


def test_a_field_of_the_wrong_type_is_refused(copy):
    content = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(content | {"vocab_size": "many"}))
    refused(copy, "damaged/config.json: .*vocab_size")


def test_a_checkpoint_that_is_not_there(tmp_path):
    with pytest.raises(CheckpointError, match="No checkpoint 'nowhere'"):
        hub.find("nowhere")
    with pytest.raises(CheckpointError, match="No checkpoint"):
        hub.find(str(tmp_path / "nowhere"))


def test_a_checkpoint_says_how_it_decodes_in_one_of_two_files(tmp_path):
    (tmp_path / "config.json").write_text('{"decoding": {"num_beams": 40}}')
    assert hub.decoding_defaults(str(tmp_path)) == {"num_beams": 40}
    (tmp_path / "generation_config.json").write_text('{"num_beams": 5}')
    assert hub.decoding_defaults(str(tmp_path)) == {"num_beams": 5}


@pytest.mark.parametrize("content", ["{}", '{"decoding": null}'])
def test_a_checkpoint_need_not_say_how_it_decodes(tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    assert hub.decoding_defaults(str(tmp_path)) == {}


def test_decoding_defaults_of_what_is_no_checkpoint(tmp_path):
    with pytest.raises(CheckpointError, match=r"config.json: the file is missing or empty"):
        hub.decoding_defaults(str(tmp_path))
