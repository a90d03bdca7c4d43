"""The decoder of attention NMT: reads its last piece, looks back at the source, prepares the next piece.

References:
    Bahdanau, Cho and Bengio 2014 (arXiv:1409.0473), appendix A.2.2.
    Input feeding: Luong, Pham and Manning 2015 (arXiv:1508.04025), section 3.3.
    Without attention: Cho et al. 2014 (arXiv:1406.1078), section 2.2: the context is the encoder's last state, and
    every step and every read-out sees it.
The GRU is torch's, which resets U h instead of h and swaps z with 1 - z: the same family of functions.

Names of dimensions in this file:
    batch   sentences, padded to the longest
    source  pieces of a source sentence, the end included
    states  units of the encoder, of both directions where it has two
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
    """float (batch, source, states)."""
    projected_annotations: Tensor
    """float (batch, source, attention_size); without attention the last dimension is empty."""
    mask: Tensor
    """bool (batch, source), True on real pieces."""
    last_states: Tensor
    """float (batch, states): each direction's state after the last piece that it read."""

    def select(self, items: Tensor) -> "SourceMemory":
        """Keep the given sources, int64 (kept), in that order."""
        parts = (self.annotations, self.projected_annotations, self.mask, self.last_states)
        return SourceMemory(*(part[items] for part in parts))

    def padded(self, mask: Tensor, multiple: int) -> tuple["SourceMemory", Tensor]:
        """Lengthen sources, as `Memory` says."""
        missing = -mask.shape[1] % multiple
        annotations, projected = (
            F.pad(values, (0, 0, 0, missing)) for values in (self.annotations, self.projected_annotations)
        )
        mask = F.pad(mask, (0, missing))
        return SourceMemory(annotations, projected, mask, self.last_states), mask


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


def reversed_order(mask: Tensor) -> Tensor:
    """Return the places of real pieces from the last to the first; padding keeps its place.

    Args:
        mask: bool (batch, source), True on real pieces; padding only at the end.

    Returns:
        int64 (batch, source).
    """
    places = torch.arange(mask.shape[1], device=mask.device)
    return torch.where(mask, mask.sum(dim=1, keepdim=True) - 1 - places, places)


class AttentionNmtDecoder(nn.Module):
    """Reads the last piece, looks back at the source, and prepares the next piece's distribution."""

    def __init__(self, config: AttentionNmtConfig):
        super().__init__()
        directions = 2 if config.bidirectional_encoder else 1
        annotation_size = directions * config.encoder_hidden_size
        attends = config.attention_type == "additive"
        self.encoder_hidden_size = config.encoder_hidden_size
        self.reverse_source = config.reverse_source
        self.queries_previous_state = attends and config.attention_query == "previous_state"
        self.feeds_context = self.queries_previous_state or not attends
        self.input_feeding = config.input_feeding
        self.uses_maxout = config.readout_activation == "maxout"
        self.readout_size = config.embedding_size

        self.embedding = nn.Embedding(config.vocab_size, config.embedding_size, config.pad_token_id)
        self.embedding_dropout = nn.Dropout(config.embedding_dropout)
        seen_first = config.encoder_hidden_size if attends else annotation_size
        self.initial_projection = nn.Linear(seen_first, config.decoder_hidden_size)
        self.attention = None
        if attends:
            self.attention = AdditiveAttention(config.decoder_hidden_size, annotation_size, config.attention_size)
        self.cells = RecurrentCells(
            config.cell_type,
            config.embedding_size
            + (annotation_size if self.feeds_context else 0)
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
            annotations: float (batch, source, states).
            mask: bool (batch, source), True on real pieces.
        """
        projected = annotations[..., :0] if self.attention is None else self.attention.project_keys(annotations)
        return SourceMemory(annotations, projected, mask, self._last_states(annotations, mask))

    def _last_states(self, annotations: Tensor, mask: Tensor) -> Tensor:
        """Return each direction's state after the last piece that it read, float (batch, states)."""
        at_beginning = annotations[:, 0]
        at_end = annotations[torch.arange(len(mask), device=mask.device), mask.sum(dim=1) - 1]
        forward, backward = (at_beginning, at_end) if self.reverse_source else (at_end, at_beginning)
        size = self.encoder_hidden_size
        return torch.cat([forward[:, :size], backward[:, size:]], dim=-1)

    def initial_state(self, memory: SourceMemory) -> DecoderState:
        """Start from what the encoder ends with.

        With attention that is the backward state at the first piece, s_0 = tanh(W_s h_1) (appendix A.2.2); without it
        both directions' states.
        """
        seen = memory.last_states
        if self.attention is not None:
            seen = seen[:, -self.encoder_hidden_size :]
        hidden = torch.tanh(self.initial_projection(seen))
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
            float (rows, source): all 0 without attention.
        """
        inputs = [embedded]
        if self.feeds_context:
            context, weights = self._attend(state.recurrent.hidden[-1], memory)
            inputs.append(context)
        if self.input_feeding:
            inputs.append(state.readout)
        recurrent = self.cells(torch.cat(inputs, dim=-1), state.recurrent)
        if not self.feeds_context:
            context, weights = self._attend(recurrent.hidden[-1], memory)
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
        shape, inputs = embedded.shape[:2], embedded
        if self.feeds_context:  # it is fixed, whatever the query
            context, weights = self._attend(embedded.flatten(0, 1), memory)
            inputs = torch.cat([embedded, context.unflatten(0, shape)], dim=-1)
        outputs, recurrent = self.cells.unroll(inputs, state.recurrent)
        if not self.feeds_context:
            context, weights = self._attend(outputs.flatten(0, 1), memory)
        readouts = self._read_out(torch.cat([outputs, embedded, context.unflatten(0, shape)], dim=-1))
        after = DecoderState(recurrent, readouts[:, -1], state.num_steps + shape[1])
        return after, readouts, weights.unflatten(0, shape)

    def _attend(self, queries: Tensor, memory: SourceMemory) -> tuple[Tensor, Tensor]:
        """Return the context of each row, float (rows, states), and its weights, float (rows, source)."""
        if self.attention is not None:
            return self.attention(queries, memory.annotations, memory.projected_annotations, memory.mask)
        context = memory.last_states.repeat_interleave(len(queries) // len(memory.mask), dim=0)
        return context, context.new_zeros(len(queries), memory.mask.shape[1])

    def _read_out(self, inputs: Tensor) -> Tensor:
        projected = self.readout_projection(inputs)
        if self.uses_maxout:
            activated = projected.unflatten(-1, (self.readout_size, 2)).amax(dim=-1)
        else:
            activated = torch.tanh(projected)
        return self.readout_dropout(activated)
