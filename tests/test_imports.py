"""Every import of ours points downwards.

    app.py -> demo/, serving/ -> pipelines/ -> hub.py -> models/
                     training/ -> pipelines/, hub.py, models/
    app.py, pipelines/ -> large_imports.py

The files of models/ and pipelines/ are copied to the Hub, side by side, by `save_pretrained`, which
finds what to copy by reading their text; they have stricter rules.
"""

import ast
import re
import sys
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).parents[1]

# Which of our modules a file may import, besides those of its own folder.
MAY_IMPORT = {
    "app": {"demo", "serving", "pipelines", "hub", "tasks", "large_imports"},
    "demo": {"pipelines", "hub", "tasks"},
    "serving": {"pipelines", "hub", "tasks"},
    "training": {"pipelines", "hub", "models", "tasks"},
    "pipelines": {"hub", "models", "tasks", "large_imports"},
    "hub": {"models", "tasks"},
    "models": set(),
    "tasks": set(),
    "large_imports": set(),
    "benchmarks": {"app", "demo", "serving", "training", "pipelines", "hub", "models", "tasks"},
    "tests": {
        "app",
        "demo",
        "serving",
        "training",
        "pipelines",
        "hub",
        "models",
        "tasks",
        "large_imports",
        "benchmarks",
    },
}
OURS = set(MAY_IMPORT)

# A demo draws and a server passes on what a pipeline answers; neither computes.
MUST_NOT_IMPORT = {"demo": {"torch", "transformers"}, "serving": {"torch"}}

# Whoever loads a published checkpoint must have these, and need have nothing else; transformers brings NumPy.
COPIED_FILES_MAY_IMPORT = {"torch", "transformers", "huggingface_hub", "numpy"}

# These read pictures and sound.
FURTHER_IMPORTS = {
    "pipelines/image_input.py": {"PIL"},
    "pipelines/image_decoding.py": {"PIL"},
    "pipelines/image_colours.py": {"PIL"},
    "pipelines/image_headers.py": {"PIL"},
    "pipelines/audio_decoding.py": {"soundfile"},
    "pipelines/audio_waveform.py": {"soxr"},
    "pipelines/ctc_beam_search.py": {"ctc_beam_decoder"},
    "models/onnx_runtime.py": {"onnxruntime"},
}

COPIED_FOLDERS = ("models", "pipelines")
NOT_COPIED = {"pipelines/__init__.py", "pipelines/__main__.py"}

# What transformers 5.23 takes for a relative import, in code, comments and docstrings alike
# (dynamic_module_utils.get_relative_imports).
LOOKS_LIKE_RELATIVE_IMPORT = re.compile(r"^\s*(?:from\s+(\.\S+)\s+import|import\s+(\.\S+)\s*$)", re.MULTILINE)


@dataclass(frozen=True)
class Import:
    """One imported module."""

    line: int
    num_dots: int
    module: str
    names: tuple[str, ...]
    at_top_level: bool


