"""The speech recogniser's data, its augmentation, and a tiny training that learns by heart."""

import io
import json
import random
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from models.feature_extraction_blstm_ctc import BlstmCtcFeatureExtractor
from training.blstm_ctc import (
    Recipe,
    build_augmenter,
    build_extractor,
    build_model,
    build_tokenizer,
    easy_speech,
    encode,
    error_rates,
    train,
    transcribe,
)
from training.speech_batches import SpokenExamples, check_alignable, collate, views_of
from training.transcribed_speech import TranscribedSpeech, Utterance, decode, digit_strings, load_split

RATE = 16000
TONES = {"A": 400.0, "B": 1200.0, "C": 3000.0}
SIZES = {"train": 110, "test": 3}


def spoken(transcript: str, seed: int = 0) -> np.ndarray:
    """Say letters as tones of a tenth of a second with pauses between, longer ones between words."""
    generator = np.random.default_rng(seed)
    parts = [np.zeros(800)]
    for letter in transcript:
        duration = generator.integers(1300, 1900)
        tone = np.sin(2 * np.pi * TONES[letter] * np.arange(duration) / RATE) if letter in TONES else np.zeros(2400)
        parts += [0.3 * tone, np.zeros(640)]
    waveform = np.concatenate(parts)
    return (waveform + 0.002 * generator.standard_normal(len(waveform))).astype(np.float32)


def speech_of(*transcripts: str) -> TranscribedSpeech:
    """Return spoken transcripts."""
    return TranscribedSpeech(
        [Utterance(f"clip{n}", "me", text, spoken(text, n)) for n, text in enumerate(transcripts)], RATE
    )


def clip_of(index: int) -> tuple[str, str, str, np.ndarray]:
    """Return a clip's name, speaker and transcript, and 16-bit sound of its own length."""
    generator = np.random.default_rng(index)
    samples = generator.integers(-3000, 3000, 200 + index).astype(np.int16)
    return f"an{index:03}-b", f"s{index % 7}", "GO" if index % 2 else "RUBOUT A", samples


def sound_file(samples: np.ndarray, rate: int = RATE, format: str = "WAV") -> bytes:
    """Write a sound file of 16 bits."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=format, subtype="PCM_16")
    return file.getvalue()


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> Path:
    """Write a folder in AN4's published form; the lists are in no order."""
    folder, start = tmp_path_factory.mktemp("an4"), 0
    (folder / "etc").mkdir()
    for split, size in SIZES.items():
        lines, names = [], []
        for index in range(start, start + size):
            name, speaker, transcript, samples = clip_of(index)
            path = folder / "wav" / f"an4{split}_clstk" / speaker / f"{name}.sph"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(sound_file(samples, format="NIST"))
            lines.append(f"<s> {transcript} </s> ({name})" if split == "train" else f"{transcript} ({name})")
            names.append(f"an4{split}_clstk/{speaker}/{name}")
        start += size
        (folder / f"etc/an4_{split}.transcription").write_text("\n".join(lines) + "\n")
        (folder / f"etc/an4_{split}.fileids").write_text("\n".join(names) + "\n")
    return folder


@pytest.mark.parametrize("layout", ["tar", "files"])
def test_every_layout_gives_the_same_splits(published, tmp_path, layout):
    clips = [clip_of(index) for index in range(sum(SIZES.values()))]
    order = sorted(clips[:110], key=lambda clip: (clip[1], clip[0]))
    rows, contents = [], {}
    for name, speaker, transcript, samples in clips:
        row = {"id": name, "audio": f"{name}.flac", "speaker": speaker, "transcript": transcript.lower()}
        row["split"] = "test" if int(name[2:5]) >= 110 else "train"
        is_validation = name in [clip[0] for clip in order[:100]]
        if layout == "tar":
            row |= {"tar": "clips.tar"}
            row |= {} if row["split"] == "test" else {"subset": "train_dev" if is_validation else "train_nodev"}
        elif is_validation:
            row["split"] = "dev"
        rows.append(row)
        contents[row["audio"]] = sound_file(samples, format="FLAC")
    (tmp_path / "manifest.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    if layout == "tar":
        with tarfile.open(tmp_path / "clips.tar", "w") as archive:
            for name, content in contents.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    else:
        for name, content in contents.items():
            (tmp_path / name).write_bytes(content)

    for split, expected in {"train": order[100:], "validation": order[:100], "test": clips[110:]}.items():
        theirs = load_split([str(published)], split)
        ours = load_split([str(tmp_path)], split)
        assert [(clip.name, clip.speaker, clip.transcript) for clip in theirs.utterances] == [
            clip[:3] for clip in expected
        ]
        np.testing.assert_array_equal(theirs.utterances[1].waveform, expected[1][3] / np.float32(32768))
        by_name = {utterance.name: utterance for utterance in ours.utterances}
        sorted_alike = [by_name[utterance.name] for utterance in theirs.utterances]
        assert TranscribedSpeech(sorted_alike, RATE).facts() == theirs.facts()
    assert theirs.facts()["clips"] == 3 and theirs.facts()["speakers"] == 3


def test_what_is_missing_is_named(published, tmp_path):
    with pytest.raises(ValueError, match="one folder of transcribed speech; got 0"):
        load_split(None, "train")
    with pytest.raises(FileNotFoundError, match=r"neither manifest.jsonl nor etc/an4_train.transcription"):
        load_split([str(tmp_path)], "train")
    (tmp_path / "etc").symlink_to(published / "etc")
    with pytest.raises(FileNotFoundError, match=r"no .*an000-b with any of the endings .sph"):
        load_split([str(tmp_path)], "validation")
    row = {"id": "a", "speaker": "b", "audio": "a.wav", "tar": "a.tar", "transcript": "A", "split": "train"}
    (tmp_path / "manifest.jsonl").write_text(json.dumps(row))
    with pytest.raises(ValueError, match="no clips of the split 'test'"):
        load_split([str(tmp_path)], "test")
    with tarfile.open(tmp_path / "a.tar", "w"):
        pass
    with pytest.raises(FileNotFoundError, match=r"a.tar lacks a.wav and 0 more"):
        load_split([str(tmp_path)], "train")


def test_sound_is_mono_and_resampled():
    tone = np.sin(2 * np.pi * 440 * np.arange(8000) / 8000)
    waveform = decode(sound_file(np.stack([0.6 * tone, 0.2 * tone], axis=1), rate=8000), RATE)
    assert waveform.dtype == np.float32 and len(waveform) == 16000
    expected = 0.4 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)
    np.testing.assert_allclose(waveform[500:-500], expected[500:-500], atol=2e-3)


