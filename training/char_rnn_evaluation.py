"""Evaluation and card of the character generator: nats per character beside n-grams, copies, units with a name."""

import dataclasses
import json
import math
import re
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import Pipeline

import hub
from models.modeling_char_rnn import CharRnnForCausalLM

from .card import CardFacts
from .char_rnn import encode
from .character_text import CharacterText, load_text
from .corpus_facts import corpus_called
from .dynamic_evaluation import SEGMENT_LENGTH, choose_learning_rate, dynamic_nats_per_character
from .interpretable_units import find_units
from .json_files import write_json
from .kneser_ney import KneserNey, largest_order
from .metric import Metric

CHUNK_LENGTH = 2000
"""Characters that are scored at once; the state goes on, so the result does not depend on it."""
TUNING_LENGTH = 10_000
"""Characters of the validation split that choose the rate of dynamic evaluation."""
BASELINE_ORDERS = (5, 9)
"""N-grams beside the network: the usual one, and a long one, which is at or near the best on these texts."""
SAMPLE_LENGTH = 600
HEADLINES = (
    "Nats per character",
    "Bits per character",
    "Nats per character, dynamic evaluation",
    "Copied word for word, %",
)
"""Metrics that the README's table shows."""


@dataclass(frozen=True)
class Evaluation:
    """Options of `python -m training.evaluate` on a character generator."""

    data: list[str] | None = None
    """As in training."""
    num_samples: int = 500
    """Texts to write, where each line of the corpus is a text, and to look for in the training split."""
    seed: int = 1
    """Of what is written."""
    device: str = "cpu"


def evaluate(pipe: Pipeline, options: Evaluation) -> dict:
    """Measure a checkpoint on its corpus; find units with a name and store them in its config.json.

    Returns:
        What goes into evaluation.json. `metrics` are those of `split`, the test split where the corpus has one.

    Raises:
        ValueError: for a corpus with characters that the checkpoint does not know.
    """
    model, corpus = pipe.model.eval(), load_text(options.data)
    strange = sorted(set(corpus.train + corpus.validation + corpus.test) - set(pipe.tokenizer.get_vocab()))
    if strange:
        raise ValueError(f"The checkpoint was trained on another text: it does not know {strange} of {corpus.name}.")
    splits = _measure_splits(pipe, corpus)
    split = "test" if corpus.test else "validation"
    result = {"corpus": corpus.name, "split": split, "characters": splits[split]["characters"]}
    result |= {"sha256": corpus.checksums()[split]["sha256"], "parameters": sum(p.numel() for p in model.parameters())}
    result["decoding"] = {"state": "carried through the whole split", "batch_size": 1}
    metrics, result["splits"] = _metrics(splits[split], pipe), splits
    if corpus.is_lines:
        result["copied"] = _copied(pipe, corpus, options)
        metrics.append(_copied_metric(result["copied"]))
    else:
        (sample,) = write_texts(model, 1, SAMPLE_LENGTH, options.seed)
        result["sample"] = {"temperature": model.generation_config.temperature, "text": _decoded(pipe, sample)}
    units = find_units(model, encode(corpus.validation, pipe.tokenizer), corpus.validation)
    store_units(Path(model.name_or_path), units)
    model.config.interpretable_units = units
    return result | {"metrics": [dataclasses.asdict(metric) for metric in metrics], "interpretable_units": units}


@torch.inference_mode()
def nats_per_character(model: CharRnnForCausalLM, ids: torch.Tensor) -> float:
    """Return the loss on a text, int64 (characters), read once from its first character to its last."""
    total, state = 0.0, None
    for chunk in ids.to(model.device).split(CHUNK_LENGTH):
        output = model(chunk.unsqueeze(0), labels=chunk.unsqueeze(0), past_key_values=state)
        total, state = total + output.loss.item() * len(chunk), output.past_key_values
    return total / len(ids)


