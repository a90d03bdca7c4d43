"""Show, Attend and Tell: a captioner that looks at a part of the picture before each word.

References:
    Xu et al. 2015 (arXiv:1502.03044); equation and section numbers are this paper's.

Names of dimensions in this file:
    batch       pictures
    channels, rows, columns  of the encoder's grid
    places      cells of the grid, row by row
    captions    of one picture
    texts       batch times captions; a picture's lie together
    target      words of a caption, the end included, padded at its end
    vocabulary  words
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput, Seq2SeqLMOutput

from .caption_decoder import CaptionState, Glance, GridMemory, ShowAttendTellDecoder
from .caption_losses import doubly_stochastic_penalty, hard_attention_loss
from .configuration_show_attend_tell import ShowAttendTellConfig
from .decoding import DecodingOptions, Hypothesis
from .image_encoder import ImageEncoder
from .onnx_runtime import GraphsMixin
from .onnx_show_attend_tell import OnnxShowAttendTell
from .recurrent_generation import RecurrentGenerationMixin
from .search_choice import find_hypotheses
from .target_scoring import score_targets
from .token_stepper import TorchStepper

BASELINE_DECAY = 0.9
"""Of the moving average that hard attention's reward is compared with (section 4.1)."""


class ShowAttendTellForImageCaptioning(PreTrainedModel, RecurrentGenerationMixin, GraphsMixin):
    """Describes pictures; every word tells which places it was read from."""

    config_class = ShowAttendTellConfig
    main_input_name = "pixel_values"
    base_model_prefix = ""
    _tied_weights_keys = {"output_projection.weight": "decoder.embedding.weight"}

    def __init__(self, config: ShowAttendTellConfig):
        super().__init__(config)
        self.encoder = ImageEncoder(config)
        self.decoder = ShowAttendTellDecoder(config)
        self.output_projection = nn.Linear(config.embedding_size, config.vocab_size)
        if config.attention_type == "hard":
            self.register_buffer("baseline", torch.zeros(()))
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Orthogonal recurrent matrices, Glorot elsewhere, zero biases; the backbone's are its own."""
        if isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=self.config.initializer_range)
            module.weight[module.padding_idx].zero_()
        elif isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                module.bias.zero_()
        elif isinstance(module, nn.LSTMCell):
            for name, parameter in module.named_parameters():
                if "bias" in name:
                    parameter.zero_()
                else:
                    initialise = nn.init.orthogonal_ if "weight_hh" in name else nn.init.xavier_uniform_
                    for gate in parameter.chunk(4):
                        initialise(gate)

    def get_encoder(self, modality: str | None = None) -> ImageEncoder:
        """Return the module that `generate` runs once for each picture."""
        return self.encoder

    def get_input_embeddings(self) -> nn.Embedding:
        """Return the word embeddings."""
        return self.decoder.embedding

    def get_output_embeddings(self) -> nn.Linear:
        """Return the output layer."""
        return self.output_projection

    def forward(
        self,
        pixel_values: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
        labels: Tensor | None = None,
        encoder_features: Tensor | None = None,
        encoder_outputs: BaseModelOutput | None = None,
        caption_weights: Tensor | None = None,
        past_key_values: CaptionState | None = None,
        use_cache: bool = True,
        return_dict: bool = True,
    ) -> Seq2SeqLMOutput:
        """Score words, each given the picture and the words before it.

        Args:
            pixel_values: float (batch, 3, height, width); not needed beside one of the next two.
            decoder_input_ids: int64 (batch, target), words to read; only without `labels`.
            labels: int64 (batch, target) or (batch, captions, target), -100 on padding.
            encoder_features: what `encoder.begin` returned, to save its work in training.
            encoder_outputs: the encoder's, to save all of it.
            caption_weights: float (batch, captions): each caption's share in the loss, 1 where it is None. A reward
                here makes the loss REINFORCE's (Rennie et al. 2017, arXiv:1612.00563, equation 4).
            past_key_values: the decoder's state after the words before `decoder_input_ids`.
            use_cache: whether to return the state after the last word.
            return_dict: always True; `generate` names it.

        Returns:
            `logits`: float (texts, target, vocabulary), zeros on padding. `loss`: scalar, nats per word, or None;
            label smoothing and the penalties on the attention apply in training only. `cross_attentions`: one
            tensor, float (texts, target, places).
        """
        grid = self._grid(pixel_values, encoder_features, encoder_outputs)
        memory = self.decoder.prepare(grid)
        if labels is not None:
            return self._teach(memory, labels if labels.dim() == 3 else labels.unsqueeze(1), caption_weights)
        state = self.decoder.initial_state(memory) if past_key_values is None else past_key_values
        glances = []
        for embedded in self.decoder.embed(decoder_input_ids).unbind(dim=1):
            state, glance = self.decoder.step(embedded, state, memory)
            glances.append(glance)
        return Seq2SeqLMOutput(
            logits=self.output_projection(torch.stack([glance.readout for glance in glances], dim=1)),
            past_key_values=state if use_cache else None,
            cross_attentions=(torch.stack([glance.weights for glance in glances], dim=1),),
            encoder_last_hidden_state=grid,
        )

    def _grid(
        self, pixel_values: Tensor | None, encoder_features: Tensor | None, encoder_outputs: BaseModelOutput | None
    ) -> Tensor:
        if encoder_outputs is not None:
            return encoder_outputs[0]
        if encoder_features is not None:
            return self.encoder.finish(encoder_features)
        return self.encoder(pixel_values).last_hidden_state

    def _teach(self, memory: GridMemory, labels: Tensor, caption_weights: Tensor | None) -> Seq2SeqLMOutput:
        """Read given captions, the longest first, so that no step is spent on padding."""
        num_captions = labels.shape[1]
        labels = labels.flatten(0, 1)
        lengths, order = (labels != -100).sum(dim=1).sort(descending=True, stable=True)
        sorted_labels = labels[order]
        inputs = self.prepare_decoder_input_ids_from_labels(sorted_labels)
        pictures = order.div(num_captions, rounding_mode="floor")
        glances, is_soft = self.decoder.read(inputs, lengths.cpu(), memory.select(pictures))

        # Words in the order in which they were read: step by step, in each step the captions still growing.
        is_word = (sorted_labels != -100).T
        logits = self.output_projection(torch.cat([glance.readout for glance in glances]))
        targets = sorted_labels.T[is_word]
        weights = None if caption_weights is None else caption_weights.flatten()[order]
        loss = self._loss(logits, targets, is_word, glances, is_soft, weights)
        return Seq2SeqLMOutput(
            loss=loss,
            logits=_unsort(logits.detach(), is_word, order),
            cross_attentions=(_unsort(torch.cat([glance.weights for glance in glances]).detach(), is_word, order),),
        )

    def _loss(
        self,
        logits: Tensor,
        targets: Tensor,
        is_word: Tensor,
        glances: list[Glance],
        is_soft: Tensor,
        weights: Tensor | None,
    ) -> Tensor:
        """Average over words; see `_teach` for their order.

        Args:
            logits: float (words, vocabulary).
            targets: int64 (words).
            is_word: bool (target, texts).
            glances: one for each step.
            is_soft: bool (texts).
            weights: float (texts), or None.
        """
        config = self.config
        smoothing = config.label_smoothing if self.training else 0.0
        losses = F.cross_entropy(logits, targets, label_smoothing=smoothing, reduction="none")
        if weights is not None:
            losses = losses * weights.expand_as(is_word)[is_word]
        loss = losses.sum()
        if self.training:
            probabilities = [glance.probabilities for glance in glances]
            if config.doubly_stochastic_weight:
                loss = loss + config.doubly_stochastic_weight * doubly_stochastic_penalty(probabilities)
            if self.decoder.hard:
                losses = losses.new_zeros(is_word.shape).masked_scatter(is_word, losses).sum(dim=0)
                log_likelihoods = -losses.detach()
                loss = loss + hard_attention_loss(
                    log_likelihoods - self.baseline,
                    probabilities,
                    [glance.weights for glance in glances],
                    ~is_soft,
                    config.hard_reward_weight,
                    config.hard_entropy_weight,
                )
                self.baseline.lerp_(log_likelihoods.mean(), 1 - BASELINE_DECAY)
        return loss / targets.shape[0]

    def prepare_decoder_input_ids_from_labels(self, labels: Tensor) -> Tensor:
        """Shift labels, int64 (texts, target), by one: the start, then all but the last."""
        start = labels.new_full((labels.shape[0], 1), self.config.decoder_start_token_id)
        return torch.cat([start, labels[:, :-1].masked_fill(labels[:, :-1] == -100, self.config.pad_token_id)], 1)

    @torch.inference_mode()
    def caption(
        self, pixel_values: Tensor | None = None, encoder_features: Tensor | None = None, **options: Any
    ) -> list[list[Hypothesis]]:
        """Find the best captions of each picture by beam search, with what each word looked at.

        Args:
            pixel_values: float (batch, 3, height, width).
            encoder_features: what `encoder.begin` returned, instead of the pixels.
            **options: fields of `DecodingOptions`; `generation_config` has the others.

        Returns:
            For each picture `num_return_sequences` hypotheses, best first; their `attention` is
            float (words, rows, columns).
        """
        options = DecodingOptions.with_defaults(self.generation_config, **options)
        grid = self._grid(pixel_values, encoder_features, None)
        memory = self.decoder.prepare(grid)
        stepper = TorchStepper(self._step, self.decoder.initial_state(memory), memory, grid.device)
        found = find_hypotheses(stepper, _all_places(memory), options, self.config, self)
        return [[_on_grid(hypothesis, grid) for hypothesis in hypotheses] for hypotheses in found]

    @torch.no_grad()
    def sample(self, encoder_features: Tensor, num_return_sequences: int, max_new_tokens: int) -> Tensor:
        """Draw captions word by word from the model's distribution.

        Args:
            encoder_features: what `encoder.begin` returned for each picture.
            num_return_sequences: captions of each picture.
            max_new_tokens: where a caption that has not ended is cut off.

        Returns:
            int64 (batch, captions, target): word ids, the end included; -100 after it.
        """
        memory = self.decoder.prepare(self.encoder.finish(encoder_features))
        state = self.decoder.initial_state(memory, rows_per_picture=num_return_sequences)
        num_rows = len(encoder_features) * num_return_sequences
        tokens = torch.full((num_rows,), self.config.decoder_start_token_id, device=encoder_features.device)
        banned = torch.tensor(self.generation_config.suppress_tokens or [], dtype=torch.long, device=tokens.device)
        is_growing, words = torch.ones_like(tokens, dtype=torch.bool), []
        while len(words) < max_new_tokens and bool(is_growing.any()):
            logits, state, _ = self._step(tokens, state, memory)
            probabilities = logits.index_fill(1, banned, float("-inf")).softmax(dim=-1)
            tokens = torch.multinomial(probabilities, 1).squeeze(1)
            words.append(tokens.masked_fill(~is_growing, -100))
            is_growing = is_growing & (tokens != self.config.eos_token_id)
        return torch.stack(words, dim=1).unflatten(0, (-1, num_return_sequences))

    @torch.inference_mode()
    def score(self, pixel_values: Tensor, target_ids: list[list[int]], **options: Any) -> list[Hypothesis]:
        """Score a given caption for each picture, as if the search had found it.

        Args:
            pixel_values: float (batch, 3, height, width).
            target_ids: for each picture the caption's words, the end included.
            **options: the penalties among `DecodingOptions`; `generation_config` has the others.
        """
        options = DecodingOptions.with_defaults(self.generation_config, **options)
        grid = self._grid(pixel_values, None, None)
        memory = self.decoder.prepare(grid)
        places = _all_places(memory)
        stepper = TorchStepper(self._step, self.decoder.initial_state(memory), memory, grid.device)
        scored = score_targets(stepper, places, target_ids, options, self.config)
        return [_on_grid(hypothesis, grid) for hypothesis in scored]

    def compile_for_cpu(self, folder: Path, precision: str) -> OnnxShowAttendTell:
        """Return what answers as this model does, from the graphs in its checkpoint's folder; see there."""
        return OnnxShowAttendTell(self, folder, precision)

    def _step(self, token_ids: Tensor, state: CaptionState, memory: GridMemory) -> tuple[Tensor, CaptionState, Tensor]:
        """Read a word in every row: logits (rows, vocabulary), state, and where each row looked."""
        state, glance = self.decoder.step(self.decoder.embed(token_ids), state, memory)
        return self.output_projection(glance.readout), state, glance.weights

    def prepare_inputs_for_generation(
        self,
        input_ids: Tensor,
        past_key_values: CaptionState | None = None,
        encoder_outputs: BaseModelOutput | None = None,
        use_cache: bool | None = None,
        **kwargs,
    ) -> dict:
        """Give `generate` the arguments of its next `forward`: the last word once there is a state."""
        return {
            "decoder_input_ids": input_ids if past_key_values is None else input_ids[:, -1:],
            "past_key_values": past_key_values,
            "encoder_outputs": encoder_outputs,
            "use_cache": use_cache,
        }


def _all_places(memory: GridMemory) -> Tensor:
    return torch.ones(memory.annotations.shape[:2], dtype=torch.bool, device=memory.annotations.device)


def _on_grid(hypothesis: Hypothesis, grid: Tensor) -> Hypothesis:
    return replace(hypothesis, attention=hypothesis.attention.unflatten(1, grid.shape[2:]))


def _unsort(values: Tensor, is_word: Tensor, order: Tensor) -> Tensor:
    """Put values of words, (words, width), where they belong: (texts, target, width), zeros on padding."""
    padded = values.new_zeros(*is_word.shape, values.shape[-1])
    padded[is_word] = values
    return padded.transpose(0, 1)[order.argsort()]
