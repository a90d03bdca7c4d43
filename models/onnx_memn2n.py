"""The memory network on ONNX Runtime; `training/memn2n_graphs.py` builds its graph."""

from types import SimpleNamespace

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from .onnx_runtime import OnnxNetwork


class OnnxMemn2n(OnnxNetwork):
    """Answers as `Memn2nForQuestionAnswering` does; its weights are too few to be rounded."""

    files = ("network.onnx",)

    def weights(self) -> dict[str, np.ndarray]:
        """Return the weights of the graphs, float32."""
        return graph_weights(self.model)

    def __call__(self, sentence_ids: Tensor, question_ids: Tensor) -> SimpleNamespace:
        """Answer a batch of questions: `logits` and `attention`, as of the model's own `forward`."""
        inputs = {"sentence_ids": sentence_ids.numpy(), "question_ids": question_ids.numpy()}
        logits, attention = map(torch.from_numpy, self.sessions[0].run(inputs))
        return SimpleNamespace(logits=logits, attention=attention)


@torch.no_grad()
def graph_weights(model: PreTrainedModel) -> dict[str, np.ndarray]:
    """Return the weights of a model's graph, float32."""
    tables = [table.weight for table in model.word_tables]
    question = model.question_table or model.word_tables[0]
    if model.answer_projection is not None:
        answers = model.answer_projection.weight
    else:
        answers = tables[-1][model.config.answer_token_ids]
    weights = {"words": torch.cat(tables, dim=1), "question": question.weight, "answers": answers.T}
    if model.config.temporal_encoding:
        weights["ages"] = model.age_matrix()
    if model.state_map is not None:
        weights["state_map.matrix"] = model.state_map.weight.T
    for hop, gate in enumerate(model.gates):
        weights |= {f"gate{hop}.matrix": gate.weight.T, f"gate{hop}.bias": gate.bias}
    return {name: tensor.float().numpy() for name, tensor in weights.items()}
