"""What is said in a recording, when, and how sure that is: pipeline("ctc-transcription")."""

import base64
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers.utils import cached_file

from .audio_input import ReadAudio, read_audio
from .ctc_beam_search import BeamSearch, DecodingOptions
from .file_pipeline import FilePipeline
from .long_audio import log_probabilities_of
from .pipeline_common import RETURN_EVIDENCE, InputError, Option, check_text, only_item
from .speech_streaming import StreamingSession
from .transcripts import Transcriber, Transcript
from .word_ngrams import WordNGrams

LANGUAGE_MODEL_FILE = "language_model.arpa"
"""Of a checkpoint; it need not have one."""
MAXIMUM_CHARACTERS = 10_000
"""Of a text to align."""
DECIMALS = 3
"""Of a time in seconds."""
NO_BEAM_SEARCH = "The package ctc-beam-decoder is not installed here: this is the best path, without a language model."

_TEXTS = ("hot_words", "lexicon")
"""Options that are words in the model's letters."""


class CtcTranscriptionPipeline(FilePipeline):
    """Writes down what is said; returns hypotheses, best first: `text`, `chunks` and `score`.

    A recording is a path, the bytes of a file, or `{"raw": float array, "sampling_rate": hertz}`; `read_audio` tells
    the rest. Each of `chunks` has `text`, `timestamp` ([start, end] in seconds) and `confidence` (a probability).
    With one beam the text is the best path's (Graves 2006, section 3.2), with more that of a prefix beam search.

    With `return_evidence=True` each result has `evidence`: `labels` (V; "" is the blank), `frame_seconds`,
    `log_probabilities` (T lists of V, nats), and `alignment` (T labels by their number), the most probable path that
    spells this text; and `score_parts`. The network then computes without rounding, so that all of it is exact and
    belongs together: a text can be another than the quick one's where two are about as probable. Where something of the
    file was not used, `notices` says so.
    """

    _load_feature_extractor = True

    options = (
        Option(
            "return_timestamps",
            "str",
            "postprocess",
            "What the chunks are; true is words, and false is none.",
            choices=("word", "char", "none"),
        ),
        Option("num_beams", "int", "forward", "Prefixes that are followed; 1 is the best path.", 1, 200),
        Option("num_return_sequences", "int", "forward", "Transcripts to return, at most num_beams.", 1, 16),
        Option("language_model_weight", "float", "forward", "Of the checkpoint's language model; 0: none.", 0, 10),
        Option("word_bonus", "float", "forward", "Added to the score for each word, in nats.", -10, 10),
        Option("hot_words", "texts", "forward", "Words to listen for.", 1, 100),
        Option("hot_word_weight", "float", "forward", "How much they count.", 0, 50),
        Option("lexicon", "texts", "forward", "The only words that can be said; a text may hold many.", 1, 20_000),
        RETURN_EVIDENCE,
    )
    ignored_parameters = ("chunk_length_s", "stride_length_s")  # long recordings are cut as the network needs it
    example_input = base64.b64decode("UklGRiQDAABXQVZFZm10IBAAAAABAAEAgD4AAAB9AAACABAAZGF0YQADAA" + "A" * 1025 + "=")
    """A WAV file with a blink of silence."""

    def as_response(self, results: list[dict]) -> dict:
        """Return the best transcript, and the others as its `alternatives`: the Hub's schema has one.

        Of their evidence the alternatives have the alignment; the rest is the best one's.
        """
        best, *others = results
        alternatives = [
            other | ({"evidence": {"alignment": other["evidence"]["alignment"]}} if "evidence" in other else {})
            for other in others
        ]
        return best | ({"alternatives": alternatives} if alternatives else {})

    def align(self, recording: Any, text: str, return_timestamps: str | bool = "word") -> dict:
        """Find where the words of a given text are said, and score it.

        Args:
            recording: as for a call.
            text: in the letters that the model knows.
            return_timestamps: as for a call.

        Returns:
            A result with its evidence, as if the search had found the text.

        Raises:
            InputError: for a text with other letters, or one that is too long for the recording.
        """
        _, _, after = self._sanitize_parameters(return_timestamps=return_timestamps, return_evidence=True)
        sound = self.check_input(recording)
        text = self._in_letters("text", check_text(text, MAXIMUM_CHARACTERS))
        (log_probabilities,) = self.listen([sound], exactly=True)
        try:
            transcript = self.transcriber.align(log_probabilities, text)
        except ValueError as error:
            raise InputError(f"The recording is too short for this text: {error}", field="text") from error
        (result,) = self.postprocess({"answers": _Answer(log_probabilities, [transcript], sound.notices)}, **after)
        return result

    def check_input(self, item: Any) -> ReadAudio:
        """Return a mono waveform at the network's rate, or raise an InputError."""
        return read_audio(item, self.feature_extractor.sampling_rate)

    def measure_use(self, item: Any, results: list[dict]) -> dict[str, float]:
        """Count the seconds of the recording."""
        return {"audio_seconds": len(item.waveform) / self.feature_extractor.sampling_rate}

    def preprocess(self, sound: ReadAudio) -> dict:
        """Pass the waveform on: a long recording's features are made a part at a time, beside the network."""
        return {"sound": sound}

    def _forward(self, model_inputs: dict, exactly: bool = False, **options: Any) -> dict:
        sounds = model_inputs["sound"]
        sounds = sounds if isinstance(sounds, list) else [sounds]  # transformers collects those of a batch
        wanted = self._decoding_options(options)
        notices = () if self._can_search or "num_beams" in options else (NO_BEAM_SEARCH,)
        return {
            "answers": [
                _Answer(heard, self.transcriber.transcribe(heard, wanted), sound.notices + notices)
                for sound, heard in zip(sounds, self.listen(sounds, exactly), strict=True)
            ]
        }

    def postprocess(self, outputs: dict, return_timestamps: str = "word", return_evidence: bool = False) -> list[dict]:
        """Turn transcripts into results."""
        answer = only_item(outputs["answers"])
        results = []
        for transcript in answer.transcripts:
            result = {"text": transcript.text, "score": transcript.score}
            if return_timestamps != "none":
                result["chunks"] = self.chunks(transcript, return_timestamps)
            if return_evidence:
                result["evidence"] = {
                    "labels": list(self._characters),
                    "frame_seconds": self._frame_seconds,
                    "log_probabilities": answer.log_probabilities.tolist(),
                    "alignment": transcript.alignment,
                }
                result["score_parts"] = transcript.score_parts
            results.append(result | ({"notices": list(answer.notices)} if answer.notices else {}))
        return results

    def save_pretrained(self, save_directory: str | Path, **kwargs: Any) -> None:
        """Save all that is loaded, the language model too."""
        super().save_pretrained(save_directory, **kwargs)
        if self._language_model is not None:
            self._language_model.write(Path(save_directory, LANGUAGE_MODEL_FILE))

    def session(self) -> StreamingSession:
        """Begin to write down what is said while it is said; `feed` samples, then `finish`.

        Raises:
            InputError: for a checkpoint that reads both ways.
        """
        return StreamingSession(self.model, self.feature_extractor, self._characters)

    def listen(self, sounds: Sequence[ReadAudio], exactly: bool = False) -> list[Tensor]:
        """Return log-probabilities, float32 (steps, labels), of each recording.

        Args:
            sounds: recordings.
            exactly: compute without rounding.
        """
        network = self.network.exact if exactly and self.network is self._compiled else self.network
        return log_probabilities_of(network, self.feature_extractor, [sound.waveform for sound in sounds])

    def chunks(self, transcript: Transcript, of: str = "word") -> list[dict]:
        """Return a transcript's words, or its characters ("char"), with times in seconds and confidences."""
        return [
            {
                "text": piece.text,
                "timestamp": [round(step * self._frame_seconds, DECIMALS) for step in piece.span],
                "confidence": piece.confidence,
            }
            for piece in (transcript.words if of == "word" else transcript.characters)
        ]

    @cached_property
    def transcriber(self) -> Transcriber:
        """What decodes; it is made once."""
        blank = self._characters.index("")
        beam_search = BeamSearch(self._characters, blank, " ", self._language_model)
        return Transcriber(self.model, self._characters, beam_search, self.model.config.confidence_temperatures or {})

    def _sanitize_parameters(self, **options: Any) -> tuple[dict, dict, dict]:
        timestamps = options.get("return_timestamps")
        if isinstance(timestamps, bool):  # as the Hub's schema has it
            options["return_timestamps"] = "word" if timestamps else "none"
        before, forward, after = super()._sanitize_parameters(**options)
        if after.get("return_evidence"):
            forward["exactly"] = True
        return before, forward, after

    def _decoding_options(self, options: dict[str, Any]) -> DecodingOptions:
        """Complete options by the checkpoint's, and refuse those that contradict each other."""
        defaults = dict(self.model.config.decoding or {}) | ({} if self._can_search else {"num_beams": 1})
        if self._language_model is None:
            defaults["language_model_weight"] = 0.0
            if options.get("language_model_weight"):
                raise InputError("This checkpoint has no language model.", field="language_model_weight")
        texts = {name: tuple(self._in_letters(name, text) for text in options.get(name, ())) for name in _TEXTS}
        lexicon = frozenset(word for text in texts["lexicon"] for word in text.split()) or None
        wanted = DecodingOptions(**defaults | options | {"hot_words": texts["hot_words"], "lexicon": lexicon})
        if wanted.num_return_sequences > wanted.num_beams:
            raise InputError(
                f"num_return_sequences must be at most num_beams, {wanted.num_beams}; "
                f"got {wanted.num_return_sequences}.",
                field="num_return_sequences",
            )
        for name in (*_TEXTS, "language_model_weight", "word_bonus"):
            if wanted.num_beams == 1 and options.get(name):
                raise InputError(f"{name} needs a beam search: num_beams of at least 2; got 1.", field=name)
        return wanted

    def _in_letters(self, field: str, text: str) -> str:
        """Write a text in the model's letters, words apart by one space, or raise an InputError."""
        text = " ".join(text.upper().split())
        unknown = sorted(set(text) - set(self._characters))
        if unknown or not text:
            letters = "".join(sorted(character for character in self._characters if character.strip()))
            raise InputError(f"{field} must be words in the letters {letters}; got {unknown or text!r}.", field=field)
        return text

    @property
    def _can_search(self) -> bool:
        """Whether there is more than the best path here."""
        return importlib.util.find_spec("ctc_beam_decoder") is not None

    @cached_property
    def _characters(self) -> tuple[str, ...]:
        """What each label writes."""
        vocabulary = sorted(self.tokenizer.get_vocab().items(), key=lambda item: item[1])
        special = {self.tokenizer.pad_token: "", self.tokenizer.word_delimiter_token: " "}
        return tuple(special.get(token, token) for token, _ in vocabulary)

    @cached_property
    def _frame_seconds(self) -> float:
        return self.model.config.inputs_to_logits_ratio / self.feature_extractor.sampling_rate

    @cached_property
    def _language_model(self) -> WordNGrams | None:
        """The one beside the weights, if there is one."""
        path = cached_file(
            self.model.name_or_path,
            LANGUAGE_MODEL_FILE,
            revision=getattr(self.model.config, "_commit_hash", None),
            _raise_exceptions_for_missing_entries=False,
        )
        return path and WordNGrams.read(path)


@dataclass(frozen=True)
class _Answer:
    """What was heard in one recording, kept together while transformers takes batches apart."""

    log_probabilities: Tensor
    transcripts: list[Transcript]
    notices: tuple[str, ...]
