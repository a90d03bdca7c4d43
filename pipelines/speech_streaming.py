"""Text while someone speaks, with a network that only reads forwards.

Names of dimensions in this file:
    samples     of the waveform
    frames      of features
    features    width of a frame
    steps       frames of log-probabilities
    vocabulary  labels, the blank included
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .audio_waveform import MAXIMUM_LEVEL, MAXIMUM_SECONDS
from .pipeline_common import InputError, shown
from .speech_reading import SpeechReader

SECONDS_AT_ONCE = 10
"""What of a large piece is read at a time, for the memory's sake."""


@dataclass(frozen=True)
class StreamedSpeech:
    """What a session has heard from beginning to end."""

    text: str
    log_probabilities: Tensor
    """float (steps, vocabulary), on the CPU; those of one pass over the whole."""


class StreamingSession:
    """Listens to one recording, piece after piece, however it is cut; text that was returned never changes.

    Text is that of the best path (Graves et al. 2006, section 3.2). A session lasts `MAXIMUM_SECONDS` at most. It keeps
    less than a window of samples, two steps of features, the layers' states, the text, and the log-probabilities: in an
    hour at 25 steps a second less than 100 MB, however small the pieces.
    """

    def __init__(self, model: Any, extractor: Any, characters: Sequence[str]):
        """Begin a recording.

        Args:
            model: the recogniser, in evaluation mode; sessions may share it.
            extractor: makes its features; with `feature_means`.
            characters: (vocabulary), what each label writes; " " between words, and "" for the blank.

        Raises:
            InputError: when the checkpoint needs the whole recording.
        """
        if model.config.bidirectional:
            raise InputError(
                "Recognition while someone speaks needs a checkpoint that only reads forwards; this one reads both "
                "ways, from the recording's end too. Send the whole recording, or choose another checkpoint."
            )
        if extractor.feature_means is None:
            raise InputError(
                "Recognition while someone speaks needs features normalised by the training data; this checkpoint "
                "normalises over the whole recording (no feature_means). Send the whole recording."
            )
        self._extractor, self._characters, self._blank = extractor, characters, model.config.pad_token_id
        self._reader = SpeechReader(model)
        self._samples = np.zeros(0, np.float32)
        self._num_samples = self._num_frames = 0
        self._last_label = self._blank
        self._log_probabilities: list[Tensor] = []
        self._text, self._is_between_words = "", False
        self._is_finished = False

    @property
    def text(self) -> str:
        """What was said so far; words apart by one space."""
        return self._text

    def feed(self, samples: np.ndarray) -> str:
        """Listen on.

        Args:
            samples: float (samples) between -1 and 1, mono, at the extractor's rate; any number of them.

        Returns:
            All text so far; it begins with what was returned before.

        Raises:
            InputError: for what are no such samples, or too many; the session stays as it was.
            ValueError: when the session is finished.
        """
        self._check_open()
        samples = self._checked(np.asarray(samples))
        self._num_samples += len(samples)
        size = SECONDS_AT_ONCE * self._extractor.sampling_rate
        for start in range(0, len(samples), size):
            features = self._features_with(samples[start : start + size])
            if len(features) > 0:
                self._hear(self._reader.read(features))
        return self._text

    def finish(self) -> StreamedSpeech:
        """Hear the end; without a single sample there are no steps.

        Raises:
            ValueError: when the session is finished already.
        """
        self._check_open()
        self._is_finished = True
        is_less_than_a_window = self._num_frames == 0
        features = self._normalised(self._samples if is_less_than_a_window else self._samples[:0])
        self._hear(self._reader.read(features, is_last=True))
        return StreamedSpeech(self._text, torch.cat(self._log_probabilities))

    def _check_open(self) -> None:
        if self._is_finished:
            raise ValueError("The session is finished: begin another for the next recording.")

    def _checked(self, samples: np.ndarray) -> np.ndarray:
        """Return float32 (samples)."""
        if samples.ndim != 1 or samples.dtype.kind != "f":
            raise InputError(
                f"Expected mono samples, floats between -1 and 1; got {samples.dtype} {samples.shape}. "
                "Divide samples of 16 bits by 32768, and send one channel."
            )
        levels = np.abs(samples)
        if not levels.max(initial=0) <= MAXIMUM_LEVEL:  # nor for what is not a number
            raise InputError(f"Expected samples between -1 and 1; got {shown(float(levels.max()))}.")
        if self._num_samples + len(samples) > MAXIMUM_SECONDS * self._extractor.sampling_rate:
            raise InputError(f"Expected at most {MAXIMUM_SECONDS:,} seconds; got more. Begin another session.")
        return samples.astype(np.float32)

    def _features_with(self, samples: np.ndarray) -> np.ndarray:
        """Return the frames whose windows are complete now, float32 (frames, features); keep the rest."""
        self._samples = np.concatenate([self._samples, samples])
        if len(self._samples) < self._extractor.window_length:
            return self._normalised(self._samples[:0])
        features = self._normalised(self._samples)
        self._num_frames += len(features)
        self._samples = self._samples[len(features) * self._extractor.hop_length :].copy()
        return features

    def _normalised(self, samples: np.ndarray) -> np.ndarray:
        if len(samples) == 0:
            return np.zeros((0, self._extractor.feature_size), np.float32)
        return self._extractor.normalise(self._extractor.log_mel(samples))

    def _hear(self, log_probabilities: Tensor) -> None:
        """Go on with the best path: a label counts where it is not the one before."""
        self._log_probabilities.append(log_probabilities)
        for label in log_probabilities.argmax(dim=1).tolist():
            if label not in (self._last_label, self._blank):
                self._write(self._characters[label])
            self._last_label = label

    def _write(self, character: str) -> None:
        if character == " ":
            self._is_between_words = True
            return
        gap = " " if self._is_between_words and self._text else ""
        self._text, self._is_between_words = self._text + gap + character, False
