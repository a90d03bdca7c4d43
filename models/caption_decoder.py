"""The captioner's decoder: an LSTM that looks at a place of the picture before each word.

References:
    Xu et al. 2015 (arXiv:1502.03044), sections 3.1.2 and 4; equation numbers are this paper's.
    Its f_init is one layer with tanh here.

Names of dimensions in this file:
    batch   pictures
    places  cells of a picture's grid, row by row (L in the paper)
    rows    captions written side by side: batch times captions of a picture, which lie together
    target  words of a caption, padded at its end
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from .attention import AdditiveAttention, expectation
from .configuration_show_attend_tell import ShowAttendTellConfig
from .precision import memory_like
from .recurrent import RecurrentCells, RecurrentState

SHRINK_AT = 0.8
"""Share of captions still growing below which the others are put aside: to do so costs as much as a few steps."""


@dataclass(frozen=True)
class GridMemory:
    """What the decoder reads of pictures; no step changes it."""

    annotations: Tensor
    """float (batch, places, annotation width)."""
    projected_annotations: Tensor
    """float (batch, places, attention_size)."""

    def select(self, rows: Tensor) -> "GridMemory":
        """Keep the given pictures, int64 (new_batch), in that order."""
        return GridMemory(self.annotations.index_select(0, rows), self.projected_annotations.index_select(0, rows))

    def padded(self, mask: Tensor, multiple: int) -> tuple["GridMemory", Tensor]:
        """Return it as it is: all pictures have the same grid."""
        return self, mask

    def first(self, count: int) -> "GridMemory":
        """Keep the first pictures."""
        return GridMemory(self.annotations[:count], self.projected_annotations[:count])


@dataclass(frozen=True)
class CaptionState:
    """What the decoder carries from step to step, for each row."""

    recurrent: RecurrentState
    num_steps: int = 0

    is_compileable = False  # asked by GenerationMixin.generate

    def select(self, rows: Tensor) -> "CaptionState":
        """Keep the given rows, int64 (new_rows), in that order."""
        return replace(self, recurrent=self.recurrent.select(rows))

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Number of words read, under the name that GenerationMixin asks for."""
        return self.num_steps


@dataclass(frozen=True)
class Glance:
    """What one step looked at and what it prepared."""

    readout: Tensor
    """float (rows, embedding_size): scores the next word."""
    weights: Tensor
    """float (rows, places): what was read; they sum to 1."""
    probabilities: Tensor
    """float (rows, places): alpha, the softmax of equation 5; the same as `weights` with soft attention."""


