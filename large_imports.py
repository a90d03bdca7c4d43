"""Import large libraries without what takes long in it and is in vain.

Python looks for garbage again and again while torch and transformers make a million objects, and once more when the
process ends: modules stay. That was two fifths of the time that a process took for one translation. And transformers
reads the files of its models twice, a tenth of the rest, since the function's cache has no room for all of them.
"""

import functools
import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

READS_MODELS = "create_import_structure_from_path"


@contextmanager
def large_imports() -> Iterator[None]:
    """Import large libraries in this context."""
    with _no_search_for_garbage(), _models_read_once():
        yield


@contextmanager
def _no_search_for_garbage() -> Iterator[None]:
    """Do not look for garbage while modules are imported, and never again among what they made.

    In a process that has torch already what is there may be somebody's models; those must be found when they become
    garbage, so that only the search during the import is left out. Who has switched the search off keeps it off.
    """
    if not gc.isenabled():
        yield
        return
    is_fresh = "torch" not in sys.modules
    gc.disable()
    try:
        yield
        if is_fresh:
            gc.freeze()
    finally:
        gc.enable()


@contextmanager
def _models_read_once() -> Iterator[None]:
    """Let that one function remember all its results; any other gets the cache that it asks for."""
    lru_cache = functools.lru_cache

    def with_room(maxsize: Any = 128, typed: bool = False) -> Callable:
        is_it = callable(maxsize) and getattr(maxsize, "__name__", "") == READS_MODELS
        return lru_cache(maxsize=None)(maxsize) if is_it else lru_cache(maxsize, typed)

    functools.lru_cache = with_room
    try:
        yield
    finally:
        functools.lru_cache = lru_cache
