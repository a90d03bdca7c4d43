"""Recipe for attention NMT (Bahdanau, Cho and Bengio 2014) on Multi30k.

Defaults are what the shipped checkpoints were trained with; training.json beside them says so too.
"""

import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sacrebleu
import sentencepiece
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel

from models.configuration_attention_nmt import AttentionNmtConfig
from models.modeling_attention_nmt import AttentionNmtForConditionalGeneration
from models.tokenization_attention_nmt import AttentionNmtTokenizer

from .parallel_text import ParallelSplit, load_split
from .recipe import Recipe as CommonRecipe
from .recipe import train as train_family


@dataclass(frozen=True)
class Recipe(CommonRecipe):
    """Options of `python -m training attention-translation`."""

    source_language: str = "en"
    target_language: str = "de"
    vocab_size: int = 4000
    """Pieces of the joint SentencePiece vocabulary."""
    sampling_alpha: float = 0.5
    """Smoothness of sub-word regularisation (Kudo 2018); 0 switches it off."""
    embedding_size: int = 256
    encoder_hidden_size: int = 256
    decoder_hidden_size: int = 256
    attention_size: int = 256
    encoder_layers: int = 1
    decoder_layers: int = 1
    cell_type: str = "gru"
    embedding_dropout: float = 0.2
    encoder_dropout: float = 0.3
    decoder_dropout: float = 0.3
    readout_dropout: float = 0.3
    label_smoothing: float = 0.1


