"""Pictures of every kind, upright and in RGB, and what is refused; every file is made here."""

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFile, features

from pipelines.image_input import read_image
from pipelines.pipeline_common import InputError

from .pictures import FORMATS, encoded, noise, refusal

RED, WHITE = (255, 0, 0), (255, 255, 255)


def corner(image):
    return image.getpixel((0, 0))


class TestWhatIsRead:
    @pytest.mark.parametrize("kind", FORMATS)
    def test_every_format_in_every_form(self, kind, tmp_path):
        image = noise()
        content = encoded(image, kind)
        path = tmp_path / "picture.of.no.kind"
        path.write_bytes(content)
        expected = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
        for value in (content, bytearray(content), memoryview(content), path, str(path)):
            found = read_image(value)
            assert found.image.mode == "RGB" and found.notices == ()
            np.testing.assert_array_equal(np.asarray(found.image), expected)

    def test_a_pil_image_stays_as_it_is(self):
        image = noise()
        found = read_image(image)
        assert found.image is not image and found.image.tobytes() == image.tobytes()
        assert read_image(Image.open(io.BytesIO(encoded(image)))).image.tobytes() == image.tobytes()

    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_the_camera_was_held_otherwise(self, kind, orientation):
        upright = Image.new("RGB", (48, 32), WHITE)
        upright.paste(RED, (0, 0, 24, 16))  # the upper left quarter
        undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Image.Transpose that brings it there
        stored = upright if orientation == 1 else upright.transpose(Image.Transpose(undo[orientation]))
        exif = Image.Exif()
        exif[0x0112] = orientation
        content = encoded(stored, kind, exif=exif)
        for value in (content, Image.open(io.BytesIO(content))):
            found = read_image(value).image
            assert found.size == (48, 32)
            difference = np.asarray(found, int) - np.asarray(upright, int)
            assert np.abs(difference).mean() < 3  # JPEG and WebP blur the edges

    def test_damaged_notes_of_the_camera_do_no_harm(self):
        content = encoded(noise(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
        assert read_image(content).image.size == (64, 48)

    @pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "YCbCr", "HSV"])
    def test_modes_without_transparency(self, mode):
        image = Image.new("RGB", (20, 20), RED).convert(mode)
        expected = image.convert("RGB")
        np.testing.assert_array_equal(np.asarray(read_image(image).image), np.asarray(expected))

    @pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "RGBa"])
    def test_transparency_is_white(self, mode):
        image = Image.new("RGBA", (20, 20), (0, 0, 0, 0))
        image.paste((0, 0, 0, 255), (10, 0, 20, 20))
        image.paste((0, 0, 0, 102), (0, 10, 10, 20))
        found = read_image(image.convert(mode)).image
        assert (corner(found), found.getpixel((15, 5)), found.getpixel((5, 15))) == (WHITE, (0,) * 3, (153,) * 3)

    @pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP"])
    def test_a_transparent_file_is_white_where_it_is(self, kind):
        image = Image.new("RGBA", (20, 20), (0, 0, 0, 0))
        image.paste((*RED, 255), (10, 0, 20, 20))
        found = read_image(encoded(image, kind, **({"lossless": True} if kind == "WEBP" else {}))).image
        assert (corner(found), found.getpixel((15, 5))) == (WHITE, RED)

    def test_one_colour_of_a_file_is_transparent(self):
        assert corner(read_image(encoded(Image.new("RGB", (20, 20), RED), transparency=RED)).image) == WHITE
        assert corner(read_image(encoded(Image.new("L", (20, 20), 7), transparency=7)).image) == WHITE
        palette = Image.new("P", (20, 20))
        palette.putpalette([255, 0, 0])
        assert corner(read_image(encoded(palette)).image) == RED
        assert corner(read_image(encoded(palette, transparency=0)).image) == WHITE

    def test_a_cmyk_jpeg_is_inverted_as_adobe_does(self):
        image = Image.new("CMYK", (32, 32), (0, 255, 255, 0))  # red ink
        content = encoded(image, "JPEG", quality=95)
        assert b"Adobe" in content
        red, green, blue = corner(read_image(content).image)
        assert red > 240 and green < 15 and blue < 15

    @pytest.mark.parametrize("kind", ["PNG", "TIFF"])
    def test_sixteen_bits_are_scaled_and_not_clipped(self, kind):
        numbers = np.linspace(0, 65535, 64 * 32).astype(np.uint16).reshape(32, 64)
        expected = np.rint(numbers / 257).astype(np.uint8)
        for value in (encoded(Image.fromarray(numbers), kind), Image.fromarray(numbers), numbers):
            np.testing.assert_array_equal(np.asarray(read_image(value).image)[:, :, 1], expected)
        wide = Image.fromarray(numbers.astype(np.int32))
        assert wide.mode == "I"
        np.testing.assert_array_equal(np.asarray(read_image(wide).image)[:, :, 1], expected)
        np.testing.assert_array_equal(np.asarray(read_image(encoded(wide, "TIFF")).image)[:, :, 1], expected)

    def test_sixteen_bits_in_the_other_order_of_bytes(self):
        image = Image.frombytes("I;16B", (20, 20), b"\x80\x00" * 400)
        assert corner(read_image(image).image) == (128,) * 3
        assert corner(read_image(encoded(image, "TIFF")).image) == (128,) * 3

    @pytest.mark.parametrize(("kind", "name"), [("GIF", "GIF"), ("WEBP", "WEBP"), ("PNG", "APNG"), ("TIFF", "TIFF")])
    def test_an_animation_is_its_first_frame(self, kind, name):
        frames = [Image.new("RGB", (32, 20), colour) for colour in ("red", "lime", "blue")]
        options = {"lossless": True} if kind == "WEBP" else {}
        content = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
        for value in (content, Image.open(io.BytesIO(content))):
            found = read_image(value)
            assert corner(found.image) == RED
            assert found.notices == ("The first of 3 frames was used.",)

    def test_a_camera_that_keeps_two_pictures_in_one_file(self):
        content = encoded(noise(), "MPO", save_all=True, append_images=[noise()])
        assert read_image(content).notices == ("The first of 2 frames was used.",)

    def test_many_at_once(self):
        contents = [encoded(noise(64 + index, 48), kind) for index, kind in enumerate(FORMATS * 4)]
        alone = [read_image(content).image.tobytes() for content in contents]
        with ThreadPoolExecutor(8) as pool:
            assert [found.image.tobytes() for found in pool.map(read_image, contents)] == alone


