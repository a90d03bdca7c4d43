"""Publishing to the Hub and loading back, by the real client against a Hub on the loopback interface."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from training.publish import assemble

from .loopback_hub import LoopbackHub

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def hub_server():
    with LoopbackHub() as server:
        yield server


def run_python(code: str, environment: dict[str, str], folder: Path) -> dict:
    """Run code in a fresh process; return the JSON on its last line."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "PYTHON"))}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=clean | environment | {"HF_MODULES_CACHE": str(folder / "modules"), "OMP_NUM_THREADS": "1"},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


PUBLISH_TWO_REVISIONS = """
import json, sys
sys.path.insert(0, {root!r})
from pathlib import Path
from training.publish import publish
first = publish(Path({first!r}), {repository!r})
second = publish(Path({second!r}), {repository!r})
from pipelines import CheckpointError, pipeline
pipe = pipeline({task!r}, model={repository!r}, revision=first, device="cpu")
now = pipeline({task!r}, model={repository!r}, device="cpu")
try:
    pipeline({task!r}, model="someone/nothing")
except CheckpointError as error:
    missing = str(error)
item = {item!r}
print(json.dumps(dict(
    first=first, second=second, missing=missing,
    answer=pipe(item, return_evidence=True), now=now(item, return_evidence=True),
)))
"""

STRANGER = """
import importlib.util, json, sys
for name in ("models", "pipelines", "hub", "tasks", "training"):
    assert importlib.util.find_spec(name) is None, name
from huggingface_hub import snapshot_download
from transformers import pipeline
item = {item!r}
pipe = pipeline({task!r}, model={repository!r}, revision={first!r}, trust_remote_code=True, device="cpu")
inferred = pipeline(model={repository!r}, trust_remote_code=True, device="cpu")
folder = snapshot_download({repository!r}, revision={first!r})
spec = importlib.util.spec_from_file_location("handler", folder + "/handler.py")
handler = importlib.util.module_from_spec(spec)
spec.loader.exec_module(handler)
endpoint = handler.EndpointHandler(folder)
refused = None
try:
    endpoint({{"text": 1}})
except ValueError as error:
    refused = str(error)
print(json.dumps(dict(
    module=type(pipe.model).__module__,
    pipeline_module=type(pipe).__module__,
    answer=pipe(item, return_evidence=True),
    now=inferred(item, return_evidence=True),
    handler=endpoint({{"inputs": item, "parameters": {{"return_evidence": True}}}}),
    refused=refused,
)))
"""


@pytest.fixture(scope="module")
def published(hub_server, tiny_checkpoint, tmp_path_factory):
    """Publish a family's tiny checkpoint, then a changed one; return what our code then loads."""
    scratch = tmp_path_factory.mktemp("publish")
    changed = scratch / tiny_checkpoint.folder.name
    changed.mkdir()
    for file in tiny_checkpoint.folder.iterdir():
        (changed / file.name).write_bytes(file.read_bytes())
    tensors = load_file(changed / "model.safetensors")
    other = {name: tensor if "running_var" in name else -tensor for name, tensor in tensors.items()}
    save_file(other, changed / "model.safetensors", {"format": "pt"})
    names = {
        "root": str(ROOT),
        "first": str(tiny_checkpoint.folder),
        "second": str(changed),
        "repository": f"someone/{tiny_checkpoint.task.name}",
        "task": tiny_checkpoint.task.name,
        "item": tiny_checkpoint.family.inputs[0],
    }
    environment = hub_server.environment(scratch / "home")
    ours = run_python(PUBLISH_TWO_REVISIONS.format(**names), environment, scratch)
    return names, ours


def test_our_code_loads_a_pinned_revision_and_the_newest(published, tiny_checkpoint):
    _, ours = published
    expected = tiny_checkpoint.pipeline()(tiny_checkpoint.family.inputs[0], return_evidence=True)
    assert ours["answer"] == expected
    assert ours["now"] != expected
    assert len(ours["first"]) == 40 and ours["first"] != ours["second"]
    assert "Cannot fetch 'someone/nothing' from the Hub" in ours["missing"]


def test_a_stranger_loads_it_with_nothing_of_ours(published, tiny_checkpoint, hub_server, tmp_path):
    names, ours = published
    code = STRANGER.format(**names | {"first": ours["first"]})
    theirs = run_python(code, hub_server.environment(tmp_path / "home"), tmp_path)
    assert theirs["module"].startswith("transformers_modules.")
    assert theirs["pipeline_module"].startswith("transformers_modules.")
    assert theirs["answer"] == ours["answer"]
    assert theirs["now"] == ours["now"]
    assert theirs["handler"] == tiny_checkpoint.pipeline().as_response(ours["answer"])
    assert 'the key "inputs"' in theirs["refused"]


def test_the_repository_is_complete_and_no_larger_than_the_checkpoint(tiny_checkpoint, tmp_path):
    assemble(tiny_checkpoint.folder, tmp_path)
    names = {file.name for file in tmp_path.iterdir()}
    assert {"config.json", "model.safetensors", "handler.py", "training.json", "requirements.txt"} <= names
    assert {"pipeline_common.py", f"{tiny_checkpoint.task.pipeline.split('.')[0]}.py"} <= names
    config = json.loads((tmp_path / "config.json").read_text())
    assert list(config["custom_pipelines"]) == [tiny_checkpoint.task.name]
    assert set(config["auto_map"]) >= {"AutoConfig", tiny_checkpoint.task.auto_model}
    assert config["dtype"] == "float32"
    tensors = load_file(tmp_path / "model.safetensors").values()
    assert {tensor.dtype for tensor in tensors if tensor.is_floating_point()} == {torch.float16}


def test_a_wrong_token_may_not_publish(hub_server, tiny_checkpoint, tmp_path):
    environment = hub_server.environment(tmp_path / "home") | {"HF_TOKEN": "hf_wrong"}
    done = subprocess.run(
        [sys.executable, "-m", "training.publish", str(tiny_checkpoint.folder), "--repo", "someone/else"],
        env=os.environ | environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0 and "401" in done.stderr
    assert "someone/else" not in hub_server.repositories
