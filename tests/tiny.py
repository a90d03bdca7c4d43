"""One tiny example per family: a network of a few units, its processors, and inputs it can answer."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from models.configuration_attention_nmt import AttentionNmtConfig
from models.modeling_attention_nmt import AttentionNmtForConditionalGeneration
from models.tokenization_attention_nmt import AttentionNmtTokenizer
from training.attention_nmt import train_tokenizer
from training.parallel_text import ParallelSplit

SENTENCES = (
    "A dog runs.",
    "A man in a red shirt rides a horse.",
    "Two children play with a ball in the snow.",
    "Ein Hund rennt.",
    "Ein Mann in einem roten Hemd reitet ein Pferd.",
    "Zwei Kinder spielen mit einem Ball im Schnee.",
)


@dataclass(frozen=True)
class TinyFamily:
    """How to build a family's tiny model, and what to ask it."""

    build: Callable[[Path], tuple[PreTrainedModel, dict[str, Any]]]
    """Makes the model, seeded and in evaluation mode, and its processors by pipeline argument; may write files."""
    inputs: tuple[Any, ...]
    """Inputs of different lengths."""


def attention_nmt_config(**options: Any) -> AttentionNmtConfig:
    """Return a configuration of 8 units."""
    small = {
        "vocab_size": 60,
        "embedding_size": 6,
        "encoder_hidden_size": 5,
        "decoder_hidden_size": 7,
        "attention_size": 4,
        "source_language": "en",
        "target_language": "de",
    }
    return AttentionNmtConfig(**{**small, **options})


def attention_nmt_model(**options: Any) -> AttentionNmtForConditionalGeneration:
    """Return a seeded model in evaluation mode whose distributions are not flat."""
    torch.manual_seed(0)
    model = AttentionNmtForConditionalGeneration(attention_nmt_config(**options)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(std=0.3 if "bias" in name else 0.7)
    return model


def sentencepiece_tokenizer(folder: Path) -> AttentionNmtTokenizer:
    """Train a tokenizer of at most 60 pieces on `SENTENCES`."""
    return train_tokenizer(ParallelSplit(list(SENTENCES[:3]) * 4, list(SENTENCES[3:]) * 4), 60, folder)


def _attention_nmt(folder: Path) -> tuple[PreTrainedModel, dict[str, Any]]:
    tokenizer = sentencepiece_tokenizer(folder)
    model = attention_nmt_model(vocab_size=len(tokenizer))
    model.generation_config.max_new_tokens = 12
    return model, {"tokenizer": tokenizer}


TINY = {
    "attention-translation": TinyFamily(build=_attention_nmt, inputs=SENTENCES[:3]),
}
