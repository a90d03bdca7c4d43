"""Recipe for the speech recogniser (Graves et al. 2006; Graves, Mohamed and Hinton 2013) on AN4.

A network trained with CTC first learns to say nothing but the blank, and may take long to leave that plateau. So it
begins with what is easy: short clips, and strings of digits if there are any, with little dropout and no masks. Then it
goes on with everything. On AN4 some 130 batches of 8 clips below 2 seconds are enough to leave the plateau.
"""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
import torch
from transformers import Wav2Vec2CTCTokenizer, set_seed

from models.configuration_blstm_ctc import BlstmCtcConfig
from models.feature_extraction_blstm_ctc import BlstmCtcFeatureExtractor
from models.modeling_blstm_ctc import BlstmCtcForCTC
from pipelines.pipeline_ctc_transcription import LANGUAGE_MODEL_FILE
from pipelines.word_ngrams import WordNGrams

from .audio_augmentation import NOISE_SECONDS, Augmentation, Augmenter, noise
from .recipe import Recipe as CommonRecipe
from .recipe import train as train_family
from .speech_batches import SpokenExamples, check_alignable, collate, views_of
from .transcribed_speech import TranscribedSpeech, digit_strings, load_split
from .word_language_model import train_word_ngrams

BLANK = "<pad>"
BETWEEN_WORDS = "|"
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
EASY_AVERAGE_DECAY = 0.9
"""Of the beginning's weights, which is over before a longer average knows what was learnt."""
STREAMING_FLOOR = 1e-7
"""Least power of a mel filter where utterances are not normalised by themselves: that of a quiet room."""


@dataclass(frozen=True)
class LanguageModelFile:
    """A language model that is saved beside the weights, as a processor is."""

    ngrams: WordNGrams

    def save_pretrained(self, folder: str | Path) -> None:
        """Write it where the pipeline looks for it."""
        self.ngrams.write(Path(folder, LANGUAGE_MODEL_FILE))


@dataclass(frozen=True)
class Recipe(CommonRecipe):
    """Options of `python -m training ctc-transcription`."""

    epochs: float = 120.0
    batch_size: int = 8
    learning_rate: float = 2e-3
    warmup_steps: int = 50
    max_gradient_norm: float = 5.0
    average_decay: float = 0.998
    easy_epochs: float = 8.0
    """Epochs of the beginning; 0 begins with everything."""
    easy_batch_size: int = 8
    easy_seconds: float = 2.0
    """Longest clip of the beginning."""
    easy_dropout: float = 0.1
    digits: str | None = None
    """Folder of the Free Spoken Digit Dataset, whose digits are joined into strings for the beginning."""
    digit_strings: int = 400
    speed_factors: list[float] = field(default_factory=lambda: [0.9, 1.0, 1.1])
    """Each clip is heard at one of these speeds, drawn anew in each epoch."""
    noise_share: float = 0.3
    background_share: float = 0.1
    silence_share: float = 0.05
    """Examples in which nothing is said, so that noise is not taken for words."""
    gain: float = 0.0
    """Decibels; of effect only where `bidirectional` is false."""
    frequency_masks: int = 2
    frequency_mask_size: int = 12
    time_masks: int = 2
    time_mask_size: int = 10
    front_end: str = "convolution"
    convolution_channels: int = 16
    stacked_frames: int = 3
    num_hidden_layers: int = 3
    hidden_size: int = 256
    bidirectional: bool = True
    """False: for recognition while someone speaks; features are then normalised by the training data's statistics."""
    normalisation: str = "layer"
    input_dropout: float = 0.1
    hidden_dropout: float = 0.4


def build_tokenizer(folder: Path) -> Wav2Vec2CTCTokenizer:
    """Make the vocabulary: the blank, the gap between words, and the letters; write it to `folder`."""
    vocabulary = {label: index for index, label in enumerate([BLANK, BETWEEN_WORDS, *LETTERS])}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "vocab.json"
    path.write_text(json.dumps(vocabulary), encoding="utf-8")
    return Wav2Vec2CTCTokenizer(
        str(path),
        pad_token=BLANK,
        word_delimiter_token=BETWEEN_WORDS,
        bos_token=None,
        eos_token=None,
        unk_token=None,
        clean_up_tokenization_spaces=False,
    )