@torch.inference_mode()
def write_texts(
    model: CharRnnForCausalLM, num_texts: int, num_characters: int, seed: int, end: int | None = None
) -> list[list[int]]:
    """Draw texts from nothing at the checkpoint's temperature, by the network alone: nothing is filtered.

    Args:
        model: in evaluation mode.
        num_texts: how many, side by side.
        num_characters: of each, at most.
        seed: the same seed, the same texts.
        end: the character that a text ends before.
    """
    generator = torch.Generator().manual_seed(seed)
    state = model.initial_state(num_texts)
    logits, columns = model.output_projection(state.hidden[-1]), []
    ended = torch.zeros(num_texts, dtype=torch.bool)
    while len(columns) < num_characters and not bool(ended.all()):
        logits[:, model.config.pad_token_id] = float("-inf")
        probabilities = (logits / model.generation_config.temperature).softmax(dim=-1).cpu()
        columns.append(torch.multinomial(probabilities, 1, generator=generator).squeeze(1))
        ended |= columns[-1] == (-1 if end is None else end)
        logits, state = model.step(columns[-1].to(model.device), state)
    rows = torch.stack(columns, dim=1).tolist()
    return [row[: row.index(end)] if end in row else row for row in rows]


def copied_shares(texts: list[str], sources: list[str]) -> dict[str, float]:
    """Return the share of texts that are among the sources: as they are, and but for case and punctuation."""
    exact, words = {source.strip() for source in sources}, {_words(source) for source in sources}
    return {
        "word_for_word": round(sum(text.strip() in exact for text in texts) / len(texts), 4),
        "but_for_case_and_punctuation": round(sum(_words(text) in words for text in texts) / len(texts), 4),
    }


def store_units(folder: Path, units: list[dict]) -> None:
    """Write units into a checkpoint's config.json and leave everything else there as it is."""
    path = folder / "config.json"
    write_json(path, json.loads(path.read_text(encoding="utf-8")) | {"interpretable_units": units})


def published_results(folder: Path) -> tuple[tuple[str, str], ...]:
    """Return what a checkpoint is compared with: published systems, and the 5-gram that was counted here."""
    evaluation = hub.facts(folder)
    numbers = evaluation["splits"][evaluation["split"]]
    order, nats = next(iter(numbers["n_grams"].items()))
    n_gram = (f"Kneser-Ney {order}-gram, counted here on the same training split", f"{nats} nats")
    return (*corpus_called(evaluation["corpus"]).paper_results, n_gram)


def card_facts(pipe: Pipeline, evaluation: dict) -> CardFacts:
    """Say what the card needs to and the files do not."""
    corpus = corpus_called(evaluation["corpus"])
    return CardFacts(
        title=f"Character generator, {corpus.title}",
        summary=f"Writes on from a beginning, character by character, {corpus.manner}, and shows how surprised it is "
        "by each character and what single units of it keep track of.",
        languages=(corpus.language,),
        dataset_id=corpus.dataset_id,
        dataset_name=evaluation["corpus"],
        dataset_licence=corpus.licence,
        licence_name=corpus.licence_name,
        paper_results=corpus.paper_results,
        limits="It has learnt which characters follow which, and nothing of what they mean. " + corpus.limits,
        example=corpus.example,
        unit="characters",
        details=_details(evaluation),
    )


def _measure_splits(pipe: Pipeline, corpus: CharacterText) -> dict[str, dict]:
    splits = {split: text for split in ("validation", "test") if (text := getattr(corpus, split))}
    measured = {split: {"characters": len(text), "n_grams": {}} for split, text in splits.items()}
    for order in sorted({min(order, largest_order(corpus.train)) for order in BASELINE_ORDERS}):
        n_grams = KneserNey(corpus.train, order)
        for split, text in splits.items():
            measured[split]["n_grams"][str(order)] = round(n_grams.nats_per_character(text), 4)
    rate = choose_learning_rate(pipe.model, encode(corpus.validation[:TUNING_LENGTH], pipe.tokenizer))
    for split, text in splits.items():
        ids = encode(text, pipe.tokenizer)
        nats, learning = nats_per_character(pipe.model, ids), dynamic_nats_per_character(pipe.model, ids, rate)
        measured[split] |= {"nats_per_character": round(nats, 4), "bits_per_character": round(nats / math.log(2), 4)}
        measured[split] |= {"dynamic_nats_per_character": round(learning, 4), "dynamic_learning_rate": rate}
    return measured