class ShowAttendTellDecoder(nn.Module):
    """Looks at the picture, reads its last word, and prepares the next word's distribution."""

    def __init__(self, config: ShowAttendTellConfig):
        super().__init__()
        self.hard = config.attention_type == "hard"
        self.soft_share = config.hard_soft_share
        self.linear_readout = config.readout_activation == "identity"
        annotation_size = config.annotation_size or config.grid_channels
        self.annotation_projection = nn.Identity()
        if config.annotation_size:
            self.annotation_projection = nn.Sequential(
                nn.Linear(config.grid_channels, annotation_size), nn.ReLU(), nn.LayerNorm(annotation_size)
            )
        self.grid_dropout = nn.Dropout(config.grid_dropout)
        self.embedding = nn.Embedding(config.vocab_size, config.embedding_size, config.pad_token_id)
        self.embedding_dropout = nn.Dropout(config.embedding_dropout)
        self.initial_hidden = nn.Linear(annotation_size, config.decoder_hidden_size)
        self.initial_memory = nn.Linear(annotation_size, config.decoder_hidden_size)
        self.attention = AdditiveAttention(config.decoder_hidden_size, annotation_size, config.attention_size)
        self.gate = nn.Linear(config.decoder_hidden_size, 1)
        self.cells = RecurrentCells(
            "lstm", config.embedding_size + annotation_size, config.decoder_hidden_size, num_layers=1, dropout=0.0
        )
        self.readout_of_state = nn.Linear(config.decoder_hidden_size, config.embedding_size)
        self.readout_of_context = nn.Linear(annotation_size, config.embedding_size, bias=False)
        self.readout_dropout = nn.Dropout(config.readout_dropout)

    def prepare(self, grid: Tensor) -> GridMemory:
        """Compute once for a picture what every step needs of it: float (batch, channels, rows, columns)."""
        annotations = self.grid_dropout(self.annotation_projection(grid.flatten(2).transpose(1, 2)))
        return GridMemory(annotations, self.attention.project_keys(annotations))

    def initial_state(self, memory: GridMemory, rows_per_picture: int = 1) -> CaptionState:
        """Start from the mean annotation: c_0 and h_0 of section 3.1.2."""
        mean = memory.annotations.mean(dim=1).repeat_interleave(rows_per_picture, dim=0)
        hidden, cell_memory = torch.tanh(self.initial_hidden(mean)), torch.tanh(self.initial_memory(mean))
        cell_memory = memory_like(cell_memory, self.initial_memory.weight)
        return CaptionState(RecurrentState(hidden=(hidden,), memory=(cell_memory,)))

    def embed(self, token_ids: Tensor) -> Tensor:
        """Embed words: int64 (...) to float (..., embedding_size)."""
        return self.embedding_dropout(self.embedding(token_ids))

    def step(
        self, embedded: Tensor, state: CaptionState, memory: GridMemory, is_soft: Tensor | None = None
    ) -> tuple[CaptionState, Glance]:
        """Look, then read one word in every row (equations 1-7 and 13).

        Args:
            embedded: float (rows, embedding_size), the last word.
            state: the state before the step.
            memory: the pictures; a picture's rows lie side by side.
            is_soft: bool (rows), for hard attention in training: rows that read the expected annotation.

        Returns:
            The state after the step, and what was seen.
        """
        hidden = state.recurrent.hidden[-1]
        probabilities = self.attention.weigh(hidden, memory.projected_annotations)
        weights = self._chosen(probabilities, is_soft) if self.hard else probabilities
        context = torch.sigmoid(self.gate(hidden)) * expectation(weights, memory.annotations)
        recurrent = self.cells(torch.cat([embedded, context], dim=-1), state.recurrent)
        readout = embedded + self.readout_of_state(self.readout_dropout(recurrent.hidden[-1]))
        readout = readout + self.readout_of_context(self.readout_dropout(context))
        readout = readout if self.linear_readout else torch.tanh(readout)
        state = CaptionState(recurrent, state.num_steps + 1)
        return state, Glance(self.readout_dropout(readout), weights, probabilities)

    def draw_places(self, probabilities: Tensor) -> Tensor:
        """Choose a place for each row: int64 (rows), sampled in training, the likeliest otherwise."""
        if self.training:
            return torch.multinomial(probabilities.detach(), 1).squeeze(1)
        return probabilities.argmax(dim=-1)

    def _chosen(self, probabilities: Tensor, is_soft: Tensor | None) -> Tensor:
        chosen = self.draw_places(probabilities).unsqueeze(1)
        places = torch.zeros_like(probabilities).scatter(1, chosen, 1.0)
        return places if is_soft is None else torch.where(is_soft.unsqueeze(1), probabilities, places)

    def read(self, token_ids: Tensor, lengths: Tensor, memory: GridMemory) -> tuple[list[Glance], Tensor]:
        """Read whole captions, teacher forced; a caption costs as many steps as it has words.

        Args:
            token_ids: int64 (rows, target), the words read.
            lengths: int64 (rows), on the CPU, longest first.
            memory: one picture for each row.

        Returns:
            For each step what the captions still growing saw (the first rows); and bool (rows), those that
            read the expected annotation throughout.
        """
        embedded = self.embed(token_ids)
        state = self.initial_state(memory)
        is_soft = torch.ones(token_ids.shape[0], dtype=torch.bool, device=token_ids.device)
        if self.hard and self.training:
            is_soft = torch.rand(token_ids.shape[0], device=token_ids.device) < self.soft_share
        glances, kept = [], token_ids.shape[0]
        for position in range(int(lengths[0])):
            growing = int((lengths > position).sum())
            if growing < SHRINK_AT * kept:
                kept, memory = growing, memory.first(growing)
                state = replace(
                    state,
                    recurrent=RecurrentState(
                        tuple(layer[:kept] for layer in state.recurrent.hidden),
                        tuple(layer[:kept] for layer in state.recurrent.memory),
                    ),
                )
            state, glance = self.step(
                embedded[:kept, position], state, memory, is_soft[:kept] if self.training else None
            )
            glances.append(Glance(glance.readout[:growing], glance.weights[:growing], glance.probabilities[:growing]))
        return glances, is_soft
