"""A file as people have it, to its bytes or an error that says what is wrong with it."""

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .pipeline_common import InputError

_URL = re.compile(r"\s*(?:[a-z][a-z0-9+.-]*://|data:)", re.IGNORECASE)


@dataclass(frozen=True)
class FileKind:
    """What is in the files that a pipeline reads, and how errors speak of it."""

    noun: str
    """Such as "picture"."""
    expectation: str
    """What may be passed: how a sentence begins that refuses something else."""
    maximum_bytes: int
    """Of a file, before it is decoded."""
    advice: str
    """What to do about a file that is larger."""

    def read(self, value: Any, advice: str = "") -> tuple[bytes, str]:
        """Read a file.

        Args:
            value: a path, or the bytes of a file; no URL is fetched.
            advice: what to do, if the value is none of these.

        Returns:
            The file's bytes, and what to call it in an error.

        Raises:
            InputError: says what was expected, what came and what to do; names a file without its folder.
        """
        if isinstance(value, (bytes, bytearray, memoryview)):
            self._check_num_bytes(memoryview(value).nbytes, f"the {self.noun}")
            return bytes(value), f"the {self.noun}"
        if is_url(value):
            raise InputError(
                f"{self.expectation}; got a URL, and no URL is fetched. Download the file and pass its bytes."
            )
        if isinstance(value, (str, os.PathLike)):
            path = Path(os.fsdecode(value))
            return self._read_path(path), _short_name(path)
        raise InputError(f"{self.expectation}; got {type(value).__name__}. {advice}".rstrip())

    def _read_path(self, path: Path) -> bytes:
        """Read a regular file that is not too large; a folder or a device is never opened."""
        name, expected = _short_name(path), f"Expected the path of a {self.noun}"
        try:
            status = path.stat()
            if stat.S_ISDIR(status.st_mode):
                raise InputError(f"{expected}; {name} is a folder. Pass the files in it.")
            if not stat.S_ISREG(status.st_mode):
                raise InputError(f"{expected}; {name} is a device or a pipe. Pass its bytes.")
            self._check_num_bytes(status.st_size, name)
            with path.open("rb") as file:
                content = file.read(self.maximum_bytes + 1)
        except InputError:
            raise
        except FileNotFoundError:
            raise InputError(f"{expected}; there is no file {name}.") from None
        except (OSError, ValueError):  # no permission; a name that is too long or has a zero byte
            raise InputError(f"{expected}; the file {name} cannot be opened.") from None
        self._check_num_bytes(len(content), name)
        return content

    def _check_num_bytes(self, num_bytes: int, name: str) -> None:
        if num_bytes == 0:
            raise InputError(f"{self.expectation}; {name} is empty: it has 0 bytes.")
        if num_bytes > self.maximum_bytes:
            raise InputError(
                f"Expected a {self.noun} of at most {self.maximum_bytes:,} bytes; {name} has {num_bytes:,}. "
                f"{self.advice}"
            )


def is_url(value: Any) -> bool:
    """Whether a value is a URL, with its content inside or not."""
    return isinstance(value, str) and _URL.match(value) is not None


def _short_name(path: Path) -> str:
    name = repr(path.name)
    return name if len(name) <= 60 else f"{name[:57]}…"
