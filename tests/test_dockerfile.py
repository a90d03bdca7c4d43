"""The Dockerfile passes its linter and keeps what its readers rely on; no Docker engine is needed."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCKERFILE = ROOT / "Dockerfile"


def instructions() -> list[tuple[str, str]]:
    """List the Dockerfile's instructions as pairs of keyword and arguments, continued lines joined."""
    joined = DOCKERFILE.read_text().replace("\\\n", " ")
    lines = [line for line in joined.splitlines() if line and not line.startswith("#")]
    return [(keyword, arguments.strip()) for keyword, _, arguments in (line.partition(" ") for line in lines)]


def arguments_of(keyword: str) -> list[str]:
    """List the arguments of every instruction with a keyword."""
    return [arguments for name, arguments in instructions() if name == keyword]


def test_hadolint_has_no_complaint():
    hadolint = Path(sys.executable).with_name("hadolint")
    if not hadolint.exists():
        pytest.skip("hadolint is not installed; it comes with requirements-dev.txt")
    result = subprocess.run([hadolint, "--no-color", DOCKERFILE], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_service_does_not_run_as_root():
    assert arguments_of("USER")[-1] not in ("root", "0")


def test_the_health_of_the_service_is_checked():
    (check,) = arguments_of("HEALTHCHECK")
    assert "http://127.0.0.1:7860/health" in check


def test_it_needs_no_network():
    settings = " ".join(arguments_of("ENV"))
    assert "HF_HUB_OFFLINE=1" in settings
    assert "GRADIO_ANALYTICS_ENABLED=False" in settings


def test_it_listens_where_a_container_is_reached():
    assert arguments_of("CMD") == ['["python", "app.py", "--host", "0.0.0.0", "--port", "7860"]']
    assert arguments_of("EXPOSE") == ["7860"]


def test_everything_that_is_copied_passes_the_docker_ignore_file():
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {source for arguments in arguments_of("COPY") for source in arguments.split()[:-1]}
    assert {"app.py", "models", "checkpoints"} <= copied
    assert {source.rstrip("/") for source in copied} == kept
