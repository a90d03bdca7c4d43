"""A small alphabet, a language model of two words, and log-probabilities to search."""

import torch
from torch import Tensor

from pipelines.word_ngrams import WordNGrams

LABELS = ["<pad>", "|", "A", "B"]
ALPHABET = ["<pad>", "|", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ"]
MODEL = WordNGrams(
    {
        ("<s>",): (-99.0, -0.3),
        ("</s>",): (-0.6, 0.0),
        ("<unk>",): (-1.2, 0.0),
        ("A",): (-0.5, -0.2),
        ("AB",): (-0.9, -0.1),
        ("<s>", "A"): (-0.3, 0.0),
        ("A", "</s>"): (-0.4, 0.0),
        ("AB", "A"): (-0.6, 0.0),
        ("A", "AB"): (-0.8, 0.0),
    }
)


def random_log_probabilities(steps: int, vocabulary: int = 4, seed: int = 0) -> Tensor:
    """Make float64 (steps, vocabulary) in which every label is likely somewhere."""
    generator = torch.Generator().manual_seed(seed)
    return (2 * torch.randn(steps, vocabulary, generator=generator, dtype=torch.float64)).log_softmax(dim=1)


def peaky_log_probabilities(steps: int, seed: int) -> Tensor:
    """Make what a trained network says: mostly one label a step, mostly the blank, now and then two alike."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(steps, len(ALPHABET), generator=generator)
    for second in (False, True):
        chosen = torch.randint(0, len(ALPHABET), (steps,), generator=generator)
        chosen[torch.rand(steps, generator=generator) < 0.5] = 0
        chosen[torch.rand(steps, generator=generator) < 0.1] = 1
        logits[torch.arange(steps), chosen] += 7.0 if second else 8.0
    return logits.log_softmax(dim=1)


def spelled(text: str, steps_of_a_label: int = 2) -> Tensor:
    """Make log-probabilities of a text: each label for one step, then blanks."""
    indices = [ALPHABET.index("|" if character == " " else character) for character in text]
    log_probabilities = torch.full((len(text) * steps_of_a_label, len(ALPHABET)), 1e-5)
    log_probabilities[:, 0] = 1.0
    for position, index in enumerate(indices):
        log_probabilities[position * steps_of_a_label, [0, index]] = torch.tensor([1e-5, 1.0])
    return log_probabilities.log().log_softmax(dim=1)