def train_tokenizer(split: ParallelSplit, vocab_size: int, folder: Path) -> AttentionNmtTokenizer:
    """Train a joint unigram SentencePiece model on both sides of the training split; write `spm.model`."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(split.sources + split.targets),
        model_writer=model,
        vocab_size=vocab_size,
        model_type="unigram",
        character_coverage=1.0,
        hard_vocab_limit=False,
        pad_id=0,
        bos_id=1,
        eos_id=2,
        unk_id=3,
        pad_piece="<pad>",
        num_threads=1,
        minloglevel=2,
    )
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"spm.{os.getpid()}.part"  # torchrun's processes all come by here
    part.write_bytes(model.getvalue())
    part.replace(folder / "spm.model")
    return AttentionNmtTokenizer(str(folder / "spm.model"))


class Collator:
    """Cuts sentences into pieces, in training at random, and pads them into a batch."""

    def __init__(self, tokenizer: AttentionNmtTokenizer, sampling_alpha: float):
        self.tokenizer = tokenizer
        self.sampling_alpha = sampling_alpha

    def __call__(self, pairs: list[tuple[str, str]]) -> dict[str, Tensor]:
        """Make a batch of (source, target) pairs: `input_ids`, `attention_mask` and `labels`."""
        sources = self._encode([source for source, _ in pairs])
        targets = self._encode([target for _, target in pairs])
        input_ids = pad_sequence(sources, batch_first=True, padding_value=self.tokenizer.pad_token_id)
        lengths = torch.tensor([len(source) for source in sources])
        return {
            "input_ids": input_ids,
            "attention_mask": torch.arange(input_ids.shape[1]) < lengths.unsqueeze(1),
            "labels": pad_sequence(targets, batch_first=True, padding_value=-100),
        }

    def _encode(self, texts: list[str]) -> list[Tensor]:
        sampling = {"enable_sampling": True, "alpha": self.sampling_alpha, "nbest_size": -1}
        options = sampling if self.sampling_alpha > 0 else {}
        # One text a call: for a list sentencepiece starts threads, and each begins the same random numbers anew.
        pieces = [self.tokenizer.sp_model.encode(text, out_type=int, **options) for text in texts]
        return [torch.tensor([*ids, self.tokenizer.eos_token_id]) for ids in pieces]


def translate_lines(
    model: AttentionNmtForConditionalGeneration,
    tokenizer: AttentionNmtTokenizer,
    sources: list[str],
    batch_size: int = 64,
    **options: Any,
) -> list[str]:
    """Translate many sentences, like lengths together, and return them in the order given."""
    collate = Collator(tokenizer, sampling_alpha=0.0)
    translations = [""] * len(sources)
    order = sorted(range(len(sources)), key=lambda index: len(sources[index]))
    for start in range(0, len(order), batch_size):
        indices = order[start : start + batch_size]
        batch = collate([(sources[index], "") for index in indices])
        found = model.translate(
            batch["input_ids"].to(model.device), batch["attention_mask"].to(model.device), **options
        )
        for index, hypotheses in zip(indices, found, strict=True):
            translations[index] = tokenizer.decode(hypotheses[0].token_ids, skip_special_tokens=True)
    return translations


def validation_metrics(
    model: PreTrainedModel, tokenizer: AttentionNmtTokenizer, split: ParallelSplit
) -> dict[str, float]:
    """Greedy BLEU on a split, cased and lower-cased."""
    translations = translate_lines(model, tokenizer, split.sources, num_beams=1, max_new_tokens=80)
    references = [split.targets]
    return {
        "bleu": sacrebleu.corpus_bleu(translations, references).score,
        "bleu_lc": sacrebleu.corpus_bleu(translations, references, lowercase=True).score,
    }


def train(recipe: Recipe) -> tuple[AttentionNmtForConditionalGeneration, list[AttentionNmtTokenizer], dict]:
    """Train on the recipe's data; return the best model, its processors and the facts of the run."""
    languages = (recipe.source_language, recipe.target_language)
    splits = {name: load_split(recipe.data, name, *languages) for name in ("train", "validation")}
    tokenizer = train_tokenizer(splits["train"], recipe.vocab_size, Path(recipe.output, "tokenizer"))
    torch.manual_seed(recipe.seed)
    sentencepiece.set_random_generator_seed(recipe.seed)  # counts once a process; a resumed run samples other cuts
    model = AttentionNmtForConditionalGeneration(_configuration(recipe, len(tokenizer)))
    pairs = {name: list(zip(split.sources, split.targets, strict=True)) for name, split in splits.items()}
    lengths = [_length(tokenizer, *pair) for pair in pairs["train"]]

    best, facts = train_family(
        recipe,
        model,
        pairs["train"],
        pairs["validation"],
        Collator(tokenizer, recipe.sampling_alpha),
        lambda candidate: validation_metrics(candidate, tokenizer, splits["validation"]),
        metric="bleu",
        lengths=lengths,
        validation_collate=Collator(tokenizer, sampling_alpha=0.0),
    )
    set_decoding_defaults(best, num_beams=5, length_penalty=1.0)
    facts["data"] = {name: {"lines": len(split), "sha256": split.checksum()} for name, split in splits.items()}
    return best, [tokenizer], facts


def set_decoding_defaults(model: AttentionNmtForConditionalGeneration, num_beams: int, length_penalty: float) -> None:
    """Put what a checkpoint does when nobody says otherwise into its generation_config."""
    model.generation_config.num_beams = num_beams
    model.generation_config.length_penalty = length_penalty
    model.generation_config.max_new_tokens = 128
    model.generation_config.suppress_tokens = [
        model.config.pad_token_id,
        model.config.bos_token_id,
        model.config.unk_token_id,
    ]


def _length(tokenizer: AttentionNmtTokenizer, source: str, target: str) -> int:
    """Order pairs by target pieces, then source pieces: padded targets cost time, packed sources do not."""
    return 1000 * len(tokenizer.sp_model.encode(target)) + len(tokenizer.sp_model.encode(source))


def _configuration(recipe: Recipe, vocab_size: int) -> AttentionNmtConfig:
    shared = AttentionNmtConfig.__dataclass_fields__.keys() & Recipe.__dataclass_fields__.keys()
    options = {name: getattr(recipe, name) for name in shared} | {"vocab_size": vocab_size}
    return AttentionNmtConfig(**options)
