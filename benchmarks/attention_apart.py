"""How far rounding moves a translator's attention: `python -m benchmarks.attention_apart CHECKPOINT --data FOLDER`.

The given translations of validation sentences are scored with PyTorch and with matrices of eight bits.
"""

import argparse
from collections.abc import Iterator

import numpy as np
import torch
from transformers import PreTrainedConfig

import hub
from pipelines import pipeline
from pipelines.pipeline_attention_translation import AttentionTranslationPipeline
from training.directed_text import load_directions
from training.parallel_text import load_split

from .rounding import rounded_for

LIMIT = 0.01


def pairs_of(config: PreTrainedConfig, data: list[str], most: int | None) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Yield sentences, their translations and their languages: at most so many of each corpus and direction."""
    if not config.directions:
        split = load_split(data, "validation", config.source_language, config.target_language)
        for source, target in list(zip(split.sources, split.targets, strict=True))[:most]:
            yield source, target, {}
        return
    for text in load_directions(data, "validation", config.directions):
        source, target = text.direction.split("-")
        for pair in text.pairs()[:most]:
            yield pair.source, pair.target, {"src_lang": source, "tgt_lang": target}


def apart(checkpoint: str, data: list[str], most: int | None) -> np.ndarray:
    """Return the largest difference of a weight in each sentence, float (sentences)."""
    task, folder = "attention-translation", str(hub.find(checkpoint))
    pipes: list[AttentionTranslationPipeline] = [
        pipeline(task, model=folder, device="cpu", runtime=runtime) for runtime in ("torch", "onnx")
    ]
    found = []
    for source, target, languages in pairs_of(pipes[0].model.config, data, most):
        exact, rounded = (np.array(pipe.score(source, target, **languages)["evidence"]["attention"]) for pipe in pipes)
        found.append(np.abs(rounded - exact).max())
    return np.array(found)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("--data", nargs="+", required=True, help="as in training")
    parser.add_argument("--most", type=int, help="sentences of each corpus and direction; else all")
    parser.add_argument("--without-vnni", action="store_true", help="round as for a processor without it")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with rounded_for(options.without_vnni):
        found = apart(options.checkpoint, options.data, options.most)
    print(
        f"{options.checkpoint}: {len(found)} sentences, at most {found.max():.4f} apart, "
        f"{np.count_nonzero(found > LIMIT)} more than {LIMIT:g}; {found.mean():.4f} on average."
    )


if __name__ == "__main__":
    main()
