"""What openapi.json says of the route that answers: body, examples, errors."""

import base64

from pipelines import Option, pipeline_class
from tasks import TASKS, Task

ERROR_MEANINGS = {
    400: "The client went away before its request was complete, or did not send HTTP.",
    401: "Where the service has tokens: none came, or one that is not known.",
    404: "No such checkpoint is served.",
    405: "The path has no such method; Allow lists those it has.",
    413: "The body is too large.",
    415: "The media type is not the task's.",
    422: "The caller's mistake: the sentence names the field, what was expected and what came.",
    429: "Too many requests wait, or too many came from one caller; Retry-After says when to come back.",
    500: "Our mistake: the log has it under the request's id.",
    503: "The checkpoint is still being loaded, and Retry-After says when to come back; or it is damaged.",
    504: "The request was not answered before its deadline.",
}

_ERROR = {
    "type": "object",
    "required": ["error", "code", "request_id"],
    "properties": {"error": {"type": "string"}, "code": {"type": "string"}, "request_id": {"type": "string"}},
}

_TYPES = {"bool": "boolean", "int": "integer", "float": "number", "str": "string"}


def _option_schema(option: Option) -> dict:
    """Describe an option in OpenAPI's terms."""
    described = {"description": f"{option.description} {option.expectation().capitalize()}."}
    if option.kind == "texts":
        return described | {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
    described["type"] = _TYPES[option.kind]
    if option.choices:
        return described | {"enum": list(option.choices)}
    limits = {"minimum": option.minimum, "maximum": option.maximum}
    if option.kind == "str":
        limits = {"maxLength": option.maximum}
    return described | {name: limit for name, limit in limits.items() if limit is not None}


def _parameters() -> dict:
    """Describe the options of every task."""
    return {
        "type": "object",
        "description": "Options of the checkpoint's task; GET /models lists those of each checkpoint.",
        "anyOf": [
            {
                "title": task.hub_pipeline_tag,
                "properties": {option.name: _option_schema(option) for option in pipeline_class(task).options},
            }
            for task in TASKS.values()
        ],
    }


_REQUEST = {
    "type": "object",
    "required": ["inputs"],
    "properties": {
        "inputs": {
            "description": "One input of the task, or a list; a file is sent in base64, also as a URL "
            '"data:image/png;base64,…". No other URL is fetched.'
        },
        "parameters": _parameters(),
        "stream": {
            "type": "boolean",
            "description": "For text-generation: answer in server-sent events, one a character, as it is written.",
        },
    },
}

_ANSWERS = {
    "translation": {"value": [{"translation_text": "Ein Hund rennt.", "score": -0.16}]},
    "translation with evidence": {
        "value": [
            {
                "translation_text": "Hunde",
                "score": -0.41,
                "evidence": {
                    "source_tokens": ["▁Dogs", "</s>"],
                    "target_tokens": ["▁Hunde", "</s>"],
                    "attention": [[0.91, 0.09], [0.07, 0.93]],
                    "token_log_probabilities": [-0.75, -0.07],
                    "direction": "en-de",
                    "unknown_pieces": [],
                    "unfamiliar": False,
                },
                "score_parts": {"log_probability": -0.82, "length_denominator": 2.0, "coverage_penalty": 0.0},
            }
        ]
    },
    "image-to-text": {"value": [{"generated_text": "a dog runs", "score": -0.52}]},
    "image-to-text with evidence": {
        "value": [
            {
                "generated_text": "dogs",
                "score": -0.35,
                "evidence": {
                    "tokens": ["dogs", "</s>"],
                    "attention": [[[0.6, 0.2], [0.1, 0.1]], [[0.3, 0.3], [0.2, 0.2]]],
                    "grid": [2, 2],
                    "token_log_probabilities": [-0.61, -0.09],
                },
                "score_parts": {"log_probability": -0.70, "length_denominator": 2.0, "coverage_penalty": 0.0},
            }
        ]
    },
    "text-generation": {"value": [{"generated_text": "king is here"}]},
    "text-generation with evidence": {
        "value": [
            {
                "generated_text": "ki",
                "evidence": {
                    "characters": ["k", "i"],
                    "log_probabilities": [-2.71, -0.52],
                    "activations": [
                        {
                            "unit": "memory.2.137",
                            "feature": "position in line",
                            "correlation": 0.62,
                            "values": [0.11, 0.14],
                        }
                    ],
                },
            }
        ]
    },
    "automatic-speech-recognition": {
        "value": {
            "text": "TWO",
            "score": -0.31,
            "chunks": [{"text": "TWO", "timestamp": [0.4, 0.76], "confidence": 0.97}],
        }
    },
    "automatic-speech-recognition with evidence": {
        "value": {
            "text": "O",
            "score": -0.36,
            "chunks": [{"text": "O", "timestamp": [0.04, 0.08], "confidence": 0.91}],
            "evidence": {
                "labels": ["", " ", "O"],
                "frame_seconds": 0.04,
                "log_probabilities": [[-0.11, -2.9, -3.1], [-1.6, -3.2, -0.29]],
                "alignment": [0, 2],
            },
            "score_parts": {"acoustic": -0.36, "language_model": 0.0, "word_bonus": 0.0, "hot_words": 0.0},
        }
    },
    "question-answering": {"value": {"answer": "kitchen", "score": 0.98, "start": 17, "end": 24}},
    "question-answering with evidence": {
        "value": {
            "answer": "kitchen",
            "score": 0.98,
            "start": 17,
            "end": 24,
            "evidence": {
                "sentences": ["Mary went to the kitchen.", "John moved to the garden."],
                "attention": [[0.9, 0.1], [0.8, 0.2], [0.99, 0.01]],
            },
        }
    },
}
"""Shapes of answers, with invented numbers, by the names of `_request_examples`."""


def _request_examples() -> dict[str, dict]:
    """Ask every task what its pipeline gives as an example."""
    examples = {}
    for task in TASKS.values():
        examples |= _examples_of(task)
    return examples


def _examples_of(task: Task) -> dict[str, dict]:
    inputs = pipeline_class(task).example_input
    if isinstance(inputs, bytes):
        inputs = base64.b64encode(inputs).decode()
    return {
        task.hub_pipeline_tag: {"value": {"inputs": inputs}},
        f"{task.hub_pipeline_tag} with evidence": {
            "value": {"inputs": inputs, "parameters": {"return_evidence": True}}
        },
    }


def describe_errors(*statuses: int) -> dict[int, dict]:
    """Describe errors in OpenAPI's terms."""
    content = {"application/json": {"schema": _ERROR}}
    return {status: {"description": ERROR_MEANINGS[status], "content": content} for status in statuses}


PREDICT = {
    "summary": "Answer in the Hugging Face inference schema of the checkpoint's task",
    "responses": {
        200: {
            "description": "What the pipeline returns: a list of results, best first; of speech the best one, "
            "with the others as its `alternatives`; of a question about a story one result alone.",
            "content": {
                "application/json": {"schema": {}, "examples": _ANSWERS},
                "text/event-stream": {"schema": {"type": "string"}},
            },
        },
        **describe_errors(*ERROR_MEANINGS),
    },
    "openapi_extra": {
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": _REQUEST, "examples": _request_examples()},
                "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
                "image/*": {"schema": {"type": "string", "format": "binary"}},
                "audio/*": {"schema": {"type": "string", "format": "binary"}},
            },
        }
    },
}
"""Keyword arguments of the route."""