def test_digits_are_joined_into_strings(tmp_path):
    rows = []
    for speaker, level in (("x", 0.1), ("y", 0.4)):
        for digit, word in enumerate(("zero", "one", "two")):
            rows.append({"id": f"{speaker}{digit}", "audio": f"{speaker}{digit}.wav", "transcript": word})
            rows[-1] |= {"speaker": speaker, "split": "train"}
            (tmp_path / rows[-1]["audio"]).write_bytes(sound_file(np.full(800, level), rate=8000))
    (tmp_path / "manifest.jsonl").write_text("\n".join(map(json.dumps, rows)))
    strings = digit_strings(str(tmp_path), 50, seed=3)
    counts = [len(text.split()) for text in strings.transcripts]
    assert len(strings.utterances) == 50 and min(counts) == 2 and max(counts) == 7
    assert set(" ".join(strings.transcripts).split()) == {"ZERO", "ONE", "TWO"}
    for utterance, count in zip(strings.utterances, counts, strict=True):
        level = {"x": 0.1, "y": 0.4}[utterance.speaker]
        spoken_seconds = np.count_nonzero(utterance.waveform > level / 2) / RATE
        assert spoken_seconds == pytest.approx(count * 0.1, rel=0.05)
        pauses = len(utterance.waveform) / RATE - count * 0.1
        assert (count + 1) * 0.05 <= pauses <= (count + 1) * 0.4 + 0.001
    assert strings.facts() == digit_strings(str(tmp_path), 50, seed=3).facts()
    assert strings.facts() != digit_strings(str(tmp_path), 50, seed=4).facts()


def test_training_changes_at_random_and_validation_never():
    extractor, speech = BlstmCtcFeatureExtractor(), speech_of("AB", "CAB C")
    recipe, labels = Recipe(noise_share=1.0), [[2, 3], [4, 2, 3, 1, 4]]
    quiet = SpokenExamples(views_of(speech, extractor, [1.0]), labels, extractor)
    first, again = quiet[1], quiet[1]
    expected = extractor(speech.utterances[1].waveform, RATE)["input_features"][0]
    np.testing.assert_array_equal(first.features, expected)
    np.testing.assert_array_equal(first.features, again.features)

    augmenter = build_augmenter(recipe, extractor, masks=True)
    data = SpokenExamples(views_of(speech, extractor, [0.9, 1.1]), labels, extractor, augmenter)
    random.seed(1)
    drawn = [data[1].features for _ in range(20)]
    assert {len(features) for features in drawn} == {len(view[1]) for view in data.views}
    random.seed(1)
    assert all(np.array_equal(features, data[1].features) for features in drawn)  # the same seed, the same batches
    batch = collate([data[0], data[1]])
    lengths = batch["attention_mask"].sum(dim=1)
    assert lengths[0] < lengths[1] == batch["input_features"].shape[1]
    assert not batch["input_features"][0, lengths[0] :].any() and batch["attention_mask"].dtype == torch.bool
    assert batch["labels"].tolist() == [[2, 3, -100, -100, -100], labels[1]]
    assert build_augmenter(recipe, extractor, masks=False).options.time_masks == 0


def test_what_cannot_be_aligned_or_written_is_refused(tmp_path):
    extractor, tokenizer = BlstmCtcFeatureExtractor(), build_tokenizer(tmp_path)
    speech = TranscribedSpeech([Utterance("quick", "me", "AABB", spoken("A"))], RATE)
    data = SpokenExamples(views_of(speech, extractor, [1.0]), encode(tokenizer, ["AABB"]), extractor)
    model = build_model(Recipe(hidden_size=4), 28)
    with pytest.raises(ValueError, match=r"1 clips at some speed \(100.00%\).*quick has 5 steps and needs 6"):
        check_alignable(model, data, speech)
    with pytest.raises(ValueError, match=r"'CAFÉ 1' has \['1', 'É'\]"):
        encode(tokenizer, ["CAFÉ 1"])


