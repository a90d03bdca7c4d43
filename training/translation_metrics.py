"""Scores of translations: sacreBLEU with signatures, chrF, BLEU by source length."""

from sacrebleu.metrics import BLEU, CHRF

from .metric import Metric

LENGTH_BUCKETS = ((1, 7), (8, 10), (11, 13), (14, 17), (18, 23), (24, 1000))
"""Source lengths in words, first and last."""


def corpus_scores(translations: list[str], references: list[str]) -> list[Metric]:
    """Score a split: lower-cased BLEU first, which the papers report, then cased BLEU and chrF."""
    titles = {
        "BLEU, lower-cased": ("sacrebleu", BLEU(lowercase=True)),
        "BLEU, cased": ("sacrebleu", BLEU()),
        "chrF2": ("chrf", CHRF()),
    }
    metrics = []
    for title, (name, metric) in titles.items():
        value = round(metric.corpus_score(translations, [references]).score, 2)
        metrics.append(Metric(name, title, value, str(metric.get_signature())))
    return metrics


def bleu_by_length(sources: list[str], translations: list[str], references: list[str]) -> list[dict]:
    """Score the sentences of each source length on their own: lower-cased BLEU, as in figure 2 of the 2014 paper."""
    rows = []
    for first, last in LENGTH_BUCKETS:
        chosen = [index for index, source in enumerate(sources) if first <= len(source.split()) <= last]
        if chosen:
            score = BLEU(lowercase=True).corpus_score(
                [translations[index] for index in chosen], [[references[index] for index in chosen]]
            )
            rows.append({"first": first, "last": last, "sentences": len(chosen), "bleu_lc": round(score.score, 2)})
    return rows