def _metrics(measured: dict, pipe: Pipeline) -> list[Metric]:
    signature = f"characters:all|start:line-end|state:carried|batch:1|vocab:{len(pipe.tokenizer) - 1}"
    titles = {"nats_per_character": HEADLINES[0], "bits_per_character": HEADLINES[1]}
    metrics = [Metric(name, title, measured[name], signature) for name, title in titles.items()]
    dynamic = f"{signature}|dynamic:sgd,rate {measured['dynamic_learning_rate']},segments of {SEGMENT_LENGTH}"
    name = "dynamic_nats_per_character"
    return [*metrics, Metric(name, HEADLINES[2], measured[name], dynamic)]


def _copied(pipe: Pipeline, corpus: CharacterText, options: Evaluation) -> dict:
    defaults, line_end = pipe.model.generation_config, pipe.model.config.bos_token_id
    written = write_texts(pipe.model, options.num_samples, defaults.max_new_tokens, options.seed, line_end)
    texts, sources = [_decoded(pipe, ids) for ids in written], corpus.train.splitlines()
    facts = {"texts": len(texts), "different": len(set(texts)), "temperature": defaults.temperature}
    facts |= {"seed": options.seed, **copied_shares(texts, sources)}
    return facts | {"validation_split": copied_shares(corpus.validation.splitlines(), sources)}


def _copied_metric(copied: dict) -> Metric:
    signature = f"texts:{copied['texts']}|temperature:{copied['temperature']}|seed:{copied['seed']}|filter:no"
    return Metric("copied", HEADLINES[3], round(100 * copied["word_for_word"], 2), signature)


def _decoded(pipe: Pipeline, ids: list[int]) -> str:
    characters = {number: character for character, number in pipe.tokenizer.get_vocab().items()}
    return "".join(characters[number] for number in ids)


def _words(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))


def _details(evaluation: dict) -> tuple[str, ...]:
    parts = [_splits_table(evaluation["splits"])]
    if "copied" in evaluation:
        parts.append(_copied_sentence(evaluation["copied"]))
    if evaluation["interpretable_units"]:
        parts.append(_units_table(evaluation["interpretable_units"]))
    if "sample" in evaluation:
        sample = evaluation["sample"]
        text = sample["text"].strip("\n")
        parts.append(f"A text as it came, from nothing, at temperature {sample['temperature']}:\n\n```\n{text}\n```")
    return tuple(parts)


def _splits_table(splits: dict[str, dict]) -> str:
    orders = list(next(iter(splits.values()))["n_grams"])
    rows = []
    for name, numbers in splits.items():
        values = [numbers["nats_per_character"], numbers["dynamic_nats_per_character"]]
        values += [numbers["n_grams"][order] for order in orders]
        cells = " | ".join(f"{nats} ({nats / math.log(2):.3f})" for nats in values)
        rows.append(f"| {name} | {numbers['characters']:,} | {cells} |")
    return (
        "Nats per character, bits in brackets. Every character of a split is predicted, the first one as if after a "
        "line end, and the network's state is carried through the whole split, batch size 1. Beside it character "
        "n-grams with interpolated modified Kneser-Ney smoothing, counted on the same training split. In dynamic "
        "evaluation (Graves 2013, section 3.1) the network learns on, from every part of the text after it was "
        "predicted; the rate was chosen on the beginning of the validation split.\n\n"
        "| split | characters | this model | with dynamic evaluation | "
        f"{' | '.join(f'{order}-gram' for order in orders)} |\n"
        f"|---|---|---|---|{'---|' * len(orders)}\n" + "\n".join(rows)
    )


def _copied_sentence(copied: dict) -> str:
    real = copied["validation_split"]
    return (
        f"Of {copied['texts']:,} texts drawn at temperature {copied['temperature']} and not filtered, "
        f"{copied['different']:,} of them different, {copied['word_for_word']:.1%} stand word for word in the training "
        f"split and {copied['but_for_case_and_punctuation']:.1%} but for case and punctuation. Of the validation "
        f"split's own texts these are {real['word_for_word']:.1%} and {real['but_for_case_and_punctuation']:.1%}."
    )


def _units_table(units: list[dict]) -> str:
    rows = [
        f"| {unit['feature']} | {unit['kind']}.{unit['layer']}.{unit['unit']} | {unit['correlation']} |"
        for unit in units
    ]
    return (
        "Units that keep track of something, the closest one for each feature, with Pearson's correlation on the "
        "validation split; memory cells count through tanh:\n\n| feature | unit | correlation |\n|---|---|---|\n"
    ) + "\n".join(rows)