def test_streaming_features_have_the_statistics_of_the_training_data():
    speech = speech_of("AB", "CAB C")
    extractor = build_extractor(Recipe(bidirectional=False), speech)
    features = np.concatenate([extractor.normalise(extractor.log_mel(u.waveform)) for u in speech.utterances])
    np.testing.assert_allclose(features.mean(axis=0), np.zeros(80), atol=1e-3)
    np.testing.assert_allclose(features.std(axis=0), np.ones(80), atol=1e-3)
    assert build_extractor(Recipe(), speech).feature_means is None


def test_error_rates_count_words_and_characters_of_all_texts():
    assert error_rates(["A B", "GO"], ["A B", "GO"]) == {"wer": 0, "cer": 0}
    rates = error_rates(["A D", "", "GO ON"], ["A B", "RUBOUT", "GO"])
    assert rates["wer"] == pytest.approx(100 * 3 / 4) and rates["cer"] == pytest.approx(100 * 10 / 11)


def test_the_beginning_is_short():
    speech = speech_of("A", "ABCABCABCABC")
    easy, facts = easy_speech(Recipe(easy_seconds=1.0), speech)
    assert easy.transcripts == ["A"] and facts["clips"] == 1
    with pytest.raises(ValueError, match=r"No clip lasts at most 0.1 s: raise --easy_seconds"):
        easy_speech(Recipe(easy_seconds=0.1), speech)


def test_one_batch_is_learnt_by_heart(tmp_path):
    texts = ["A", "BA", "CAB B", "AA C"]
    speech, extractor, tokenizer = speech_of(*texts), BlstmCtcFeatureExtractor(), build_tokenizer(tmp_path)
    data = SpokenExamples(views_of(speech, extractor, [1.0]), encode(tokenizer, texts), extractor)
    small = Recipe(front_end="stack", num_hidden_layers=1, hidden_size=24, hidden_dropout=0.0, input_dropout=0.0)
    model, batch = build_model(small, len(tokenizer)).train(), collate([data[index] for index in range(4)])
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-2)
    for _ in range(120):
        optimiser.zero_grad()
        loss = model(**batch).loss
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.1
    assert transcribe(model.eval(), tokenizer, data, batch_size=3) == texts


def test_the_recipe_trains_in_two_parts(tmp_path):
    generator = random.Random(0)
    rows = []
    for index in range(12):
        text = " ".join(generator.choices("ABC", k=1 + index % 3))
        split = "validation" if index >= 8 else "train"
        rows.append({"id": f"c{index}", "audio": f"c{index}.wav", "speaker": "me", "transcript": text, "split": split})
        (tmp_path / f"c{index}.wav").write_bytes(sound_file(spoken(text, index)))
    (tmp_path / "manifest.jsonl").write_text("\n".join(map(json.dumps, rows)))
    options = {
        "digits": str(tmp_path),
        "digit_strings": 6,
        "epochs": 2,
        "easy_epochs": 3,
        "easy_seconds": 0.7,
        "easy_batch_size": 1,
        "batch_size": 4,
    }
    options |= {"learning_rate": 1e-2, "warmup_steps": 2, "average_decay": 0.5, "speed_factors": [0.9, 1.0]}
    options |= {"front_end": "stack", "num_hidden_layers": 1, "hidden_size": 8, "log_to": "none", "cpu": True}
    recipe = Recipe(data=[str(tmp_path)], output=str(tmp_path / "run"), **options)
    model, (tokenizer, extractor, language_model), facts = train(recipe)

    losses = [entry["eval_loss"] for entry in facts["beginning"]["learning_curve"] + facts["learning_curve"]]
    assert losses[-1] < losses[0] - 1 and len(losses) == 5
    assert all({"eval_wer", "eval_cer"} <= entry.keys() for entry in facts["learning_curve"])
    assert facts["beginning"]["options"]["batch_size"] == 1 and 6 < facts["data"]["beginning"]["clips"] < 14
    assert facts["beginning"]["options"]["digits"] == facts["options"]["digits"] == tmp_path.name
    assert facts["data"]["train"]["clips"] == 8 and len(facts["data"]["train"]["sha256"]) == 64
    assert str(tmp_path) not in json.dumps(facts)
    assert language_model.ngrams.vocabulary == {word for row in rows[:8] for word in row["transcript"].split()}
    assert model.config.hidden_dropout == recipe.hidden_dropout and not model.training
    validation = load_split(recipe.data, "validation")
    data = SpokenExamples(views_of(validation, extractor, [1.0]), encode(tokenizer, validation.transcripts), extractor)
    best = min(entry["eval_wer"] for entry in facts["learning_curve"])
    assert error_rates(transcribe(model, tokenizer, data), validation.transcripts)["wer"] == pytest.approx(best)
