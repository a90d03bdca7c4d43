"""Configuration of the character generator (Graves 2013, arXiv:1308.0850; Karpathy 2015)."""

from typing import Any

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

from .configuration_checks import check_choice, check_positive, check_share


@strict
class CharRnnConfig(PreTrainedConfig):
    """Shape of a recurrent language model over characters, and what was found out about its cells."""

    model_type = "char_rnn"
    keys_to_ignore_at_inference = ["past_key_values"]

    vocab_size: int = 100
    """Characters, and the padding."""
    cell_type: str = "lstm"
    """"lstm" (Hochreiter and Schmidhuber 1997, with a forget gate) or "gru" (Cho et al. 2014)."""
    num_hidden_layers: int = 2
    hidden_size: int = 512
    """Units of each layer."""
    input_encoding: str = "embedding"
    """"embedding", or "one_hot" as in Graves 2013 and char-RNN."""
    embedding_size: int = 128
    """Width of an embedded character; not used by "one_hot"."""
    tie_word_embeddings: bool = False
    """One matrix for embedding and output layer (Press and Wolf 2017); needs embedding_size = hidden_size."""
    layer_norm: bool = False
    """Layer normalisation inside the cell (Ba, Kiros and Hinton 2016, equations 20 to 22 and 29 to 31); slower."""
    input_dropout: float = 0.0
    """Variational dropout (Gal and Ghahramani 2016) of the first layer's input."""
    hidden_dropout: float = 0.0
    """Variational dropout between layers."""
    output_dropout: float = 0.0
    """Variational dropout before the output layer."""
    weight_dropout: float = 0.0
    """Share of the recurrent matrices' entries that are dropped (Merity et al. 2018, DropConnect)."""
    initializer_range: float = 0.1
    """Standard deviation of the embeddings at the start."""
    interpretable_units: list[dict[str, Any]] | None = None
    """Units whose activation follows something that a reader can name: `name`, `kind` ("memory" or "hidden"),
    `layer`, `unit`, `feature` and `correlation`, measured on the validation split."""

    blocked_words: list[str] | None = None
    """Words that the pipeline does not let the network write, in lower case; a star at the end: all that begin so."""

    is_decoder: bool = True
    use_cache: bool = True
    pad_token_id: int | None = 0
    bos_token_id: int | None = 1
    """The character that every text is taken to begin after; a line end in all that we train."""
    eos_token_id: int | list[int] | None = None

    def validate_architecture(self) -> None:
        """Refuse what the modelling code cannot build."""
        check_choice("cell_type", self.cell_type, ("lstm", "gru"))
        check_choice("input_encoding", self.input_encoding, ("embedding", "one_hot"))
        for name in ("vocab_size", "num_hidden_layers", "hidden_size", "embedding_size"):
            check_positive(name, getattr(self, name))
        for name in ("input_dropout", "hidden_dropout", "output_dropout", "weight_dropout"):
            check_share(name, getattr(self, name))
        if self.tie_word_embeddings and self.input_encoding != "embedding":
            raise ValueError("tie_word_embeddings needs input_encoding 'embedding': one-hot characters have no matrix.")
        if self.tie_word_embeddings and self.embedding_size != self.hidden_size:
            raise ValueError(
                "tie_word_embeddings needs embedding_size = hidden_size; "
                f"got {self.embedding_size} and {self.hidden_size}."
            )
