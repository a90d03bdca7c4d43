"""Starting is fast: nothing is done in vain while libraries are imported, and none comes that nobody asked for."""

import functools
import gc
import json
import subprocess
import sys

import pytest

from large_imports import large_imports

from .conftest import ROOT

# Installed for training, for the demo or for tests, or large and found by transformers where it is installed.
UNNECESSARY = {
    *("datasets", "pandas", "pyarrow", "scipy", "sklearn", "matplotlib", "tensorboard", "onnx", "onnxscript"),
    *("tensorflow", "jax", "torchvision", "torchaudio", "librosa", "numba", "nltk", "sacrebleu", "pycocoevalcap"),
    *("gradio", "fastapi", "uvicorn", "ctc_beam_decoder", "playwright", "pytest"),
}

REPORT = """
import functools, gc, json, sys
searches = []
gc.callbacks.append(lambda phase, info: searches.append(info["generation"]) if phase == "start" else None)
import {module}
frozen, enabled = gc.get_freeze_count(), gc.isenabled()
modules = sorted({{name.partition(".")[0] for name in sys.modules}})
import transformers.models
from transformers.utils.import_utils import create_import_structure_from_path as read_models
cache, others = read_models.cache_info(), functools.lru_cache(lambda: None).cache_info()
caches = {{"misses": cache.misses, "kept": cache.currsize, "room": cache.maxsize, "room of others": others.maxsize}}
print(json.dumps({{"searches": len(searches), "frozen": frozen, "enabled": enabled, "modules": modules}} | caches))
"""


@functools.cache
def report(module: str, before: str = "") -> dict:
    """Import a module in a fresh process; return what that did."""
    command = [sys.executable, "-c", before + REPORT.format(module=module)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def test_pipelines_are_imported_without_what_they_do_not_need():
    found = report("pipelines")
    assert set(found["modules"]) & UNNECESSARY == set()
    assert {"torch", "transformers", "onnxruntime"} <= set(found["modules"])


@pytest.mark.parametrize("module", ["pipelines", "app"])
def test_nobody_searches_for_garbage_in_what_is_imported(module):
    found = report(module)
    assert found["searches"] < 50  # of the young, before and after; with the search on there are hundreds
    assert found["frozen"] > 100_000 and found["enabled"]


def test_what_was_there_before_is_not_frozen_in_a_process_with_torch():
    found = report("pipelines", "import torch\n")
    assert found["frozen"] == 0 and found["enabled"]


def test_who_has_switched_the_search_off_keeps_it_off():
    gc.disable()
    try:
        with large_imports():
            assert not gc.isenabled()
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_the_search_goes_on_after_an_error():
    with pytest.raises(ImportError), large_imports():
        raise ImportError("there is none")
    assert gc.isenabled()


def test_transformers_reads_the_files_of_its_models_once():
    found = report("pipelines")
    assert found["misses"] == found["kept"] > 128
    assert found["room"] is None and found["room of others"] == 128
