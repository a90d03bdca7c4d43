"""Batches of pictures with their captions, written by people or drawn from the model."""

import random
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

from models.modeling_show_attend_tell import ShowAttendTellForImageCaptioning

from .cider_reward import CiderReward


class CaptionedPicture(NamedTuple):
    """One training example."""

    index: int
    """Its position in the split."""
    features: np.ndarray
    """float16 (channels, rows, columns): what `encoder.begin` returned."""
    captions: list[list[int]]
    """Word ids of each, the end included."""


class CaptionedFeatures(Dataset):
    """The pictures of a split, seen one way or mirrored, with their captions."""

    def __init__(self, views: list[np.ndarray], captions: list[list[list[int]]]):
        self.views = views
        """Features of the pictures; then, if there are any, of the mirrored pictures."""
        self.captions = captions

    def __len__(self) -> int:
        return len(self.captions)

    def __getitem__(self, index: int) -> CaptionedPicture:
        return CaptionedPicture(index, random.choice(self.views)[index], self.captions[index])


def collate(items: list[CaptionedPicture]) -> dict[str, Tensor]:
    """Make a batch: `encoder_features` and `labels`, int64 (batch, captions, target)."""
    features = torch.from_numpy(np.stack([item.features for item in items])).float()
    num_captions = max(len(item.captions) for item in items)
    rows = [torch.tensor(ids) for item in items for ids in _filled_up(item.captions, num_captions)]
    labels = pad_sequence(rows, batch_first=True, padding_value=-100)
    return {"encoder_features": features, "labels": labels.view(len(items), num_captions, -1)}


def _filled_up(captions: list[list[int]], count: int) -> list[list[int]]:
    """Repeat a picture's captions, from the first on, where others in the batch have more."""
    return [captions[index % len(captions)] for index in range(count)]


class SelfCriticalCollator:
    """Draws captions from the model and weighs each by how much better it is than the picture's others.

    The reward is CIDEr-D with the end as a word, lest captions stop in the middle; the baseline is the mean of the
    picture's other samples (Luo 2020, arXiv:2003.09971).
    """

    def __init__(
        self,
        model: ShowAttendTellForImageCaptioning,
        captions: list[list[list[int]]],
        num_samples: int,
        max_words: int,
    ):
        """Keep the references.

        Args:
            model: draws; the one that is being trained.
            captions: for each training picture its captions' word ids.
            num_samples: captions drawn for each picture.
            max_words: where a caption that has not ended is cut off.
        """
        self.model = model
        self.num_samples = num_samples
        self.max_words = max_words
        self.cider = CiderReward([[[str(word) for word in ids] for ids in texts] for texts in captions])

    def __call__(self, items: list[CaptionedPicture]) -> dict[str, Tensor]:
        """Make a batch: `encoder_features`, `labels` that were drawn, and `caption_weights`."""
        features = torch.from_numpy(np.stack([item.features for item in items])).float()
        was_training = self.model.training
        self.model.eval()
        labels = self.model.sample(features.to(self.model.device), self.num_samples, self.max_words + 1).cpu()
        self.model.train(was_training)
        captions = [[str(word) for word in row if word != -100] for row in labels.flatten(0, 1).tolist()]
        pictures = [item.index for item in items for _ in range(self.num_samples)]
        rewards = torch.tensor(self.cider.reward(captions, pictures)).view(len(items), self.num_samples)
        others = (rewards.sum(dim=1, keepdim=True) - rewards) / (self.num_samples - 1)
        return {"encoder_features": features, "labels": labels, "caption_weights": rewards - others}
