"""Recipe for attention NMT (Bahdanau, Cho and Bengio 2014): one direction, or several in one network.

Defaults are what the shipped checkpoints of one direction were trained with; training.json beside each says so too.
"""

import io
import os
import statistics
from collections.abc import Sequence
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
from models.tokenization_attention_nmt import AttentionNmtTokenizer, language_token

from .directed_text import DirectedText, Pair, load_directions
from .language_counts import count_pieces, sources_by_language
from .parallel_text import load_split
from .recipe import Recipe as CommonRecipe
from .recipe import train as train_family

MEASURED_OFTEN = 400
"""Sentences of each corpus and direction that choose a checkpoint of several."""


@dataclass(frozen=True)
class Recipe(CommonRecipe):
    """Options of `python -m training attention-translation`."""

    source_language: str = "en"
    target_language: str = "de"
    directions: list[str] | None = None
    """Such as en-de de-en: one network for all of them, from every folder of `--data`; the two above do not count."""
    repeats: list[int] | None = None
    """How often an epoch has each folder of `--data`, of several directions; without it once."""
    vocab_size: int = 4000
    """Pieces of the joint SentencePiece vocabulary."""
    sampling_alpha: float = 0.5
    """Smoothness of sub-word regularisation (Kudo 2018); 0 switches it off."""
    embedding_size: int = 256
    encoder_hidden_size: int = 256
    decoder_hidden_size: int = 256
    attention_type: str = "additive"
    """"additive", or "none": the decoder reads the encoder's last states at every step, and nothing else."""
    bidirectional_encoder: bool = True
    reverse_source: bool = False
    """Whether the encoder reads the source's pieces in reverse."""
    attention_size: int = 256
    encoder_layers: int = 1
    decoder_layers: int = 1
    cell_type: str = "gru"
    input_feeding: bool = True
    """Without it a training step runs the decoder as one call, which is faster."""
    embedding_dropout: float = 0.2
    encoder_dropout: float = 0.3
    decoder_dropout: float = 0.3
    readout_dropout: float = 0.3
    label_smoothing: float = 0.1


def train_tokenizer(
    sentences: list[str], vocab_size: int, folder: Path, languages: Sequence[str] = ()
) -> AttentionNmtTokenizer:
    """Train a unigram SentencePiece model on the sentences of all languages; write `spm.model`.

    Args:
        sentences: of the training split.
        vocab_size: pieces, the special ones included.
        folder: where `spm.model` is written.
        languages: those that get a token, which no text can spell.
    """
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences),
        control_symbols=[language_token(language) for language in languages],
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

    def __call__(self, pairs: list[Pair]) -> dict[str, Tensor]:
        """Make a batch: `input_ids`, `attention_mask` and `labels`."""
        # One text a call: for a list sentencepiece starts threads, and each begins the same random numbers anew.
        sources = [self._encode(pair.source, pair.target_language) for pair in pairs]
        targets = [self._encode(pair.target) for pair in pairs]
        input_ids = pad_sequence(sources, batch_first=True, padding_value=self.tokenizer.pad_token_id)
        lengths = torch.tensor([len(source) for source in sources])
        return {
            "input_ids": input_ids,
            "attention_mask": torch.arange(input_ids.shape[1]) < lengths.unsqueeze(1),
            "labels": pad_sequence(targets, batch_first=True, padding_value=-100),
        }

    def _encode(self, text: str, language: str | None = None) -> Tensor:
        sampling = {"enable_sampling": True, "alpha": self.sampling_alpha, "nbest_size": -1}
        options = sampling if self.sampling_alpha > 0 else {}
        return torch.tensor(self.tokenizer.encode_source(text, language, **options))


def translate_lines(
    model: AttentionNmtForConditionalGeneration,
    tokenizer: AttentionNmtTokenizer,
    sources: list[str],
    batch_size: int = 64,
    target_language: str | None = None,
    **options: Any,
) -> list[str]:
    """Translate many sentences, like lengths together, and return them in the order given."""
    collate = Collator(tokenizer, sampling_alpha=0.0)
    translations = [""] * len(sources)
    order = sorted(range(len(sources)), key=lambda index: len(sources[index]))
    for start in range(0, len(order), batch_size):
        indices = order[start : start + batch_size]
        batch = collate([Pair(sources[index], "", target_language) for index in indices])
        found = model.translate(
            batch["input_ids"].to(model.device), batch["attention_mask"].to(model.device), **options
        )
        for index, hypotheses in zip(indices, found, strict=True):
            translations[index] = tokenizer.decode(hypotheses[0].token_ids, skip_special_tokens=True)
    return translations


