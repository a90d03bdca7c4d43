"""A tiny translation checkpoint of several directions, whose tokenizer knows two languages apart."""

import dataclasses
from pathlib import Path

from tasks import TASKS, Task
from training.attention_nmt import set_decoding_defaults, train_tokenizer
from training.export import save_checkpoint
from training.language_counts import count_pieces

from .tiny import SENTENCES, attention_nmt_model

DIRECTIONS = ["en-de", "en-fr", "de-en"]
ENGLISH, GERMAN = SENTENCES[:3], SENTENCES[3:]
NAMES = ("several", "one-en-de")
"""Of two checkpoints, of which the second has one direction."""


def build_several(folder: Path) -> Path:
    """Save the checkpoint into a folder's "several"; return where it lies."""
    tokenizer = train_tokenizer(list(SENTENCES) * 4, 60, folder / "vocabulary", ["de", "en", "fr"])
    tokenizer.set_piece_counts(count_pieces(tokenizer, {"en": ENGLISH, "de": GERMAN}))
    _save(folder / NAMES[0], tokenizer, directions=DIRECTIONS, source_language="", target_language="")
    return folder / NAMES[0]


def build_one(folder: Path) -> Path:
    """Save another, of one direction, beside it."""
    tokenizer = train_tokenizer(list(SENTENCES) * 4, 60, folder / "vocabulary")
    _save(folder / NAMES[1], tokenizer)
    return folder / NAMES[1]


def task_of_both() -> Task:
    """Return translation's row in tasks.py as if these two were shipped."""
    return dataclasses.replace(TASKS["attention-translation"], checkpoints=NAMES, default_checkpoint=NAMES[0])


def _save(folder: Path, tokenizer, **options) -> None:
    model = attention_nmt_model(vocab_size=len(tokenizer), **options)
    set_decoding_defaults(model, num_beams=3, length_penalty=1.0)
    model.generation_config.max_new_tokens = 12
    save_checkpoint(folder, TASKS["attention-translation"], model, [tokenizer], {"parameters": 1})
