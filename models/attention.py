"""Additive attention (Bahdanau, Cho and Bengio 2014, section 3.1 and appendix A.1.2).

Names of dimensions in this file:
    batch    sources (sentences, images)
    queries  decoder rows that read the same source, such as the hypotheses of a beam
    source   annotations of a source: positions of a sentence, cells of an image's grid
"""

import torch
from torch import Tensor, nn


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

    def forward(
        self, query: Tensor, keys: Tensor, projected_keys: Tensor, mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Read the annotations once for each query.

        Args:
            query: float (batch * queries, query_size); a source's queries lie side by side.
            keys: float (batch, source, key_size).
            projected_keys: float (batch, source, attention_size), from `project_keys`.
            mask: bool (batch, source), True on real annotations; None where all are real. Every
                source has a real one.

        Returns:
            The context, float (batch * queries, key_size), and the weights, float
            (batch * queries, source), which sum to 1 and are 0 on padding.
        """
        batch_size, num_keys, key_size = keys.shape
        projected_query = self.query_projection(query).view(batch_size, -1, 1, projected_keys.shape[-1])
        energies = self.energy(torch.tanh(projected_query + projected_keys.unsqueeze(1))).squeeze(-1)
        if mask is not None:
            energies = energies.masked_fill(~mask.unsqueeze(1), float("-inf"))
        weights = energies.softmax(dim=-1)
        context = torch.bmm(weights, keys)
        return context.view(-1, key_size), weights.view(-1, num_keys)
