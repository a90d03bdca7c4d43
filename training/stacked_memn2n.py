"""Several memory networks of one shape, trained side by side on the same batches.

A step of one such network is hundreds of operations on a few thousand numbers each, whose cost is that of calling
them: ten networks take little longer than one. A story's sentences are not embedded one by one either. What a state
has to do with each different sentence, and with each age, is computed once and looked up, since the score of a memory
is the sum of the two:

    u . (sum_j A x_ij + T_A(i)) = u . sum_j A x_ij + u . T_A(i)

and what is read from the memories is summed by sentence and by age likewise. Equations: Sukhbaatar et al. 2015
(arXiv:1503.08895), sections 2 and 4.1.

Names of dimensions in this file:
    networks    side by side
    batch       questions, each with its story
    memories    sentences of a story, the newest last
    sentences   different ones of a batch
    items       sentences, and after them the ages
    words       of a sentence or a question
    tables      embedding matrices of a network
    embedding   width of an embedded sentence
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.modeling_memn2n import Memn2nForQuestionAnswering, age_weights, embed_sentences, normalise

from .story_batches import StoryBatch


class StackedMemn2n(nn.Module):
    """Computes what each of some networks would, and learns as each of them would by itself."""

    def __init__(self, models: Sequence[Memn2nForQuestionAnswering]):
        super().__init__()
        self.config, self.num_networks = models[0].config, len(models)
        together = {name: [model.state_dict()[name] for model in models] for name in models[0].state_dict()}
        self.names = list(together)
        self.words = _tables(together, "word_tables")
        self.ages = _tables(together, "age_tables")
        self.question_words = _tables(together, "question_table")
        self.others = nn.ParameterDict(
            {
                name.replace(".", "/"): torch.stack(weights)
                for name, weights in together.items()
                if not name.split(".")[0].endswith(("_tables", "_table"))
            }
        )

    def forward(self, word_ids: Tensor, batch: StoryBatch, linear_attention: bool = False) -> Tensor:
        """Answer a batch of questions.

        Args:
            word_ids: int64 (all sentences, words), by their numbers; number 0 is the empty one.
            batch: of these numbers.
            linear_attention: whether to leave out the hops' softmax.

        Returns:
            Logits, float (networks, batch, answers).
        """
        config, num_questions = self.config, len(batch.questions)
        numbers, places = torch.cat([batch.stories.flatten(), batch.questions]).unique(return_inverse=True)
        items = self._embed(word_ids[numbers], self.words)
        state = items[places[-num_questions:], 0]
        if self.question_words is not None:
            state = self._embed(word_ids[batch.questions], self.question_words)[:, 0]
        state = state.transpose(0, 1)  # networks, batch, embedding
        looked_up = places[:-num_questions].view_as(batch.stories)
        if self.ages is not None:
            looked_up = torch.cat([looked_up, len(numbers) + batch.ages.clamp(0, config.memory_size - 1)], dim=1)
            items = torch.cat([items, self.ages * age_weights(config, self.ages)])
        looked_up = looked_up.expand(self.num_networks, -1, -1)
        tables = items.permute(1, 2, 0, 3).contiguous().unbind()  # networks, items, embedding
        is_real, shape = batch.stories != 0, batch.stories.shape
        num_null = (config.memory_size - is_real.sum(dim=1, keepdim=True)).clamp(min=0) * config.null_memories
        for hop in range(config.num_hops):
            first = hop if config.tying == "adjacent" else 0
            found = state.bmm(tables[first].transpose(1, 2)).gather(2, looked_up)
            scores = found.view(self.num_networks, shape[0], -1, shape[1]).sum(dim=2)
            attention = normalise(scores, is_real, linear_attention, num_null)
            by_item = state.new_zeros(self.num_networks, shape[0], len(items))
            by_item = by_item.scatter_add(2, looked_up, attention.repeat(1, 1, looked_up.shape[2] // shape[1]))
            state = self._update(hop, state, by_item.bmm(tables[first + 1]))
        return self._score(state)

    def losses(self, word_ids: Tensor, batch: StoryBatch, linear_attention: bool = False) -> tuple[Tensor, Tensor]:
        """Return each network's loss on each question in nats, 0 without a label, and whether it is right.

        Returns:
            Float and bool (networks, batch).
        """
        logits = self(word_ids, batch, linear_attention)
        labels = batch.labels.expand(self.num_networks, -1)
        losses = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
        return losses.view(labels.shape), logits.argmax(dim=2) == labels

    def step(
        self, word_ids: Tensor, batch: StoryBatch, linear_attention: bool, learning_rate: float, max_norm: float
    ) -> None:
        """Do a step of plain gradient descent on the loss of a batch, summed over its questions.

        Each network's gradient is scaled down to a norm of `max_norm` where it is longer.
        """
        loss = self.losses(word_ids, batch, linear_attention)[0].sum()
        parameters = list(self._by_network())
        gradients = torch.autograd.grad(loss, [parameter for parameter, _ in parameters])
        square = sum(
            gradient.square().sum(dim=[one for one in range(gradient.dim()) if one != dim])
            for gradient, (_, dim) in zip(gradients, parameters, strict=True)
        )
        rate = learning_rate * (max_norm / (square.sqrt() + 1e-6)).clamp(max=1)
        with torch.no_grad():
            for gradient, (parameter, dim) in zip(gradients, parameters, strict=True):
                parameter.sub_(gradient * rate.view([-1 if one == dim else 1 for one in range(gradient.dim())]))

    def weights_of(self, network: int) -> dict[str, Tensor]:
        """Return one network's weights, as its own state_dict has them."""
        weights = {name.replace("/", "."): parameter[network] for name, parameter in self.others.items()}
        for name, tables in (("word_tables.{}.weight", self.words), ("age_tables.{}.weight", self.ages)):
            for number, table in enumerate(() if tables is None else tables.unbind(dim=1)):
                weights[name.format(number)] = table[:, network]
        if self.question_words is not None:
            weights["question_table.weight"] = self.question_words[:, 0, network]
        return {name: weights[name].detach().clone().contiguous() for name in self.names}

    def _by_network(self) -> list[tuple[nn.Parameter, int]]:
        """Return all parameters, each with the dimension that is its networks'."""
        tables = [(table, 2) for table in (self.words, self.ages, self.question_words) if table is not None]
        return tables + [(parameter, 0) for parameter in self.others.values()]

    def _embed(self, word_ids: Tensor, tables: Tensor) -> Tensor:
        """Embed sentences: float (sentences, tables, networks, embedding) of int64 (sentences, words)."""
        return embed_sentences(self.config, word_ids, tables.flatten(1)).view(len(word_ids), *tables.shape[1:])

    def _linear(self, name: str, state: Tensor) -> Tensor:
        product = state.bmm(self.others[f"{name}/weight"].transpose(1, 2))
        bias = f"{name}/bias"
        return product + self.others[bias].unsqueeze(1) if bias in self.others else product

    def _update(self, hop: int, state: Tensor, read: Tensor) -> Tensor:
        """Take what a hop has read into the state: float (networks, batch, embedding), both."""
        kept = self._linear("state_map", state) if "state_map/weight" in self.others else state
        if self.config.gated:
            gate = self._linear(f"gates/{hop}", state).sigmoid()
            kept, read = (1 - gate) * kept, gate * read
        return F.relu(kept + read) if self.config.hop_activation == "relu" else kept + read

    def _score(self, state: Tensor) -> Tensor:
        """Score the answers: float (networks, batch, answers)."""
        if "answer_projection/weight" in self.others:
            return self._linear("answer_projection", state)
        return state.bmm(self.words[self.config.answer_token_ids, -1].permute(1, 2, 0))


def _tables(together: dict[str, list[Tensor]], name: str) -> nn.Parameter | None:
    """Put matrices side by side: float (rows, tables, networks, embedding); None where there are none.

    Args:
        together: weights of every network, by their names.
        name: of the matrix, or of a list of them.
    """
    tables = [torch.stack(weights, dim=1) for full, weights in together.items() if full.split(".")[0] == name]
    return nn.Parameter(torch.stack(tables, dim=1)) if tables else None
