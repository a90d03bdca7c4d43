"""The demo: a tab for each task."""

import importlib

import gradio as gr

from tasks import TASKS, Task

from .card import CARD_CSS, card_html
from .char_next import CHAR_NEXT_CSS
from .char_text import CHAR_TEXT_CSS
from .heat_map import HEAT_MAP_CSS
from .image_attention import IMAGE_ATTENTION_CSS
from .limits import AT_ONCE, DELETE_CACHE, MAXIMUM_WAITING, POLL_SECONDS
from .links import Linked, link_box, wire_links
from .posterior_picture import PICTURE_CSS
from .recording import RECORDING_CSS
from .served import Checkpoints
from .story_answer import ANSWER_CSS
from .story_builder import BUILDER_CSS
from .story_hops import HOPS_CSS
from .transcript import TRANSCRIPT_CSS
from .translation_answer import TRANSLATION_CSS
from .zero_gpu import with_lent_gpu

THEME = gr.themes.Default(
    primary_hue="blue", neutral_hue="slate", font=("system-ui", "sans-serif"), font_mono=("ui-monospace", "monospace")
).set(
    # Gradio's own are too pale to be read by everybody: text needs a contrast of 4.5 to what is behind it.
    body_text_color_subdued="*neutral_600",
    block_info_text_color="*neutral_600",
    button_primary_background_fill="*primary_600",
    button_primary_background_fill_hover="*primary_700",
    color_accent="*primary_600",
)
CSS = (
    """
.gradio-container { width: 100%; max-width: 1120px !important; margin: 0 auto !important; }
#title h1 { margin-bottom: 0; }
.answer { font-size: 1.6rem; line-height: 1.35; margin: 8px 0 4px !important; overflow-wrap: anywhere; }
.message { color: #b91c1c; background: rgba(239, 68, 68, .08); border-left: 3px solid currentColor; border-radius: 4px;
  font-weight: 500; padding: 10px 12px; margin: 0 !important; overflow-wrap: anywhere; }
.dark .message { color: #fca5a5; }
:is(#told, #answer, #instead, #picture, #message) .html-container { padding: 0; }
#merge { border: 0; background: none; padding: 6px 0; }
.hypotheses .wrap { flex-direction: column; }
.hypotheses label { white-space: normal; align-items: flex-start; }
.dark [role="tab"][aria-selected="true"] { color: var(--primary-400) !important; }
:is(#time, #duration, .playback) { color: var(--body-text-color-subdued) !important; } /* of Gradio's player */
body:not(.dark) .programs .cm-line span { color: inherit !important; } /* its light colours are too pale to be read */
.programs .cm-gutters { display: none !important; } /* measured while closed, it would stretch the box */
.flush .html-container, .flush.html-container { padding: 0; }
.fine-print { font-size: 13px; line-height: 1.5; opacity: .8; margin: 0 !important; overflow-wrap: anywhere; }
.fine-print a { padding: 0; margin: 0; color: inherit; text-decoration: underline; }
.hint { font-size: 1.1rem; line-height: 1.5; padding: 24px; margin: 0 !important; border-radius: 10px;
  border: 1px dashed rgba(100, 116, 139, .5); text-align: center; }
#samples .grid-wrap { height: auto; min-height: 0; max-height: none; padding: 8px; }
#samples .grid-container { grid-template-columns: repeat(3, minmax(0, 1fr)); gap: 8px; padding: 0; height: auto; }
#samples .caption-label { display: none; } /* a picture that is to be captioned has no caption yet */
#char-beginning textarea, #char-own-text textarea { font-family: var(--font-mono); tab-size: 4; }
@media (max-width: 480px) {
  #tasks > .tab-wrapper { margin: 0 -12px; } /* what does not fit goes into a menu */
  #tasks > .tab-wrapper button { font-size: 13px; padding: 0 3px !important; }
  :is(#direction, #char-model, #char-colour) .wrap { gap: 6px; }
  :is(#char-model, #char-colour) .wrap { flex-wrap: nowrap; }
  :is(#direction, #char-model, #char-colour) label { padding: 8px 7px; flex: 1; font-size: 13px; white-space: nowrap; }
  :is(#direction, #char-model, #char-colour) label span { margin-left: 5px; }
  #char-written { min-height: 90vh; } /* the place is there before the text, and can be scrolled to */
  .gallery-item { text-align: left !important; }
}
footer { display: none !important; }
"""
    + HEAT_MAP_CSS
    + TRANSLATION_CSS
    + IMAGE_ATTENTION_CSS
    + CHAR_TEXT_CSS
    + CHAR_NEXT_CSS
    + RECORDING_CSS
    + TRANSCRIPT_CSS
    + PICTURE_CSS
    + ANSWER_CSS
    + HOPS_CSS
    + BUILDER_CSS
    + CARD_CSS
)
HEAD = '<meta name="description" content="Hindsight: sequence models that show why they answer so.">'

INTRODUCTION = """# Hindsight
Hindsight runs the sequence models that taught the field to remember and to attend, and shows what they looked at.
Everything under an answer is the evidence for exactly that answer."""


def build_demo(checkpoints: Checkpoints) -> gr.Blocks:
    """Build the page.

    Args:
        checkpoints: what answers.
    """
    checkpoints, linked, links = with_lent_gpu(checkpoints), {}, {}
    with gr.Blocks(title="Hindsight", analytics_enabled=False, delete_cache=DELETE_CACHE) as demo:
        gr.Markdown(INTRODUCTION, elem_id="title")
        with gr.Tabs(elem_id="tasks") as tabs:
            for task in TASKS.values():
                with gr.Tab(task.title, id=task.name):
                    linked[task.name] = importlib.import_module(f"demo.{task.tab}").build_tab(task, checkpoints)
                    links[task.name] = link_box()
                    _lay_out_card(task, linked[task.name])
        wire_links(demo, tabs, linked, links)
    demo.queue(default_concurrency_limit=AT_ONCE, max_size=MAXIMUM_WAITING, api_open=False)
    demo._queue.sleep_when_free = POLL_SECONDS
    return demo


def _lay_out_card(task: Task, linked: Linked) -> None:
    """Show the card of the checkpoint that is chosen on a tab."""

    def show_card(checkpoint: str) -> str:
        return card_html(task, checkpoint)

    card = gr.HTML(show_card(task.default_checkpoint), elem_classes=["flush"])
    for field in linked.fields:
        if field.name == "checkpoint":
            hidden = {"show_progress": "hidden", "api_visibility": "private"}
            field.component.change(show_card, field.component, card, queue=False, **hidden)
