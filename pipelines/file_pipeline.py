"""A pipeline whose inputs are files: what a request sends is their content, never a name on the server's disk."""

from typing import Any

from .base64_input import decode_files
from .pipeline_common import EvidencePipeline


class FilePipeline(EvidencePipeline):
    """Reads files; in Python a text is a path, in a request it is a file's content in base64."""

    def serve(self, inputs: Any, parameters: dict[str, Any] | None = None) -> Any:
        """Answer a request: the bytes of files, or texts in base64; no text of a request is taken for a path."""
        are_files = isinstance(inputs, list) and all(isinstance(item, bytes) for item in inputs)
        return super().serve(inputs if are_files else _content(inputs), parameters)

    def _read_request(self, inputs: Any) -> Any:
        return super()._read_request(_content(inputs))


def _content(inputs: Any) -> Any:
    return inputs if isinstance(inputs, bytes) else decode_files(inputs)