def validation_metrics(
    model: PreTrainedModel, tokenizer: AttentionNmtTokenizer, texts: list[DirectedText]
) -> dict[str, float]:
    """Greedy BLEU, cased and lower-cased: the mean over the texts, and each one's own where there are several."""
    scores: dict[str, float] = {}
    for one in texts:
        language = one.target_language
        found = translate_lines(
            model, tokenizer, one.split.sources, target_language=language, num_beams=1, max_new_tokens=80
        )
        for name, lowercase in (("bleu", False), ("bleu_lc", True)):
            score = sacrebleu.corpus_bleu(found, [one.split.targets], lowercase=lowercase).score
            scores[f"{name}_{one.name}"] = score
    means = {name: statistics.fmean(scores[f"{name}_{one.name}"] for one in texts) for name in ("bleu", "bleu_lc")}
    return means | (scores if len(texts) > 1 else {})


def train(recipe: Recipe) -> tuple[AttentionNmtForConditionalGeneration, list[AttentionNmtTokenizer], dict]:
    """Train on the recipe's data; return the best model, its processors and the facts of the run."""
    texts = {name: _load(recipe, name) for name in ("train", "validation")}
    sentences = [text for one in texts["train"] for text in (*one.split.sources, *one.split.targets)]
    languages = sorted({one.target_language for one in texts["train"]}) if recipe.directions else []
    tokenizer = train_tokenizer(sentences, recipe.vocab_size, Path(recipe.output, "tokenizer"), languages)
    if recipe.directions:
        tokenizer.set_piece_counts(count_pieces(tokenizer, sources_by_language(texts["train"])))
    torch.manual_seed(recipe.seed)
    sentencepiece.set_random_generator_seed(recipe.seed)  # counts once a process; a resumed run samples other cuts
    model = AttentionNmtForConditionalGeneration(_configuration(recipe, len(tokenizer)))
    measured = texts["validation"]
    if len(measured) > 1:
        measured = [one.first(MEASURED_OFTEN) for one in measured]
    training = [pair for one in texts["train"] for pair in one.pairs() * one.repeats]
    lengths = [_length(tokenizer, pair) for pair in training]

    best, facts = train_family(
        recipe,
        model,
        training,
        [pair for one in measured for pair in one.pairs()],
        Collator(tokenizer, recipe.sampling_alpha),
        lambda candidate: validation_metrics(candidate, tokenizer, measured),
        metric="bleu",
        lengths=lengths,
        validation_collate=Collator(tokenizer, sampling_alpha=0.0),
    )
    set_decoding_defaults(best, num_beams=5, length_penalty=1.0)
    facts["data"] = {name: _provenance(parts) for name, parts in texts.items()}
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


def _load(recipe: Recipe, split: str) -> list[DirectedText]:
    if recipe.directions:
        return load_directions(recipe.data, split, recipe.directions, recipe.repeats)
    languages = (recipe.source_language, recipe.target_language)
    corpus = Path(recipe.data[0]).name if recipe.data else "hub"
    return [DirectedText(corpus, "-".join(languages), load_split(recipe.data, split, *languages))]


def _provenance(texts: list[DirectedText]) -> dict:
    facts = {one.name: {"lines": len(one.split), "sha256": one.split.checksum()} for one in texts}
    return facts if len(texts) > 1 else facts[texts[0].name]


def _length(tokenizer: AttentionNmtTokenizer, pair: Pair) -> int:
    """Order pairs by target pieces, then source pieces: padded targets cost time, packed sources do not."""
    return 1000 * len(tokenizer.sp_model.encode(pair.target)) + len(tokenizer.sp_model.encode(pair.source))


def _configuration(recipe: Recipe, vocab_size: int) -> AttentionNmtConfig:
    shared = AttentionNmtConfig.__dataclass_fields__.keys() & Recipe.__dataclass_fields__.keys()
    options = {name: getattr(recipe, name) for name in shared} | {"vocab_size": vocab_size}
    if recipe.directions:
        options |= {"source_language": "", "target_language": ""}
    return AttentionNmtConfig(**options)