class TestArrays:
    @pytest.mark.parametrize(
        "array",
        [
            np.full((20, 30), 128, np.uint8),
            np.full((20, 30, 1), 128, np.uint8),
            np.full((20, 30, 3), 128, np.uint8),
            np.full((20, 30, 3), 128 * 257, np.uint16),
            np.full((20, 30, 3), 128 * 257, ">u2"),
            np.full((20, 30), 0.5, np.float32),
            np.full((20, 30, 3), 0.5, np.float64),
            np.full((20, 30, 3), 0.5, np.float16),
            np.full((40, 60, 3), 128, np.uint8)[::2, ::-2],
        ],
    )
    def test_shapes_and_dtypes(self, array):
        found = read_image(array).image
        assert (found.mode, found.size, corner(found)) == ("RGB", (30, 20), (128,) * 3)

    def test_the_order_is_height_width_channels(self):
        array = np.zeros((20, 30, 3), np.uint8)
        array[0, 29] = RED
        assert read_image(array).image.getpixel((29, 0)) == RED

    def test_bool_and_transparency(self):
        assert corner(read_image(np.ones((20, 30), bool)).image) == WHITE
        assert corner(read_image(np.zeros((20, 30, 4), np.uint8)).image) == WHITE

    @pytest.mark.parametrize(
        ("array", "words"),
        [
            (np.full((20, 30), np.nan), ["from 0 to 1", "NaN"]),
            (np.where(np.eye(20), np.inf, 0.5), ["infinity"]),
            (np.full((20, 30), 1.001), ["from 0 to 1", "got 1.001", "255"]),
            (np.full((20, 30), -0.1), ["got -0.1"]),
            (np.zeros((20, 30), np.int64), ["uint8", "got int64"]),
            (np.zeros((20, 30), complex), ["got complex128"]),
            (np.full((20, 30), "a"), ["got <U1"]),
            (np.zeros((3, 20, 30), np.uint8), ["(3, 20, 30)", "channels first", "transpose"]),
            (np.zeros((20, 30, 2), np.uint8), ["(20, 30, 2)"]),
            (np.zeros((2, 20, 30, 3), np.uint8), ["(2, 20, 30, 3)", "one picture"]),
            (np.zeros(400, np.uint8), ["(400,)"]),
            (np.zeros((0, 30, 3), np.uint8), ["30 x 0 pixels"]),
            (np.broadcast_to(np.uint8(0), (50_000, 50_000)), ["50,000 x 50,000"]),
        ],
    )
    def test_what_is_no_picture(self, array, words):
        refusal(array, *words)


