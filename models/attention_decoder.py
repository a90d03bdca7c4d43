"""The decoder of attention NMT: reads its last piece, looks back at the source, prepares the next piece.

References:
    Bahdanau, Cho and Bengio 2014 (arXiv:1409.0473), appendix A.2.2.
    Input feeding: Luong, Pham and Manning 2015 (arXiv:1508.04025), section 3.3.
The GRU is torch's, which resets U h instead of h and swaps z with 1 - z: the same family of functions.

Names of dimensions in this file:
    batch   sentences, padded to the longest
    source  pieces of a source sentence, the end included
    rows    target sentences decoded side by side: batch times hypotheses
"""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention import AdditiveAttention
from .configuration_attention_nmt import AttentionNmtConfig
from .recurrent import RecurrentCells, RecurrentState


@dataclass(frozen=True)
class SourceMemory:
    """What the decoder reads of a batch of sources; no step changes it."""

    annotations: Tensor
    """float (batch, source, 2 * encoder_hidden_size)."""
    projected_annotations: Tensor
    """float (batch, source, attention_size)."""
    mask: Tensor
    """bool (batch, source), True on real pieces."""

    def select(self, items: Tensor) -> "SourceMemory":
        """Keep the given sources, int64 (kept), in that order."""
        return SourceMemory(self.annotations[items], self.projected_annotations[items], self.mask[items])

    def padded(self, mask: Tensor, multiple: int) -> tuple["SourceMemory", Tensor]:
        """Lengthen sources, as `Memory` says."""
        missing = -mask.shape[1] % multiple
        annotations, projected = (
            F.pad(values, (0, 0, 0, missing)) for values in (self.annotations, self.projected_annotations)
        )
        mask = F.pad(mask, (0, missing))
        return SourceMemory(annotations, projected, mask), mask


