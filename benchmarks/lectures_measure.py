"""BLEU of one network or of several together, of a whole split and by the length of the source."""

from collections.abc import Sequence
from pathlib import Path

import torch
from sacrebleu.metrics import BLEU

from models.ensemble_attention_nmt import AttentionNmtEnsemble
from models.modeling_attention_nmt import AttentionNmtForConditionalGeneration
from models.tokenization_attention_nmt import AttentionNmtTokenizer
from training.attention_nmt import translate_lines
from training.parallel_text import ParallelSplit

LENGTHS = ((1, 8), (9, 11), (12, 14), (15, 19), (20, 1000))
"""Source lengths in words, first and last; Multi30k's sentences are short."""
BEAMS = 5


def measure(folders: Sequence[Path], split: ParallelSplit) -> dict:
    """Translate a split greedily and with a beam.

    Args:
        folders: a checkpoint, or the members of an ensemble.
        split: what is translated and compared with.

    Returns:
        Cased BLEU `greedy` and `beam` with its `signature`, `parameters`, and of the beam BLEU by `lengths`.
    """
    torch.set_num_threads(1)
    models = [AttentionNmtForConditionalGeneration.from_pretrained(folder).eval() for folder in folders]
    tokenizer = AttentionNmtTokenizer.from_pretrained(folders[0])
    network = models[0] if len(models) == 1 else AttentionNmtEnsemble(models)
    options = {"length_penalty": 1.0, "max_new_tokens": 80}
    greedy, beam = (
        translate_lines(network, tokenizer, split.sources, num_beams=beams, **options) for beams in (1, BEAMS)
    )
    metric = BLEU()
    return {
        "greedy": metric.corpus_score(greedy, [split.targets]).score,
        "beam": metric.corpus_score(beam, [split.targets]).score,
        "signature": str(metric.get_signature()),
        "parameters": sum(model.num_parameters() for model in models),
        "lengths": by_length(split, beam),
    }


def by_length(split: ParallelSplit, translations: Sequence[str]) -> list[dict]:
    """Score the sentences of each source length on their own (Bahdanau et al. 2014, figure 2)."""
    found = []
    for first, last in LENGTHS:
        chosen = [number for number, source in enumerate(split.sources) if first <= len(source.split()) <= last]
        if chosen:
            ours, theirs = ([lines[number] for number in chosen] for lines in (translations, split.targets))
            score = BLEU().corpus_score(ours, [theirs]).score
            found.append({"first": first, "last": last, "sentences": len(chosen), "bleu": score})
    return found
