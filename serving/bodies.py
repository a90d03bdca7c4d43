"""From the bytes of a request to inputs and parameters: limits, media types, JSON."""

import json
from collections.abc import Mapping
from typing import Any

from fastapi import Request
from starlette.requests import ClientDisconnect

from pipelines import InputError
from pipelines.base64_input import decode_files
from pipelines.pipeline_common import shown

from .errors import RequestError, busy


async def read_request(request: Request, modality: str, reading: "Reading") -> tuple[Any, dict | None, bool]:
    """Read a request in the Hub's inference schema.

    Args:
        request: its body is JSON with `inputs` and `parameters`; or, for an image or audio, the file itself,
            and the options in the address.
        modality: the task's, "text", "image" or "audio".
        reading: counts what is read.

    Returns:
        The inputs, the parameters, and whether the answer is wanted as a stream.

    Raises:
        RequestError: 413, 415, 429 when too much is being read at once, or 400 when the client went away.
        InputError: for a body that is not what the schema says.
    """
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    as_file = modality != "text" and (
        media_type in ("", "application/octet-stream") or media_type.startswith(f"{modality}/")
    )
    if not as_file and media_type not in ("", "application/json"):
        expected = "application/json" + ("" if modality == "text" else f", {modality}/* or application/octet-stream")
        raise RequestError(415, "unsupported_media_type", f"Content-Type must be {expected}; got {media_type!r}.")
    content = await _read_body(request, reading)
    return (content, _options(request.query_params), False) if as_file else _parse(content, modality)


def _options(query: Mapping[str, str]) -> dict[str, Any] | None:
    """Read the options of a request whose body is a file: ?num_beams=5&return_evidence=true."""
    options = {}
    for name, text in query.items():
        try:
            options[name] = json.loads(text)
        except (ValueError, RecursionError):
            options[name] = text
    return options or None


class PendingBytes:
    """The bodies of all requests that are being read or wait for their answers."""

    def __init__(self, maximum: int):
        self.maximum = maximum
        self.total = 0


class Reading:
    """The body of one request; its bytes count until the request is over."""

    def __init__(self, pending: PendingBytes, maximum_bytes: int):
        self._pending = pending
        self._maximum_bytes = maximum_bytes
        self._num_bytes = 0

    def __enter__(self) -> "Reading":
        return self

    def __exit__(self, *_: object) -> None:
        self._pending.total -= self._num_bytes

    def add(self, num_bytes: int) -> None:
        """Count a part.

        Raises:
            RequestError: 413 when the body is too large, 429 when there is no room for it now.
        """
        self._num_bytes += num_bytes
        self._pending.total += num_bytes
        if self._num_bytes > self._maximum_bytes:
            raise RequestError(413, "too_large", f"The body must be at most {self._maximum_bytes:,} bytes.")
        if self._pending.total > self._pending.maximum:
            raise busy(f"the requests that wait have {self._pending.maximum:,} bytes")


async def _read_body(request: Request, reading: Reading) -> bytes:
    """Read the body, and no more of it than is allowed."""
    content = bytearray()
    try:
        async for part in request.stream():
            reading.add(len(part))
            content += part
    except ClientDisconnect as error:
        raise RequestError(400, "disconnected", "The body ended before it was complete.") from error
    return bytes(content)


def _parse(content: bytes, modality: str) -> tuple[Any, dict | None, bool]:
    try:
        body = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InputError(f"Expected JSON; {error}.", field="body") from error
    if not isinstance(body, dict):
        raise InputError(f"Expected an object with inputs and parameters; got {shown(body)}.", field="body")
    if "inputs" not in body:
        raise InputError(f"Expected the key inputs; got {shown(sorted(body))}.")
    unknown = sorted(body.keys() - {"inputs", "parameters", "options", "stream"})
    if unknown:
        raise InputError(f"Unknown key {unknown[0]!r}. Known keys: inputs, parameters, stream.", field=unknown[0])
    inputs = body["inputs"] if modality == "text" else decode_files(body["inputs"])
    stream = body.get("stream")
    if not isinstance(stream, bool | None):
        raise InputError(f"stream must be true or false; got {shown(stream)}.", field="stream")
    return inputs, body.get("parameters"), bool(stream)
