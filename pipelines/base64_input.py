"""Files that came inside JSON: to a pipeline a text is a path, so no text of a request may reach it as it is."""

import base64
import re
from typing import Any

from .pipeline_common import InputError, shown

MAXIMUM_FILES = 32
"""Of one request."""

_DATA_URL = re.compile(r"data:[^,]{0,200};base64,", re.IGNORECASE)
_OTHER_URL = re.compile(r"\s*(?:[a-z][a-z0-9+.-]{0,30}://|data:)", re.IGNORECASE)


def decode_files(inputs: Any) -> bytes | list[bytes]:
    """Decode the `inputs` of a request whose task reads files.

    Args:
        inputs: a text in base64, also as a URL "data:image/png;base64,…"; or a list of such texts. Bytes, which no
            JSON holds, are what somebody decoded already, and stay.

    Returns:
        Bytes, or a list of them; never a text.

    Raises:
        InputError: for anything else.
    """
    if not isinstance(inputs, list):
        return _decode(inputs)
    if len(inputs) > MAXIMUM_FILES:
        raise InputError(f"Expected at most {MAXIMUM_FILES} files; got {len(inputs):,}. Send them in several requests.")
    return [_decode_item(item, index) for index, item in enumerate(inputs)]


def _decode_item(item: Any, index: int) -> bytes:
    try:
        return _decode(item)
    except InputError as error:
        raise InputError(f"Input {index}: {error}", field=f"inputs[{index}]") from error


def _decode(text: Any) -> bytes:
    if isinstance(text, bytes):
        return text
    if not isinstance(text, str):
        raise InputError(f"Expected a file in base64; got {shown(text)}.")
    prefix = _DATA_URL.match(text)
    if prefix is None and _OTHER_URL.match(text):
        raise InputError("Expected a file in base64; got a URL, and no URL is fetched. Send the file itself.")
    encoded = "".join((text if prefix is None else text[prefix.end() :]).split())  # `base64` breaks lines
    try:
        return base64.b64decode(encoded, validate=True)
    except ValueError as error:
        raise InputError(
            f"Expected a file in base64; got {shown(text)}: {error}. Send the file itself, as the body or in base64."
        ) from error
