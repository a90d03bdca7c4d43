"""Evaluation and card of attention NMT: BLEU and chrF on the published test split."""

import dataclasses
import json
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from transformers import Pipeline

from models.configuration_attention_nmt import AttentionNmtConfig
from models.modeling_attention_nmt import AttentionNmtForConditionalGeneration
from models.tokenization_attention_nmt import AttentionNmtTokenizer

from .attention_nmt import MEASURED_OFTEN, Collator, set_decoding_defaults, translate_lines
from .card import CardFacts, pairs
from .directed_evaluation import (
    CORPUS_NAMES,
    LANGUAGE_NAMES,
    LENGTH_PENALTIES,
    directed_card_facts,
    evaluate_directions,
)
from .directed_text import Pair, load_directions
from .json_files import write_json
from .parallel_text import ParallelSplit, load_split
from .translation_metrics import bleu_by_length, corpus_scores

SEVERAL = ("en-de", "de-en", "en-fr", "fr-en")
HEADLINES = (
    *("BLEU, lower-cased", "BLEU, cased", "chrF2"),
    *(f"BLEU, {corpus} {direction}" for corpus in CORPUS_NAMES.values() for direction in SEVERAL),
)
"""Metrics that the README's table shows."""
UNFAMILIAR_PERCENTILE = 2
"""Of the validation sentences, whose translations are all of the familiar kind: so many are taken for unfamiliar."""
PAPER_RESULTS = {
    "de": (
        ("Caglayan et al. 2017, text-only attention RNN, mean of single models", "38.1 BLEU"),
        ("Caglayan et al. 2017, their ensemble", "40.7 BLEU"),
        ("Elliott and Kádár 2017, text-only baseline", "35.5 BLEU"),
        ("Calixto, Liu and Campbell 2017, text-only attention NMT", "33.7 BLEU"),
    ),
    "fr": (
        ("Caglayan et al. 2017, text-only attention RNN, mean of single models", "52.5 BLEU"),
        ("Caglayan et al. 2017, their ensemble", "54.3 BLEU"),
    ),
}
"""The papers score lower-cased text that was normalised and tokenised by Moses, which runs a little above ours."""


@dataclass(frozen=True)
class Evaluation:
    """Options of `python -m training.evaluate` on an attention NMT checkpoint."""

    data: list[str] | None = None
    """As in training."""
    tune: bool = False
    """First choose, on the validation split, the length penalty and below what a sentence is unfamiliar; keep both."""
    num_beams: int = 5
    device: str = "cpu"


def tune_length_penalty(
    model: AttentionNmtForConditionalGeneration, tokenizer: AttentionNmtTokenizer, split: ParallelSplit, num_beams: int
) -> dict[float, float]:
    """Return lower-cased BLEU on the validation split for each of `LENGTH_PENALTIES`."""
    scores = {}
    for penalty in LENGTH_PENALTIES:
        found = translate_lines(model, tokenizer, split.sources, num_beams=num_beams, length_penalty=penalty)
        scores[penalty] = corpus_scores(found, split.targets)[0].value
    return scores


def mean_log_probabilities(
    model: AttentionNmtForConditionalGeneration, tokenizer: AttentionNmtTokenizer, pairs: list[Pair], num_beams: int
) -> list[float]:
    """Return the mean log-probability of the pieces of each source's best translation, nats.

    Args:
        model: with its decoding defaults.
        tokenizer: its.
        pairs: of which the sources and the target languages are read.
        num_beams: of the search.
    """
    collate, means = Collator(tokenizer, sampling_alpha=0.0), []
    pairs = sorted(pairs, key=lambda pair: len(pair.source))
    for start in range(0, len(pairs), 64):
        batch = collate(pairs[start : start + 64])
        ids, mask = batch["input_ids"].to(model.device), batch["attention_mask"].to(model.device)
        found = model.translate(ids, mask, num_beams=num_beams)
        means += [fmean(hypotheses[0].token_log_probabilities) for hypotheses in found]
    return means


def tune_unfamiliar_below(pipe: Pipeline, pairs: list[Pair], num_beams: int) -> float:
    """Choose below what mean log-probability a sentence is unfamiliar; keep it in the model and in its config.json.

    Args:
        pipe: of a checkpoint in a folder.
        pairs: the validation sentences of all directions.
        num_beams: of the search.

    Returns:
        The 2nd percentile of the sentences' means, nats a piece.
    """
    means = mean_log_probabilities(pipe.model, pipe.tokenizer, pairs, num_beams)
    threshold = round(float(np.percentile(means, UNFAMILIAR_PERCENTILE)), 4)
    pipe.model.config.unfamiliar_below = threshold
    path = Path(pipe.model.name_or_path, "config.json")
    write_json(path, json.loads(path.read_text(encoding="utf-8")) | {"unfamiliar_below": threshold})
    return threshold


