"""The writing tab as a test uses it: what a visitor does, and what each part of the page then holds."""

import html
import re
from types import SimpleNamespace

import gradio as gr

from demo.char_handlers import NUM_OTHERS, OPTION_NAMES
from demo.char_text import SURPRISE


class Tab:
    """Does what the page does, and names what it gets."""

    OUTPUTS = ("message", "text", "scale", "status", "next", "unit", "stop", "passage", "run")

    def __init__(self, demo, checkpoint):
        self.checkpoint = checkpoint
        self.handlers = {event.fn.__name__: event.fn for event in demo.fns.values() if event.fn is not None}

    def write(self, text, run=None, colour_by=SURPRISE, unit=None, maps=False, **options):
        values = [options.get(name) for name in OPTION_NAMES]
        return self._named_all(self.handlers["write_anew"](run, colour_by, unit, self.checkpoint, text, maps, *values))

    def write_on(self, passage, run=None, colour_by=SURPRISE, unit=None, **options):
        values = [options.get(name) for name in OPTION_NAMES]
        return self._named_all(self.handlers["write_further"](run, colour_by, unit, passage, *values))

    def look(self, text, colour_by=SURPRISE, unit=None, maps=False, run=None):
        return self._named(self.handlers["look_into_own_text"](run, colour_by, unit, self.checkpoint, text, maps))

    def choose(self, passage, character, colour_by=SURPRISE, run=None):
        return self._named(
            self.handlers["choose_character"](
                run, colour_by, None, passage, gr.EventData(None, {"character": character})
            )
        )

    def recolour(self, passage, colour_by, unit=None, run=None):
        return self._named(self.handlers["recolour"](run, colour_by, unit, passage))

    def _named(self, values):
        assert len(values) == len(self.OUTPUTS) == 1 + NUM_OTHERS
        return SimpleNamespace(**dict(zip(self.OUTPUTS, values, strict=True)))

    def _named_all(self, pages):
        return (self._named(values) for values in pages)


def message_of(page):
    """Return the visible message, or None."""
    if isinstance(page.message, dict):
        assert page.message == gr.update(visible=False)
        return None
    assert page.message.visible and 'role="alert"' in page.message.value
    return html.unescape(re.sub("<[^>]+>", "", page.message.value))
