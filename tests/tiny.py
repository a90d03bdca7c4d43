"""One tiny example per family: a network of a few units, its processors, and inputs it can answer."""

import base64
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from PIL import Image
from transformers import PreTrainedModel

from models.configuration_attention_nmt import AttentionNmtConfig
from models.configuration_blstm_ctc import BlstmCtcConfig
from models.configuration_char_rnn import CharRnnConfig
from models.configuration_memn2n import Memn2nConfig
from models.configuration_show_attend_tell import ShowAttendTellConfig
from models.feature_extraction_blstm_ctc import BlstmCtcFeatureExtractor
from models.image_processing_show_attend_tell import ShowAttendTellImageProcessor
from models.modeling_attention_nmt import AttentionNmtForConditionalGeneration
from models.modeling_blstm_ctc import BlstmCtcForCTC, MaskedBatchNorm
from models.modeling_char_rnn import CharRnnForCausalLM
from models.modeling_memn2n import Memn2nForQuestionAnswering
from models.modeling_show_attend_tell import ShowAttendTellForImageCaptioning
from models.tokenization_attention_nmt import AttentionNmtTokenizer
from training.attention_nmt import train_tokenizer
from training.babi_stories import parse
from training.blstm_ctc import build_tokenizer as build_ctc_tokenizer
from training.caption_vocabulary import train_tokenizer as train_caption_tokenizer
from training.char_rnn import build_tokenizer
from training.story_vocabulary import answer_token_id, answers_of
from training.story_vocabulary import build_tokenizer as build_tokenizer_of_stories

SENTENCES = (
    "A dog runs.",
    "A man in a red shirt rides a horse.",
    "Two children play with a ball in the snow.",
    "Ein Hund rennt.",
    "Ein Mann in einem roten Hemd reitet ein Pferd.",
    "Zwei Kinder spielen mit einem Ball im Schnee.",
)


STORIES = """1 Mary went to the kitchen.
2 John moved to the garden.
3 Where is Mary?\tkitchen\t1
4 Mary took the milk there.
5 Mary took the apple there.
6 Where is the milk?\tkitchen\t4 1
7 What is Mary carrying?\tmilk,apple\t4 5
8 Is John in the kitchen?\tno\t2
"""
MEMN2N_ANSWER_WORDS = [9, 2, 10, 11]


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
    return train_tokenizer([*SENTENCES[:3] * 4, *SENTENCES[3:] * 4], 60, folder)


def _attention_nmt(folder: Path) -> tuple[PreTrainedModel, dict[str, Any]]:
    tokenizer = sentencepiece_tokenizer(folder)
    model = attention_nmt_model(vocab_size=len(tokenizer))
    model.generation_config.max_new_tokens = 12
    return model, {"tokenizer": tokenizer}


def show_attend_tell_config(**options: Any) -> ShowAttendTellConfig:
    """Return a configuration of a few units; a picture of 32 x 32 gives a grid of 4 x 4."""
    backbone = {
        "model_type": "efficientnet",
        "image_size": 32,
        "in_channels": [8, 8],
        "out_channels": [8, 8],
        "kernel_sizes": [3, 3],
        "strides": [2, 2],
        "num_block_repeats": [1, 2],
        "expand_ratios": [1, 2],
        "depthwise_padding": [],
        "hidden_dim": 16,
        "width_coefficient": 0.0125,
        "depth_coefficient": 1.0,
    }
    small = {
        "backbone_config": backbone,
        "grid_channels": 16,
        "vocab_size": 9,
        "annotation_size": 5,
        "embedding_size": 6,
        "decoder_hidden_size": 7,
        "attention_size": 4,
    }
    return ShowAttendTellConfig(**{**small, **options})


def show_attend_tell_model(**options: Any) -> ShowAttendTellForImageCaptioning:
    """Return a seeded model in evaluation mode whose distributions are not flat."""
    torch.manual_seed(0)
    model = ShowAttendTellForImageCaptioning(show_attend_tell_config(**options)).eval()
    with torch.no_grad():
        for module in (model.decoder, model.output_projection):
            for name, parameter in module.named_parameters():
                parameter.normal_(std=0.3 if "bias" in name else 0.7)
        for module in model.encoder.modules():
            if isinstance(module, torch.nn.Conv2d):
                torch.nn.init.kaiming_normal_(module.weight)
            elif isinstance(module, torch.nn.BatchNorm2d):
                torch.nn.init.ones_(module.weight)
    return model


def picture(seed: int, width: int = 32, height: int = 32) -> Image.Image:
    """Return a picture of coloured noise."""
    numbers = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(numbers)


def in_json(item: Any) -> Any:
    """Write an input as a request's JSON has it: files in base64."""
    return base64.b64encode(item).decode() if isinstance(item, bytes) else item


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def _show_attend_tell(folder: Path) -> tuple[PreTrainedModel, dict[str, Any]]:
    tokenizer = train_caption_tokenizer(list(SENTENCES[:3]), 1)
    processor = ShowAttendTellImageProcessor(size={"height": 32, "width": 32})
    model = show_attend_tell_model(vocab_size=len(tokenizer))
    model.generation_config.max_new_tokens = 12
    return model, {"tokenizer": tokenizer, "image_processor": processor}