def evaluate(pipe: Pipeline, options: Evaluation) -> dict:
    """Measure a checkpoint on the test split; with `tune`, choose its decoding defaults on the validation split.

    Returns:
        What goes into evaluation.json; `decoding` are the options that were measured.
    """
    model, tokenizer = pipe.model, pipe.tokenizer
    if model.config.directions:
        return _evaluate_several(pipe, options)
    languages = (model.config.source_language, model.config.target_language)
    result = {}
    if options.tune:
        validation = load_split(options.data, "validation", *languages)
        tuning = tune_length_penalty(model, tokenizer, validation, options.num_beams)
        set_decoding_defaults(model, options.num_beams, max(tuning, key=tuning.get))
        sources = [Pair(source, "") for source in validation.sources]
        threshold = tune_unfamiliar_below(pipe, sources, options.num_beams)
        result["tuning"] = {
            "split": "validation",
            "bleu_lc_by_length_penalty": tuning,
            "unfamiliar_below": threshold,
        }
    test = load_split(options.data, "test", *languages)
    decoding = {"num_beams": options.num_beams, "length_penalty": model.generation_config.length_penalty}
    beam = translate_lines(model, tokenizer, test.sources, **decoding)
    greedy = translate_lines(model, tokenizer, test.sources, num_beams=1)
    return result | {
        "split": "test_2016_flickr" if options.data is None or len(options.data) == 1 else "test",
        "sentences": len(test),
        "sha256": test.checksum(),
        "decoding": decoding,
        "metrics": [dataclasses.asdict(metric) for metric in corpus_scores(beam, test.targets)],
        "greedy": [dataclasses.asdict(metric) for metric in corpus_scores(greedy, test.targets)],
        "bleu_by_source_words": bleu_by_length(test.sources, beam, test.targets),
        "speed": _speed(model, tokenizer, test.sources, decoding),
    }


def _evaluate_several(pipe: Pipeline, options: Evaluation) -> dict:
    model, tokenizer, directions = pipe.model, pipe.tokenizer, pipe.model.config.directions
    measured = evaluate_directions(model, tokenizer, options.data, options.num_beams, options.tune)
    if options.tune:
        texts = [one.first(MEASURED_OFTEN) for one in load_directions(options.data, "validation", directions)]
        familiar = [pair for one in texts for pair in one.pairs()]
        measured["tuning"]["unfamiliar_below"] = tune_unfamiliar_below(pipe, familiar, options.num_beams)
    sources = load_directions(options.data, "test", directions[:1])[0].split.sources[:1000]
    language = directions[0].split("-")[1]
    return measured | {"speed": _speed(model, tokenizer, sources, measured["decoding"], target_language=language)}


def _speed(
    model: AttentionNmtForConditionalGeneration,
    tokenizer: AttentionNmtTokenizer,
    sources: list[str],
    decoding: dict,
    target_language: str | None = None,
) -> dict[str, float]:
    """Return sentences a second, one at a time and in batches of 64, on this machine's `device` and threads."""
    speed: dict[str, float] = {"threads": torch.get_num_threads()}
    for name, batch_size, lines in (("single", 1, sources[:100]), ("batch_64", 64, sources)):
        started = time.perf_counter()
        translate_lines(model, tokenizer, lines, batch_size, target_language, **decoding)
        speed[f"sentences_per_second_{name}"] = round(len(lines) / (time.perf_counter() - started), 1)
    return speed


def published_results(folder: Path) -> tuple[tuple[str, str], ...]:
    """Return the published systems, and their numbers, that a checkpoint is compared with."""
    configuration = AttentionNmtConfig.from_pretrained(folder)
    if configuration.directions:
        return _papers_of(configuration.directions)
    return PAPER_RESULTS.get(configuration.target_language, ())


def _papers_of(directions: list[str]) -> tuple[tuple[str, str], ...]:
    """Return the best published single system for each direction from English; all are measured on Multi30k."""
    targets = [direction.split("-")[1] for direction in directions if direction.startswith("en-")]
    return tuple(
        (f"Multi30k en-{target}: {system}", value) for target in targets for system, value in PAPER_RESULTS[target][:1]
    )


def card_facts(pipe: Pipeline, evaluation: dict) -> CardFacts:
    """Say what the card needs to and the files do not."""
    if pipe.model.config.directions:
        directions = pipe.model.config.directions
        return directed_card_facts(directions, evaluation, _papers_of(directions))
    source, target = pipe.model.config.source_language, pipe.model.config.target_language
    names = [LANGUAGE_NAMES.get(language, language) for language in (source, target)]
    return CardFacts(
        title=f"Attention NMT, {names[0]} to {names[1]}",
        summary=f"Translates a sentence from {names[0]} to {names[1]} and shows which pieces of it each piece of the "
        "translation looked at.",
        languages=(source, target),
        dataset_id="multi30k",
        dataset_name="Multi30k",
        dataset_licence="Trained on Multi30k alone (Elliott, Frank, Sima'an and Specia 2016; Elliott et al. 2017): "
        "descriptions of Flickr pictures and their translations, provided for researchers and educators who wish to "
        "use the data set for non-commercial research and educational purposes. The weights carry that condition.",
        licence_name="multi30k-non-commercial-research-and-education",
        paper_results=PAPER_RESULTS.get(target, ()),
        limits="It has only ever read descriptions of photographs, 29,000 of them: a sentence of any other kind is "
        "translated as if it were one. It translates one sentence at a time; names, numbers and rare words are often "
        "wrong. The published scores use another tokenisation, so a difference of a point either way says little.",
        example='"A dog runs through the snow."',
        details=_details(evaluation),
    )


def _details(evaluation: dict) -> tuple[str, ...]:
    rows = [
        f"| {row['first']}–{row['last'] if row['last'] < 1000 else ''} | {row['sentences']} | {row['bleu_lc']} |"
        for row in evaluation["bleu_by_source_words"]
    ]
    parts = ["| source words | sentences | BLEU, lower-cased |\n|---|---|---|\n" + "\n".join(rows)]
    if "tuning" in evaluation:
        scores = evaluation["tuning"]["bleu_lc_by_length_penalty"]
        parts.append("Length penalty, chosen on the validation split: " + pairs(scores) + " (BLEU, lower-cased).")
    return (*parts, "Speed: " + pairs(evaluation["speed"]).replace("_", " ") + ".")
