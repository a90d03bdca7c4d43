"""Recipe for the character generator (Graves 2013; Karpathy 2015) on any text.

The regularisation follows Merity, Keskar and Socher 2018 (arXiv:1708.02182), with Gal's variational dropout.
"""

from dataclasses import dataclass, field
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from models.configuration_char_rnn import CharRnnConfig
from models.modeling_char_rnn import CharRnnForCausalLM

from .character_text import CharacterText, load_text
from .recipe import Recipe as CommonRecipe
from .recipe import train as train_family
from .text_streams import TextStreams, collate

PADDING = "<pad>"
START = "\n"


@dataclass(frozen=True)
class Recipe(CommonRecipe):
    """Options of `python -m training char-generation`."""

    batch_size: int = 64
    """Streams that are read side by side."""
    chunk_length: int = 128
    """Characters between two updates; the state goes on, the gradient does not."""
    learning_rate: float = 3e-3
    warmup_steps: int = 200
    average_decay: float = 0.998
    cell_type: str = "lstm"
    num_hidden_layers: int = 2
    hidden_size: int = 512
    input_encoding: str = field(default="embedding", metadata={"help": "embedding or one_hot"})
    embedding_size: int = 128
    tie_word_embeddings: bool = False
    layer_norm: bool = False
    input_dropout: float = 0.1
    hidden_dropout: float = 0.4
    output_dropout: float = 0.4
    weight_dropout: float = 0.3
    blocked_words: str | None = None
    """File of words that the checkpoint's pipeline is not to write, one a line; a star at the end is any ending."""


def build_tokenizer(text: str) -> PreTrainedTokenizerFast:
    """Make a vocabulary of a text's characters, the padding first; a character outside it is an error."""
    characters = sorted(set(text) | {START})
    vocabulary = {PADDING: 0} | {character: index for index, character in enumerate(characters, start=1)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PADDING,
        padding_side="left",
        clean_up_tokenization_spaces=False,
        model_input_names=["input_ids", "attention_mask"],
    )


def encode(text: str, tokenizer: PreTrainedTokenizerFast) -> Tensor:
    """Return int64 (characters); faster than the tokenizer on a whole corpus."""
    vocabulary = tokenizer.get_vocab()
    return torch.tensor([vocabulary[character] for character in text])


def train(recipe: Recipe) -> tuple[CharRnnForCausalLM, list[PreTrainedTokenizerFast], dict]:
    """Train on the recipe's text; return the best model, its tokenizer and the facts of the run."""
    corpus = load_text(recipe.data)
    tokenizer = build_tokenizer(corpus.train)
    torch.manual_seed(recipe.seed)
    model = CharRnnForCausalLM(_configuration(recipe, tokenizer))
    streams = {
        split: TextStreams(encode(text, tokenizer), recipe.batch_size, recipe.chunk_length, seed)
        for split, text, seed in (("train", corpus.train, recipe.seed), ("validation", corpus.validation, None))
    }
    best, facts = train_family(
        recipe,
        model,
        streams["train"],
        streams["validation"],
        collate,
        lambda candidate: {},
        metric="loss",
        greater_is_better=False,
        carries_state=True,
    )
    set_decoding_defaults(best, corpus)
    best.config.blocked_words = read_words(recipe.blocked_words)
    facts["data"] = {"name": corpus.name, "lines_are_texts": corpus.is_lines} | corpus.checksums()
    return best, [tokenizer], facts


def read_words(path: str | None) -> list[str] | None:
    """Read a list of words; lines that begin with # are comments."""
    if path is None:
        return None
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    return [line.strip().lower() for line in lines if line.strip() and not line.startswith("#")]


def set_decoding_defaults(model: CharRnnForCausalLM, corpus: CharacterText) -> None:
    """Put how a checkpoint writes when nobody says otherwise into its generation_config; a joke ends with its line."""
    defaults = model.generation_config
    model.config.use_cache = defaults.use_cache = True  # which training switched off
    defaults.do_sample = True
    defaults.temperature = 0.8
    defaults.max_new_tokens = 500
    defaults.suppress_tokens = [model.config.pad_token_id]
    defaults.eos_token_id = model.config.bos_token_id if corpus.is_lines else None


def _configuration(recipe: Recipe, tokenizer: PreTrainedTokenizerFast) -> CharRnnConfig:
    shared = (CharRnnConfig.__dataclass_fields__.keys() & Recipe.__dataclass_fields__.keys()) - {"blocked_words"}
    options = {name: getattr(recipe, name) for name in shared}
    vocabulary = tokenizer.get_vocab()
    return CharRnnConfig(**options, vocab_size=len(vocabulary), bos_token_id=vocabulary[START])
