"""Configuration of the captioner (Show, Attend and Tell, Xu et al. 2015, arXiv:1502.03044)."""

from typing import Any

from huggingface_hub.dataclasses import strict
from transformers import CONFIG_MAPPING, AutoConfig, PreTrainedConfig

from .configuration_checks import check_choice


@strict
class ShowAttendTellConfig(PreTrainedConfig):
    """Shape of a convolutional encoder and an LSTM decoder with attention over the encoder's grid.

    The defaults are the network that we train. The network of the 2015 paper is `annotation_size=0`,
    `readout_activation="identity"`, `tie_word_embeddings=False`, `doubly_stochastic_weight=1.0`.
    """

    model_type = "show_attend_tell"
    keys_to_ignore_at_inference = ["past_key_values"]
    sub_configs = {"backbone_config": AutoConfig}

    backbone_config: dict[str, Any] | PreTrainedConfig | None = None
    """Of any transformers image model whose features are (batch, channels, rows, columns); None: EfficientNet."""
    grid_layer: int = -1
    """-1: the backbone's `last_hidden_state`; another number: that one of its `hidden_states`."""
    grid_channels: int = 1280
    """Channels of that layer (D in the paper)."""
    trained_backbone_blocks: int = 0
    """How many of the backbone's last blocks were trained with the decoder; the others never change."""
    vocab_size: int = 2549
    """Words, the special ones included."""
    annotation_size: int = 512
    """Width that the grid is projected to, with a rectifier and layer norm; 0: the grid as it is."""
    embedding_size: int = 256
    """Width of an embedded word; also of the read-out."""
    decoder_hidden_size: int = 512
    """Units of the LSTM."""
    attention_size: int = 256
    """Units of the attention's hidden layer."""
    attention_type: str = "soft"
    """"soft" reads the expected annotation (section 4.2), "hard" a sampled one (section 4.1)."""
    readout_activation: str = "tanh"
    """"tanh", or "identity" as in equation 7."""
    doubly_stochastic_weight: float = 0.1
    """Lambda in equation 14: how much every place must be looked at."""
    hard_soft_share: float = 0.5
    """Hard attention: how often, in training, the expected annotation is read instead of a sample."""
    hard_reward_weight: float = 0.1
    """Hard attention: lambda_r in section 4.1."""
    hard_entropy_weight: float = 0.01
    """Hard attention: lambda_e in section 4.1."""
    grid_dropout: float = 0.0
    """On the grid's annotations."""
    embedding_dropout: float = 0.0
    readout_dropout: float = 0.0
    """On the LSTM's state, the context and the read-out."""
    label_smoothing: float = 0.0
    """Share of the target distribution spread over the vocabulary, in training only."""
    initializer_range: float = 0.1
    """Standard deviation of the embeddings at the start."""
    tie_word_embeddings: bool = True
    """One matrix for the embeddings and the output layer."""

    is_encoder_decoder: bool = True
    use_cache: bool = True
    pad_token_id: int | None = 0
    bos_token_id: int | None = 1
    eos_token_id: int | None = 2
    unk_token_id: int | None = 3
    decoder_start_token_id: int | None = 1

    def __post_init__(self, **kwargs):
        if self.backbone_config is None:
            self.backbone_config = {"model_type": "efficientnet"}
        if isinstance(self.backbone_config, dict):
            model_type = self.backbone_config.get("model_type", "efficientnet")
            self.backbone_config = CONFIG_MAPPING[model_type](**self.backbone_config)
        super().__post_init__(**kwargs)

    def validate_architecture(self) -> None:
        """Refuse what the modelling code cannot build."""
        check_choice("attention_type", self.attention_type, ("soft", "hard"))
        check_choice("readout_activation", self.readout_activation, ("tanh", "identity"))
        if self.trained_backbone_blocks and self.grid_layer != -1:
            raise ValueError("trained_backbone_blocks needs grid_layer -1, the backbone's last layer.")
