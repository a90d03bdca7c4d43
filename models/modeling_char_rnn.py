"""Character language model: a stack of recurrent layers that predicts the next character.

References:
    Graves 2013 (arXiv:1308.0850), sections 2 and 3; Karpathy, "The Unreasonable Effectiveness of RNNs", 2015.
    Variational dropout: Gal and Ghahramani 2016 (arXiv:1512.05287), section 4.

Names of dimensions in this file:
    batch       texts
    time        characters of a text
    rows        texts written side by side
    vocabulary  characters, and the padding
    hidden      units of a layer
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast

from .configuration_char_rnn import CharRnnConfig
from .device_sampling import BlockSamplingMixin
from .onnx_char_rnn import OnnxCharRnn
from .onnx_runtime import GraphsMixin
from .precision import memory_like, precise
from .quantized_char_rnn import QuantizedStep
from .recurrent import RecurrentState
from .recurrent_generation import RecurrentGenerationMixin
from .recurrent_layer import RecurrentLayer

StepFunction = Callable[[int, RecurrentState], tuple[Tensor, RecurrentState]]
"""(character; state of one text) to (logits (vocabulary); state)."""


@dataclass(frozen=True)
class Activations:
    """What every unit did at every character; a tensor of float (batch, time, hidden) for each layer."""

    hidden: tuple[Tensor, ...]
    memory: tuple[Tensor, ...]
    """An LSTM's cells; empty for a GRU."""


def variational_dropout(values: Tensor, share: float, training: bool) -> Tensor:
    """Drop units of (batch, time, units), the same ones at every step of a sequence (Gal and Ghahramani 2016)."""
    if not training or share == 0:
        return values
    kept = F.dropout(values.new_ones(values.shape[0], 1, values.shape[2]), share)
    return values * kept


