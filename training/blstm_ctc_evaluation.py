"""Evaluation and card of the speech recogniser: error rates with intervals, confidences, times, and how fast it is."""

import dataclasses
import importlib.metadata
import itertools
import json
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import jiwer
import numpy as np
import torch
from torch import Tensor
from transformers import Pipeline

from pipelines.audio_input import ReadAudio
from pipelines.ctc_beam_search import DecodingOptions
from pipelines.long_audio import CHUNK_SECONDS, STRIDE_SECONDS, log_probabilities_of
from pipelines.transcripts import Transcript

from .blstm_ctc import error_rates
from .calibration import (
    TEMPERATURES,
    NBestList,
    choose_temperature,
    expected_calibration_error,
    log_loss,
    word_is_correct,
)
from .card import CardFacts
from .json_files import write_json
from .metric import Metric
from .transcribed_speech import TranscribedSpeech, load_split

LANGUAGE_MODEL_WEIGHTS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
WORD_BONUSES = (-1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0)
NUM_BEAMS = 32
RESAMPLES = 1000
"""Of the bootstrap's."""
LONG_SECONDS = 600
"""Of the recording that clips are joined to."""
BEST_PATH, LANGUAGE_MODEL = "best path", "language model"
HEADLINES = (
    "WER %, best path",
    "WER %, language model",
    "CER %, best path",
    "CER %, language model",
)
"""Metrics that the README's table shows."""
PAPER_RESULTS = (
    ("deepspeech.pytorch, 5 x 800 BGRU, CTC, greedy, all 130 test clips", "WER 10.5, CER 4.8"),
    ("ESPnet 1, BLSTM, CTC, beam 20, all 130", "CER 12.6"),
    ("ESPnet 2, Transformer and CTC, with language model, all 130", "WER 7.4, CER 3.6"),
    ("Kaldi, triphones, all 130", "WER 10.5"),
    ("Kaldi, speaker-adaptive triphones (tri3), all 130", "WER 5.95"),
)


@dataclass(frozen=True)
class Evaluation:
    """Options of `python -m training.evaluate` on a speech recogniser."""

    data: list[str] | None = None
    """As in training."""
    tune: bool = False
    """First choose the search on the validation split, calibrate confidences there, and keep both in the checkpoint."""
    seed: int = 1
    """Of the bootstrap."""
    device: str = "cpu"


@dataclass(frozen=True)
class Heard:
    """A split's clips as the network heard them."""

    speech: TranscribedSpeech
    log_probabilities: list[Tensor]
    """float32 (steps, labels) each."""


def evaluate(pipe: Pipeline, options: Evaluation) -> dict:
    """Measure a checkpoint on the test split; with `tune`, choose its search and calibrate it on the validation split.

    Returns:
        What goes into evaluation.json; `decoding` are the options of the search with the language model.
    """
    validation, result = listen(pipe, load_split(options.data, "validation")), {}
    if options.tune:
        result["tuning"] = tune(pipe, validation)
    decoding = DecodingOptions(**pipe.model.config.decoding or {})
    searches = {BEST_PATH: dataclasses.replace(decoding, num_beams=1), LANGUAGE_MODEL: decoding}
    test = listen(pipe, load_split(options.data, "test"))
    measured, metrics = {}, []
    for name, search in searches.items():
        measured[name], transcripts = measure(pipe, test, search, options.seed)
        metrics += _metrics(name, measured[name], search)
        result.setdefault("validation", {})[name] = measure(pipe, validation, search, options.seed)[0]
    return result | {
        "split": "test",
        "clips": len(test.speech.utterances),
        "sha256": test.speech.facts()["sha256"],
        "parameters": sum(parameter.numel() for parameter in pipe.model.parameters()),
        "decoding": {name: value for name, value in dataclasses.asdict(decoding).items() if value},
        "metrics": [dataclasses.asdict(metric) for metric in metrics],
        "searches": measured,
        "real_time_factor": speed(pipe, test),
        "long_recording": long_recording(pipe, test),
        "examples": examples(pipe, test, transcripts),
    }


def listen(pipe: Pipeline, speech: TranscribedSpeech) -> Heard:
    """Run the network over every clip, one at a time."""
    return Heard(speech, [pipe.listen([ReadAudio(utterance.waveform)])[0] for utterance in speech.utterances])


