"""An answer to a question about a story: how probable, what else, and whether it is right where the truth is known."""

from collections.abc import Sequence
from html import escape

from .char_text import percent
from .story_hops import most_read
from .story_world import Story

ANSWER_CSS = """
.qa { color: var(--body-text-color); }
.qa-asked { font-size: 1.05rem; opacity: .85; margin: 0 !important; overflow-wrap: anywhere; }
.qa .answer small { font-size: 1rem; opacity: .8; font-variant-numeric: tabular-nums; margin-left: 6px; }
.qa-truth { border-left: 3px solid currentColor; border-radius: 4px; padding: 8px 12px; margin: 6px 0 !important;
  font-weight: 600; line-height: 1.4; overflow-wrap: anywhere; background: rgba(100, 116, 139, .1); }
.qa-truth small { display: block; font-size: 14px; font-weight: 400; color: var(--body-text-color); }
.qa-truth.right { color: #15803d; background: rgba(34, 197, 94, .1); }
.qa-truth.wrong { color: #b91c1c; background: rgba(239, 68, 68, .08); }
.dark .qa-truth.right { color: #86efac; }
.dark .qa-truth.wrong { color: #fca5a5; }
.qa-answers { list-style: none !important; display: grid; gap: 4px; margin: 8px 0 !important; padding: 0 !important; }
.qa-answers li { display: flex; justify-content: space-between; gap: 10px; margin: 0 !important; padding: 4px 9px;
  border-radius: 6px; font-size: 15px; line-height: 1.4; box-shadow: inset 0 0 0 1px rgba(128, 128, 128, .22);
  background: linear-gradient(to right, rgba(37, 99, 235, .26) calc(100% * var(--probability)), transparent 0); }
.dark .qa-answers li { background: linear-gradient(to right, rgba(96, 165, 250, .32) calc(100% * var(--probability)),
  transparent 0); }
.qa-answers span:last-child { font-variant-numeric: tabular-nums; opacity: .85; white-space: nowrap; }
.qa-notice { font-size: 14px; line-height: 1.45; margin: 6px 0 !important; padding: 8px 12px; border-radius: 4px;
  border-left: 3px solid #b45309; background: rgba(245, 158, 11, .12); }
"""


def answer_html(question: str, results: Sequence[dict], truth: str) -> str:
    """Draw an answer and the next best ones.

    Args:
        question: that was asked.
        results: of the pipeline, best first.
        truth: HTML that says what is known of it.

    Returns:
        HTML; everything that came from people or a network is escaped.
    """
    best = results[0]
    bars = "".join(
        f'<li style="--probability:{result["score"]:.3f}"><span>{escape(result["answer"])}</span>'
        f"<span>{escape(percent(result['score']))}</span></li>"
        for result in results
    )
    dropped = best.get("dropped_sentences", 0)
    return (
        f'<div class="qa"><p class="qa-asked">{escape(question)}</p>'
        f'<p class="answer" role="status">{escape(best["answer"])} <small>{escape(percent(best["score"]))}</small></p>'
        f"{truth}{_notice(dropped)}"
        f'<ol class="qa-answers" aria-label="The most probable answers">{bars}</ol></div>'
    )


def truth_html(best: dict, truth: Story, note: str) -> str:
    """Say whether an answer is right, and whether the hops read what it follows from.

    Args:
        best: result of the pipeline, with its evidence.
        truth: the story that was asked about.
        note: what a visitor should know about it; empty: nothing.
    """
    is_right = best["answer"] == truth.answer
    verdict = "✓ Right" if is_right else "✗ Wrong"
    read = most_read(best["evidence"]["attention"], best.get("dropped_sentences", 0))
    remark = f"<small>{escape(note)}</small>" if note else ""
    return (
        f'<p class="qa-truth {"right" if is_right else "wrong"}">{verdict}: the true answer is '
        f"{escape(truth.answer)}.<small>It follows from {_numbers(truth.supporting_facts)}. "
        f"Hop by hop, the network took most from {_numbers(read)}.</small>{remark}</p>"
    )


def changed_html(before: Story) -> str:
    """Say that a visitor changed a story, so that nobody has told the true answer."""
    return (
        '<p class="qa-truth">Changed: the true answer may be another now.<small>Before the change the question was '
        f"“{escape(before.question)}”, and the true answer {escape(before.answer)}.</small></p>"
    )


def _numbers(places: Sequence[int]) -> str:
    noun = "sentence" if len(set(places)) == 1 else "sentences"
    return f"{noun} {', '.join(str(place + 1) for place in places)}"


def _notice(num_dropped: int) -> str:
    if not num_dropped:
        return ""
    which = "sentence was" if num_dropped == 1 else f"{num_dropped} sentences were"
    return f'<p class="qa-notice">The network holds only the newest sentences: the oldest {which} not read.</p>'
