"""The stand-in for the Hub, seen by the real client: what huggingface_hub and transformers rely on, it does."""

import json
import os
import random
import re
import subprocess
import sys

import pytest
import torch
from huggingface_hub import HfApi, close_session, constants, errors
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from .loopback_hub import TOKEN, LoopbackHub

REPOSITORY = "someone/model"
NO_COMMIT = "0" * 40


@pytest.fixture(scope="module")
def server():
    with LoopbackHub() as running:
        yield running


@pytest.fixture
def api(server, monkeypatch):
    """The real client, in this process, with an empty Hub."""
    server.repositories.clear()
    server.blobs.clear()
    server.requests.clear()
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    close_session()  # the next one reads no_proxy
    yield HfApi(endpoint=server.url, token=TOKEN)
    close_session()


@pytest.fixture
def upload(api, tmp_path):
    """Return a function that uploads files, by path, as one commit, and returns the commit's name."""

    def upload_files(files, **options):
        folder = tmp_path / "upload" / str(random.getrandbits(64))
        for path, content in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
        api.create_repo(REPOSITORY, exist_ok=True)
        return api.upload_folder(repo_id=REPOSITORY, folder_path=folder, **options).oid

    return upload_files


def test_the_account_and_a_repository(api, server):
    assert api.whoami()["name"] == "someone"
    assert api.create_repo("model").repo_id == REPOSITORY
    api.create_repo(REPOSITORY, exist_ok=True)
    with pytest.raises(errors.HfHubHTTPError, match="409"):
        api.create_repo(REPOSITORY)
    assert list(server.repositories) == [REPOSITORY]
    assert api.list_repo_files(REPOSITORY) == [".gitattributes"]


def test_a_pinned_revision_keeps_its_files(api, upload, server, tmp_path):
    first = upload({"config.json": b"1", "weights.safetensors": b"one", "old.txt": b"old"})
    second = upload({"config.json": b"2", "weights.safetensors": b"two"}, delete_patterns=["*.txt"])
    assert server.commits(REPOSITORY)[1:] == [first, second]
    assert re.fullmatch("[0-9a-f]{40}", first) and first != second

    both = {"config.json", "weights.safetensors", ".gitattributes"}
    for revision, sha, number, weights, names in (
        (first, first, b"1", b"one", both | {"old.txt"}),
        (second, second, b"2", b"two", both),
        ("main", second, b"2", b"two", both),
    ):
        assert set(server.files(REPOSITORY, revision)) == names
        assert set(api.list_repo_files(REPOSITORY, revision=revision)) == names
        information = api.model_info(REPOSITORY, revision=revision)
        assert information.sha == sha
        assert {sibling.rfilename for sibling in information.siblings} == names
        for name, content in (("config.json", number), ("weights.safetensors", weights)):
            path = api.hf_hub_download(REPOSITORY, name, revision=revision, cache_dir=tmp_path / "cache")
            with open(path, "rb") as file:
                assert file.read() == content


def test_an_unchanged_upload_makes_no_commit(upload, server):
    files = {"README.md": b"---\nlicense: mit\n---\n", "weights.safetensors": b"one"}
    first = upload(files)
    server.requests.clear()
    assert upload(files) == first
    assert server.commits(REPOSITORY)[-1] == first
    assert not [request for request in server.requests if "/commit/" in request or request.startswith("PUT")]


def test_files_come_back_byte_for_byte(api, upload, server, tmp_path):
    numbers = random.Random(0)
    files = {
        "large.safetensors": numbers.randbytes(3_000_000),
        "spm.model": b"\x00\xff\r\n",
        "large.json": numbers.randbytes(1_500_000),
        "empty.txt": b"",
        "folder/with space/größe.txt": "naïve\r\n".encode(),
    }
    upload(files)
    assert sum(request.startswith("PUT /lfs/") for request in server.requests) == 2
    folder = api.snapshot_download(REPOSITORY, cache_dir=tmp_path / "cache")
    for path, content in files.items():
        with open(os.path.join(folder, path), "rb") as file:
            assert file.read() == content
    in_lfs = {entry.path for entry in api.list_repo_tree(REPOSITORY, recursive=True) if entry.lfs}
    assert in_lfs == {"large.safetensors", "spm.model"}
    assert [entry.path for entry in api.list_repo_tree(REPOSITORY, "folder", recursive=True)] == [
        "folder/with space/größe.txt"
    ]


def test_what_is_not_there_raises_the_clients_own_errors(api, upload, tmp_path):
    upload({"config.json": b"{}"})
    with pytest.raises(errors.RepositoryNotFoundError):
        api.model_info("someone/nothing")
    with pytest.raises(errors.RepositoryNotFoundError):
        api.upload_file(repo_id="someone/nothing", path_or_fileobj=b"1", path_in_repo="a.txt")
    with pytest.raises(errors.RevisionNotFoundError):
        api.list_repo_files(REPOSITORY, revision=NO_COMMIT)
    with pytest.raises(errors.RevisionNotFoundError):
        api.upload_file(repo_id=REPOSITORY, path_or_fileobj=b"1", path_in_repo="a.txt", revision="branch")
    for error, repository, revision in (
        (errors.RepositoryNotFoundError, "someone/nothing", "main"),
        (errors.RevisionNotFoundError, REPOSITORY, NO_COMMIT),
        (errors.EntryNotFoundError, REPOSITORY, "main"),
    ):
        with pytest.raises(error):
            api.hf_hub_download(repository, "absent.json", revision=revision, cache_dir=tmp_path / "cache")
    assert not api.file_exists(REPOSITORY, "absent.json") and api.file_exists(REPOSITORY, "config.json")


