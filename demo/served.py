"""What the demo asks of the service: answers, by checkpoint; and what a visitor reads when there is none."""

import functools
import logging
from collections.abc import Callable, Generator, Iterator
from html import escape
from typing import Any, Protocol

import gradio as gr

from pipelines import InputError
from pipelines.served import NotNowError

logger = logging.getLogger("hindsight")

LOADING_SECONDS = 60
CANNOT_ANSWER = "No answer this time, and not through your doing. Please try again; the server's log has the reason."


class Checkpoints(Protocol):
    """Serves checkpoints by name."""

    def answer(self, name: str, inputs: Any, parameters: dict | None = None) -> Any:
        """Answer a request in the Hub's schema; raise InputError for the caller's mistake."""
        ...

    def stream(self, name: str, inputs: Any, parameters: dict | None = None) -> Generator[dict, None, None]:
        """Answer a request in the events of the Hub's schema; to close them is to end the work."""
        ...

    def inspect(self, name: str, inputs: Any, **options: Any) -> dict:
        """Look into an input with the pipeline's own `inspect`."""
        ...

    def wait_until_loaded(self, timeout_seconds: float) -> bool:
        """Wait until the checkpoints are there."""
        ...


def ask(checkpoints: Checkpoints, name: str, inputs: Any, parameters: dict[str, Any]) -> list[dict] | dict:
    """Return a checkpoint's response with its evidence; wait for it while it is being loaded."""
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
        except Exception as error:
            return refusal(error), *[gr.skip()] * num_others

    return answer


def or_refusal_at_any_time(handler: Callable[..., Iterator[tuple]], num_others: int) -> Callable[..., Iterator[tuple]]:
    """Let a handler that answers bit by bit say why it cannot, or cannot go on, and leave what is on the page.

    Args:
        handler: yields new values of its outputs, the message before the others.
        num_others: how many others.
    """

    @functools.wraps(handler)
    def answers(*values: Any) -> Iterator[tuple]:
        try:
            yield from handler(*values)
        except Exception as error:
            yield refusal(error), *[gr.skip()] * num_others

    return answers


def refusal(error: Exception) -> gr.HTML:
    """Return a visible message in the error's words; a fault of ours in words that tell nothing of it."""
    if isinstance(error, InputError | NotNowError):
        sentence = str(error)
    else:
        logger.error("The demo got no answer.", exc_info=error)
        sentence = CANNOT_ANSWER
    return gr.HTML(f'<p class="message" role="alert">{escape(sentence)}</p>', visible=True)
