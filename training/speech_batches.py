"""Batches of utterances, made of features that are computed once for each speed and changed at random each time."""

import random
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

from models.ctc import num_needed_steps
from models.feature_extraction_blstm_ctc import BlstmCtcFeatureExtractor
from models.modeling_blstm_ctc import BlstmCtcForCTC

from .audio_augmentation import Augmenter, change_speed
from .transcribed_speech import TranscribedSpeech


class Example(NamedTuple):
    """One training example."""

    features: np.ndarray
    """float32 (frames, features), normalised."""
    labels: list[int]


class SpokenExamples(Dataset):
    """Utterances as features, at any of several speeds, in training changed at random."""

    def __init__(
        self,
        views: list[list[np.ndarray]],
        labels: list[list[int]],
        extractor: BlstmCtcFeatureExtractor,
        augmenter: Augmenter | None = None,
    ):
        """Join what was computed beforehand.

        Args:
            views: for each speed the utterances' features, float32 (frames, features), not normalised.
            labels: of each utterance.
            extractor: normalises.
            augmenter: what is done at random; None takes the first view as it is.
        """
        self.views = views
        self.labels = labels
        self.extractor = extractor
        self.augmenter = augmenter

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Example:
        if self.augmenter is None:
            return Example(self.extractor.normalise(self.views[0][index]), self.labels[index])
        generator = np.random.default_rng(random.getrandbits(64))  # Python's: seeded, and restored by a resumed run
        view = self.views[generator.integers(len(self.views))]
        if self.augmenter.is_silent(generator):
            return Example(self.extractor.normalise(self.augmenter.silence(*view[index].shape, generator)), [])
        background = view[generator.integers(len(view))]
        features = self.augmenter.before_normalisation(view[index], background, generator)
        features = self.augmenter.after_normalisation(self.extractor.normalise(features), generator)
        return Example(features, self.labels[index])


def collate(examples: list[Example]) -> dict[str, Tensor]:
    """Make a batch: `input_features`, `attention_mask` and `labels`."""
    lengths = torch.tensor([len(example.features) for example in examples])
    features = pad_sequence([torch.from_numpy(example.features) for example in examples], batch_first=True)
    labels = [torch.tensor(example.labels, dtype=torch.int64) for example in examples]
    return {
        "input_features": features,
        "attention_mask": torch.arange(features.shape[1]) < lengths.unsqueeze(1),
        "labels": pad_sequence(labels, batch_first=True, padding_value=-100),
    }


def views_of(speech: TranscribedSpeech, extractor: BlstmCtcFeatureExtractor, factors: list[float]) -> list[list]:
    """Compute features that are not normalised, at each speed: float32 (frames, features) of each utterance."""
    rate = speech.sampling_rate
    return [
        [extractor.log_mel(change_speed(utterance.waveform, factor, rate)) for utterance in speech.utterances]
        for factor in factors
    ]


def check_alignable(model: BlstmCtcForCTC, data: SpokenExamples, speech: TranscribedSpeech) -> None:
    """Refuse clips that are too short for their transcripts, whose loss would be infinite.

    Raises:
        ValueError: with how many there are, and the first.
    """
    short = []
    for view in data.views:
        for features, labels, utterance in zip(view, data.labels, speech.utterances, strict=True):
            steps, needed = model._get_feat_extract_output_lengths(len(features)), num_needed_steps(labels)
            if steps < needed:
                short.append(f"{utterance.name} has {steps} steps and needs {needed}")
    if short:
        share = len(short) / (len(data.views) * len(data))
        raise ValueError(
            f"{len(short)} clips at some speed ({share:.2%}) are too short for their transcripts, such as {short[0]}. "
            "Leave them out, take lower speed_factors, or fewer frames a step (front_end stack, stacked_frames)."
        )
