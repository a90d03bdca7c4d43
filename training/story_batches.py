"""Batches of questions with their stories, as the memory network takes them.

Names of dimensions in this file:
    batch      questions
    sentences  different ones in a split, number 0 being an empty one
    memories   sentences of a story, the newest last
    words      of a sentence or a question
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerFast

from models.modeling_memn2n import count_ages

from .babi_stories import Example


@dataclass(frozen=True)
class NumberedQuestion:
    """A question with its story, by the numbers of their sentences."""

    story: Tensor
    """Int64 (memories)."""
    question: int
    label: int
    """The answer's number; -100 for one that training has not shown."""


class StoryQuestions(Dataset):
    """Questions with the newest sentences of their stories; each different sentence is kept once."""

    def __init__(
        self,
        examples: list[Example],
        tokenizer: PreTrainedTokenizerFast,
        answers: dict[int, str],
        memory_size: int,
    ):
        texts = sorted({text for example in examples for text in (*example.sentences, example.question)})
        sentences = {text: number for number, text in enumerate(["", *texts])}
        self.word_ids = tokenizer(list(sentences), padding=True, return_tensors="pt")["input_ids"]
        """Int64 (sentences, words)."""
        numbers = {answer: number for number, answer in answers.items()}
        self.questions = [
            NumberedQuestion(
                torch.tensor([sentences[text] for text in example.sentences[-memory_size:]], dtype=torch.long),
                sentences[example.question],
                numbers.get(example.answer, -100),
            )
            for example in examples
        ]

    def __len__(self) -> int:
        return len(self.questions)

    def __getitem__(self, index: int) -> NumberedQuestion:
        return self.questions[index]


@dataclass(frozen=True)
class StoryBatch:
    """Questions with their stories, by the numbers of their sentences."""

    stories: Tensor
    """Int64 (batch, memories), 0 for an empty memory."""
    ages: Tensor
    """Int64 (batch, memories), how long ago each sentence was told."""
    questions: Tensor
    """Int64 (batch)."""
    labels: Tensor
    """Int64 (batch), -100 for an answer that training has not shown."""


@dataclass(frozen=True)
class StoryCollator:
    """Makes batches."""

    noise_share: float = 0.0
    """Of empty memories among a story's sentences, so that its ages vary (section 4.1, RN)."""
    noise: str = "empty_memories"
    """"empty_memories", each with that probability, before a sentence; or "gaps", as in the authors' released code: a
    number of them that is drawn for each story, up to that share of its length rounded up, after the newest too."""

    def __call__(self, questions: list[NumberedQuestion]) -> StoryBatch:
        """Put questions together."""
        stories, ages = pad_sequence([question.story for question in questions], batch_first=True), None
        if self.noise_share > 0 and self.noise == "gaps":
            lengths = torch.tensor([len(question.story) for question in questions])
            ages = noisy_ages(lengths, self.noise_share)
        elif self.noise_share > 0:
            stories = self._with_empty_memories(stories)
        return StoryBatch(
            stories,
            count_ages(stories != 0) if ages is None else ages,
            torch.tensor([question.question for question in questions]),
            torch.tensor([question.label for question in questions]),
        )

    def _with_empty_memories(self, stories: Tensor) -> Tensor:
        is_empty = torch.rand(stories.shape) < self.noise_share
        places = torch.arange(stories.shape[1]) + is_empty.cumsum(dim=1)
        most = int(is_empty.sum(dim=1).max())
        return stories.new_zeros(len(stories), stories.shape[1] + most).scatter_(1, places, stories)


def noisy_ages(lengths: Tensor, noise_share: float) -> Tensor:
    """Draw ages that keep the order of a story's sentences, the newest last, and are not all next to each other.

    Of as many places as a story has sentences and empty memories, the sentences take some at random.

    Args:
        lengths: int64 (batch), sentences of each story, one at least in all.
        noise_share: empty memories are at most this share of them, rounded up.

    Returns:
        Int64 (batch, memories); whatever after a story's end.
    """
    num_empty = (torch.rand(len(lengths)) * ((lengths * noise_share).ceil() + 1)).long()
    num_places, places = lengths + num_empty, torch.arange(int((lengths + num_empty).max()))
    keys = torch.rand(len(lengths), len(places)).masked_fill(places >= num_places.unsqueeze(1), 2.0)
    is_taken = keys.argsort(dim=1).argsort(dim=1) < lengths.unsqueeze(1)
    ages = torch.where(is_taken, places, len(places)).sort(dim=1).values  # from the newest sentence on
    newer = (lengths.unsqueeze(1) - 1 - torch.arange(int(lengths.max()))).clamp(min=0)
    return ages.gather(1, newer)
