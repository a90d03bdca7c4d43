"""Which languages the translation tab offers: those that the chosen checkpoint translates between."""

import json
from typing import Any

import gradio as gr

import hub
from hub import CheckpointError
from tasks import Task

NAMES = {"en": "English", "de": "German", "fr": "French", "es": "Spanish"}
DETECT, AUTOMATIC = "Detect", "Automatic"
"""What stands for no language: the checkpoint guesses what it reads, and writes what fits."""
NOTHING_TO_SWAP = "There is no translation yet to swap: press Translate, or choose the languages."


def name_of(language: str) -> str:
    """Return what people call a language."""
    return NAMES.get(language, language)


def directions(checkpoint: str) -> list[tuple[str, str]]:
    """Return what a checkpoint translates from and into; of one that is not here, what its name says."""
    try:
        config = json.loads((hub.find(checkpoint) / "config.json").read_text(encoding="utf-8"))
    except (CheckpointError, OSError):
        config = {}
    if config.get("directions"):
        return [tuple(one.split("-")) for one in config["directions"]]
    pair = (config.get("source_language"), config.get("target_language"))
    if all(pair):
        return [pair]
    pair = tuple(checkpoint.split("-")[-2:])
    return [pair] if set(pair) <= NAMES.keys() else []


def is_of_several(checkpoint: str) -> bool:
    """Whether a checkpoint translates in several directions, so that languages are chosen."""
    return len(directions(checkpoint)) > 1


def title(checkpoint: str) -> str:
    """Name a checkpoint by its languages: "English → German", or "English ⇄ French, German"."""
    known = directions(checkpoint)
    if not known:
        return checkpoint
    if len(known) == 1:
        return " → ".join(map(name_of, known[0]))
    languages = languages_of(checkpoint)
    for one in languages:  # the one that all are translated from and into
        others = [other for other in languages if other != one]
        if sorted(known) == sorted([(one, other) for other in others] + [(other, one) for other in others]):
            return f"{name_of(one)} ⇄ {', '.join(map(name_of, others))}"
    return ", ".join(map(name_of, languages))


def languages_of(*checkpoints: str) -> list[str]:
    """List all languages of checkpoints, each once, sources first."""
    pairs = [pair for checkpoint in checkpoints for pair in directions(checkpoint)]
    return list(dict.fromkeys([*(source for source, _ in pairs), *(target for _, target in pairs)]))


def lay_out_languages(task: Task) -> tuple[gr.Dropdown, gr.Dropdown, gr.Button]:
    """Lay out the choice of both languages, and the button that swaps them."""
    source, target, swap = language_choices(task.default_checkpoint)
    from_ = gr.Dropdown(label="From", elem_id="source-language", filterable=False, min_width=110, scale=2, **source)
    into = gr.Dropdown(label="Into", elem_id="target-language", filterable=False, min_width=110, scale=2, **target)
    button = gr.Button("⇄ Swap", elem_id="swap", min_width=80, scale=1, **swap)
    return from_, into, button


def language_choices(checkpoint: str, source: str | None = "", target: str | None = "") -> tuple[dict, dict, dict]:
    """Return what the two menus and the button are to be.

    Args:
        checkpoint: the one that is chosen.
        source: the language that was chosen before; it is kept where it fits, and so is `target`.
        target: of the translation.

    Returns:
        Arguments of the source's menu, the target's menu and the button that swaps them.
    """
    known = directions(checkpoint)
    if len(known) < 2:
        fixed = [[(name_of(language), "")] for language in (known[0] if known else ("?", "?"))]
        menus = [{"choices": choices, "value": "", "interactive": False} for choices in fixed]
        return *menus, {"interactive": False}
    sources = list(dict.fromkeys(one for one, _ in known))
    source = source if source in sources else ""
    targets = list(dict.fromkeys(into for one, into in known if source in ("", one)))
    first = [] if source else [(AUTOMATIC, "")]
    target = target if target in targets else targets[0] if source else ""
    return (
        {"choices": [(DETECT, ""), *((name_of(one), one) for one in sources)], "value": source, "interactive": True},
        {"choices": [*first, *((name_of(one), one) for one in targets)], "value": target, "interactive": True},
        {"interactive": True},
    )


def fit_languages(checkpoint: str, source: str | None = "", target: str | None = "") -> tuple:
    """Return the two menus and the button as they fit the checkpoint and the source."""
    source_menu, target_menu, swap = language_choices(checkpoint, source, target)
    return gr.Dropdown(**source_menu), gr.Dropdown(**target_menu), gr.Button(**swap)


def swapped(
    checkpoint: str, source: str | None, target: str | None, rank: int | None, results: list[dict]
) -> tuple[Any, ...]:
    """Return the text, the two menus and the button after a swap: the translation is the text now.

    Raises:
        gr.Error: where there is nothing to swap, or no way back.
    """
    if not results and not (source and target):
        raise gr.Error(NOTHING_TO_SWAP)
    shown = results[rank or 0] if results else None
    guessed = (shown["evidence"]["direction"] or "").split("-") if shown else []
    if len(guessed) == 2:
        source, target = source or guessed[0], target or guessed[1]
    if (target, source) not in directions(checkpoint):
        raise gr.Error(f"This checkpoint does not translate from {name_of(target)} into {name_of(source)}.")
    text = gr.skip() if shown is None else shown["translation_text"]
    return text, *fit_languages(checkpoint, target, source)
