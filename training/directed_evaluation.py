"""Evaluation and card of attention NMT for several directions: BLEU of each corpus and direction on its test split.

A sentence may have several right translations in Tatoeba: they are all its references.
"""

import dataclasses
import statistics
from typing import Any

from sacrebleu.metrics import BLEU

from models.modeling_attention_nmt import AttentionNmtForConditionalGeneration
from models.tokenization_attention_nmt import AttentionNmtTokenizer

from .attention_nmt import MEASURED_OFTEN, set_decoding_defaults, translate_lines
from .card import CardFacts, pairs
from .directed_text import DirectedText, load_directions
from .metric import Metric

LENGTH_PENALTIES = (0.6, 0.8, 1.0, 1.2, 1.4)
"""Of which the validation chooses one."""
LANGUAGE_NAMES = {"en": "English", "de": "German", "fr": "French"}
CORPUS_NAMES = {"tatoeba": "Tatoeba", "multi30k": "Multi30k"}
LICENCE = (
    "Trained on Tatoeba's sentence pairs (CC BY 2.0 France; by the contributors of tatoeba.org, as selected by "
    "www.manythings.org/anki) together with Multi30k (Elliott, Frank, Sima'an and Specia 2016; Elliott et al. 2017), "
    "which is provided for researchers and educators who wish to use it for non-commercial research and educational "
    "purposes. The weights carry that condition, and Tatoeba's asks for this attribution. A pair of Tatoeba's training "
    "split whose other side stands in the validation or the test split was left out."
)
LIMITS = (
    "It has read short everyday sentences and descriptions of photographs, one at a time: long sentences, technical or "
    "literary language, names, numbers and rare words are often translated wrongly, and fluently so. Tatoeba's "
    "sentences have close paraphrases in every split, so its scores flatter."
)


def evaluate_directions(
    model: AttentionNmtForConditionalGeneration,
    tokenizer: AttentionNmtTokenizer,
    data: list[str] | None,
    num_beams: int,
    tune: bool,
) -> dict:
    """Measure every corpus and direction on its test split; with `tune`, choose the length penalty on the validation.

    Returns:
        What goes into evaluation.json, but for the speed.
    """
    result: dict[str, Any] = {}
    directions = model.config.directions
    if tune:
        texts = [one.first(MEASURED_OFTEN) for one in load_directions(data, "validation", directions)]
        tuning = {
            penalty: statistics.fmean(
                directed_bleu(model, tokenizer, one, num_beams=num_beams, length_penalty=penalty).value for one in texts
            )
            for penalty in LENGTH_PENALTIES
        }
        set_decoding_defaults(model, num_beams, max(tuning, key=tuning.get))
        result["tuning"] = {
            "split": f"the first {MEASURED_OFTEN} sentences of each validation split",
            "mean_bleu_by_length_penalty": {penalty: round(score, 2) for penalty, score in tuning.items()},
        }
    decoding = {"num_beams": num_beams, "length_penalty": model.generation_config.length_penalty}
    tests = load_directions(data, "test", directions)
    return result | {
        "split": "test",
        "sentences": sum(len(set(one.split.sources)) for one in tests),
        "sha256": {one.name: one.split.checksum() for one in tests},
        "decoding": decoding,
        "metrics": [_row(one, directed_bleu(model, tokenizer, one, **decoding)) for one in tests],
        "greedy": [_row(one, directed_bleu(model, tokenizer, one, num_beams=1)) for one in tests],
    }


def directed_bleu(
    model: AttentionNmtForConditionalGeneration, tokenizer: AttentionNmtTokenizer, text: DirectedText, **options: Any
) -> Metric:
    """Return cased BLEU of a text, each source once, with all its references."""
    sources, references = grouped(text)
    found = translate_lines(model, tokenizer, sources, target_language=text.target_language, **options)
    metric = BLEU()
    score = round(metric.corpus_score(found, references).score, 2)
    return Metric("sacrebleu", title(text), score, str(metric.get_signature()))


def grouped(text: DirectedText) -> tuple[list[str], list[list[str | None]]]:
    """Return each source once, and its references as sacreBLEU wants them: lists as long as the sources, with gaps."""
    references: dict[str, list[str]] = {}
    for source, target in zip(text.split.sources, text.split.targets, strict=True):
        references.setdefault(source, []).append(target)
    most = max(map(len, references.values()))
    padded = [targets + [None] * (most - len(targets)) for targets in references.values()]
    return list(references), [list(stream) for stream in zip(*padded, strict=True)]


def title(text: DirectedText) -> str:
    """Name a text's score, such as "BLEU, Tatoeba en-de"."""
    return f"BLEU, {CORPUS_NAMES.get(text.corpus, text.corpus)} {text.direction}"


def _row(text: DirectedText, metric: Metric) -> dict:
    return dataclasses.asdict(metric) | {"dataset_id": text.corpus, "sentences": len(set(text.split.sources))}


def directed_card_facts(directions: list[str], evaluation: dict, papers: tuple[tuple[str, str], ...]) -> CardFacts:
    """Say what the card of a network for several directions needs to and the files do not."""
    rows = [f"| {row['title']} | {row['sentences']} |" for row in evaluation["metrics"]]
    details = ["| test split | source sentences |\n|---|---|\n" + "\n".join(rows)]
    if "tuning" in evaluation:
        tuning = evaluation["tuning"]
        scores = pairs(tuning["mean_bleu_by_length_penalty"])
        details.append(f"Length penalty, chosen on {tuning['split']}: {scores} (mean BLEU).")
    details.append("Speed: " + pairs(evaluation["speed"]).replace("_", " ") + ".")
    languages = sorted({language for direction in directions for language in direction.split("-")})
    return CardFacts(
        title="Attention NMT, everyday sentences in three languages",
        summary=f"Translates everyday sentences between {', '.join(LANGUAGE_NAMES.get(one, one) for one in languages)} "
        f"({', '.join(directions)}; one network, which is told the language to write, as in Johnson et al. 2016, "
        "arXiv:1611.04558) and shows which pieces of a sentence each piece of the translation looked at.",
        languages=tuple(languages),
        dataset_id="tatoeba",
        dataset_name="Tatoeba and Multi30k",
        dataset_licence=LICENCE,
        licence_name="multi30k-non-commercial-research-and-education-and-cc-by-2.0",
        paper_results=papers,
        limits=LIMITS,
        example='"How are you?", tgt_lang="de"',
        details=tuple(details),
    )
