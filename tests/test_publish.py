"""Publishing to the Hub and loading back, by the real client against a Hub on the loopback interface."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tasks import TASKS
from training.publish import assemble

from .conftest import TinyCheckpoint
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
        timeout=250,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


PUBLISH_TWO_REVISIONS_OF_EACH = """
import json, sys
sys.path.insert(0, {root!r})
from pathlib import Path
from pipelines import CheckpointError, pipeline
from training.publish import publish

def publish_and_load(task, repository, first, second, item):
    print("Publishing", repository, file=sys.stderr)
    first, second = publish(Path(first), repository), publish(Path(second), repository)
    pipe = pipeline(task, model=repository, revision=first, device="cpu")
    now = pipeline(task, model=repository, device="cpu")
    try:
        pipeline(task, model="someone/nothing")
    except CheckpointError as error:
        missing = str(error)
    answers = dict(answer=pipe(item, return_evidence=True), now=now(item, return_evidence=True))
    return dict(first=first, second=second, missing=missing, **answers)

print(json.dumps(dict((names["task"], publish_and_load(**names)) for names in {families!r})))
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


def two_revisions(checkpoint: TinyCheckpoint, folder: Path) -> dict:
    """Change a copy of a checkpoint; return what is to be published and asked."""
    changed = Path(shutil.copytree(checkpoint.folder, folder / checkpoint.task.name / checkpoint.folder.name))
    tensors = load_file(changed / "model.safetensors")
    other = {name: tensor if "running_var" in name else -2 * tensor for name, tensor in tensors.items()}
    save_file(other, changed / "model.safetensors", {"format": "pt"})
    return {
        "task": checkpoint.task.name,
        "repository": f"someone/{checkpoint.task.name}",
        "first": str(checkpoint.folder),
        "second": str(changed),
        "item": checkpoint.family.inputs[0],
    }


@pytest.fixture(scope="module")
def all_published(hub_server, tiny_checkpoint_of, tmp_path_factory):
    """Publish every family's tiny checkpoint, then a changed one, in one process; return what our code then loads."""
    scratch = tmp_path_factory.mktemp("publish")
    families = [two_revisions(tiny_checkpoint_of(name), scratch) for name in TASKS]
    program = PUBLISH_TWO_REVISIONS_OF_EACH.format(root=str(ROOT), families=families)
    ours = run_python(program, hub_server.environment(scratch / "home"), scratch)
    return {names["task"]: (names, ours[names["task"]]) for names in families}


@pytest.fixture
def published(all_published, tiny_checkpoint):
    """What is known of a family's two revisions, and what our code loads of them."""
    return all_published[tiny_checkpoint.task.name]


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


def test_a_wrong_token_may_not_publish(hub_server, tiny_checkpoint_of, tmp_path):
    folder = tiny_checkpoint_of("attention-translation").folder
    environment = hub_server.environment(tmp_path / "home") | {"HF_TOKEN": "hf_wrong"}
    done = subprocess.run(
        [sys.executable, "-m", "training.publish", str(folder), "--repo", "someone/else"],
        env=os.environ | environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0 and "401" in done.stderr
    assert "someone/else" not in hub_server.repositories
