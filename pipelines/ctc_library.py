"""Asks the C++ decoder of the package ctc-beam-decoder 0.2 through its C interface.

The package's own `decode_beams` normalises once more what is normalised, and writes out the times of every word of
every text, also of those that nobody wants: for a sentence that takes half as long as the search itself.
"""

import ctypes
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np

from .ctc_confidence import WordSpan

LEAST = float(np.log(1e-15))
"""A less probable label counts as this probable."""
NO_PRUNING = -1e30
"""Nats by which a text may be worse than the best."""
MESSAGE_BYTES = 512


class FoundText(NamedTuple):
    """A text that the decoder found."""

    words: list[str]
    times: Sequence[int]
    """Of each word the first step and the one after the last, one after the other."""
    acoustic: float
    """Log-probability, nats."""

    def spans(self, starts: Sequence[int]) -> tuple[WordSpan, ...]:
        """Return the words with their steps of the utterance.

        Args:
            starts: (decoder's steps + 1) where each of them starts in the utterance, and where the last one ends.
        """
        times = [starts[step] for step in self.times]
        return tuple(map(WordSpan, self.words, times[::2], times[1::2]))


def decode(
    decoder: Any,
    log_probabilities: np.ndarray,
    num_beams: int,
    least_of_label: float,
    hot_words: Sequence[str],
    hot_word_weight: float,
) -> list[FoundText]:
    """Search, and drop texts only because there are others enough.

    Args:
        decoder: the package's.
        log_probabilities: float32 (steps, vocabulary), normalised, contiguous, writable, none below LEAST.
        num_beams: places of the beam.
        least_of_label: a less probable label is not followed, nats.
        hot_words: each once.
        hot_word_weight: nats.

    Raises:
        RuntimeError: where the decoder cannot.
    """
    if not hasattr(decoder, "_capi"):  # another version of the package
        return decode_slowly(decoder, log_probabilities, num_beams, least_of_label, hot_words, hot_word_weight)
    library, message = decoder._capi.lib, ctypes.create_string_buffer(MESSAGE_BYTES)
    found = library.ctcbd_decode(
        decoder._handle,
        ctypes.c_float.from_buffer(log_probabilities),
        *log_probabilities.shape,
        num_beams,
        NO_PRUNING,
        least_of_label,
        False,
        (ctypes.c_char_p * max(1, len(hot_words)))(*(word.encode() for word in hot_words)),
        len(hot_words),
        hot_word_weight,
        message,
        MESSAGE_BYTES,
    )
    if not found:
        raise RuntimeError(message.value.decode("utf-8", "replace") or "ctc-beam-decoder cannot decode this.")
    try:
        return _read(library, ctypes.c_void_p(found))
    finally:
        library.ctcbd_result_free(ctypes.c_void_p(found))


def _read(library: Any, found: ctypes.c_void_p) -> list[FoundText]:
    sizes = ctypes.c_int32(), ctypes.c_int32(), ctypes.c_int32()
    library.ctcbd_sizes(found, *sizes)
    num_texts, num_words, num_bytes = (size.value for size in sizes)
    texts = bytearray(num_bytes + 1)  # here and below one more: ctypes takes nothing that is empty
    counts, times = np.empty(num_texts + 1, np.int32), np.empty(2 * num_words + 1, np.int32)
    acoustic, combined = np.empty((2, num_texts + 1))
    integers, doubles = (
        map(ctypes.c_int32.from_buffer, (counts, times)),
        map(ctypes.c_double.from_buffer, (acoustic, combined)),
    )
    library.ctcbd_pack(found, ctypes.byref(ctypes.c_char.from_buffer(texts)), *integers, *doubles)
    counts, times = counts[:-1].tolist(), times.tolist()
    ends = [2 * end for end in accumulate(counts)]
    written = texts[:num_bytes].decode().split("\0")  # a NUL after each
    return [
        FoundText(text.split(), times[end - 2 * count : end], score)
        for text, end, count, score in zip(written, ends, counts, acoustic.tolist(), strict=False)
    ]


def decode_slowly(
    decoder: Any,
    log_probabilities: np.ndarray,
    num_beams: int,
    least_of_label: float,
    hot_words: Sequence[str],
    hot_word_weight: float,
) -> list[FoundText]:
    """Search as `decode` does, through the package's Python interface."""
    beams = decoder.decode_beams(
        log_probabilities,
        beam_width=num_beams,
        beam_prune_logp=NO_PRUNING,
        token_min_logp=least_of_label,
        hotwords=list(hot_words),
        hotword_weight=hot_word_weight,
    )
    return [
        FoundText([word for word, _ in words], [step for _, times in words for step in times], acoustic)
        for _, _, words, acoustic, _ in beams
    ]
