"""What is committed suits any machine: no paths of one, safe and small checkpoints, exact versions."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

MEGABYTE = 10**6
MAXIMUM_CHECKPOINT_BYTES = 30 * MEGABYTE
MAXIMUM_CHECKPOINTS_BYTES = 130 * MEGABYTE
# Formats that can run code when they are loaded, or that nothing of ours checks.
UNSAFE_SUFFIXES = {".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".h5", ".msgpack"}

MACHINE_PATH = re.compile(r"(?<![\w.}])/(?:work|root|Users/[\w-]+|home/[\w-]+)(?![\w-])")
# Packages come from whatever index the reader's pip, apt or npm is set up with.
REGISTRY_HOST = re.compile(
    r"\b(?:pypi|files\.pythonhosted|download\.pytorch|registry\.npmjs|deb\.debian)\.org\b", re.IGNORECASE
)
REQUIREMENT_FILES = (
    "requirements.txt",
    "requirements-training.txt",
    "requirements-dev.txt",
    "constraints.txt",
)


def repository_files() -> list[Path]:
    """List the files that are committed or could be, that is, which git does not ignore."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listing = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this is no git checkout")
    return [ROOT / name for name in listing.split("\0") if name and (ROOT / name).is_file()]


def lines_with(pattern: re.Pattern, text: str) -> list[int]:
    """Number, from 1, the lines of a text in which a pattern occurs."""
    return [number for number, line in enumerate(text.splitlines(), start=1) if pattern.search(line)]


def places_with(pattern: re.Pattern) -> list[str]:
    """List the places in the repository's text files where a pattern occurs, as `path:line`."""
    places = []
    for file in repository_files():
        content = file.read_bytes()
        if b"\0" not in content:
            lines = lines_with(pattern, content.decode("utf-8", errors="replace"))
            places += [f"{file.relative_to(ROOT)}:{line}" for line in lines]
    return places


def checkpoint_folders() -> list[Path]:
    """List the shipped checkpoints."""
    return sorted(folder for folder in (ROOT / "checkpoints").glob("*") if folder.is_dir())


def num_bytes(folder: Path) -> int:
    """Add up the sizes of a folder's files."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def unpinned(text: str) -> list[str]:
    """List the lines of a requirements file that do not name one exact version."""
    lines = [line.strip() for line in text.splitlines()]
    requirements = [line for line in lines if line and not line.startswith(("#", "-r "))]
    return [line for line in requirements if not re.fullmatch(r"[\w.\[\]-]+==[\w.]+(; .+)?", line)]


def pins(name: str) -> dict[str, str]:
    """Map each package of a requirements file to its version."""
    lines = (ROOT / name).read_text().splitlines()
    pairs = [line.split(";")[0].strip().split("==") for line in lines if "==" in line and not line.startswith("#")]
    return {package.lower().replace("_", "-"): version for package, version in pairs}


def test_no_file_names_a_path_of_one_machine():
    assert places_with(MACHINE_PATH) == []


def test_no_file_names_a_package_registry():
    assert places_with(REGISTRY_HOST) == []


@pytest.mark.parametrize("user", ["ada", "ada-2"])
@pytest.mark.parametrize("template", ['data="/home/{}/x"', "cd /home/{}", "see file:///Users/{}/y", "`/home/{}`"])
def test_a_home_folder_is_noticed(template, user):
    assert lines_with(MACHINE_PATH, "first\n" + template.format(user)) == [2]


@pytest.mark.parametrize("folder", ["work", "root"])
def test_a_working_folder_is_noticed(folder):
    assert lines_with(MACHINE_PATH, f"/{folder}/x\nnothing\n{{'data': '/{folder}/y'}}") == [1, 3]


@pytest.mark.parametrize("text", ["a network/root/leaf", "../work/x", "at the /rooted tree", "${HOME}/work/x", "/app"])
def test_other_paths_are_left_alone(text):
    assert lines_with(MACHINE_PATH, text) == []


def test_a_package_registry_is_noticed():
    assert lines_with(REGISTRY_HOST, "index = https://" + "pypi" + ".org/simple") == [1]
    assert lines_with(REGISTRY_HOST, "pip asks PyPI; see apache.org") == []


@pytest.mark.parametrize("folder", checkpoint_folders(), ids=lambda folder: folder.name)
def test_a_checkpoint_is_small(folder):
    assert num_bytes(folder) <= MAXIMUM_CHECKPOINT_BYTES


def test_the_checkpoints_together_are_small():
    assert num_bytes(ROOT / "checkpoints") <= MAXIMUM_CHECKPOINTS_BYTES


def test_weights_are_safetensors_only():
    unsafe = [str(file.relative_to(ROOT)) for file in repository_files() if file.suffix in UNSAFE_SUFFIXES]
    assert unsafe == []


@pytest.mark.parametrize("name", REQUIREMENT_FILES)
def test_every_requirement_names_one_version(name):
    assert unpinned((ROOT / name).read_text()) == []


@pytest.mark.parametrize("line", ["torch", "torch>=2.13", "torch==2.*", "torch==2.13.0,!=2", "torch==2.13.0+cpu"])
def test_an_open_requirement_is_noticed(line):
    assert unpinned(f"# why\n{line}\nruff==0.17.5\n") == [line]


@pytest.mark.parametrize("name", REQUIREMENT_FILES[:-1])
def test_constraints_agree_with_the_requirements(name):
    constraints = pins("constraints.txt")
    assert {package: constraints.get(package) for package in pins(name)} == pins(name)