def measure(pipe: Pipeline, heard: Heard, search: DecodingOptions, seed: int) -> tuple[dict, list[Transcript]]:
    """Return error rates with their intervals, by speaker, and what confidences are worth; and the transcripts."""
    transcripts = [pipe.transcriber.transcribe(one, search)[0] for one in heard.log_probabilities]
    texts, references = [transcript.text for transcript in transcripts], heard.speech.transcripts
    errors = np.array([_errors(reference, text) for reference, text in zip(references, texts, strict=True)])
    by_speaker = defaultdict(list)
    for utterance, row in zip(heard.speech.utterances, errors, strict=True):
        by_speaker[utterance.speaker].append(row)
    rates = {speaker: _rates(np.array(rows))["wer"] for speaker, rows in sorted(by_speaker.items())}
    confidences, correct = confidences_of(transcripts, references)
    calibration = round(expected_calibration_error(confidences, correct), 4) if confidences else None
    numbers = _rates(errors) | {
        "intervals_95": bootstrap(errors, seed),
        "substitutions_deletions_insertions": _kinds(references, texts),
        "wer_by_speaker": rates,
        "expected_calibration_error": calibration,
    }
    return numbers, transcripts


def confidences_of(transcripts: list[Transcript], references: list[str]) -> tuple[list[float], list[bool]]:
    """Return each recognised word's confidence, and whether it was said."""
    confidences = [word.confidence for transcript in transcripts for word in transcript.words]
    flags = [
        word_is_correct(reference, transcript.text)
        for reference, transcript in zip(references, transcripts, strict=True)
    ]
    return confidences, list(itertools.chain.from_iterable(flags))


def bootstrap(errors: np.ndarray, seed: int) -> dict[str, list[float]]:
    """Draw clips with replacement and return the middle 95 % of each error rate (Bisani and Ney 2004).

    Args:
        errors: (clips, 4): word errors, words, character errors, characters.
        seed: of the draws.
    """
    generator = np.random.default_rng(seed)
    draws = [_rates(errors[generator.integers(len(errors), size=len(errors))]) for _ in range(RESAMPLES)]
    limits = {name: np.quantile([draw[name] for draw in draws], (0.025, 0.975)) for name in ("wer", "cer")}
    return {name: [round(float(limit), 2) for limit in pair] for name, pair in limits.items()}


def tune(pipe: Pipeline, heard: Heard) -> dict:
    """Choose language model weight and word bonus by the word error rate, then the temperatures; keep them.

    Returns:
        What was tried, the best first, and what was chosen.
    """
    references, rows = heard.speech.transcripts, []
    for weight, bonus in itertools.product(LANGUAGE_MODEL_WEIGHTS, WORD_BONUSES):
        search = DecodingOptions(NUM_BEAMS, language_model_weight=weight, word_bonus=bonus)
        texts = [pipe.transcriber.transcribe(one, search)[0].text for one in heard.log_probabilities]
        rates = {name: round(rate, 2) for name, rate in error_rates(texts, references).items()}
        rows.append({"language_model_weight": weight, "word_bonus": bonus, **rates})
    rows.sort(key=lambda row: (row["wer"], row["cer"]))
    chosen = {name: rows[0][name] for name in ("language_model_weight", "word_bonus")}
    decoding = {"num_beams": NUM_BEAMS, **chosen}
    temperatures = {
        "best_path": _best_path_temperature(pipe, heard),
        "beam_search": choose_temperature(n_best_lists(pipe, heard, DecodingOptions(**decoding))),
    }
    store(pipe, decoding=decoding, confidence_temperatures=temperatures)
    return {"split": "validation", "searches": rows[:5], "confidence_temperatures": temperatures}


def n_best_lists(pipe: Pipeline, heard: Heard, search: DecodingOptions) -> list[NBestList]:
    """Search every clip; say which words of the best hypothesis were said."""
    lists = []
    for log_probabilities, reference in zip(heard.log_probabilities, heard.speech.transcripts, strict=True):
        found = pipe.transcriber.hypotheses(log_probabilities, search)
        words, scores = [list(one.words) for one in found], [one.score for one in found]
        lists.append(NBestList(words, scores, word_is_correct(reference, found[0].text)))
    return lists


def _best_path_temperature(pipe: Pipeline, heard: Heard) -> float:
    """Return the temperature whose confidences of the best path have the least log loss."""
    plain = dataclasses.replace(pipe.transcriber, confidence_temperatures={})
    found = [plain.transcribe(one, DecodingOptions(num_beams=1))[0] for one in heard.log_probabilities]
    confidences, correct = confidences_of(found, heard.speech.transcripts)
    losses = {t: log_loss([value ** (1 / t) for value in confidences], correct) for t in TEMPERATURES}
    return min(losses, key=losses.__getitem__)