def build_extractor(recipe: Recipe, speech: TranscribedSpeech) -> BlstmCtcFeatureExtractor:
    """Make the features; for a network that only reads forwards with the statistics of the training data."""
    if recipe.bidirectional:
        return BlstmCtcFeatureExtractor()
    plain = BlstmCtcFeatureExtractor(mel_floor=STREAMING_FLOOR)
    frames = np.concatenate([plain.log_mel(utterance.waveform) for utterance in speech.utterances]).astype(np.float64)
    return BlstmCtcFeatureExtractor(
        mel_floor=STREAMING_FLOOR,
        feature_means=frames.mean(axis=0).round(4).tolist(),
        feature_deviations=frames.std(axis=0).round(4).tolist(),
    )


def build_augmenter(recipe: Recipe, extractor: BlstmCtcFeatureExtractor, masks: bool) -> Augmenter:
    """Make what training data go through: speed apart, all that the recipe says, with the masks or without."""
    names = Augmentation.__dataclass_fields__.keys() & Recipe.__dataclass_fields__.keys()
    options = Augmentation(**{name: getattr(recipe, name) for name in names})
    if not masks:
        options = dataclasses.replace(options, frequency_masks=0, time_masks=0)
    num_samples, generator = round(NOISE_SECONDS * extractor.sampling_rate), np.random.default_rng(recipe.seed)
    noises = [extractor.log_mel(noise(colour, num_samples, generator)) for colour in ("white", "pink")]
    return Augmenter(options, noises, extractor.mel_floor)


def build_model(recipe: Recipe, vocab_size: int, **options: Any) -> BlstmCtcForCTC:
    """Make the network with fresh weights; `options` go before the recipe's."""
    names = BlstmCtcConfig.__dataclass_fields__.keys() & Recipe.__dataclass_fields__.keys()
    set_seed(recipe.seed)
    return BlstmCtcForCTC(BlstmCtcConfig(vocab_size=vocab_size, **{n: getattr(recipe, n) for n in names} | options))


def encode(tokenizer: Wav2Vec2CTCTokenizer, transcripts: list[str]) -> list[list[int]]:
    """Turn transcripts into labels.

    Raises:
        ValueError: for a character that is no label.
    """
    for transcript in transcripts:
        unknown = set(transcript) - set(LETTERS) - {" "}
        if unknown:
            raise ValueError(
                f"The labels are A to Z and the blank between words; {transcript!r} has {sorted(unknown)}."
            )
    return [tokenizer(transcript).input_ids for transcript in transcripts]


@torch.inference_mode()
def transcribe(
    model: BlstmCtcForCTC, tokenizer: Wav2Vec2CTCTokenizer, data: SpokenExamples, batch_size: int = 16
) -> list[str]:
    """Transcribe by the best path, like lengths together, and return texts in the order given."""
    texts = [""] * len(data)
    order = sorted(range(len(data)), key=lambda index: len(data.views[0][index]))
    for start in range(0, len(order), batch_size):
        indices = order[start : start + batch_size]
        batch = collate([data[index] for index in indices])
        features, mask = batch["input_features"].to(model.device), batch["attention_mask"].to(model.device)
        best = model(features, mask).logits.argmax(dim=-1).cpu()
        for index, text in zip(indices, tokenizer.batch_decode(best), strict=True):
            texts[index] = text
    return texts


def error_rates(hypotheses: list[str], references: list[str]) -> dict[str, float]:
    """Return word and character error rates over all texts together, in percent."""
    return {"wer": 100 * jiwer.wer(references, hypotheses), "cer": 100 * jiwer.cer(references, hypotheses)}


