"""End-To-End Memory Network: answers a question by reading the sentences of a story again and again.

References:
    The network, its encodings and its tying: Sukhbaatar et al. 2015 (arXiv:1503.08895), sections 2 and 4.1.
    The gates: Liu and Perez 2017 (arXiv:1610.04211), section 3.

Names of dimensions in this file:
    batch       questions, each with its story
    memories    sentences of a story, the newest last
    sentences   of all stories of a batch, or its questions
    words       of a sentence or a question
    vocabulary  words, the padding included
    embedding   width of an embedded sentence
    tables      embedding matrices
    hops        readings of the story
    answers     what the network chooses from
"""

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.utils import ModelOutput

from .configuration_memn2n import Memn2nConfig
from .onnx_memn2n import OnnxMemn2n
from .onnx_runtime import GraphsMixin
from .precision import precise

GATE_BIAS = 0.5
"""Mean of the gates' biases at the start; their deviation is that of all weights (Liu and Perez 2017, section 4.1)."""


@dataclass
class Memn2nOutput(ModelOutput):
    """What the network answers, and what it looked at."""

    loss: Tensor | None = None
    """Scalar, nats per question."""
    logits: Tensor | None = None
    """Float (batch, answers), unnormalised."""
    attention: Tensor | None = None
    """Float (batch, hops, memories). Rows sum to 1, or to less by what null memories took, or are 0 for an empty story;
    with linear attention they are the scores themselves."""