def store(pipe: Pipeline, **values: dict) -> None:
    """Keep values in a checkpoint's configuration, in its file and in the loaded pipeline."""
    path = Path(pipe.model.name_or_path, "config.json")
    write_json(path, json.loads(path.read_text(encoding="utf-8")) | values)
    for name, value in values.items():
        setattr(pipe.model.config, name, value)
    del pipe.transcriber  # it was made with the old ones


def speed(pipe: Pipeline, heard: Heard) -> dict[str, float]:
    """Return seconds of computing for a second of sound: features and network, and all with the search."""
    sounds = [ReadAudio(utterance.waveform) for utterance in heard.speech.utterances]
    started = time.perf_counter()
    for sound in sounds:
        pipe.listen([sound])
    listened = time.perf_counter() - started
    started = time.perf_counter()
    for utterance in heard.speech.utterances:
        pipe({"raw": utterance.waveform, "sampling_rate": heard.speech.sampling_rate})
    answered = time.perf_counter() - started
    seconds = heard.speech.seconds
    return {
        "threads": torch.get_num_threads(),
        "features_and_network": round(listened / seconds, 4),
        "with_search_and_alignment": round(answered / seconds, 4),
    }


def long_recording(pipe: Pipeline, heard: Heard) -> dict[str, float]:
    """Join clips to a long recording, and compare what is cut into chunks with one pass over the whole."""
    clips, total, parts = itertools.cycle(heard.speech.utterances), LONG_SECONDS * heard.speech.sampling_rate, []
    while sum(map(len, parts)) < total:
        parts.append(next(clips).waveform)
    waveform = np.concatenate(parts)[:total]
    one_pass = LONG_SECONDS + 1.0
    chunked, whole = (
        log_probabilities_of(pipe.model, pipe.feature_extractor, [waveform], **options)[0]
        for options in ({}, {"chunk_seconds": one_pass})
    )
    texts = [pipe.transcriber.transcribe(one, DecodingOptions(num_beams=1))[0].text for one in (whole, chunked)]
    return {
        "seconds": LONG_SECONDS,
        "chunk_seconds": CHUNK_SECONDS,
        "stride_seconds": STRIDE_SECONDS,
        "greatest_difference_of_a_probability": round(float((chunked.exp() - whole.exp()).abs().max()), 6),
        "words": len(texts[0].split()),
        "words_that_differ": _errors(*texts)[0],
    }


def examples(pipe: Pipeline, heard: Heard, transcripts: list[Transcript]) -> list[dict]:
    """Return three transcripts that are right and the first that is wrong, with times."""
    right, wrong = [], []
    for utterance, transcript in zip(heard.speech.utterances, transcripts, strict=True):
        (right if utterance.transcript == transcript.text else wrong).append((utterance, transcript))
    return [
        {
            "clip": utterance.name,
            "said": utterance.transcript,
            "heard": transcript.text,
            "words": pipe.chunks(transcript),
        }
        for utterance, transcript in right[:3] + wrong[:1]
    ]


def _errors(reference: str, text: str) -> tuple[int, int, int, int]:
    """Count word errors, words, character errors and characters of a clip."""
    words, characters = jiwer.process_words(reference, text), jiwer.process_characters(reference, text)
    return (
        words.substitutions + words.deletions + words.insertions,
        words.substitutions + words.deletions + words.hits,
        characters.substitutions + characters.deletions + characters.insertions,
        characters.substitutions + characters.deletions + characters.hits,
    )


def _rates(errors: np.ndarray) -> dict[str, float]:
    """Return error rates in percent over all clips together."""
    word_errors, words, character_errors, characters = errors.sum(axis=0)
    wer, cer = 100 * word_errors / words, 100 * character_errors / characters
    return {"wer": round(float(wer), 2), "cer": round(float(cer), 2)}


def _kinds(references: list[str], texts: list[str]) -> list[int]:
    output = jiwer.process_words(references, texts)
    return [output.substitutions, output.deletions, output.insertions]


