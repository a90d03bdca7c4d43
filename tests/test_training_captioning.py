"""The captioner from published files to a checkpoint that answers."""

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from huggingface_hub import ModelCard
from PIL import Image
from transformers import AutoModel

import hub
import training.__main__ as command
from models.image_processing_show_attend_tell import ShowAttendTellImageProcessor
from pipelines import pipeline
from training import evaluate
from training.caption_batches import CaptionedFeatures, CaptionedPicture, SelfCriticalCollator, collate
from training.caption_vocabulary import encode_captions, normalise, train_tokenizer
from training.captioned_images import load_split
from training.image_features import kept_features
from training.show_attend_tell import _average

from .tiny import picture, show_attend_tell_config, show_attend_tell_model

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 30), "blue": (40, 40, 230)}
SMALL = {
    "annotation_size": 8,
    "embedding_size": 8,
    "decoder_hidden_size": 16,
    "attention_size": 8,
    "image_side": 32,
    "batch_size": 4,
    "warmup_steps": 2,
    "average_decay": 0.5,
    "min_word_count": 1,
    "trained_backbone_blocks": 1,
}
SIZES = {"train": 9, "validation": 3, "test": 3}


def image_of(index: int) -> tuple[Image.Image, list[str]]:
    """Return a picture in one colour with some noise, and five captions of it."""
    name, colour = list(COLOURS.items())[index % 3]
    noise = np.random.default_rng(index).integers(0, 20, (40, 50, 3))
    image = Image.fromarray((np.array(colour) + noise).astype(np.uint8))
    return image, [f"A {name} wall .", f"It is {name} .", f"A wall in {name} !", f"{name.title()} paint", f"A {name}"]


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> Path:
    """Write a folder in the form of the published Flickr8k files."""
    folder = tmp_path_factory.mktemp("flickr8k")
    (folder / "Flicker8k_Dataset").mkdir()
    ends, tokens, index = {"train": "train", "validation": "dev", "test": "test"}, [], 0
    for split, size in SIZES.items():
        names = [f"{index + number}.jpg" for number in range(size)]
        for name in names:
            image, captions = image_of(index)
            image.save(folder / "Flicker8k_Dataset" / name)
            tokens += [f"{name}#{number}\t{caption}" for number, caption in enumerate(captions)]
            index += 1
        (folder / f"Flickr_8k.{ends[split]}Images.txt").write_text("\n".join(names) + "\n")
    (folder / "Flickr8k.token.txt").write_text("\n".join(tokens) + "\n")
    return folder


@pytest.fixture(scope="module")
def backbone(tmp_path_factory) -> Path:
    """Save a tiny EfficientNet as ImageNet's weights come."""
    folder = tmp_path_factory.mktemp("backbone")
    AutoModel.from_config(show_attend_tell_config().backbone_config).save_pretrained(folder)
    return folder


def arguments(published: Path, backbone: Path, output: Path, **options) -> list[str]:
    """Return the command line of a small training."""
    flags = {"data": published, "backbone": backbone, "output": output, "features": output.parent / "features"}
    flags |= {"log_to": "none", "cpu": True, **SMALL, **options}
    return [word for name, value in flags.items() for word in (f"--{name}", str(value))]


