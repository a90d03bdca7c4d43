"""Recipe for the captioner (Show, Attend and Tell, Xu et al. 2015) on Flickr8k.

Defaults are what the shipped checkpoint's first stage was trained with, on the words of the captions. Its second stage
had CIDEr as the reward and was averaged with the first; training.json beside the checkpoint has the options of both.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sacrebleu
import torch
from transformers import AutoModel, PreTrainedModel, PreTrainedTokenizerFast, set_seed

from models.configuration_show_attend_tell import ShowAttendTellConfig
from models.image_processing_show_attend_tell import ShowAttendTellImageProcessor
from models.modeling_show_attend_tell import ShowAttendTellForImageCaptioning

from .caption_batches import CaptionedFeatures, SelfCriticalCollator, collate
from .caption_vocabulary import encode_captions, normalise, train_tokenizer
from .captioned_images import CaptionedImages, load_split
from .cider_reward import CiderReward
from .image_features import kept_features
from .recipe import Recipe as CommonRecipe
from .recipe import train as train_family


@dataclass(frozen=True)
class Recipe(CommonRecipe):
    """Options of `python -m training captioning`."""

    epochs: float = 12.0
    batch_size: int = 16
    """Pictures; each comes with all its captions."""
    learning_rate: float = 8e-4
    warmup_steps: int = 200
    max_gradient_norm: float = 5.0
    average_decay: float = 0.998
    backbone: str = "google/efficientnet-b0"
    """Folder or Hub repository of the ImageNet weights."""
    backbone_learning_rate: float = 1e-4
    trained_backbone_blocks: int = 5
    """Last blocks of the backbone that are trained too; the others' features are computed once and kept."""
    grid_layer: int = -1
    image_side: int = 224
    """Pixels of the square that pictures are squashed to."""
    mirrored: bool = True
    """Whether half of the pictures are shown with left and right exchanged."""
    features: str = "runs/features"
    """Folder in which the frozen part's features are kept."""
    min_word_count: int = 5
    """A word is in the vocabulary from so many occurrences in the training captions on."""
    max_words: int = 25
    """Longer captions are cut."""
    annotation_size: int = 512
    embedding_size: int = 256
    decoder_hidden_size: int = 512
    attention_size: int = 256
    attention_type: str = "soft"
    doubly_stochastic_weight: float = 0.1
    grid_dropout: float = 0.3
    embedding_dropout: float = 0.5
    readout_dropout: float = 0.5
    label_smoothing: float = 0.1
    initial: str | None = None
    """Folder of a trained captioner to go on from, with its vocabulary and shape, instead of fresh weights."""
    initial_share: float = 0.0
    """Share of the initial weights in the average with the trained ones (Wortsman et al. 2022, arXiv:2109.01903)."""
    self_critical: bool = False
    """Whether to train on CIDEr (Rennie et al. 2017, arXiv:1612.00563) instead of the words of the references."""
    sampled_captions: int = 5
    """Self-critical training: captions drawn for each picture, each compared with the mean of the others."""


def build_model(recipe: Recipe, vocab_size: int) -> ShowAttendTellForImageCaptioning:
    """Make the network: the backbone with its ImageNet weights, all else fresh."""
    set_seed(recipe.seed)
    backbone = AutoModel.from_pretrained(recipe.backbone)
    names = ShowAttendTellConfig.__dataclass_fields__.keys() & Recipe.__dataclass_fields__.keys()
    unneeded = ("_name_or_path", "architectures", "id2label", "label2id")  # the thousand names of a lost classifier
    kept = {name: value for name, value in backbone.config.to_dict().items() if name not in unneeded}
    config = ShowAttendTellConfig(
        backbone_config=kept,
        vocab_size=vocab_size,
        grid_channels=_channels(backbone, recipe.grid_layer),
        **{name: getattr(recipe, name) for name in names},
    )
    model = ShowAttendTellForImageCaptioning(config)
    model.encoder.backbone.load_state_dict(backbone.state_dict())
    set_decoding_defaults(model, num_beams=5, length_penalty=0.7)
    return model


def load_model(recipe: Recipe) -> ShowAttendTellForImageCaptioning:
    """Load the captioner to go on from; the recipe says only how it is regularised now."""
    regularisation = ("grid_dropout", "embedding_dropout", "readout_dropout", "doubly_stochastic_weight")
    options = {name: getattr(recipe, name) for name in regularisation}
    smoothing = 0.0 if recipe.self_critical else recipe.label_smoothing
    return ShowAttendTellForImageCaptioning.from_pretrained(
        recipe.initial, dtype=torch.float32, label_smoothing=smoothing, **options
    )


@torch.inference_mode()
def _channels(backbone: PreTrainedModel, grid_layer: int) -> int:
    found = backbone.eval()(torch.zeros(1, 3, 64, 64), output_hidden_states=True)
    return (found.last_hidden_state if grid_layer == -1 else found.hidden_states[grid_layer]).shape[1]


def set_decoding_defaults(model: ShowAttendTellForImageCaptioning, num_beams: int, length_penalty: float) -> None:
    """Say how a checkpoint searches when nobody says otherwise."""
    model.generation_config._from_model_config = False  # transformers would drop names that it does not know
    model.generation_config.num_beams = num_beams
    model.generation_config.length_penalty = length_penalty
    model.generation_config.length_normalization = "gnmt"
    model.generation_config.max_new_tokens = 30
    model.generation_config.suppress_tokens = [
        model.config.pad_token_id,
        model.config.bos_token_id,
        model.config.unk_token_id,
    ]


