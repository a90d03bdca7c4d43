"""Configuration of the speech recogniser (Graves et al. 2006; Graves, Mohamed and Hinton 2013, arXiv:1303.5778)."""

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

from .configuration_checks import check_choice, check_positive, check_share

CONVOLUTION_STRIDE = 4
"""Frames that the two convolutions of stride 2 make one of."""


@strict
class BlstmCtcConfig(PreTrainedConfig):
    """Shape of a stack of LSTM layers that scores every label, and the blank, at every frame."""

    model_type = "blstm_ctc"

    vocab_size: int = 28
    """Labels, the blank included."""
    feature_size: int = 80
    """Log-mel coefficients of a frame, as the feature extractor makes them."""
    hop_length: int = 160
    """Samples from one frame to the next, as in the feature extractor."""
    front_end: str = "convolution"
    """"convolution": two of 3 x 3, stride 2, a quarter of the frames; "stack": so many frames put side by side."""
    convolution_channels: int = 16
    stacked_frames: int = 3
    """Frames side by side; not used by "convolution"."""
    num_hidden_layers: int = 3
    hidden_size: int = 256
    """Units of one direction of a layer."""
    bidirectional: bool = True
    """False: each layer reads forwards only, so that text can be had while someone speaks."""
    normalisation: str = "layer"
    """What stands before each recurrent layer and the output layer: "layer" (Ba, Kiros and Hinton 2016), "batch"
    (over the real frames of a batch, Deep Speech 2, section 3.2) or "none"."""
    input_dropout: float = 0.0
    """On what the front end makes."""
    hidden_dropout: float = 0.0
    """On what each recurrent layer makes."""

    decoding: dict[str, int | float] | None = None
    """How a pipeline decodes when nobody says otherwise; the names are its options'."""
    confidence_temperatures: dict[str, int | float] | None = None
    """What calibrates a pipeline's confidences, of "best_path" and "beam_search"; 1 where there is none."""

    pad_token_id: int | None = 0
    """The blank; transformers' CTC tokenizer knows it by this name."""
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None

    @property
    def subsampling(self) -> int:
        """Frames of features for one frame of logits."""
        return CONVOLUTION_STRIDE if self.front_end == "convolution" else self.stacked_frames

    @property
    def inputs_to_logits_ratio(self) -> int:
        """Samples of audio for one frame of logits; transformers' speech pipeline asks for it by this name."""
        return self.hop_length * self.subsampling

    def validate_architecture(self) -> None:
        """Refuse what the modelling code cannot build."""
        check_choice("front_end", self.front_end, ("convolution", "stack"))
        check_choice("normalisation", self.normalisation, ("layer", "batch", "none"))
        for name in ("vocab_size", "feature_size", "hop_length", "convolution_channels", "stacked_frames"):
            check_positive(name, getattr(self, name))
        for name in ("num_hidden_layers", "hidden_size"):
            check_positive(name, getattr(self, name))
        for name in ("input_dropout", "hidden_dropout"):
            check_share(name, getattr(self, name))
        if self.pad_token_id is None or not 0 <= self.pad_token_id < self.vocab_size:
            raise ValueError(
                f"pad_token_id is the blank and must be one of the {self.vocab_size} labels; got {self.pad_token_id}."
            )
