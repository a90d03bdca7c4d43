"""`python -m training.publish FOLDER --repo OWNER/NAME`: a checkpoint as a complete repository on the Hub.

The repository holds the folder, the modelling and pipeline code, and handler.py; it loads where there is
transformers and nothing of ours, and runs on Inference Endpoints. HF_ENDPOINT and HF_TOKEN as usual.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from huggingface_hub import HfApi

import hub
import pipelines
from pipelines import pipeline

REQUIREMENTS = {
    "text": ("transformers>=5.23", "onnxruntime", "sentencepiece"),
    "image": ("transformers>=5.23", "onnxruntime", "pillow"),
    "audio": ("transformers>=5.23", "onnxruntime", "soundfile", "soxr", "ctc-beam-decoder"),
}
"""Of whoever loads the repository, by the task's modality; an Inference Endpoint installs them."""
CARRIED = ("README.md", "training.json", "evaluation.json", "LICENSE")
"""Files of a checkpoint that `save_pretrained` does not write."""


def assemble(folder: Path, destination: Path) -> None:
    """Write what the Hub receives: the checkpoint, the code it needs, handler.py and requirements.txt.

    Args:
        folder: a checked checkpoint.
        destination: an empty folder.
    """
    task = hub.check(folder)
    pipe = pipeline(task.name, model=str(folder), device="cpu")
    pipe.save_pretrained(destination)
    shutil.copyfile(folder / hub.WEIGHTS, destination / hub.WEIGHTS)  # as small as it was, not widened for the CPU
    for name in CARRIED:
        if (folder / name).is_file():
            shutil.copyfile(folder / name, destination / name)
    shutil.copyfile(Path(pipelines.__file__).with_name("handler.py"), destination / "handler.py")
    requirements = "\n".join((*REQUIREMENTS[task.modality], ""))
    (destination / "requirements.txt").write_text(requirements, encoding="utf-8")


def publish(folder: Path, repository: str, private: bool = False) -> str:
    """Send a checkpoint to the Hub.

    Args:
        folder: the checkpoint.
        repository: "owner/name"; made if it is not there.
        private: whether a new repository is.

    Returns:
        The commit's 40 hexadecimal digits, for `revision=`.
    """
    api = HfApi()
    api.create_repo(repository, exist_ok=True, private=private)
    with tempfile.TemporaryDirectory() as scratch:
        assemble(folder, Path(scratch))
        commit = api.upload_folder(repo_id=repository, folder_path=scratch, commit_message=f"Publish {folder.name}")
    return commit.oid


def main(arguments: list[str]) -> None:
    """Publish the checkpoint that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m training.publish", description=__doc__)
    parser.add_argument("checkpoint", help="folder or shipped checkpoint's name")
    parser.add_argument("--repo", required=True, help='"owner/name" on the Hub')
    parser.add_argument("--private", action="store_true", help="make a new repository private")
    options = parser.parse_args(arguments)
    revision = publish(hub.find(options.checkpoint), options.repo, options.private)
    print(f"Published {options.repo} at revision {revision}.")


if __name__ == "__main__":
    main(sys.argv[1:])