def position_weights(word_ids: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Weigh words by their places (section 4.1).

    The k-th of d numbers of the j-th of J words is weighted by (1 - j/J) - (k/d)(1 - 2j/J).

    Args:
        word_ids: int64 (sentences, words), 0 on padding.
        dtype: of the weights.

    Returns:
        The two brackets, float (sentences, words); whatever on padding.
    """
    place = (word_ids != 0).cumsum(dim=1).to(dtype)
    place = place / place[:, -1:].clamp(min=1)
    return 1 - place, 1 - 2 * place


def fixed_position_weights(word_ids: Tensor, dtype: torch.dtype, width: int, longest: int) -> tuple[Tensor, Tensor]:
    """Weigh words by their places as the authors' released code does.

    The k-th of d numbers of the j-th word is weighted by 1 + 4 (k - (d + 1)/2) (j - (J + 1)/2) / (d J): twice the
    paper's weight but for the half steps, and with one J for all sentences.

    Args:
        word_ids: int64 (sentences, words), 0 on padding.
        dtype: of the weights.
        width: d, numbers of an embedded word.
        longest: J, words of the longest sentence.

    Returns:
        Two brackets, float (sentences, words), of which the weight is the first less k/d times the second; whatever
        on padding.
    """
    place = (word_ids != 0).cumsum(dim=1).to(dtype)
    slope = 4 * (place - (longest + 1) / 2) / longest
    return 1 - slope * (width + 1) / (2 * width), -slope


def embed_sentences(config: Memn2nConfig, word_ids: Tensor, matrices: Tensor) -> Tensor:
    """Embed sentences with several matrices side by side (section 4.1).

    Args:
        config: how words are weighted by their places.
        word_ids: int64 (sentences, words), 0 on padding.
        matrices: float (vocabulary, tables * embedding).

    Returns:
        Float (sentences, tables * embedding).
    """
    if config.sentence_encoding == "bag_of_words":
        return F.embedding_bag(word_ids, matrices, mode="sum", padding_idx=0)
    size, dtype = config.embedding_size, matrices.dtype
    if config.sentence_encoding == "position":
        weights = torch.cat(position_weights(word_ids, dtype))
    else:
        weights = torch.cat(fixed_position_weights(word_ids, dtype, size, config.longest_sentence))
    sums = F.embedding_bag(word_ids.repeat(2, 1), matrices, mode="sum", per_sample_weights=weights, padding_idx=0)
    level, slope = sums.chunk(2)
    share = torch.arange(1, size + 1, device=matrices.device, dtype=dtype) / size  # k/d
    return level - share.repeat(matrices.shape[1] // size) * slope


def age_weights(config: Memn2nConfig, like: Tensor) -> Tensor | float:
    """Weigh an embedded age: as a sentence's last word in the authors' released code, else not at all.

    Returns:
        Float (embedding), as `fixed_position_weights` for the J-th of J words; or 1.
    """
    if not config.weighted_ages:
        return 1.0
    size, longest = config.embedding_size, config.longest_sentence
    numbers = torch.arange(1, size + 1, device=like.device, dtype=like.dtype)  # k
    return 1 + 2 * (numbers - (size + 1) / 2) * (longest - 1) / (size * longest)


def count_ages(is_real: Tensor) -> Tensor:
    """Count each sentence's age, 0 for the newest: int64 (batch, memories) of bool (batch, memories)."""
    is_told = is_real.flip(1).cumsum(dim=1) > 0  # from the newest sentence backwards
    return (is_told.cumsum(dim=1) - 1).flip(1)


def attend(
    state: Tensor, memories: Tensor, places: tuple[Tensor, Tensor], is_real: Tensor, linear: bool, num_null: Tensor
) -> Tensor:
    """Compare a state with each memory (equation 1).

    Args:
        state: float (batch, embedding), u of the paper.
        memories: float (sentences, embedding), m of the paper, one question's after the other's.
        places: int64 (sentences) both, the question that each belongs to and where it stands in its story.
        is_real: bool (batch, memories), the same as a mask.
        linear: whether the softmax is left out (section 4.2, linear start).
        num_null: int64 (batch, 1), memories with nothing in them, of a score of 0.

    Returns:
        Float (batch, memories), p of the paper; 0 where there is no sentence.
    """
    scores = (memories * state[places[0]]).sum(dim=1)  # on a CPU faster than a product of so small matrices
    return normalise(scores.new_zeros(is_real.shape).index_put(places, scores), is_real, linear, num_null)


def normalise(scores: Tensor, is_real: Tensor, linear: bool, num_null: Tensor) -> Tensor:
    """Turn the scores of memories into attention: a softmax that null memories, of a score of 0, take a share of.

    Args:
        scores: float (..., batch, memories), whatever where there is no sentence.
        is_real: bool (batch, memories).
        linear: whether the softmax is left out.
        num_null: int64 (batch, 1).

    Returns:
        Float (..., batch, memories), float32 at least with a softmax; 0 where there is no sentence.
    """
    if linear:
        return scores.masked_fill(~is_real, 0.0)
    scores = precise(scores)
    lowest = torch.finfo(scores.dtype).min
    nothing = num_null.to(scores.dtype).log().clamp(min=lowest)  # exp(0) for each of them
    padded = torch.cat([scores.masked_fill(~is_real, lowest), nothing.expand(*scores.shape[:-1], 1)], dim=-1)
    return padded.softmax(dim=-1)[..., :-1].masked_fill(~is_real, 0.0)


class Memn2nForQuestionAnswering(PreTrainedModel, GraphsMixin):
    """Reads a story in several hops and chooses one of the known answers.

    With adjacent tying hop k has word table k for A and table k + 1 for C, B is the first table, and W a part of the
    last one. Layer-wise all hops have the same A and C, and B and W are their own.
    """

    config_class = Memn2nConfig
    main_input_name = "sentence_ids"
    base_model_prefix = ""

    def __init__(self, config: Memn2nConfig):
        super().__init__(config)
        size, is_adjacent = config.embedding_size, config.tying == "adjacent"
        num_tables = config.num_hops + 1 if is_adjacent else 2
        num_ages = config.memory_size if config.temporal_encoding else 0
        self.word_tables = nn.ModuleList(
            nn.Embedding(config.vocab_size, size, padding_idx=0) for _ in range(num_tables)
        )
        self.age_tables = nn.ModuleList(nn.Embedding(num_ages, size) for _ in range(num_tables) if num_ages)
        self.question_table = None if is_adjacent else nn.Embedding(config.vocab_size, size, padding_idx=0)
        self.answer_projection = None if is_adjacent else nn.Linear(size, config.num_labels, bias=False)
        self.state_map = None if is_adjacent else nn.Linear(size, size, bias=False)
        self.gates = nn.ModuleList(nn.Linear(size, size) for _ in range(config.num_hops if config.gated else 0))
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Embedding | nn.Linear):
            module.weight.normal_(std=self.config.initializer_range)
        if isinstance(module, nn.Embedding) and module.padding_idx is not None:
            module.weight[module.padding_idx] = 0.0
        if isinstance(module, nn.Linear) and module.bias is not None:
            module.bias.normal_(GATE_BIAS, self.config.initializer_range)

    def get_input_embeddings(self) -> nn.Embedding:
        """Return A of the first hop."""
        return self.word_tables[0]

    def forward(
        self,
        sentence_ids: Tensor,
        question_ids: Tensor,
        labels: Tensor | None = None,
        linear_attention: bool = False,
        ages: Tensor | None = None,
    ) -> Memn2nOutput:
        """Answer a batch of questions.

        Args:
            sentence_ids: int64 (batch, memories, words), the newest sentence last. 0 is padding: words after a
                sentence's end, and sentences before a story's beginning or after its end. Nothing but 0 between two
                sentences is an empty memory, which is not looked at but makes all before it older.
            question_ids: int64 (batch, words), 0 on padding.
            labels: int64 (batch), the answers; -100 where they do not count.
            linear_attention: whether to leave out the hops' softmax, as training does at its beginning.
            ages: int64 (batch, memories), how long ago each sentence was told, for training with noise; without it
                counted from the newest sentence, which is 0. From the memory's size on all are the same.

        Returns:
            `logits`, `attention`, and `loss` where there are labels.
        """
        is_real = (sentence_ids != 0).any(dim=2)
        places = is_real.nonzero(as_tuple=True)
        ages = count_ages(is_real) if ages is None else ages
        memories = self._memories(sentence_ids, ages, places)
        num_null = (self.config.memory_size - is_real.sum(dim=1, keepdim=True)).clamp(min=0) * self.config.null_memories
        question_table = self.question_table or self.word_tables[0]
        state, attention = embed_sentences(self.config, question_ids, question_table.weight), []
        for hop in range(self.config.num_hops):
            first = hop if self.config.tying == "adjacent" else 0
            attention.append(attend(state, memories[first], places, is_real, linear_attention, num_null))
            weighted = attention[-1][places].unsqueeze(1) * memories[first + 1]
            read = torch.zeros_like(state).index_add(0, places[0], weighted.to(state.dtype))
            state = self._update(hop, state, read)
        logits = self._score(state)
        return Memn2nOutput(
            loss=None if labels is None else F.cross_entropy(logits, labels),
            logits=logits,
            attention=torch.stack(attention, dim=1),
        )

    def compile_for_cpu(self, folder: Path, precision: str) -> OnnxMemn2n:
        """Return what answers as this model does, from the graph in its checkpoint's folder; see there."""
        return OnnxMemn2n(self, folder, precision)

    def _memories(self, sentence_ids: Tensor, ages: Tensor, places: tuple[Tensor, Tensor]) -> tuple[Tensor, ...]:
        """Embed a batch's sentences with each table: float (sentences, embedding), one question's after the other's."""
        word_tables = torch.cat([table.weight for table in self.word_tables], dim=1)
        embedded = embed_sentences(self.config, sentence_ids[places], word_tables)
        if self.config.temporal_encoding:
            known_ages = ages[places].clamp(0, self.config.memory_size - 1)
            embedded = embedded + F.embedding(known_ages, self.age_matrix())
        return embedded.chunk(len(self.word_tables), dim=1)

    def age_matrix(self) -> Tensor:
        """Return all tables of ages side by side, float (memory_size, tables * embedding), weighted."""
        return torch.cat([table.weight * age_weights(self.config, table.weight) for table in self.age_tables], dim=1)

    def _update(self, hop: int, state: Tensor, read: Tensor) -> Tensor:
        """Take what a hop has read into the state: float (batch, embedding), both."""
        kept = state if self.state_map is None else self.state_map(state)
        if self.config.gated:
            gate = self.gates[hop](state).sigmoid()
            kept, read = (1 - gate) * kept, gate * read
        return F.relu(kept + read) if self.config.hop_activation == "relu" else kept + read

    def _score(self, state: Tensor) -> Tensor:
        """Score the answers (equation 3 and its W): float (batch, answers)."""
        if self.answer_projection is not None:
            return self.answer_projection(state)
        return state @ self.word_tables[-1].weight[self.config.answer_token_ids].t()