def caption_features(
    model: ShowAttendTellForImageCaptioning,
    tokenizer: PreTrainedTokenizerFast,
    features: np.ndarray,
    batch_size: int = 50,
    **options: Any,
) -> list[str]:
    """Caption many pictures, given what `encoder.begin` returned for them."""
    texts = []
    for start in range(0, len(features), batch_size):
        batch = torch.from_numpy(np.array(features[start : start + batch_size])).float().to(model.device)
        found = model.caption(encoder_features=batch, **options)
        texts += [tokenizer.decode(hypotheses[0].token_ids, skip_special_tokens=True) for hypotheses in found]
    return texts


def train(recipe: Recipe) -> tuple[PreTrainedModel, list[Any], dict]:
    """Train a captioner; return it, its processors, and what training.json tells of it."""
    torch.set_num_threads(recipe.threads)
    splits = {name: load_split(recipe.data, name) for name in ("train", "validation")}
    tokenizer, processor, model = _start(recipe, splits["train"])
    data = {name: _data(recipe, model, processor, tokenizer, splits, name) for name in splits}
    references = [[normalise(tokenizer, text) for text in texts] for texts in splits["validation"].captions]

    def metrics(current: ShowAttendTellForImageCaptioning) -> dict:
        found = caption_features(current, tokenizer, data["validation"].views[0], num_beams=1)
        return validation_scores(found, references)

    drawing = SelfCriticalCollator(model, data["train"].captions, recipe.sampled_captions, recipe.max_words)
    model, facts = train_family(
        recipe,
        model,
        data["train"],
        data["validation"],
        drawing if recipe.self_critical else collate,
        metrics,
        metric="cider" if recipe.self_critical else "bleu",
        learning_rates={"encoder.": recipe.backbone_learning_rate},
        validation_collate=collate,
    )
    if recipe.initial_share > 0:
        _average(model, load_model(recipe), recipe.initial_share)
        facts["averaged_with_initial"] = metrics(model)
    facts["options"] |= {name: value and Path(value).name for name, value in _folders(recipe).items()}
    facts["data"] = {name: {"pictures": len(split), "sha256": split.checksum()} for name, split in splits.items()}
    if recipe.initial is not None:
        facts["before"] = json.loads(Path(recipe.initial, "training.json").read_text(encoding="utf-8"))
    return model, [tokenizer, processor], facts


@torch.no_grad()
def _average(
    model: ShowAttendTellForImageCaptioning, initial: ShowAttendTellForImageCaptioning, initial_share: float
) -> None:
    """Move a model's weights towards those that it began with."""
    for parameter, origin in zip(model.parameters(), initial.parameters(), strict=True):
        parameter.lerp_(origin.to(parameter.device), initial_share)


def _start(
    recipe: Recipe, images: CaptionedImages
) -> tuple[PreTrainedTokenizerFast, ShowAttendTellImageProcessor, ShowAttendTellForImageCaptioning]:
    if recipe.initial is None:
        tokenizer = train_tokenizer([text for texts in images.captions for text in texts], recipe.min_word_count)
        side = {"height": recipe.image_side, "width": recipe.image_side}
        processor, model = ShowAttendTellImageProcessor(size=side), build_model(recipe, len(tokenizer))
    else:
        tokenizer = PreTrainedTokenizerFast.from_pretrained(recipe.initial)
        processor, model = ShowAttendTellImageProcessor.from_pretrained(recipe.initial), load_model(recipe)
    model.encoder.freeze()
    return tokenizer, processor, model


def _folders(recipe: Recipe) -> dict[str, str | None]:
    """Return the options that name folders, of which only the last part is told."""
    return {"backbone": recipe.backbone, "features": recipe.features, "initial": recipe.initial}


def validation_scores(hypotheses: list[str], references: list[list[str]]) -> dict[str, float]:
    """Score captions, all of them tokenised alike: BLEU-4, CIDEr-D and the number of different captions."""
    most = max(map(len, references))
    columns = [[texts[index % len(texts)] for texts in references] for index in range(most)]
    bleu = sacrebleu.corpus_bleu(hypotheses, columns, tokenize="none", force=True)
    split = [[text.split() for text in texts] for texts in references]
    rewards = CiderReward(split).reward([text.split() for text in hypotheses], list(range(len(hypotheses))))
    return {"bleu": bleu.score, "cider": sum(rewards) / len(rewards), "distinct": len(set(hypotheses))}


def _data(
    recipe: Recipe,
    model: ShowAttendTellForImageCaptioning,
    processor: ShowAttendTellImageProcessor,
    tokenizer: PreTrainedTokenizerFast,
    splits: dict[str, CaptionedImages],
    name: str,
) -> CaptionedFeatures:
    images = splits[name]
    views = [False, True] if recipe.mirrored and name == "train" else [False]
    model.encoder.eval()
    kept = [kept_features(model.encoder, processor, images, Path(recipe.features), mirrored) for mirrored in views]
    return CaptionedFeatures(kept, encode_captions(tokenizer, images.captions, recipe.max_words))
