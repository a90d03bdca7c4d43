"""What openapi.json says of the route that answers: body, examples, errors."""

ERROR_MEANINGS = {
    404: "No such checkpoint is served.",
    413: "The body is too large.",
    415: "The media type is not the task's.",
    422: "The caller's mistake: the sentence names the field, what was expected and what came.",
    500: "Our mistake: the log has it under the request's id.",
    503: "The checkpoint is still being loaded; Retry-After says when to come back.",
}

_ERROR = {
    "type": "object",
    "required": ["error", "code", "request_id"],
    "properties": {"error": {"type": "string"}, "code": {"type": "string"}, "request_id": {"type": "string"}},
}

_REQUEST = {
    "type": "object",
    "required": ["inputs"],
    "properties": {
        "inputs": {"description": "One input of the task, or a list; a file is sent in base64."},
        "parameters": {"type": "object", "description": "Options; GET /models lists those of each checkpoint."},
    },
}

_EXAMPLES = {
    "translation": {"value": {"inputs": "A dog runs through the snow."}},
    "translation with evidence": {
        "value": {"inputs": "A dog runs through the snow.", "parameters": {"num_beams": 5, "return_evidence": True}}
    },
}


def describe_errors(*statuses: int) -> dict[int, dict]:
    """Describe errors in OpenAPI's terms."""
    content = {"application/json": {"schema": _ERROR}}
    return {status: {"description": ERROR_MEANINGS[status], "content": content} for status in statuses}


PREDICT = {
    "summary": "Answer in the Hugging Face inference schema of the checkpoint's task",
    "responses": {
        200: {"description": "What the pipeline returns: a list of results, best first."},
        **describe_errors(*ERROR_MEANINGS),
    },
    "openapi_extra": {
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": _REQUEST, "examples": _EXAMPLES},
                "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            },
        }
    },
}
"""Keyword arguments of the route."""
