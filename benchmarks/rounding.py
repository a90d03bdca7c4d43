"""What weights of eight bits cost: `python -m benchmarks.rounding CHECKPOINT --data FOLDER --output runs/rounding`.

Each checkpoint's own metric on its test split (the validation split where there is no other), with PyTorch and with the
graphs as a pipeline chooses them; and how far the evidence for the same answers is apart. With `--without-vnni` rounded
as on a processor that has none; `benchmarks.attention_apart` compares more sentences.
"""

import argparse
import dataclasses
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from transformers import Pipeline

import hub
from models import onnx_runtime
from pipelines import pipeline
from pipelines.audio_input import ReadAudio
from pipelines.ctc_beam_search import DecodingOptions
from training.attention_nmt import translate_lines
from training.blstm_ctc_evaluation import Heard, measure
from training.caption_metrics import caption_scores
from training.captioned_images import load_split as load_images
from training.char_rnn import encode
from training.character_text import load_text
from training.directed_evaluation import directed_bleu, title
from training.directed_text import load_directions
from training.memn2n_evaluation import load_split as load_stories
from training.parallel_text import load_split as load_pairs
from training.show_attend_tell_evaluation import caption_images
from training.transcribed_speech import load_split as load_speech
from training.translation_metrics import corpus_scores

RUNTIMES = ("torch", "onnx-float32", "onnx")
CHARACTERS = 20_000
"""Of a text that is read character by character."""
BATCH_SIZE = 25
NUM_COMPARED = 100
"""Inputs whose evidence is compared."""

Measured = dict[str, float]


@contextmanager
def rounded_for(without_vnni: bool) -> Iterator[None]:
    """Give networks that are loaded here the weights of a processor without VNNI, where that is asked."""
    with patch.object(onnx_runtime, "has_exact_bytes", lambda: False) if without_vnni else nullcontext():
        yield


def translation(pipe: Pipeline, data: list[str]) -> tuple[Measured, list[np.ndarray]]:
    """BLEU as in the card, and the alignments of the first sentences' given translations."""
    config = pipe.model.config
    if config.directions:
        return _several_directions(pipe, data)
    split = load_pairs(data, "test", config.source_language, config.target_language)
    found = translate_lines(pipe.network, pipe.tokenizer, split.sources)
    scores = corpus_scores(found, split.targets)
    pairs = list(zip(split.sources, split.targets, strict=True))[:NUM_COMPARED]
    evidence = [np.array(pipe.score(*pair)["evidence"]["attention"]) for pair in pairs]
    return {scores[0].title: scores[0].value, scores[1].title: scores[1].value}, evidence