def char_rnn_config(**options: Any) -> CharRnnConfig:
    """Return a configuration of two layers of 7 units."""
    small = {"vocab_size": 9, "num_hidden_layers": 2, "hidden_size": 7, "embedding_size": 5}
    return CharRnnConfig(**{**small, **options})


def char_rnn_model(**options: Any) -> CharRnnForCausalLM:
    """Return a seeded model in evaluation mode whose distributions are not flat."""
    torch.manual_seed(0)
    model = CharRnnForCausalLM(char_rnn_config(**options)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(std=0.3 if "bias" in name else 0.7)
    return model


def _char_rnn(folder: Path) -> tuple[PreTrainedModel, dict[str, Any]]:
    tokenizer = build_tokenizer("".join(SENTENCES))
    vocabulary = tokenizer.get_vocab()
    model = char_rnn_model(vocab_size=len(vocabulary), bos_token_id=vocabulary["\n"])
    model.generation_config.max_new_tokens = 12
    model.generation_config.do_sample = False
    return model, {"tokenizer": tokenizer}


def blstm_ctc_config(**options: Any) -> BlstmCtcConfig:
    """Return a configuration of two layers of 5 units."""
    small = {"vocab_size": 4, "feature_size": 6, "convolution_channels": 3, "num_hidden_layers": 2, "hidden_size": 5}
    return BlstmCtcConfig(**{**small, **options})


def blstm_ctc_model(**options: Any) -> BlstmCtcForCTC:
    """Return a seeded model in evaluation mode whose distributions are not flat."""
    torch.manual_seed(0)
    model = BlstmCtcForCTC(blstm_ctc_config(**options)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(std=0.3 if "bias" in name else 0.7)
        for norm in model.norms:
            if isinstance(norm, MaskedBatchNorm):
                norm.running_mean.normal_()
                norm.running_var.uniform_(0.5, 2.0)
    return model


def recording(seed: int, seconds: float) -> bytes:
    """Return a WAV file of noise that grows and falls, at 16 kHz."""
    numbers = np.random.default_rng(seed).normal(size=round(16000 * seconds))
    file = io.BytesIO()
    loudness = 0.2 * np.sin(np.linspace(0, 20 * seconds, len(numbers))) ** 2
    soundfile.write(file, loudness * numbers, 16000, format="WAV")
    return file.getvalue()


def _blstm_ctc(folder: Path) -> tuple[PreTrainedModel, dict[str, Any]]:
    tokenizer = build_ctc_tokenizer(folder / "vocabulary")
    model = blstm_ctc_model(vocab_size=len(tokenizer))
    return model, {"tokenizer": tokenizer, "feature_extractor": BlstmCtcFeatureExtractor(feature_size=6)}


def memn2n_config(**options: Any) -> Memn2nConfig:
    """Return a configuration of 5 numbers a word, 12 words and 4 answers."""
    small = {"vocab_size": 12, "embedding_size": 5, "memory_size": 4, "num_labels": 4}
    if options.get("tying") != "layer_wise":
        small["answer_token_ids"] = MEMN2N_ANSWER_WORDS
    return Memn2nConfig(**{**small, **options})


def memn2n_model(dtype: torch.dtype = torch.float32, **options: Any) -> Memn2nForQuestionAnswering:
    """Return a seeded model in evaluation mode whose distributions are not flat; the same numbers in any precision."""
    torch.manual_seed(0)
    model = Memn2nForQuestionAnswering(memn2n_config(**options)).eval().double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.7)
        for table in [*model.word_tables, *([model.question_table] if model.question_table is not None else [])]:
            table.weight[0] = 0
    return model.to(dtype)


def _memn2n(folder: Path) -> tuple[PreTrainedModel, dict[str, Any]]:
    examples = list(parse(STORIES, 1))
    tokenizer, answers = build_tokenizer_of_stories(examples), answers_of(examples)
    model = memn2n_model(
        vocab_size=len(tokenizer),
        num_labels=len(answers),
        id2label=answers,
        label2id={answer: number for number, answer in answers.items()},
        answer_token_ids=[answer_token_id(tokenizer, answer) for answer in answers.values()],
    )
    return model, {"tokenizer": tokenizer}


TINY = {
    "char-generation": TinyFamily(build=_char_rnn, inputs=("The ", "A man in a red shirt", "Ein")),
    "attention-translation": TinyFamily(build=_attention_nmt, inputs=SENTENCES[:3]),
    "ctc-transcription": TinyFamily(
        build=_blstm_ctc, inputs=tuple(recording(seed, 0.6 + 0.3 * seed) for seed in range(3))
    ),
    "captioning": TinyFamily(
        build=_show_attend_tell, inputs=tuple(_png(picture(seed, 30 + 10 * seed, 40)) for seed in range(3))
    ),
    "memory-qa": TinyFamily(
        build=_memn2n,
        inputs=(
            {"context": "Mary went to the kitchen. John moved to the garden.", "question": "Where is Mary?"},
            {"context": ["Mary took the milk there."], "question": "What is Mary carrying?"},
            {
                "context": "John took the apple there.\n" * 3 + "Mary went to the garden",
                "question": "Where is the milk",
            },
        ),
    ),
}