def imports_of(source: str) -> list[Import]:
    """List the imports of a file, those inside functions too."""
    tree = ast.parse(source)
    found = []
    for node in ast.walk(tree):
        at_top_level = node in tree.body
        if isinstance(node, ast.Import):
            found += [Import(node.lineno, 0, alias.name, (), at_top_level) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = tuple(alias.name for alias in node.names)
            found.append(Import(node.lineno, node.level, node.module or "", names, at_top_level))
    return found


def layer_complaint(path: str, imported: Import) -> str | None:
    """Say what is wrong with an import in a file that is not copied, or None."""
    package = PurePosixPath(path).parent.parts
    layer = layer_of(path)
    if imported.num_dots > len(package):
        return "the dots lead out of the repository; import by the full name instead"
    above = package[: len(package) - imported.num_dots + 1] if imported.num_dots else ()
    target = (*above, *imported.module.split("."))[0]
    if target in OURS - MAY_IMPORT[layer] - {layer}:
        allowed = ", ".join(sorted(MAY_IMPORT[layer])) or "nothing"
        return f"{layer} must not import {target}; of ours it may import {allowed}"
    if target in MUST_NOT_IMPORT.get(layer, ()):
        return f"{layer} must not import {target}; let a pipeline do what needs it"
    return None


def copied_file_complaint(path: str, imported: Import) -> str | None:
    """Say what is wrong with an import in a file that is copied to the Hub, or None."""
    target = imported.module.split(".")[0]
    if imported.num_dots == 0 and target in OURS:
        return f"{target} does not exist where this file is copied to; write `from .sibling import name`"
    may_import = COPIED_FILES_MAY_IMPORT | FURTHER_IMPORTS.get(path, set())
    if imported.num_dots == 0 and target not in may_import | sys.stdlib_module_names:
        allowed = ", ".join(sorted(may_import))
        return f"{target} is not installed where this file is copied to; besides Python there are {allowed}"
    if imported.num_dots == 0:
        return None
    if imported.num_dots > 1 or "." in imported.module:
        return "only files beside this one are copied with it; write `from .sibling import name`"
    if not imported.module:
        return "`from . import sibling` does not copy the sibling; write `from .sibling import name`"
    if "*" in imported.names:
        return "name what is imported from the sibling"
    if not imported.at_top_level:
        return "import siblings at the top of the file, not inside a block or a function"
    return None


def prose_complaints(path: str, source: str) -> list[str]:
    """Find prose that transformers would take for a relative import."""
    import_lines = {imported.line for imported in imports_of(source)}
    found = []
    for match in LOOKS_LIKE_RELATIVE_IMPORT.finditer(source):
        line = source.count("\n", 0, match.start(match.lastindex)) + 1
        if line not in import_lines:
            found.append(f"{path}:{line}: reads like an import of {match[match.lastindex]}; word it differently")
    return found


def complaints(path: str, source: str) -> list[str]:
    """List what is wrong with a file's imports.

    Args:
        path: where the file lies, relative to the repository's root.
        source: its text.

    Returns:
        One sentence per import that breaks a rule, with path and line.
    """
    is_copied = path.startswith(tuple(f"{folder}/" for folder in COPIED_FOLDERS)) and path not in NOT_COPIED
    complaint = copied_file_complaint if is_copied else layer_complaint
    found = [
        f"{path}:{imported.line}: {problem}"
        for imported in imports_of(source)
        if (problem := complaint(path, imported)) is not None
    ]
    return found + prose_complaints(path, source) if is_copied else found


def layer_of(path: str) -> str:
    """Name the top-level module that a file belongs to."""
    return PurePosixPath(path).parts[0].removesuffix(".py")


def our_files() -> list[str]:
    """List the Python files of the root and of our folders, relative to the root."""
    files = [*ROOT.glob("*.py"), *(file for layer in OURS for file in (ROOT / layer).rglob("*.py"))]
    return sorted(file.relative_to(ROOT).as_posix() for file in files)


def copied_files() -> list[PurePosixPath]:
    """List the files that are copied to the Hub, relative to the root."""
    paths = [PurePosixPath(path) for path in our_files()]
    return [path for path in paths if path.parts[0] in COPIED_FOLDERS and not path.stem.startswith("__")]


@pytest.mark.parametrize("path", our_files())
def test_imports_point_downwards(path):
    assert layer_of(path) in OURS, f"{path} is in no layer: add it to MAY_IMPORT"
    found = complaints(path, (ROOT / path).read_text(encoding="utf-8"))
    assert not found, "\n".join(found)


@pytest.mark.parametrize("path", copied_files(), ids=str)
def test_copied_files_lie_flat(path):
    assert len(path.parts) == 2, f"{path} is in a folder of its own, where `save_pretrained` does not find it"


def test_names_of_copied_files_are_unique():
    names = [path.name.lower() for path in copied_files()]
    twice = sorted({name for name in names if names.count(name) > 1})
    assert twice == [], "models/ and pipelines/ are copied into one folder, where one would replace the other"


@pytest.mark.parametrize("path", copied_files(), ids=str)
def test_copied_files_hide_no_other_module(path):
    taken = sys.stdlib_module_names | COPIED_FILES_MAY_IMPORT | OURS
    assert path.stem not in taken, f"beside {path}, `import {path.stem}` can find the wrong module"


@pytest.mark.parametrize(
    ("path", "source", "expected"),
    [
        ("models/example.py", "from . import attention", "does not copy the sibling"),
        ("models/example.py", "from .parts.attention import Attention", "only files beside"),
        ("models/example.py", "from ..pipelines import pipeline", "only files beside"),
        ("models/example.py", "from .attention import *", "name what is imported"),
        ("models/example.py", "from models.attention import Attention", "does not exist where"),
        ("models/example.py", "import models.attention", "does not exist where"),
        ("models/example.py", "import tasks", "does not exist where"),
        ("models/example.py", "import json, scipy", "scipy is not installed"),
        ("models/example.py", "def run():\n    import safetensors.torch", "safetensors is not installed"),
        ("pipelines/image_input.py", "import cv2", "cv2 is not installed"),
        ("pipelines/pipeline_example.py", "from PIL import Image", "PIL is not installed"),
        ("models/example.py", "try:\n    import soundfile\nexcept ImportError:\n    pass", "soundfile"),
        ("models/example.py", "def run():\n    from .attention import Attention", "at the top of the file"),
        ("models/example.py", "if True:\n    from .attention import Attention", "at the top of the file"),
        ("models/example.py", '"""Text.\n\n    from .attention import it\n"""', "reads like an import"),
        ("models/__init__.py", "from tasks import TASKS", "does not exist where"),
        ("pipelines/pipeline_example.py", "from hub import load", "does not exist where"),
        ("pipelines/pipeline_example.py", "from tasks import TASKS", "does not exist where"),
        ("pipelines/__init__.py", "import serving", "pipelines must not import serving"),
        ("pipelines/__main__.py", "from demo import captioning", "pipelines must not import demo"),
        ("hub.py", "from pipelines import pipeline", "hub must not import pipelines"),
        ("hub.py", "from .models import attention", "out of the repository"),
        ("tasks.py", "import models", "tasks must not import models; of ours it may import nothing"),
        ("demo/example.py", "def draw():\n    import torch.nn", "demo must not import torch"),
        ("demo/example.py", "from transformers import pipeline", "demo must not import transformers"),
        ("demo/example.py", "from ..hub import load", "out of the repository"),
        ("demo/parts/example.py", "from ...hub import load", "out of the repository"),
        ("demo/example.py", "from models.attention import Attention", "demo must not import models"),
        ("serving/example.py", "import torch", "serving must not import torch"),
        ("serving/example.py", "from training.recipe import train", "serving must not import training"),
        ("training/example.py", "import app", "training must not import app"),
        ("app.py", "from tests.tiny import EXAMPLES", "app must not import tests"),
        ("benchmarks/example.py", "from tests import tiny", "benchmarks must not import tests"),
    ],
)
def test_a_bad_import_is_noticed(path, source, expected):
    found = complaints(path, source)
    assert len(found) == 1
    assert found[0].startswith(f"{path}:")
    assert expected in found[0]


@pytest.mark.parametrize(
    ("path", "source"),
    [
        (
            "models/example.py",
            "import math\nimport torch.nn.functional as F\nfrom .attention import Attention",
        ),
        ("pipelines/image_input.py", "import numpy as np\nfrom PIL import Image"),
        ("models/example.py", "from .attention import (\n    Attention,\n    State,\n)"),
        ("models/example.py", '"""What comes\n\nfrom the encoder is important.\n"""'),
        (
            "pipelines/pipeline_example.py",
            "from transformers import Pipeline\nfrom .pipeline_common import InputError",
        ),
        (
            "pipelines/__init__.py",
            "from tasks import TASKS\nimport hub, models.attention\nfrom . import pipeline_common",
        ),
        (
            "demo/example.py",
            "import gradio\nfrom pipelines import pipeline\nfrom .widgets import heat_map\nimport hub",
        ),
        ("demo/parts/example.py", "from ..widgets import heat_map"),
        ("serving/example.py", "import fastapi, transformers\nfrom hub import load\nfrom tasks import TASKS"),
        (
            "training/example.py",
            "import torch, datasets\nfrom models.attention import Attention\nimport pipelines",
        ),
        ("app.py", "from demo import build_demo\nfrom serving import routes"),
        (
            "tests/models/test_example.py",
            "from tests.tiny import EXAMPLES\nimport app, benchmarks.speed, torch",
        ),
    ],
)
def test_a_good_import_passes(path, source):
    assert complaints(path, source) == []
