"""Stacked bidirectional LSTM trained with connectionist temporal classification.

References:
    The loss: Graves et al. 2006, "Connectionist temporal classification", equations 3 to 8.
    The stacked bidirectional network: Graves, Mohamed and Hinton 2013 (arXiv:1303.5778), section 2.
    Normalisation over the real frames of a batch: Amodei et al. 2015, Deep Speech 2 (arXiv:1512.02595), section 3.2.

Names of dimensions in this file:
    batch         utterances
    frames        of features, padded at an utterance's end
    steps         frames of logits: `frames` over `config.subsampling`, rounded up
    features      width of a frame
    hidden        units of one direction
    vocabulary    labels, the blank included
    label_length  labels of a transcript, padded with -100
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput

from .audio_front_end import ConvolutionalFrontEnd, FrameStacking, mask_of_lengths
from .configuration_blstm_ctc import BlstmCtcConfig
from .ctc import Alignment, BestPath, best_path, forced_alignment, log_probability
from .onnx_blstm_ctc import OnnxBlstmCtc
from .onnx_runtime import GraphsMixin

IMPOSSIBLE = -1e4
"""Logit of a label on padding, where the blank has 0: a log-probability that float16 can hold too."""


class MaskedBatchNorm(nn.BatchNorm1d):
    """Batch normalisation whose statistics are those of the real steps."""

    def forward(self, inputs: Tensor, is_real: Tensor) -> Tensor:
        """Normalise float (batch, steps, features); 0 where bool (batch, steps) is False."""
        outputs = torch.zeros_like(inputs)
        outputs[is_real] = super().forward(inputs[is_real]).to(outputs.dtype)
        return outputs


class MaskedLayerNorm(nn.LayerNorm):
    """Layer normalisation, which knows no padding; called like `MaskedBatchNorm`."""

    def forward(self, inputs: Tensor, is_real: Tensor) -> Tensor:
        """Normalise each step of float (batch, steps, features)."""
        return super().forward(inputs)


class NoNorm(nn.Module):
    """Leaves all as it is; called like `MaskedBatchNorm`."""

    def __init__(self, size: int):
        super().__init__()

    def forward(self, inputs: Tensor, is_real: Tensor) -> Tensor:
        """Return the inputs."""
        return inputs


LstmState = tuple[Tensor, Tensor]
"""Hidden and cell state, each float (1, batch, hidden)."""

NORMALISATIONS = {"layer": MaskedLayerNorm, "batch": MaskedBatchNorm, "none": NoNorm}


def reverse(inputs: Tensor, lengths: Tensor) -> Tensor:
    """Turn each utterance round by its own length; padding stays where it is.

    Args:
        inputs: float (batch, steps, features).
        lengths: int64 (batch).
    """
    steps = torch.arange(inputs.shape[1], device=inputs.device)
    turned = lengths.unsqueeze(1) - 1 - steps
    return inputs.take_along_dim(torch.where(turned >= 0, turned, steps).unsqueeze(2), dim=1)


class LstmLayer(nn.Module):
    """One layer that reads forwards, and backwards too if it is bidirectional.

    The backward direction runs over utterances that were turned round by their own lengths: neither direction reads
    padding before it has read the last real step, and on a CPU that is faster than packed sequences.
    """

    def __init__(self, input_size: int, hidden_size: int, bidirectional: bool):
        super().__init__()
        self.forwards = nn.LSTM(input_size, hidden_size, batch_first=True)
        self.backwards = nn.LSTM(input_size, hidden_size, batch_first=True) if bidirectional else None
        self.output_size = hidden_size * (2 if bidirectional else 1)

    def forward(self, inputs: Tensor, lengths: Tensor, state: LstmState | None = None) -> tuple[Tensor, LstmState]:
        """Read a batch.

        Args:
            inputs: float (batch, steps, features), finite on padding.
            lengths: int64 (batch).
            state: of the forward direction before the first step; None is zeros.

        Returns:
            float (batch, steps, output_size): the forward states, then the backward ones; on padding whatever. And the
            forward direction's state after the last step, padding included.
        """
        outputs, state = self.forwards(inputs, state)
        if self.backwards is None:
            return outputs, state
        turned, _ = self.backwards(reverse(inputs, lengths))
        return torch.cat([outputs, reverse(turned, lengths)], dim=2), state


class BlstmCtcForCTC(PreTrainedModel, GraphsMixin):
    """Scores every label at every step; the loss sums over all alignments."""

    config_class = BlstmCtcConfig
    main_input_name = "input_features"
    base_model_prefix = ""

    def __init__(self, config: BlstmCtcConfig):
        super().__init__(config)
        if config.front_end == "convolution":
            self.front_end = ConvolutionalFrontEnd(config.feature_size, config.convolution_channels)
        else:
            self.front_end = FrameStacking(config.feature_size, config.stacked_frames)
        norm_class, size = NORMALISATIONS[config.normalisation], self.front_end.output_size
        self.norms, self.layers = nn.ModuleList(), nn.ModuleList()
        for _ in range(config.num_hidden_layers):
            self.norms.append(norm_class(size))
            self.layers.append(LstmLayer(size, config.hidden_size, config.bidirectional))
            size = self.layers[-1].output_size
        self.norms.append(norm_class(size))
        self.classifier = nn.Linear(size, config.vocab_size)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Orthogonal recurrent matrices, Glorot elsewhere, zero biases but 1 for the forget gate."""
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            module.bias.zero_()
        elif isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            module.bias.zero_()
        elif isinstance(module, MaskedLayerNorm | MaskedBatchNorm):
            module.reset_parameters()
        elif isinstance(module, nn.LSTM):
            for name, parameter in module.named_parameters():
                if "bias" in name:
                    parameter.zero_()
                else:
                    initialise = nn.init.orthogonal_ if "weight_hh" in name else nn.init.xavier_uniform_
                    for gate in parameter.chunk(4):
                        initialise(gate)
            module.bias_ih_l0[module.hidden_size : 2 * module.hidden_size] = 1.0

    def forward(
        self, input_features: Tensor, attention_mask: Tensor | None = None, labels: Tensor | None = None
    ) -> CausalLMOutput:
        """Score a batch of utterances.

        Args:
            input_features: float (batch, frames, features).
            attention_mask: bool or int (batch, frames), True on real frames; padding only at the end, no empty row.
                None: every frame is real.
            labels: int64 (batch, label_length), -100 on padding.

        Returns:
            `logits`: float (batch, steps, vocabulary), unnormalised; on padding the blank is certain. `loss`: scalar,
            nats per label of the batch, or None. An utterance with too few steps for its labels counts as 0 there:
            `ctc.num_needed_steps` tells of it beforehand.

        Raises:
            ValueError: when the padding does not lie at the end.
        """
        if attention_mask is None:
            attention_mask = input_features.new_ones(input_features.shape[:2], dtype=torch.bool)
        attention_mask = attention_mask.bool()
        if not bool(attention_mask[:, 0].all()):
            raise ValueError("The mask must be True from the first frame on: padding belongs at the end.")
        lengths = attention_mask.sum(dim=1)
        features = torch.where(attention_mask.unsqueeze(2), input_features, 0.0)
        num_steps = self.front_end.output_lengths(lengths)
        logits = self._score(self.front_end(features, lengths), num_steps)
        loss = None if labels is None else self._loss(logits, num_steps, labels)
        return CausalLMOutput(loss=loss, logits=logits)

    def compile_for_cpu(self, folder: Path, precision: str) -> OnnxBlstmCtc:
        """Return what scores as this model does, from the graph in its checkpoint's folder; see there."""
        return OnnxBlstmCtc(self, folder, precision)

    def _score(self, hidden: Tensor, num_steps: Tensor) -> Tensor:
        """Read what the front end made, float (batch, steps, features); return logits."""
        is_real = mask_of_lengths(num_steps, hidden.shape[1])
        logits, _ = self._read(hidden, num_steps, is_real, [None] * len(self.layers))
        on_padding = logits.new_full((self.config.vocab_size,), IMPOSSIBLE)
        on_padding[self.config.pad_token_id] = 0.0
        return torch.where(is_real.unsqueeze(2), logits, on_padding)

    def _read(
        self, hidden: Tensor, num_steps: Tensor, is_real: Tensor, states: list[LstmState | None]
    ) -> tuple[Tensor, list[LstmState]]:
        hidden = F.dropout(hidden, self.config.input_dropout, self.training)
        following = []
        for norm, layer, state in zip(self.norms, self.layers, states, strict=False):  # one more norm than layers
            hidden, state = layer(norm(hidden, is_real), num_steps, state)
            hidden = F.dropout(hidden, self.config.hidden_dropout, self.training)
            following.append(state)
        return self.classifier(self.norms[-1](hidden, is_real)), following

    def read_on(
        self, input_features: Tensor, num_known_steps: int, states: list[LstmState] | None
    ) -> tuple[Tensor, list[LstmState]]:
        """Score the next frames of utterances, piece after piece; together that is what `forward` makes of them.

        Args:
            input_features: float (batch, frames, features), no padding. They begin with the frames of
                `num_known_steps` steps that were scored before, and their number is a multiple of
                `config.subsampling`, except at the end.
            num_known_steps: 0 at the beginning; else at least the front end's `context_steps`.
            states: what the last call returned; None at the beginning.

        Returns:
            Logits, float (batch, steps, vocabulary), of the steps that were not known; and the states after them.

        Raises:
            ValueError: when the network reads backwards, too.
        """
        if self.config.bidirectional:
            raise ValueError("A bidirectional network reads from both ends; call it with the whole utterance.")
        lengths = torch.full(input_features.shape[:1], input_features.shape[1], device=input_features.device)
        hidden = self.front_end(input_features, lengths)[:, num_known_steps:]
        is_real = torch.ones(hidden.shape[:2], dtype=torch.bool, device=hidden.device)
        return self._read(hidden, is_real.sum(dim=1), is_real, states or [None] * len(self.layers))

    def _loss(self, logits: Tensor, num_steps: Tensor, labels: Tensor) -> Tensor:
        is_label = labels != -100
        total = F.ctc_loss(
            logits.float().log_softmax(dim=-1).transpose(0, 1),  # torch wants (steps, batch, vocabulary)
            labels.masked_fill(~is_label, self.config.pad_token_id),
            num_steps,
            is_label.sum(dim=1),
            blank=self.config.pad_token_id,
            reduction="sum",
            zero_infinity=True,
        )
        return total / is_label.sum().clamp(min=1)

    def _get_feat_extract_output_lengths(self, input_lengths: Tensor | int) -> Tensor | int:
        """Return how many steps of logits so many frames of features give; transformers' name for it."""
        return self.front_end.output_lengths(input_lengths)

    def best_path(self, log_probabilities: Tensor) -> BestPath:
        """Take the most probable label of each step of float (steps, vocabulary)."""
        return best_path(log_probabilities, self.config.pad_token_id)

    def log_probability(self, log_probabilities: Tensor, labels: list[int]) -> float:
        """Sum over all alignments of labels with float (steps, vocabulary); nats."""
        return log_probability(log_probabilities, [labels], self.config.pad_token_id).item()

    def forced_alignment(self, log_probabilities: Tensor, labels: list[int]) -> Alignment:
        """Find the most probable path through float (steps, vocabulary) that collapses to labels.

        Raises:
            ValueError: when there are too few steps.
        """
        return forced_alignment(log_probabilities, labels, self.config.pad_token_id)