@dataclass(frozen=True)
class DecoderState:
    """What the decoder carries from step to step, for each row."""

    recurrent: RecurrentState
    readout: Tensor
    """float (rows, embedding_size): the last read-out, zeros before the first."""
    num_steps: int = 0

    is_compileable = False  # asked by GenerationMixin.generate

    def select(self, rows: Tensor) -> "DecoderState":
        """Keep the given rows, int64 (new_rows), in that order."""
        return replace(self, recurrent=self.recurrent.select(rows), readout=self.readout.index_select(0, rows))

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Number of pieces read, under the name that GenerationMixin asks for."""
        return self.num_steps


class AttentionNmtDecoder(nn.Module):
    """Reads the last piece, looks back at the source, and prepares the next piece's distribution."""

    def __init__(self, config: AttentionNmtConfig):
        super().__init__()
        annotation_size = 2 * config.encoder_hidden_size
        self.queries_previous_state = config.attention_query == "previous_state"
        self.input_feeding = config.input_feeding
        self.uses_maxout = config.readout_activation == "maxout"
        self.readout_size = config.embedding_size

        self.embedding = nn.Embedding(config.vocab_size, config.embedding_size, config.pad_token_id)
        self.embedding_dropout = nn.Dropout(config.embedding_dropout)
        self.initial_projection = nn.Linear(config.encoder_hidden_size, config.decoder_hidden_size)
        self.attention = AdditiveAttention(config.decoder_hidden_size, annotation_size, config.attention_size)
        self.cells = RecurrentCells(
            config.cell_type,
            config.embedding_size
            + (annotation_size if self.queries_previous_state else 0)
            + (self.readout_size if self.input_feeding else 0),
            config.decoder_hidden_size,
            config.decoder_layers,
            config.decoder_dropout,
        )
        self.readout_projection = nn.Linear(
            config.decoder_hidden_size + config.embedding_size + annotation_size,
            self.readout_size * (2 if self.uses_maxout else 1),
        )
        self.readout_dropout = nn.Dropout(config.readout_dropout)

    def embed(self, token_ids: Tensor) -> Tensor:
        """Embed pieces: int64 (...) to float (..., embedding_size)."""
        return self.embedding_dropout(self.embedding(token_ids))

    def prepare(self, annotations: Tensor, mask: Tensor) -> SourceMemory:
        """Compute once for a source what every step needs of it.

        Args:
            annotations: float (batch, source, 2 * encoder_hidden_size).
            mask: bool (batch, source), True on real pieces.
        """
        return SourceMemory(annotations, self.attention.project_keys(annotations), mask)

    def initial_state(self, memory: SourceMemory) -> DecoderState:
        """Start from the backward state at the first piece: s_0 = tanh(W_s h_1) (appendix A.2.2)."""
        hidden_size = memory.annotations.shape[-1] // 2
        backward_first = memory.annotations[:, 0, hidden_size:]
        hidden = torch.tanh(self.initial_projection(backward_first))
        readout = hidden.new_zeros(hidden.shape[0], self.readout_size)
        return DecoderState(self.cells.initial_state(hidden), readout)

    def step(self, embedded: Tensor, state: DecoderState, memory: SourceMemory) -> tuple[DecoderState, Tensor]:
        """Read one piece in every row.

        Args:
            embedded: float (rows, embedding_size), the last piece.
            state: the state before the step.
            memory: the sources; a source's rows lie side by side.

        Returns:
            The state after the step, whose `readout` scores the next piece, and the attention,
            float (rows, source).
        """
        inputs = [embedded]
        if self.queries_previous_state:
            context, weights = self._attend(state.recurrent, memory)
            inputs.append(context)
        if self.input_feeding:
            inputs.append(state.readout)
        recurrent = self.cells(torch.cat(inputs, dim=-1), state.recurrent)
        if not self.queries_previous_state:
            context, weights = self._attend(recurrent, memory)
        # Appendix A.2.2: with the 2014 order the read-out, too, sees the state before the step.
        seen = state.recurrent if self.queries_previous_state else recurrent
        readout = self._read_out(torch.cat([seen.hidden[-1], embedded, context], dim=-1))
        return DecoderState(recurrent, readout, state.num_steps + 1), weights

    @property
    def can_unroll(self) -> bool:
        """Whether no step reads what the attention of the last one saw."""
        return not (self.input_feeding or self.queries_previous_state)

    def unroll(
        self, embedded: Tensor, state: DecoderState, memory: SourceMemory
    ) -> tuple[DecoderState, Tensor, Tensor]:
        """Read many pieces at once, where `can_unroll`: the same as `step` again and again.

        Args:
            embedded: float (batch, target, embedding_size).
            state: the state before the first piece, one row a source.
            memory: the sources.

        Returns:
            The state after the last piece; the read-outs, float (batch, target, embedding_size); and the attention,
            float (batch, target, source).
        """
        outputs, recurrent = self.cells.unroll(embedded, state.recurrent)
        context, weights = self.attention(
            outputs.flatten(0, 1), memory.annotations, memory.projected_annotations, memory.mask
        )
        shape = outputs.shape[:2]
        readouts = self._read_out(torch.cat([outputs, embedded, context.unflatten(0, shape)], dim=-1))
        after = DecoderState(recurrent, readouts[:, -1], state.num_steps + shape[1])
        return after, readouts, weights.unflatten(0, shape)

    def _attend(self, recurrent: RecurrentState, memory: SourceMemory) -> tuple[Tensor, Tensor]:
        return self.attention(recurrent.hidden[-1], memory.annotations, memory.projected_annotations, memory.mask)

    def _read_out(self, inputs: Tensor) -> Tensor:
        projected = self.readout_projection(inputs)
        if self.uses_maxout:
            activated = projected.unflatten(-1, (self.readout_size, 2)).amax(dim=-1)
        else:
            activated = torch.tanh(projected)
        return self.readout_dropout(activated)
