"""Import large libraries without searching their modules for garbage.

Python looks for garbage again and again while torch and transformers make a million objects, and once more when the
process ends, all in vain: modules stay. That was two fifths of the time that a process took for one translation.
"""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_search_for_garbage() -> Iterator[None]:
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