@pytest.fixture(scope="module")
def trained(published, backbone, tmp_path_factory) -> Path:
    """Train on words, go on with CIDEr as the reward, and evaluate, by the commands that a user types."""
    runs = tmp_path_factory.mktemp("runs")
    first, output = runs / "words", runs / "tiny-captioner"
    command.main(["captioning", *arguments(published, backbone, first, epochs=2)])
    rewarded = {"initial": first, "self_critical": True, "initial_share": 0.25}
    rewarded |= {"epochs": 1, "learning_rate": 1e-3}
    command.main(["captioning", *arguments(published, backbone, output, **rewarded)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAVA_TOOL_OPTIONS", "-XX:+UseSerialGC")  # half the time, where there are few cores
        evaluate.main([str(output), "--data", str(published), "--tune", "--batch_size", "2"])
    return output


def test_the_folder_is_a_complete_checkpoint(trained):
    assert hub.check(trained).name == "captioning"
    facts = json.loads((trained / "training.json").read_text())
    assert facts["options"]["self_critical"] is True and facts["options"]["initial"] == "words"
    assert facts["before"]["options"]["epochs"] == 2 and facts["before"]["data"]["train"]["pictures"] == 9
    assert all(str(trained.parent) not in file.read_text() for file in trained.glob("*.json"))
    assert set(facts["averaged_with_initial"]) == {"bleu", "cider", "distinct"}
    assert "eval_cider" in facts["learning_curve"][0]


def test_it_answers_and_looks(trained, published):
    pipe = pipeline("captioning", model=str(trained), device="cpu")
    (result,) = pipe(published / "Flicker8k_Dataset" / "0.jpg", return_evidence=True)
    assert isinstance(result["generated_text"], str) and result["evidence"]["grid"] == [4, 4]
    assert "<unk>" not in result["generated_text"]
    chosen = json.loads((trained / "evaluation.json").read_text())["decoding"]
    assert {name: getattr(pipe.model.generation_config, name) for name in chosen} == chosen
    assert chosen["length_normalization"] == "gnmt"


def test_the_card_is_valid_and_says_what_was_measured(trained):
    card = ModelCard.load(trained / "README.md")
    measured = json.loads((trained / "evaluation.json").read_text())
    values = {result.metric_name: result.metric_value for result in card.data.eval_results}
    assert values == {metric["title"]: metric["value"] for metric in measured["metrics"]}
    assert measured["pictures"] == 3 and measured["tuning"]["split"] == "validation"
    for expected in ("non-commercial", "Apache-2.0", "EfficientNet-Lite0", "BLEU-4 21.3", "without brevity penalty"):
        assert expected in card.content


@pytest.mark.parametrize("layout", ["token", "csv", "jsonl"])
def test_every_published_layout_gives_the_same_split(published, tmp_path, layout):
    expected = load_split([str(published)], "validation")
    assert expected.names == ["9.jpg", "10.jpg", "11.jpg"] and len(expected.captions[0]) == 5
    folder = tmp_path / "copy"
    folder.mkdir()
    pictures = published / "Flicker8k_Dataset"
    if layout == "jsonl":
        with tarfile.open(folder / "val.tar", "w") as archive:
            for path in pictures.glob("*.jpg"):
                archive.add(path, path.name)
        pairs = zip(expected.names, expected.captions, strict=True)
        lines = [json.dumps({"image": name, "split": "val", "captions": texts}) for name, texts in pairs]
        (folder / "captions.jsonl").write_text("\n".join(lines))
    else:
        (folder / "Images").symlink_to(pictures)
        for path in published.glob("*Images.txt"):
            (folder / path.name).write_text(path.read_text())
        rows = [line.split("\t") for line in (published / "Flickr8k.token.txt").read_text().splitlines()]
        if layout == "token":
            (folder / "Flickr8k.token.txt").write_text("\n".join("\t".join(row) for row in rows))
        else:
            table = "\n".join(f'{name.partition("#")[0]},"{text}"' for name, text in rows)
            (folder / "captions.txt").write_text(f"image,caption\n{table}\n")
    split = load_split([str(folder)], "validation")
    assert (split.names, split.captions) == (expected.names, expected.captions)
    assert split.read(1) == (pictures / "10.jpg").read_bytes()
    assert split.open(1).size == (50, 40) and split.checksum() == expected.checksum()


def test_without_data_the_hubs_data_set_is_read(published, tmp_path, monkeypatch):
    expected = load_split([str(published)], "validation")
    rows = {"image": [{"bytes": expected.read(index), "path": None} for index in range(3)]}
    rows |= {f"caption_{number}": [texts[number] for texts in expected.captions] for number in range(5)}
    Dataset.from_dict(rows).to_parquet(tmp_path / "validation.parquet")
    monkeypatch.setattr("training.captioned_images.HUB_DATASET", str(tmp_path))
    split = load_split(None, "validation")
    assert split.captions == expected.captions and split.read(2) == expected.read(2) and len(split) == 3


def test_what_is_missing_is_named(published, tmp_path):
    with pytest.raises(ValueError, match="one folder of captioned pictures; got 2 paths"):
        load_split(["a", "b"], "train")
    with pytest.raises(FileNotFoundError, match=r"neither captions.jsonl nor Flickr_8k.trainImages.txt"):
        load_split([str(tmp_path)], "train")
    (tmp_path / "Flickr_8k.trainImages.txt").write_text("0.jpg\n")
    with pytest.raises(FileNotFoundError, match=r"neither Flickr8k.token.txt nor captions.txt"):
        load_split([str(tmp_path)], "train")
    (tmp_path / "Flickr8k.token.txt").write_text("0.jpg#0\tA wall .\n")
    with pytest.raises(FileNotFoundError, match=r"lacks 1 of 1 pictures, such as 0.jpg"):
        load_split([str(tmp_path)], "train")


def test_features_are_kept_and_are_the_encoders(published, tmp_path):
    model, images = show_attend_tell_model(trained_backbone_blocks=1), load_split([str(published)], "test")
    model.encoder.freeze()
    processor = ShowAttendTellImageProcessor(size={"height": 32, "width": 32})
    for mirrored in (False, True):
        kept = kept_features(model.encoder, processor, images, tmp_path, mirrored)
        pixels = processor([images.open(index) for index in range(3)], return_tensors="pt")["pixel_values"]
        expected = model.encoder.begin(pixels.flip(-1) if mirrored else pixels)
        torch.testing.assert_close(torch.from_numpy(np.array(kept)).float(), expected, rtol=2e-3, atol=2e-3)
    assert len(list(tmp_path.iterdir())) == 2
    model.encoder.begin = None  # a second time nothing is computed
    assert np.array_equal(kept_features(model.encoder, processor, images, tmp_path, mirrored=True), kept)
    with torch.no_grad():
        next(model.encoder.parameters()).add_(1.0)
    with pytest.raises(TypeError):  # other weights, other features
        kept_features(model.encoder, processor, images, tmp_path, mirrored=True)


def test_words_are_lower_case_and_without_punctuation():
    tokenizer = train_tokenizer(["A dog 's ball , a T-shirt .", 'A dog - "wow" !', "a rare one"], 2)
    assert normalise(tokenizer, 'A dog \'s ball , a T-shirt - "wow" !') == "a dog 's ball a t-shirt wow"
    assert set(tokenizer.get_vocab()) == {"<pad>", "<s>", "</s>", "<unk>", "a", "dog"}
    ((ids,),) = encode_captions(tokenizer, [["A rare dog ."]], 25)
    assert tokenizer.convert_ids_to_tokens(ids) == ["a", "<unk>", "dog", "</s>"]
    ((ids,),) = encode_captions(tokenizer, [["dog " * 40]], 25)
    assert len(ids) == 26 and ids[-1] == tokenizer.eos_token_id


def test_a_batch_holds_every_caption_of_its_pictures():
    captions = [[[4, 5, 2], [6, 2]], [[7, 2]]]
    data = CaptionedFeatures([np.zeros((2, 3, 2, 2), np.float16)], captions)
    batch = collate([data[0], data[1]])
    assert batch["labels"].tolist() == [[[4, 5, 2], [6, 2, -100]], [[7, 2, -100], [7, 2, -100]]]
    assert batch["encoder_features"].shape == (2, 3, 2, 2) and batch["encoder_features"].dtype == torch.float32


def test_drawn_captions_are_weighed_against_their_pictures_others():
    model = show_attend_tell_model().train()
    captions = [[[4, 5, 2], [4, 6, 2]], [[7, 8, 2]], [[5, 7, 2]]]
    collator = SelfCriticalCollator(model, captions, num_samples=4, max_words=5)
    torch.manual_seed(0)
    features = np.random.default_rng(0).standard_normal((16, 4, 4)).astype(np.float16)
    batch = collator([CaptionedPicture(index, features, captions[index]) for index in (0, 2)])
    assert batch["labels"].shape[:2] == (2, 4) and batch["labels"].shape[2] <= 6
    assert batch["caption_weights"].sum(dim=1).tolist() == pytest.approx([0, 0], abs=1e-5)
    assert model.training and not model.encoder.training
    model(**batch).loss.backward()


def test_reward_raises_the_probability_of_the_better_caption():
    torch.manual_seed(0)
    model = show_attend_tell_model()
    references = [[[4, 5, 6, 2]], [[7, 8, 2]]]
    collator = SelfCriticalCollator(model, references, num_samples=8, max_words=4)
    features = torch.randn(2, 16, 4, 4).half().numpy()
    items = [CaptionedPicture(index, features[index], references[index]) for index in range(2)]
    optimiser = torch.optim.Adam(model.decoder.parameters(), lr=0.02)

    def mean_reward() -> float:
        labels = collator(items)["labels"].flatten(0, 1).tolist()
        words = [[str(word) for word in row if word != -100] for row in labels]
        return sum(collator.cider.reward(words, [0] * 8 + [1] * 8)) / 16

    before = sum(mean_reward() for _ in range(5)) / 5
    for _ in range(40):
        optimiser.zero_grad()
        model(**collator(items)).loss.backward()
        optimiser.step()
    assert sum(mean_reward() for _ in range(5)) / 5 > before + 1.0


def test_averaging_goes_the_share_of_the_way_back():
    model, initial = show_attend_tell_model(), show_attend_tell_model()
    with torch.no_grad():
        for parameter in initial.parameters():
            parameter.add_(1.0)
    before = model.decoder.gate.weight.clone()
    _average(model, initial, 0.25)
    torch.testing.assert_close(model.decoder.gate.weight, before + 0.25)
    assert model.output_projection.weight is model.decoder.embedding.weight


def test_samples_follow_the_models_distribution():
    model = show_attend_tell_model()
    features = model.encoder(torch.randn(1, 3, 32, 32)).last_hidden_state
    model.generation_config.suppress_tokens = [0, 1, 3]
    torch.manual_seed(0)
    first = model.sample(features, 4000, 1)[0, :, 0]
    logits = model(encoder_outputs=(features,), decoder_input_ids=torch.tensor([[1]])).logits[0, 0].clone()
    logits[[0, 1, 3]] = float("-inf")
    shares = torch.bincount(first, minlength=9) / 4000
    torch.testing.assert_close(shares, logits.softmax(0).detach(), atol=0.03, rtol=0)
    drawn = model.sample(features, 50, 8)[0].tolist()
    for row in drawn:
        if 2 in row:
            assert set(row[row.index(2) + 1 :]) <= {-100}


def test_a_picture_of_any_shape_is_squashed_to_a_square():
    processor = ShowAttendTellImageProcessor(size={"height": 32, "width": 32})
    pixels = processor([picture(1, 70, 40), picture(2, 32, 32)], return_tensors="pt")["pixel_values"]
    assert pixels.shape == (2, 3, 32, 32)
    expected = torch.from_numpy(np.array(picture(2))).permute(2, 0, 1) / 127.5 - 1
    torch.testing.assert_close(pixels[1], expected, rtol=1e-5, atol=1e-5)
    whole = np.array(picture(1, 70, 40).resize((32, 32), Image.Resampling.BICUBIC))
    torch.testing.assert_close(pixels[0], torch.from_numpy(whole).permute(2, 0, 1) / 127.5 - 1, rtol=1e-5, atol=1e-5)


def test_pictures_are_read_with_any_colours(tmp_path):
    file = io.BytesIO()
    Image.new("L", (40, 40), 128).save(file, "PNG")
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        info = tarfile.TarInfo("grey.png")
        info.size = len(file.getvalue())
        archive.addfile(info, io.BytesIO(file.getvalue()))
    (tmp_path / "captions.jsonl").write_text('{"image": "grey.png", "split": "train", "captions": ["Grey"]}\n')
    assert load_split([str(tmp_path)], "train").open(0).mode == "RGB"