def _several_directions(pipe: Pipeline, data: list[str]) -> tuple[Measured, list[np.ndarray]]:
    """BLEU of each corpus and direction as in the card, and the alignments of some given translations of each."""
    decoding = {name: getattr(pipe.model.generation_config, name) for name in ("num_beams", "length_penalty")}
    scores, evidence = {}, []
    for text in load_directions(data, "test", pipe.model.config.directions):
        scores[title(text)] = directed_bleu(pipe.network, pipe.tokenizer, text, **decoding).value
        source, target = text.direction.split("-")
        for pair in text.pairs()[: NUM_COMPARED // 10]:
            scored = pipe.score(pair.source, pair.target, src_lang=source, tgt_lang=target)
            evidence.append(np.array(scored["evidence"]["attention"]))
    return scores, evidence


def captioning(pipe: Pipeline, data: list[str]) -> tuple[Measured, list[np.ndarray]]:
    """BLEU and CIDEr as in the card, and what each word of given captions looked at."""
    images = load_images(data, "test")
    found = caption_images(pipe, images, BATCH_SIZE)
    scores = {metric.title: metric.value for metric in caption_scores(found, images.captions)}
    evidence = [
        np.array(pipe.score(images.read(index), "a dog runs through the grass")["evidence"]["attention"])
        for index in range(NUM_COMPARED)
    ]
    return scores, evidence


def generation(pipe: Pipeline, data: list[str]) -> tuple[Measured, list[np.ndarray]]:
    """Nats of each character, read step by step, and the probabilities after each."""
    corpus = load_text(data)
    ids = encode((corpus.test or corpus.validation)[:CHARACTERS], pipe.tokenizer).tolist()
    step = pipe.model.exact_step if pipe.network is pipe.model else pipe.network.fast_step()
    state, logits, total, evidence = pipe.model.initial_state(1), None, 0.0, []
    for token in ids:
        if logits is not None:
            scores = torch.as_tensor(logits).log_softmax(dim=-1)
            total -= scores[token].item()
            evidence.append(scores.exp().numpy())
        logits, state = step(token, state)
    return {"nats per character": total / (len(ids) - 1)}, evidence


def transcription(pipe: Pipeline, data: list[str]) -> tuple[Measured, list[np.ndarray]]:
    """Error rates of the best path and of the search with the language model; the posteriors that evidence has."""
    speech = load_speech(data, "test")
    heard = Heard(speech, [pipe.listen([ReadAudio(utterance.waveform)])[0] for utterance in speech.utterances])
    search, scores = DecodingOptions(**pipe.model.config.decoding or {}), {}
    for name, options in (("best path", dataclasses.replace(search, num_beams=1)), ("language model", search)):
        numbers, _ = measure(pipe, heard, options, seed=1)
        scores[f"WER, {name}"] = numbers["wer"]
    exactly = [pipe.listen([ReadAudio(utterance.waveform)], exactly=True)[0] for utterance in speech.utterances]
    return scores, [one.exp().numpy() for one in exactly]


def answering(pipe: Pipeline, data: list[str]) -> tuple[Measured, list[np.ndarray]]:
    """Share of wrong answers, and the hops."""
    wrong, evidence = 0, []
    examples = load_stories(data, "test").examples
    for example in examples:
        question = {"context": list(example.sentences), "question": example.question}
        (result,) = pipe(question, return_evidence=True)
        wrong += result["answer"] != example.answer
        evidence.append(np.array(result["evidence"]["attention"]))
    return {"error, %": 100 * wrong / len(examples)}, evidence


MEASURES: dict[str, Callable[[Pipeline, list[str]], tuple[Measured, list[np.ndarray]]]] = {
    "attention-translation": translation,
    "captioning": captioning,
    "char-generation": generation,
    "ctc-transcription": transcription,
    "memory-qa": answering,
}


@torch.inference_mode()
def compare(checkpoint: str, data: list[str]) -> dict[str, dict]:
    """Measure one checkpoint with every runtime."""
    folder, found, exact = hub.find(checkpoint), {}, None
    task = hub.task_of(folder)
    for runtime in RUNTIMES:
        pipe = pipeline(task.name, model=str(folder), device="cpu", runtime=runtime)
        scores, evidence = MEASURES[task.name](pipe, data)
        exact = exact or evidence
        apart = [np.abs(ours - theirs) for ours, theirs in zip(evidence, exact, strict=True)]
        every = np.concatenate([values.ravel() for values in apart])
        found[runtime] = {
            "metrics": {name: round(value, 4) for name, value in scores.items()},
            "evidence_apart": {"mean": float(every.mean()), "most": float(every.max())},
        }
        print(checkpoint, runtime, json.dumps(found[runtime]), flush=True)
    return found


def main() -> None:
    """Measure, print, and keep what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("--data", nargs="+", required=True, help="as in training")
    parser.add_argument("--output", type=Path, required=True, help="folder for rounding.json")
    parser.add_argument("--without-vnni", action="store_true", help="round as for a processor without it")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.output.mkdir(parents=True, exist_ok=True)
    path = options.output / "rounding.json"
    found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    with rounded_for(options.without_vnni):
        found[options.checkpoint] = compare(options.checkpoint, options.data)
    path.write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