def train(recipe: Recipe) -> tuple[BlstmCtcForCTC, list[Any], dict]:
    """Train a recogniser; return it, its processors, and what training.json tells of it."""
    torch.set_num_threads(recipe.threads)
    splits = {name: load_split(recipe.data, name) for name in ("train", "validation")}
    data_facts = {name: split.facts() for name, split in splits.items()}
    tokenizer = build_tokenizer(Path(recipe.output, "tokenizer"))
    extractor = build_extractor(recipe, splits["train"])
    model = build_model(recipe, len(tokenizer))
    validation = _examples(splits["validation"], model, extractor, tokenizer, [1.0])
    references = splits["validation"].transcripts
    before = {}
    if recipe.easy_epochs > 0:
        easy, data_facts["beginning"] = easy_speech(recipe, splits["train"])
        data = _examples(easy, model, extractor, tokenizer, recipe.speed_factors)
        data.augmenter = build_augmenter(recipe, extractor, masks=False)
        begun = build_model(recipe, len(tokenizer), hidden_dropout=recipe.easy_dropout, input_dropout=0.0)
        begun, before["beginning"] = _fit(easy_recipe(recipe), begun, tokenizer, data, validation, references)
        model.load_state_dict(begun.state_dict())
    data = _examples(splits["train"], model, extractor, tokenizer, recipe.speed_factors)
    data.augmenter = build_augmenter(recipe, extractor, masks=True)
    model, facts = _fit(recipe, model, tokenizer, data, validation, references)
    language_model = LanguageModelFile(train_word_ngrams(splits["train"].transcripts))
    return model, [tokenizer, extractor, language_model], facts | before | {"data": data_facts}


def easy_recipe(recipe: Recipe) -> Recipe:
    """Return the beginning's options; its checkpoints lie in a folder of their own."""
    output = Path(recipe.output, "beginning")
    output.mkdir(parents=True, exist_ok=True)
    return dataclasses.replace(
        recipe,
        output=str(output),
        epochs=recipe.easy_epochs,
        batch_size=recipe.easy_batch_size,
        schedule="constant_with_warmup",
        average_decay=EASY_AVERAGE_DECAY,
    )


def easy_speech(recipe: Recipe, speech: TranscribedSpeech) -> tuple[TranscribedSpeech, dict]:
    """Choose what to begin with: the short clips, and strings of digits; return it and its facts.

    Raises:
        ValueError: when there is nothing.
    """
    longest = recipe.easy_seconds * speech.sampling_rate
    easy = [utterance for utterance in speech.utterances if len(utterance.waveform) <= longest]
    if recipe.digits is not None:
        digits = digit_strings(recipe.digits, recipe.digit_strings, recipe.seed, speech.sampling_rate)
        easy += digits.utterances
    if not easy:
        raise ValueError(f"No clip lasts at most {recipe.easy_seconds} s: raise --easy_seconds, or --easy_epochs 0.")
    chosen = TranscribedSpeech(easy, speech.sampling_rate)
    return chosen, chosen.facts()


def _examples(
    speech: TranscribedSpeech,
    model: BlstmCtcForCTC,
    extractor: BlstmCtcFeatureExtractor,
    tokenizer: Wav2Vec2CTCTokenizer,
    factors: list[float],
) -> SpokenExamples:
    examples = SpokenExamples(views_of(speech, extractor, factors), encode(tokenizer, speech.transcripts), extractor)
    check_alignable(model, examples, speech)
    return examples


def _fit(
    recipe: Recipe,
    model: BlstmCtcForCTC,
    tokenizer: Wav2Vec2CTCTokenizer,
    data: SpokenExamples,
    validation: SpokenExamples,
    references: list[str],
) -> tuple[BlstmCtcForCTC, dict]:
    """Train on examples; the word error rate chooses."""
    model, facts = train_family(
        recipe,
        model,
        data,
        validation,
        collate,
        lambda candidate: error_rates(transcribe(candidate, tokenizer, validation), references),
        metric="wer",
        greater_is_better=False,
        lengths=[len(features) for features in data.views[0]],
    )
    facts["options"]["digits"] = recipe.digits and Path(recipe.digits).name
    return model, facts