def _metrics(name: str, numbers: dict, search: DecodingOptions) -> list[Metric]:
    signature = f"search:{'best path' if search.num_beams == 1 else f'beam {search.num_beams}'}"
    if search.language_model_weight and search.num_beams > 1:
        signature += f"|lm:{search.language_model_weight}|bonus:{search.word_bonus}"
    signature += f"|text:as it is|jiwer:{importlib.metadata.version('jiwer')}"
    return [Metric(kind, f"{kind.upper()} %, {name}", numbers[kind], signature) for kind in ("wer", "cer")]


def published_results(folder: Path) -> tuple[tuple[str, str], ...]:
    """Return the published systems, and their numbers, that a checkpoint is compared with."""
    return PAPER_RESULTS


def card_facts(pipe: Pipeline, evaluation: dict) -> CardFacts:
    """Say what the card needs to and the files do not."""
    return CardFacts(
        title="Speech recogniser, BLSTM and CTC, AN4",
        summary="Writes down spelled names, numbers and a few commands, with the time and the confidence of each word "
        "and letter, and shows every label's probability at every moment.",
        languages=("en",),
        dataset_id="an4",
        dataset_name="AN4",
        dataset_licence="Trained on AN4, the census database of Carnegie Mellon University (A. Acero, *Acoustical and "
        "Environmental Robustness in Automatic Speech Recognition*, Kluwer, 1993), Copyright (c) 1991-2005 Carnegie "
        "Mellon University: free for any purpose, its notice kept. The language model is counted on the same "
        "transcripts.",
        licence_name="an4-carnegie-mellon-university",
        paper_results=PAPER_RESULTS,
        limits="It knows 66 Americans of 1991 with close-talking microphones, who spell names and streets and say "
        "numbers, dates and control words such as ENTER, RUBOUT, ERASE and STOP: 99 words in all, most of them letters "
        "and digits. Any other speech, and any other language, is written in those letters and words, and is wrong; "
        "its confidences are calibrated on the same kind of speech and mean nothing elsewhere. Letters that sound "
        "alike (B D E P T V) are what it takes for one another.",
        example='"recording.wav"',
        unit="clips",
        details=_details(evaluation),
    )


def _details(evaluation: dict) -> tuple[str, ...]:
    rows = []
    for split in ("validation", "searches"):
        for search, numbers in evaluation[split].items():
            (low, high), calibration = numbers["intervals_95"]["wer"], numbers["expected_calibration_error"]
            kinds = " / ".join(map(str, numbers["substitutions_deletions_insertions"]))
            name = evaluation["split"] if split == "searches" else split
            rates = f"{numbers['wer']} ({low} to {high}) | {numbers['cer']} | {kinds} | {calibration}"
            rows.append(f"| {name} | {search} | {rates} |")
    table = (
        "Error rates in percent, with the middle 95 % of a bootstrap over clips; word substitutions / deletions / "
        "insertions; and the expected calibration error of the words' confidences (ten bins), whose temperatures were "
        "chosen on the validation split:\n\n"
        "| split | search | WER | CER | S / D / I | ECE |\n|---|---|---|---|---|---|\n"
    ) + "\n".join(rows)
    speakers = ", ".join(
        f"{speaker} {rate}" for speaker, rate in evaluation["searches"][LANGUAGE_MODEL]["wer_by_speaker"].items()
    )
    lines = [
        f'- {example["clip"]}: said "{example["said"]}", heard "{example["heard"]}": '
        + ", ".join(f"{chunk['text']} {chunk['timestamp'][0]}-{chunk['timestamp'][1]} s" for chunk in example["words"])
        for example in evaluation["examples"]
    ]
    factor = evaluation["real_time_factor"]
    return (
        table,
        f"The published test set has 130 clips; measured here are the {evaluation['clips']} that were at hand.",
        f"WER % by speaker, with the language model: {speakers}.",
        f"Computing for a second of sound, on {factor['threads']} thread(s): {factor['features_and_network']} s for "
        f"features and network, {factor['with_search_and_alignment']} s with search and alignment.",
        _long_recording_sentence(evaluation["long_recording"]),
        "Transcripts with their times, three right and one wrong:\n\n" + "\n".join(lines),
    )


def _long_recording_sentence(long: dict) -> str:
    return (
        f"A recording of {long['seconds']} seconds, joined from clips, is heard in chunks of "
        f"{long['chunk_seconds']:g} s with {long['stride_seconds']:g} s around them. Against one pass over the whole "
        f"no probability differs by more than {long['greatest_difference_of_a_probability']}, and of "
        f"{long['words']:,} words of the best path {long['words_that_differ']} differ."
    )