class TestWhatIsRefused:
    @pytest.mark.parametrize("kind", FORMATS)
    @pytest.mark.parametrize("part", [0.3, 0.6, 0.95])
    def test_half_a_picture(self, kind, part):
        content = encoded(noise(200, 150), kind)
        for target_side in (None, 32):
            refusal(content[: int(part * len(content))], f"a damaged {kind} file", target_side=target_side)
        assert not ImageFile.LOAD_TRUNCATED_IMAGES

    def test_damage_never_raises_anything_else(self):
        random = np.random.default_rng(0)
        for kind in (*FORMATS, "MPO"):
            content = encoded(noise(40, 30), kind)
            for _ in range(150):
                damaged = np.frombuffer(content, np.uint8).copy()
                damaged[random.integers(0, min(len(damaged), 400), 3)] = random.integers(0, 256, 3)
                try:
                    assert read_image(damaged.tobytes(), target_side=8).image.mode == "RGB"
                except InputError as error:
                    assert str(error).startswith("Expected")

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b"", ["is empty: it has 0 bytes"]),
            (b"This is no picture.\n", ["JPEG, PNG, GIF, WebP, BMP or TIFF", "is a text"]),
            (b"<html><body>404</body></html>", ["is a text"]),
            (b'<svg xmlns="http://www.w3.org/2000/svg"/>', ["SVG, a drawing", "Export it as PNG or JPEG"]),
            (b'\xef\xbb\xbf<?xml version="1.0"?>\n<!-- made -->\n<svg/>', ["SVG, a drawing"]),
            (b"<svg/>", ["SVG, a drawing"]),
            (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", ["is HEIC", "Export it as PNG or JPEG"]),
            (b"\0\0\0\x18ftypavif\0\0\0\0mif1avif", ["is AVIF"]),
            (b"%PDF-1.7", ["is PDF, a document"]),
            (bytes(range(256)), ["something else"]),
            (b"\x89PNG\r\n\x1a\n", ["damaged PNG"]),
            (b"GIF89a", ["damaged GIF"]),
            (b"GIF89a" + b"\x14\0\x14\0\0\0\0" + b"junk", ["damaged GIF"]),
            (b"\xff\xd8\xff", ["damaged JPEG"]),
            (b"II*\0", ["damaged TIFF"]),
            (b"BM", ["damaged BMP"]),
            (b"RIFF\0\0\0\0WEBP", ["damaged WEBP"]),
        ],
    )
    def test_what_is_no_picture(self, content, words, tmp_path):
        refusal(content, "the picture", *words)
        path = tmp_path / "dog.jpg"
        path.write_bytes(content)
        assert str(tmp_path) not in refusal(path, "'dog.jpg'", *words)

    @pytest.mark.parametrize("kind", ["PPM", "ICO", "TGA", "PCX", "JPEG2000", "AVIF", "DDS", "IM"])
    def test_parsers_that_nobody_needs_are_out_of_reach(self, kind):
        if kind == "AVIF" and not features.check("avif"):
            pytest.skip("Pillow writes no AVIF here")
        refusal(encoded(noise(), kind), "JPEG, PNG, GIF, WebP, BMP or TIFF")

    def test_numbers_out_of_range_in_a_file(self):
        refusal(Image.fromarray(np.full((20, 20), 70_000, np.int32)), "0 to 65,535", "70,000")
        refusal(encoded(Image.fromarray(np.full((20, 20), 3.0, np.float32)), "TIFF"), "from 0 to 1", "got 3")
        refusal(Image.new("La", (20, 20)), "mode La")

    def test_paths(self, tmp_path):
        (tmp_path / "folder.jpg").mkdir()
        for value, words in [
            (tmp_path / "no.jpg", ["there is no file 'no.jpg'"]),
            (str(tmp_path / "no.jpg"), ["there is no file 'no.jpg'"]),
            (tmp_path / "folder.jpg", ["'folder.jpg' is a folder"]),
            (str(tmp_path / "a\0b"), ["cannot be opened"]),
            (str(tmp_path / ("a" * 5000)), ["cannot be opened"]),
            (tmp_path / "no" / "no.jpg", ["there is no file 'no.jpg'"]),
        ]:
            assert str(tmp_path) not in refusal(value, *words)
        refusal("", "is a folder")
        refusal("\ud800.jpg", "Expected the path of a picture")
        refusal(Path("/dev/zero"), "'zero' is a device or a pipe")

    @pytest.mark.parametrize(
        ("value", "words"),
        [
            (None, ["got NoneType"]),
            (3, ["got int"]),
            ({"path": "dog.jpg"}, ["got dict"]),
            (io.BytesIO(), ["got BytesIO"]),
            (torch.zeros(3, 20, 20), ["got Tensor", "permute(1, 2, 0).numpy()"]),
        ],
    )
    def test_other_types(self, value, words):
        refusal(value, "a path, bytes, a PIL image or a NumPy array", *words)
