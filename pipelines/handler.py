"""Hugging Face Inference Endpoints run this file of a published repository."""

from typing import Any

import torch
from transformers import pipeline


class EndpointHandler:
    """Answers `{"inputs": …, "parameters": {…}}` in the Hub's inference schema of the repository's task."""

    def __init__(self, path: str = ""):
        """Load the pipeline from the repository's folder, with the repository's own code."""
        dtype = torch.float16 if torch.cuda.is_available() else "auto"  # weights are stored in float16
        self.pipeline = pipeline(model=path, trust_remote_code=True, dtype=dtype)

    def __call__(self, data: dict[str, Any]) -> Any:
        """Answer one request; a wrong one raises a ValueError that says what was expected."""
        if not isinstance(data, dict) or "inputs" not in data:
            raise ValueError('Expected an object with the key "inputs", and optionally "parameters".')
        return self.pipeline.serve(data["inputs"], data.get("parameters"))
