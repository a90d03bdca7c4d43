"""What the demo asks of the service: answers, by checkpoint; and what a visitor reads when there is none."""

import functools
import logging
from collections.abc import Callable
from html import escape
from typing import Any, Protocol

import gradio as gr

from pipelines import InputError

logger = logging.getLogger("hindsight")

LOADING_SECONDS = 60
CANNOT_ANSWER = "No answer this time, and not through your doing. Please try again; the server's log has the reason."


class Checkpoints(Protocol):
    """Serves checkpoints by name."""

    def answer(self, name: str, inputs: Any, parameters: dict | None = None) -> Any:
        """Answer a request in the Hub's schema; raise InputError for the caller's mistake."""
        ...

    def wait_until_loaded(self, timeout_seconds: float) -> bool:
        """Wait until the checkpoints are there."""
        ...


def ask(checkpoints: Checkpoints, name: str, inputs: Any, parameters: dict[str, Any]) -> list[dict]:
    """Return a checkpoint's results with their evidence; wait for it while it is being loaded."""
    checkpoints.wait_until_loaded(LOADING_SECONDS)
    return checkpoints.answer(name, inputs, parameters | {"return_evidence": True})


def or_refusal(handler: Callable[..., tuple], num_others: int) -> Callable[..., tuple]:
    """Let a handler that cannot answer say why, and leave what is on the page.

    Args:
        handler: returns new values of its outputs, the message before the others.
        num_others: how many others.
    """

    @functools.wraps(handler)
    def answer(*values: Any) -> tuple:
        try:
            return handler(*values)
        except InputError as error:
            sentence = str(error)
        except Exception:
            logger.exception("The demo got no answer.")
            sentence = CANNOT_ANSWER
        message = gr.HTML(f'<p class="message" role="alert">{escape(sentence)}</p>', visible=True)
        return message, *[gr.skip()] * num_others

    return answer
