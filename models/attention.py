"""Additive attention (Bahdanau, Cho and Bengio 2014, section 3.1 and appendix A.1.2).

Names of dimensions in this file:
    batch    sources (sentences, images)
    queries  decoder rows that read the same source, such as the hypotheses of a beam
    source   annotations of a source: positions of a sentence, cells of an image's grid
"""

import torch
from torch import Tensor, nn

from .precision import precise


class AdditiveAttention(nn.Module):
    """Weighs annotations h by their fit to a query s: softmax over j of v . tanh(W s + U h_j)."""

    def __init__(self, query_size: int, key_size: int, attention_size: int):
        super().__init__()
        self.query_projection = nn.Linear(query_size, attention_size, bias=False)
        self.key_projection = nn.Linear(key_size, attention_size, bias=True)
        self.energy = nn.Linear(attention_size, 1, bias=False)

    def project_keys(self, keys: Tensor) -> Tensor:
        """Compute U h_j, which no query changes: once for each source.

        Args:
            keys: float (batch, source, key_size), the annotations.

        Returns:
            float (batch, source, attention_size).
        """
        return self.key_projection(keys)

    def weigh(self, query: Tensor, projected_keys: Tensor, mask: Tensor | None = None) -> Tensor:
        """Compute the weights alone.

        Args:
            query: float (batch * queries, query_size); a source's queries lie side by side.
            projected_keys: float (batch, source, attention_size), from `project_keys`.
            mask: bool (batch, source), True on real annotations; None where all are real. Every
                source has a real one.

        Returns:
            float (batch * queries, source), float32 at least: they sum to 1 and are 0 on padding.
        """
        batch_size, num_keys, attention_size = projected_keys.shape
        projected_query = self.query_projection(query).view(batch_size, -1, 1, attention_size)
        energies = precise(self.energy(torch.tanh(projected_query + projected_keys.unsqueeze(1))).squeeze(-1))
        if mask is not None:
            energies = energies.masked_fill(~mask.unsqueeze(1), float("-inf"))
        return energies.softmax(dim=-1).view(-1, num_keys)

    def forward(
        self, query: Tensor, keys: Tensor, projected_keys: Tensor, mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Read the annotations once for each query.

        Args:
            query: as for `weigh`.
            keys: float (batch, source, key_size).
            projected_keys: as for `weigh`.
            mask: as for `weigh`.

        Returns:
            The context, float (batch * queries, key_size), and the weights.
        """
        weights = self.weigh(query, projected_keys, mask)
        return expectation(weights, keys), weights


def expectation(weights: Tensor, keys: Tensor) -> Tensor:
    """Average annotations.

    Args:
        weights: float (batch * queries, source).
        keys: float (batch, source, key_size).

    Returns:
        float (batch * queries, key_size).
    """
    batch_size, num_keys, key_size = keys.shape
    weights = weights.to(keys.dtype).view(batch_size, -1, num_keys)
    return torch.bmm(weights, keys).view(-1, key_size)
