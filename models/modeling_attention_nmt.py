"""Attention NMT: a recurrent encoder-decoder that learns to align and translate.

References:
    Bahdanau, Cho and Bengio 2014 (arXiv:1409.0473), section 3 and appendix A.
    Input feeding: Luong, Pham and Manning 2015 (arXiv:1508.04025), section 3.3.
    Without attention: Cho et al. 2014 (arXiv:1406.1078); the source reversed: Sutskever, Vinyals and Le 2014
    (arXiv:1409.3215), section 3.3.

Names of dimensions in this file:
    batch       sentences, padded to the longest
    source      pieces of a source sentence, the end included
    target      pieces of a target sentence
    rows        target sentences decoded side by side: batch times hypotheses
    vocabulary  pieces of the joint vocabulary
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput, Seq2SeqLMOutput

from .attention_decoder import AttentionNmtDecoder, DecoderState, SourceMemory, reversed_order
from .configuration_attention_nmt import AttentionNmtConfig
from .decoding import DecodingOptions, Hypothesis
from .ensemble_attention_nmt import AttentionNmtEnsemble
from .onnx_attention_nmt import OnnxAttentionNmt
from .onnx_runtime import GraphsMixin
from .recurrent import RecurrentEncoder
from .recurrent_generation import RecurrentGenerationMixin
from .search_choice import find_hypotheses
from .target_scoring import score_targets
from .token_stepper import TorchStepper


class AttentionNmtEncoder(nn.Module):
    """Annotates every source piece with the states of a recurrent network, mostly a bidirectional one."""

    main_input_name = "input_ids"

    def __init__(self, config: AttentionNmtConfig):
        super().__init__()
        self.reverse_source = config.reverse_source
        self.embedding = nn.Embedding(config.vocab_size, config.embedding_size, config.pad_token_id)
        self.embedding_dropout = nn.Dropout(config.embedding_dropout)
        self.recurrent = RecurrentEncoder(
            config.cell_type,
            config.embedding_size,
            config.encoder_hidden_size,
            config.encoder_layers,
            config.encoder_dropout,
            config.bidirectional_encoder,
        )
        self.annotation_dropout = nn.Dropout(config.encoder_dropout)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
        return_dict: bool = True,
    ) -> BaseModelOutput:
        """Annotate a batch of sources.

        Args:
            input_ids: int64 (batch, source).
            attention_mask: (batch, source), 1 or True on real pieces; None where all are real.
            output_attentions: named by `generate`; there are none to return.
            output_hidden_states: named by `generate`; the last layer's are all that is returned.
            return_dict: always True; named by `generate`.

        Returns:
            `last_hidden_state`: float (batch, source, directions * encoder_hidden_size), 0 on padding; in the order of
            `input_ids`, whichever way they were read.
        """
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        if not self.reverse_source:
            return BaseModelOutput(last_hidden_state=self._annotate(input_ids, mask.bool()))
        order = reversed_order(mask.bool())
        annotations = self._annotate(input_ids.gather(1, order), mask.bool())
        # What is reversed twice is as it was: from here on everything is in the reader's order.
        return BaseModelOutput(last_hidden_state=annotations.take_along_dim(order.unsqueeze(2), dim=1))

    def _annotate(self, input_ids: Tensor, mask: Tensor) -> Tensor:
        embedded = self.embedding_dropout(self.embedding(input_ids))
        return self.annotation_dropout(self.recurrent(embedded, mask))


class AttentionNmtForConditionalGeneration(PreTrainedModel, RecurrentGenerationMixin, GraphsMixin):
    """Translates; every step tells which source pieces it looked at."""

    config_class = AttentionNmtConfig
    main_input_name = "input_ids"
    base_model_prefix = ""
    _tied_weights_keys = {
        "decoder.embedding.weight": "encoder.embedding.weight",
        "output_projection.weight": "encoder.embedding.weight",
    }

    def __init__(self, config: AttentionNmtConfig):
        super().__init__(config)
        self.encoder = AttentionNmtEncoder(config)
        self.decoder = AttentionNmtDecoder(config)
        self.output_projection = nn.Linear(config.embedding_size, config.vocab_size)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Orthogonal recurrent matrices (appendix B.1), Glorot elsewhere, zero biases."""
        if isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=self.config.initializer_range)
            module.weight[module.padding_idx].zero_()
        elif isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                module.bias.zero_()
        elif isinstance(module, (nn.GRU, nn.LSTM, nn.GRUCell, nn.LSTMCell)):
            for name, parameter in module.named_parameters():
                if "bias" in name:
                    parameter.zero_()
                else:
                    initialise = nn.init.orthogonal_ if "weight_hh" in name else nn.init.xavier_uniform_
                    for gate in parameter.chunk(parameter.shape[0] // module.hidden_size):
                        initialise(gate)

    def get_encoder(self, modality: str | None = None) -> AttentionNmtEncoder:
        """Return the module that `generate` runs once for each source."""
        return self.encoder

    def get_input_embeddings(self) -> nn.Embedding:
        """Return the source embeddings."""
        return self.encoder.embedding

    def get_output_embeddings(self) -> nn.Linear:
        """Return the output layer."""
        return self.output_projection

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
        labels: Tensor | None = None,
        encoder_outputs: BaseModelOutput | None = None,
        past_key_values: DecoderState | None = None,
        use_cache: bool = True,
        return_dict: bool = True,
    ) -> Seq2SeqLMOutput:
        """Score target pieces, each given those before it.

        Args:
            input_ids: int64 (batch, source); not needed beside `encoder_outputs`.
            attention_mask: (batch, source), 1 or True on real pieces; None where all are real.
            decoder_input_ids: int64 (batch, target); made from `labels` where it is None.
            labels: int64 (batch, target), -100 on padding.
            encoder_outputs: the encoder's, to save its work.
            past_key_values: the decoder's state after the pieces before `decoder_input_ids`.
            use_cache: whether to return the state after the last piece.
            return_dict: always True; `generate` names it.

        Returns:
            `logits`: float (batch, target, vocabulary). `loss`: scalar, nats per piece, or None;
            label smoothing applies in training only. `cross_attentions`: one tensor,
            float (batch, target, source); None without attention.
        """
        if encoder_outputs is None:
            encoder_outputs = self.encoder(input_ids, attention_mask)
        annotations = encoder_outputs[0]
        mask = annotations.new_ones(annotations.shape[:2]) if attention_mask is None else attention_mask
        memory = self.decoder.prepare(annotations, mask.bool())
        if decoder_input_ids is None:
            decoder_input_ids = self.prepare_decoder_input_ids_from_labels(labels)

        state = self.decoder.initial_state(memory) if past_key_values is None else past_key_values
        embedded = self.decoder.embed(decoder_input_ids)
        if self.decoder.can_unroll:
            state, readouts, attention = self.decoder.unroll(embedded, state, memory)
        else:
            state, readouts, attention = self._step_by_step(embedded, state, memory)
        logits = self.output_projection(readouts)
        return Seq2SeqLMOutput(
            loss=None if labels is None else self._loss(logits, labels),
            logits=logits,
            past_key_values=state if use_cache else None,
            cross_attentions=(attention,) if self.attends else None,
            encoder_last_hidden_state=annotations,
        )

    def _step_by_step(
        self, embedded: Tensor, state: DecoderState, memory: SourceMemory
    ) -> tuple[DecoderState, Tensor, Tensor]:
        """Read pieces one after the other: the state after them, their read-outs, and what each looked at."""
        readouts, attentions = [], []
        for piece in embedded.unbind(dim=1):
            state, attention = self.decoder.step(piece, state, memory)
            readouts.append(state.readout)
            attentions.append(attention)
        return state, torch.stack(readouts, dim=1), torch.stack(attentions, dim=1)

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        smoothing = self.config.label_smoothing if self.training else 0.0
        return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), label_smoothing=smoothing)

    def prepare_decoder_input_ids_from_labels(self, labels: Tensor) -> Tensor:
        """Shift labels, int64 (batch, target), by one: the start, then all but the last."""
        start = labels.new_full((labels.shape[0], 1), self.config.decoder_start_token_id)
        return torch.cat([start, labels[:, :-1].masked_fill(labels[:, :-1] == -100, self.config.pad_token_id)], 1)

    @torch.inference_mode()
    def translate(self, input_ids: Tensor, attention_mask: Tensor, **options: Any) -> list[list[Hypothesis]]:
        """Find the best translations of each source by beam search, with their alignments.

        Args:
            input_ids: int64 (batch, source).
            attention_mask: (batch, source), 1 or True on real pieces.
            **options: fields of `DecodingOptions`; `generation_config` has the others.

        Returns:
            For each source `num_return_sequences` hypotheses, best first.
        """
        options = DecodingOptions.with_defaults(self.generation_config, **options)
        stepper = self.stepper(input_ids, attention_mask)
        return find_hypotheses(stepper, attention_mask.bool(), options, self.config, self)

    @torch.inference_mode()
    def score(
        self, input_ids: Tensor, attention_mask: Tensor, target_ids: list[list[int]], **options: Any
    ) -> list[Hypothesis]:
        """Score a given target for each source, as if the search had found it.

        Args:
            input_ids: int64 (batch, source).
            attention_mask: (batch, source), 1 or True on real pieces.
            target_ids: for each source the target's pieces, the end included.
            **options: the penalties among `DecodingOptions`; `generation_config` has the others.
        """
        options = DecodingOptions.with_defaults(self.generation_config, **options)
        stepper = self.stepper(input_ids, attention_mask)
        return score_targets(stepper, attention_mask.bool(), target_ids, options, self.config)

    def compile_for_cpu(self, folder: Path, precision: str) -> OnnxAttentionNmt:
        """Return what answers as this model does, from the graphs in its checkpoint's folder; see there."""
        return OnnxAttentionNmt(self, folder, precision)

    @property
    def attends(self) -> bool:
        """Whether it has an attention, so that its answers have an alignment."""
        return self.decoder.attention is not None

    def join(self, others: Sequence[PreTrainedModel]) -> AttentionNmtEnsemble:
        """Return what answers as this model and others do together."""
        return AttentionNmtEnsemble([self, *others])

    def stepper(self, input_ids: Tensor, attention_mask: Tensor) -> TorchStepper:
        """Read the sources and stand before the first piece, with one row for each."""
        memory = self.decoder.prepare(self.encoder(input_ids, attention_mask)[0], attention_mask.bool())

        def step(token_ids: Tensor, state: DecoderState, memory: SourceMemory) -> tuple[Tensor, DecoderState, Tensor]:
            state, attention = self.decoder.step(self.decoder.embed(token_ids), state, memory)
            return self.output_projection(state.readout), state, attention

        return TorchStepper(step, self.decoder.initial_state(memory), memory, input_ids.device)

    def prepare_inputs_for_generation(
        self,
        input_ids: Tensor,
        past_key_values: DecoderState | None = None,
        attention_mask: Tensor | None = None,
        encoder_outputs: BaseModelOutput | None = None,
        use_cache: bool | None = None,
        **kwargs,
    ) -> dict:
        """Give `generate` the arguments of its next `forward`: the last piece once there is a state."""
        return {
            "decoder_input_ids": input_ids if past_key_values is None else input_ids[:, -1:],
            "past_key_values": past_key_values,
            "attention_mask": attention_mask,
            "encoder_outputs": encoder_outputs,
            "use_cache": use_cache,
        }
