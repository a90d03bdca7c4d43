"""The demo: a tab for each task."""

import importlib

import gradio as gr

from tasks import TASKS

from .heat_map import HEAT_MAP_CSS
from .served import Checkpoints

THEME = gr.themes.Default(
    primary_hue="blue", neutral_hue="slate", font=("system-ui", "sans-serif"), font_mono=("ui-monospace", "monospace")
)
CSS = (
    """
.gradio-container { max-width: 1120px !important; margin: 0 auto !important; }
#title h1 { margin-bottom: 0; }
.answer { font-size: 1.5rem; line-height: 1.35; padding: 4px 2px; overflow-wrap: anywhere; }
.message { color: #b91c1c; font-weight: 500; padding: 4px 2px; }
.dark .message { color: #fca5a5; }
#hypotheses .wrap { flex-direction: column; }
#hypotheses label { white-space: normal; align-items: flex-start; }
footer { display: none !important; }
"""
    + HEAT_MAP_CSS
)
HEAD = '<meta name="description" content="Hindsight: sequence models that show why they answer so.">'

INTRODUCTION = """# Hindsight
The sequence models that taught the field to remember and to attend. What you see under an answer is the evidence for
exactly that answer."""


def build_demo(checkpoints: Checkpoints) -> gr.Blocks:
    """Build the page.

    Args:
        checkpoints: what answers.
    """
    with gr.Blocks(title="Hindsight", analytics_enabled=False) as demo:
        gr.Markdown(INTRODUCTION, elem_id="title")
        with gr.Tabs():
            for task in TASKS.values():
                with gr.Tab(task.title, id=task.name):
                    importlib.import_module(f"demo.{task.tab}").build_tab(task, checkpoints)
    return demo.queue(default_concurrency_limit=4, max_size=64)