class CharRnnForCausalLM(PreTrainedModel, RecurrentGenerationMixin, GraphsMixin, BlockSamplingMixin):
    """Predicts each character of a text from those before it.

    A text is taken to begin after the character `config.bos_token_id`, so that its first character is predicted too.
    """

    config_class = CharRnnConfig
    main_input_name = "input_ids"
    base_model_prefix = ""

    def __init__(self, config: CharRnnConfig):
        super().__init__(config)
        embeds = config.input_encoding == "embedding"
        self.embedding = nn.Embedding(config.vocab_size, config.embedding_size) if embeds else None
        width = config.embedding_size if embeds else config.vocab_size
        self.layers = nn.ModuleList(
            RecurrentLayer(
                config.cell_type,
                width if layer == 0 else config.hidden_size,
                config.hidden_size,
                config.layer_norm,
                config.weight_dropout,
            )
            for layer in range(config.num_hidden_layers)
        )
        self.output_projection = nn.Linear(config.hidden_size, config.vocab_size)
        if config.tie_word_embeddings:
            self._tied_weights_keys = {"output_projection.weight": "embedding.weight"}
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=self.config.initializer_range)
        elif isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            module.bias.zero_()
        elif isinstance(module, RecurrentLayer):
            module.reset_parameters()

    def get_input_embeddings(self) -> nn.Embedding | None:
        """Return the embeddings; None for one-hot characters."""
        return self.embedding

    def get_output_embeddings(self) -> nn.Linear:
        """Return the output layer."""
        return self.output_projection

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        past_key_values: RecurrentState | None = None,
        use_cache: bool = True,
        return_dict: bool = True,
    ) -> CausalLMOutputWithPast:
        """Read texts and predict their characters.

        Args:
            input_ids: int64 (batch, time).
            attention_mask: (batch, time) or longer to the left, 1 or True on real characters; padding is skipped,
                on whichever side. None where all are real.
            labels: int64 (batch, time), the same characters as `input_ids`, -100 where they do not count. All of
                them are predicted, the first one from the state before it.
            past_key_values: the state after an earlier part of the texts; None at their beginning.
            use_cache: whether to return the state after the last character.
            return_dict: always True; `generate` names it.

        Returns:
            `logits`: float (batch, time, vocabulary), the prediction after each character. `loss`: scalar, nats per
            character, or None. `past_key_values`: the state after each text.
        """
        mask = None if attention_mask is None else attention_mask[:, -input_ids.shape[1] :].bool()
        if mask is None or bool(mask.all()):
            hidden, state = self._read(input_ids, past_key_values)
        else:
            hidden, state = self._read_padded(input_ids, mask, past_key_values)
        logits = self.output_projection(variational_dropout(hidden, self.config.output_dropout, self.training))
        return CausalLMOutputWithPast(
            loss=None if labels is None else F.cross_entropy(logits[:, :-1].flatten(0, 1), labels.flatten()),
            logits=logits[:, 1:],
            past_key_values=state if use_cache else None,
        )

    def step(self, token_ids: Tensor, state: RecurrentState) -> tuple[Tensor, RecurrentState]:
        """Read one character of each text.

        Args:
            token_ids: int64 (rows).
            state: the state before it.

        Returns:
            float (rows, vocabulary), the logits of the next character; and the state after it.
        """
        values = self._encode(token_ids)
        hidden, memory = [], []
        for index, layer in enumerate(self.layers):
            before = state.memory[index] if state.memory else None
            values, cells = layer.step(values, state.hidden[index], before)
            hidden.append(values)
            memory.append(cells)
        state = RecurrentState(tuple(hidden), tuple(memory) if state.memory else ())
        return self.output_projection(values), state

    def empty_state(self, batch: int) -> RecurrentState:
        """Return the state before anything was read: zeros."""
        zeros = self.output_projection.weight.new_zeros(batch, self.config.hidden_size)
        count = self.config.num_hidden_layers
        memory = (memory_like(zeros, zeros),) * count if self.config.cell_type == "lstm" else ()
        return RecurrentState(hidden=(zeros,) * count, memory=memory)

    @torch.inference_mode()
    def score(self, input_ids: Tensor) -> Tensor:
        """Return the log-probability of every character at every place of some texts.

        Args:
            input_ids: int64 (batch, time).

        Returns:
            float (batch, time + 1, vocabulary), nats: before the first character, and after each.
        """
        hidden, _ = self._read(input_ids, None)
        return precise(self.output_projection(hidden)).log_softmax(dim=-1)

    def fast_step(self) -> StepFunction:
        """Return the fastest single step for one text that this device and this configuration have.

        On a CPU and for plain LSTM layers that is a copy with weights of eight bits (`QuantizedStep`), unless float64
        was asked for, which nobody does for speed.
        """
        is_plain = self.config.cell_type == "lstm" and not self.config.layer_norm
        if self.device.type == "cpu" and is_plain and self.dtype != torch.float64:
            table = torch.eye(self.config.vocab_size) if self.embedding is None else self.embedding.weight
            return QuantizedStep(table, self.layers, self.output_projection)
        return self.exact_step

    def compile_for_cpu(self, folder: Path, precision: str) -> OnnxCharRnn:
        """Return what steps as this model does, from the graph in its checkpoint's folder; see there."""
        return OnnxCharRnn(self, folder, precision)

    @torch.inference_mode()
    def read(self, token_ids: Sequence[int]) -> tuple[Tensor, RecurrentState]:
        """Read one text from its beginning.

        Args:
            token_ids: its characters, one at least.

        Returns:
            float (vocabulary), the logits of the next character; and the state after the text.
        """
        output = self(torch.tensor([token_ids], device=self.device))
        return output.logits[0, -1], output.past_key_values

    @torch.inference_mode()
    def exact_step(self, token_id: int, state: RecurrentState) -> tuple[Tensor, RecurrentState]:
        """Read one character of one text: float (vocabulary), the next one's logits, and the state."""
        logits, state = self.step(torch.tensor([token_id], device=self.device), state)
        return logits[0], state

    @torch.inference_mode()
    def activations(self, input_ids: Tensor, past_key_values: RecurrentState | None = None) -> Activations:
        """Return what every unit is after each character of int64 (batch, time)."""
        before = self.initial_state(input_ids.shape[0]) if past_key_values is None else past_key_values
        values, hidden, memory = self._encode(input_ids), [], []
        for index, layer in enumerate(self.layers):
            cells = before.memory[index] if before.memory else None
            outputs, _ = layer(values, before.hidden[index], cells)
            if cells is not None:
                memory.append(layer.memories(values, outputs, before.hidden[index], cells))
            hidden.append(outputs)
            values = outputs
        return Activations(tuple(hidden), tuple(memory))

    @torch.inference_mode()
    def look(self, input_ids: Tensor) -> tuple[Tensor, Activations]:
        """Return what `score` and `activations` say of some texts, read once."""
        state = self.initial_state(input_ids.shape[0])
        activations = self.activations(input_ids, state)
        hidden = torch.cat([state.hidden[-1].unsqueeze(1), activations.hidden[-1]], dim=1)
        return precise(self.output_projection(hidden)).log_softmax(dim=-1), activations

    def initial_state(self, batch: int) -> RecurrentState:
        """Return the state at the beginning of a text: after `bos_token_id`, read from nothing."""
        start = torch.full((batch,), self.config.bos_token_id, device=self.device)
        return self.step(start, self.empty_state(batch))[1]

    def _encode(self, token_ids: Tensor) -> Tensor:
        if self.embedding is not None:
            return self.embedding(token_ids)
        return F.one_hot(token_ids, self.config.vocab_size).to(self.output_projection.weight.dtype)

    def _read(self, input_ids: Tensor, state: RecurrentState | None) -> tuple[Tensor, RecurrentState]:
        """Return the last layer's states before the first character and after each, and the state at the end."""
        runs, state, before = self._run(input_ids, state)
        last = replace(
            state,
            hidden=tuple(outputs[:, -1] for _, outputs, _ in runs),
            memory=tuple(memory for _, _, memory in runs) if state.memory else (),
        )
        return torch.cat([before, runs[-1][1]], dim=1), last

    def _read_padded(
        self, input_ids: Tensor, mask: Tensor, state: RecurrentState | None
    ) -> tuple[Tensor, RecurrentState]:
        """As `_read`, skipping padding: real characters are moved to the front, and what they gave is moved back."""
        order = (~mask).long().argsort(dim=1, stable=True)
        lengths = mask.sum(dim=1)
        runs, started, before = self._run(input_ids.gather(1, order), state)
        rows = torch.arange(len(lengths), device=lengths.device)
        hidden, memory = [], []
        for index, (layer, (values, outputs, _)) in enumerate(zip(self.layers, runs, strict=True)):
            states = torch.cat([started.hidden[index].unsqueeze(1), outputs], dim=1)
            hidden.append(states[rows, lengths])
            if started.memory:
                cells = layer.memories(values, outputs, started.hidden[index], started.memory[index])
                memory.append(torch.cat([started.memory[index].unsqueeze(1), cells], dim=1)[rows, lengths])
        # Position 0 is the state before; a padded position repeats the last real one before it.
        read = torch.cat([before, runs[-1][1]], dim=1)
        position = F.pad(mask.cumsum(dim=1), (1, 0)).unsqueeze(2).expand(-1, -1, read.shape[2])
        return read.gather(1, position), RecurrentState(tuple(hidden), tuple(memory))

    def _run(
        self, input_ids: Tensor, state: RecurrentState | None
    ) -> tuple[list[tuple[Tensor, Tensor, Tensor | None]], RecurrentState, Tensor]:
        """Run all layers; return each one's inputs, outputs and last cells, the state before, and its top."""
        state = self.initial_state(input_ids.shape[0]) if state is None else state
        values, runs = self._encode(input_ids), []
        shares = [self.config.input_dropout] + [self.config.hidden_dropout] * (len(self.layers) - 1)
        for index, (layer, share) in enumerate(zip(self.layers, shares, strict=True)):
            values = variational_dropout(values, share, self.training)
            outputs, memory = layer(values, state.hidden[index], state.memory[index] if state.memory else None)
            runs.append((values, outputs, memory))
            values = outputs
        return runs, state, state.hidden[-1].unsqueeze(1)

    def prepare_inputs_for_generation(
        self,
        input_ids: Tensor,
        past_key_values: RecurrentState | None = None,
        attention_mask: Tensor | None = None,
        use_cache: bool | None = None,
        **kwargs: Any,
    ) -> dict:
        """Give `generate` the arguments of its next `forward`: the last character once there is a state."""
        return {
            "input_ids": input_ids if past_key_values is None else input_ids[:, -1:],
            "past_key_values": past_key_values,
            "attention_mask": attention_mask,
            "use_cache": use_cache,
        }
