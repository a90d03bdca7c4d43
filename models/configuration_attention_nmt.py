"""Configuration of the attention NMT family (Bahdanau, Cho and Bengio 2014, arXiv:1409.0473)."""

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

from .configuration_checks import check_choice


@strict
class AttentionNmtConfig(PreTrainedConfig):
    """Shape of an encoder-decoder with additive attention.

    The defaults are the network that we train: the attention is queried with the new state, and the
    state is fed with the last read-out (Luong et al. 2015, section 3.3). The network of the 2014
    paper, appendix A, is `attention_query="previous_state"`, `input_feeding=False`,
    `readout_activation="maxout"`, `tie_word_embeddings=False`. The networks before it, without attention, are
    `attention_type="none"`, `bidirectional_encoder=False` (Cho et al. 2014, arXiv:1406.1078), and with
    `reverse_source=True` that of Sutskever, Vinyals and Le 2014 (arXiv:1409.3215).
    """

    model_type = "attention_nmt"
    keys_to_ignore_at_inference = ["past_key_values"]
    attribute_map = {"num_hidden_layers": "decoder_layers"}

    source_language: str = ""
    """Such as "en"; empty where it is not known, or where there are `directions`."""
    target_language: str = ""
    directions: list[str] | None = None
    """Such as ["en-de", "de-en"], of a network for several languages: the source then begins with the token of the
    language that is to be written, such as "<2de>" (Johnson et al. 2016, arXiv:1611.04558)."""
    vocab_size: int = 8000
    """Pieces of the joint source and target vocabulary."""
    embedding_size: int = 256
    """Width of an embedded piece; also of the read-out."""
    encoder_hidden_size: int = 256
    """Units of the encoder, in each direction."""
    bidirectional_encoder: bool = True
    """Whether the encoder also reads from the source's end to its beginning."""
    reverse_source: bool = False
    """Whether the encoder reads the source's pieces in reverse (Sutskever et al. 2014, section 3.3). Without attention
    a bidirectional encoder gains nothing by it: it reads both ways anyhow."""
    decoder_hidden_size: int = 256
    """Units of the decoder."""
    attention_type: str = "additive"
    """"additive", or "none": every step reads the same context, the encoder's last states."""
    attention_size: int = 256
    """Units of the alignment model's hidden layer (n' in the paper)."""
    encoder_layers: int = 1
    decoder_layers: int = 1
    cell_type: str = "gru"
    """"gru" or "lstm"."""
    attention_query: str = "current_state"
    """"previous_state" aligns before the state is updated (equation 6); "current_state" afterwards."""
    input_feeding: bool = True
    """Whether the state also reads the last read-out."""
    readout_activation: str = "tanh"
    """"tanh" or "maxout" (pairs, appendix A.2.2)."""
    embedding_dropout: float = 0.0
    encoder_dropout: float = 0.0
    """Between layers and on the annotations that the attention reads."""
    decoder_dropout: float = 0.0
    """Between the decoder's layers."""
    readout_dropout: float = 0.0
    label_smoothing: float = 0.0
    """Share of the target distribution spread over the vocabulary, in training only."""
    initializer_range: float = 0.1
    """Standard deviation of the embeddings at the start."""
    tie_word_embeddings: bool = True
    """One matrix for the source embeddings, the target embeddings and the output layer."""

    unfamiliar_below: float | None = None
    """A translation whose pieces have a mean log-probability below it, in nats, is of a sentence unlike those that were
    trained on; None where it was not measured."""

    is_encoder_decoder: bool = True
    use_cache: bool = True
    pad_token_id: int | None = 0
    bos_token_id: int | None = 1
    eos_token_id: int | None = 2
    unk_token_id: int | None = 3
    decoder_start_token_id: int | None = 1

    def validate_architecture(self) -> None:
        """Refuse what the modelling code cannot build."""
        check_choice("cell_type", self.cell_type, ("gru", "lstm"))
        check_choice("attention_type", self.attention_type, ("additive", "none"))
        check_choice("attention_query", self.attention_query, ("previous_state", "current_state"))
        check_choice("readout_activation", self.readout_activation, ("tanh", "maxout"))
        for direction in self.directions or ():
            if len(direction.split("-")) != 2:
                raise ValueError(f'directions must be such as "en-de"; got {direction!r}.')