def test_only_the_right_token_may_write(api, upload, server):
    commit = upload({"config.json": b"{}"})
    wrong = HfApi(endpoint=server.url, token="hf_wrong")
    for attempt in (
        wrong.whoami,
        lambda: wrong.create_repo("someone/other"),
        lambda: wrong.upload_file(repo_id=REPOSITORY, path_or_fileobj=b"1", path_in_repo="a.txt"),
        lambda: wrong.model_info(REPOSITORY),  # as on the Hub: a wrong token is worse than none
    ):
        with pytest.raises(errors.HfHubHTTPError) as refused:
            attempt()
        assert refused.value.response.status_code == 401
    nobody = HfApi(endpoint=server.url, token=False)
    assert nobody.model_info(REPOSITORY).sha == commit
    with pytest.raises(errors.HfHubHTTPError, match="401"):
        nobody.upload_file(repo_id=REPOSITORY, path_or_fileobj=b"1", path_in_repo="a.txt")
    assert server.commits(REPOSITORY)[-1] == commit and list(server.repositories) == [REPOSITORY]


MODEL_CODE = """
from transformers import GPT2Config, GPT2LMHeadModel


class ScaledConfig(GPT2Config):
    model_type = "scaled_gpt2"


class ScaledModel(GPT2LMHeadModel):
    config_class = ScaledConfig

    def forward(self, *arguments, **options):
        output = super().forward(*arguments, **options)
        output.logits = FACTOR * output.logits
        return output
"""

STRANGER = """
import json, sys
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, pipeline

def answer(revision):
    options = {"revision": revision, "trust_remote_code": True}
    tokenizer = AutoTokenizer.from_pretrained("someone/scaled", **options)
    model = AutoModelForCausalLM.from_pretrained("someone/scaled", **options)
    with torch.no_grad():
        logits = model(**tokenizer("a dog runs", return_tensors="pt")).logits
    return {"module": type(model).__module__, "logits": logits[0, -1].tolist()}

first = sys.argv[1]
try:
    AutoConfig.from_pretrained("someone/scaled", trust_remote_code=False)
except ValueError as error:
    refused = str(error)
pipe = pipeline("text-generation", model="someone/scaled", revision=first, trust_remote_code=True, device="cpu")
text = pipe("a dog", max_new_tokens=3, min_new_tokens=3, do_sample=False)[0]["generated_text"]
print(json.dumps({"first": answer(first), "newest": answer("main"), "text": text, "refused": refused}))
"""


@pytest.fixture
def scaled(tmp_path):
    """A stock model of 8 units, its tokenizer, and a folder that loads it through code of its own."""
    words = {word: index for index, word in enumerate(("<unk>", "a", "dog", "runs", "cat"))}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    torch.manual_seed(0)
    sizes = {"vocab_size": 5, "n_positions": 16, "n_embd": 8, "n_layer": 1, "n_head": 2}
    model = GPT2LMHeadModel(GPT2Config(**sizes, bos_token_id=0, eos_token_id=0)).eval()
    folder = tmp_path / "scaled"
    model.save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>").save_pretrained(folder)
    content = json.loads((folder / "config.json").read_text())
    classes = {
        "AutoConfig": "modeling_scaled.ScaledConfig",
        "AutoModelForCausalLM": "modeling_scaled.ScaledModel",
    }
    content |= {"model_type": "scaled_gpt2", "architectures": ["ScaledModel"], "auto_map": classes}
    (folder / "config.json").write_text(json.dumps(content))
    return model, folder


def test_a_model_with_code_loads_in_a_fresh_process_as_it_was_at_a_revision(api, server, scaled, tmp_path):
    model, folder = scaled
    api.create_repo("someone/scaled")
    for factor in ("2.0", "3.0"):
        (folder / "modeling_scaled.py").write_text(MODEL_CODE.replace("FACTOR", factor))
        api.upload_folder(repo_id="someone/scaled", folder_path=folder)
    _, first, _ = server.commits("someone/scaled")

    removed = ("HF_", "PYTHON", "no_proxy", "NO_PROXY")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(removed)}
    nowhere = {"http_proxy": "http://127.0.0.1:9"}  # environment() must win over a machine's proxy
    done = subprocess.run(
        [sys.executable, "-c", STRANGER, first],
        env=clean | nowhere | server.environment(tmp_path / "home") | {"OMP_NUM_THREADS": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    theirs = json.loads(done.stdout.splitlines()[-1])

    with torch.no_grad():
        logits = model(torch.tensor([[1, 2, 3]])).logits[0, -1]
    torch.testing.assert_close(torch.tensor(theirs["first"]["logits"]), 2 * logits)
    torch.testing.assert_close(torch.tensor(theirs["newest"]["logits"]), 3 * logits)
    assert theirs["first"]["module"].startswith("transformers_modules.")
    assert theirs["text"].startswith("a dog") and len(theirs["text"]) > len("a dog")
    assert "trust_remote_code=True" in theirs["refused"]
