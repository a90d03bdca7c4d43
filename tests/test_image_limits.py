"""Pictures that would take much time or memory are refused before they do."""

import io
import resource
import struct
import time
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image

from pipelines.image_decoding import MAXIMUM_ASPECT_RATIO, MAXIMUM_PIXELS, MINIMUM_SIDE
from pipelines.image_headers import MAXIMUM_COMMENT_BYTES, MAXIMUM_JPEG_SCANS
from pipelines.image_input import MAXIMUM_BYTES, read_image

from .pictures import FORMATS, encoded, noise, refusal


def png(width, height, *chunks):
    """Write a PNG that declares a size, whatever its chunks hold."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunk(*each) for each in chunks) + chunk(b"IEND", b"")


class TestLimits:
    @pytest.mark.parametrize("as_array", [True, False])
    def test_sides(self, as_array):
        def picture(width, height):
            return np.zeros((height, width), np.uint8) if as_array else encoded(Image.new("L", (width, height)))

        longest = MAXIMUM_ASPECT_RATIO * MINIMUM_SIDE
        for width, height in [(MINIMUM_SIDE, MINIMUM_SIDE), (longest, MINIMUM_SIDE), (MINIMUM_SIDE, longest)]:
            assert read_image(picture(width, height)).image.size == (width, height)
        refusal(picture(1, 1), "at least 16 pixels", "1 x 1 pixels")
        refusal(picture(1, 5000), "at least 16 pixels", "1 x 5,000 pixels")
        refusal(picture(MINIMUM_SIDE - 1, MINIMUM_SIDE), "15 x 16 pixels")
        refusal(picture(longest + 1, MINIMUM_SIDE), "20 times as long", "321 x 16 pixels")
        refusal(picture(MINIMUM_SIDE, longest + 1), "16 x 321 pixels")

    def test_pixels(self):
        width = MAXIMUM_PIXELS // 5000
        assert read_image(encoded(Image.new("1", (width, 5000))), target_side=224).image.width < 1000
        refusal(encoded(Image.new("1", (width + 1, 5000))), "at most 50,000,000 pixels", "10,001 x 5,000")

    def test_bytes(self, tmp_path):
        picture = encoded(noise())
        path = tmp_path / "large.png"
        for value in (lambda content: content, lambda content: (path.write_bytes(content), path)[1]):
            assert read_image(value(picture.ljust(MAXIMUM_BYTES, b"\0"))).image.size == (64, 48)
            refusal(value(picture.ljust(MAXIMUM_BYTES + 1, b"\0")), "at most 16,777,216 bytes", "has 16,777,217")

    def test_a_small_file_that_declares_a_huge_picture_is_not_decoded(self):
        row = zlib.compress(b"\0" * 50_001)
        content = png(50_000, 50_000, (b"IDAT", row * 20))
        assert len(content) < 5_000
        largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        tracemalloc.start()
        started = time.process_time()
        refusal(content, "at most 50,000,000 pixels", "50,000 x 50,000")
        seconds = time.process_time() - started
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert seconds < 0.05 and peak < 50e6
        assert (
            resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - largest < 50_000
        )  # kibibytes; Pillow's own count too

    @pytest.mark.parametrize(
        "content",
        [
            b"GIF89a" + struct.pack("<HHBBB", 20_000, 20_000, 0, 0, 0) + b",",
            # The screen is small, the frame is not.
            b"GIF89a" + struct.pack("<HHBBB", 20, 20, 0, 0, 0) + b"," + struct.pack("<HHHHB", 0, 0, 60_000, 60_000, 0),
            b"RIFF\x1e\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + b"\xff\xff\xff" * 2 + b"\0" * 20,
            b"RIFF\x1e\0\0\0WEBPVP8L\x0a\0\0\0\x2f\xff\xff\xff\x0f" + b"\0" * 20,
            b"RIFF\x1e\0\0\0WEBPVP8 \x0a\0\0\0\x30\x01\0\x9d\x01\x2a\xff\x3f\xff\x3f" + b"\0" * 20,
            b"\xff\xd8\xff\xc0\0\x0b\x08" + struct.pack(">HH", 60_000, 60_000) + b"\x01\x01\x11\0\xff\xda",
            b"BM" + struct.pack("<IIIIiiHHIIIIII", 70, 0, 54, 40, 20_000, 20_000, 1, 24, 0, 0, 0, 0, 0, 0),
            png(0x7FFFFFFF, 0x7FFFFFFF, (b"IDAT", b"")),
            png(10_000, 10_000, (b"IDAT", b"")),
        ],
    )
    def test_every_format_is_refused_by_what_it_declares(self, content):
        tracemalloc.start()
        refusal(content, "at most 50,000,000 pixels")
        assert tracemalloc.get_traced_memory()[1] < 50e6
        tracemalloc.stop()

    def test_a_tiff_that_declares_a_huge_picture_or_tile(self):
        small = encoded(Image.new("L", (64, 64)), "TIFF")
        image_width, image_length, tile_width, tile_length = 256, 257, 322, 323

        def entry(tag, number, kind=4):
            return struct.pack("<HHII", tag, kind, 1, number)

        assert entry(image_width, 64) in small and entry(image_length, 64) in small
        wide = small.replace(entry(image_width, 64), entry(image_width, 50_000))
        refusal(wide.replace(entry(image_length, 64), entry(image_length, 50_000)), "at most 50,000,000 pixels")

        strips_to_tiles = [
            (entry(273, 122), entry(324, 122)),
            (entry(279, 4096), entry(325, 4096)),
            (entry(278, 64), entry(tile_width, 10_000)),
            (struct.pack("<HHIHH", 284, 3, 1, 1, 0), entry(tile_length, 10_000)),
        ]
        for strip, tile in strips_to_tiles:
            assert strip in small
            small = small.replace(strip, tile)
        refusal(small, "at most 50,000,000 pixels", "a tile of 100,000,000")

    def test_a_large_photograph_takes_little(self):
        rough = noise(925, 675).resize((7400, 5400), Image.Resampling.NEAREST)
        content = encoded(rough, "JPEG", quality=60)
        started = time.process_time()
        found = read_image(content, target_side=224)
        assert time.process_time() - started < 2  # 0.2 on an idle core
        assert min(found.image.size) in range(2 * 224, 4 * 224)

    @pytest.mark.parametrize("kind", FORMATS)
    def test_what_is_reduced_looks_the_same(self, kind):
        y, x = np.mgrid[:1500, :2000]
        large = Image.fromarray(np.stack([x // 8, y // 6, (x + y) // 14], axis=2).astype(np.uint8))
        content = encoded(large, kind)
        expected = Image.open(io.BytesIO(content)).convert("RGB").resize((224, 224), Image.Resampling.BICUBIC)
        found = read_image(content, target_side=224).image
        assert min(found.size) in range(2 * 224, 4 * 224)
        difference = np.asarray(found.resize((224, 224), Image.Resampling.BICUBIC), int) - np.asarray(expected, int)
        assert np.abs(difference).mean() < 1.5

    def test_a_picture_of_the_networks_order_is_not_reduced(self):
        content = encoded(noise(500, 375), "JPEG")
        assert read_image(content, target_side=224).image.tobytes() == read_image(content).image.tobytes()


class TestFilesThatKeepADecoderBusy:
    def test_scans_of_a_jpeg(self):
        progressive = encoded(noise(), "JPEG", progressive=True)
        assert read_image(progressive).image.size == (64, 48)
        last = progressive.rindex(b"\xff\xda")
        content = progressive[:last] + progressive[last:-2] * MAXIMUM_JPEG_SCANS + b"\xff\xd9"
        refusal(content, f"of at most {MAXIMUM_JPEG_SCANS}", "scans")

    def test_scans_of_a_thumbnail_do_not_count(self):
        thumbnail = b"\xff\xda" * (MAXIMUM_JPEG_SCANS + 1)
        content = encoded(noise(), "JPEG", comment=thumbnail)
        assert read_image(content + thumbnail).image.size == (64, 48)

    @pytest.mark.parametrize("block", [b"\xff" + b"a" * 255, b"\x01a"])
    def test_comments_of_a_gif(self, block):
        plain = encoded(noise(), "GIF")
        start = 13 + 3 * 2 ** ((plain[10] & 7) + 1)

        def commented(num_bytes):
            return plain[:start] + b"!\xfe" + block * (num_bytes // len(block)) + b"\0" + plain[start:]

        assert read_image(commented(MAXIMUM_COMMENT_BYTES - 512)).image.size == (64, 48)
        started = time.process_time()
        refusal(commented(15 * 2**20), "comments", "65,536")
        assert time.process_time() - started < 5  # Pillow: minutes

    def test_pages_of_a_tiff(self):
        page = encoded(Image.new("L", (20, 20)), "TIFF")
        (directory,) = struct.unpack_from("<I", page, 4)
        (num_entries,) = struct.unpack_from("<H", page, directory)
        link = directory + 2 + 12 * num_entries
        num_pages = 200_000
        starts = len(page) + len(page) % 2 + 6 * np.arange(num_pages)
        pages = b"".join(struct.pack("<HI", 0, start + 6) for start in starts[:-1]) + struct.pack("<HI", 0, 0)
        content = page[:link] + struct.pack("<I", starts[0]) + page[link + 4 :]
        started = time.process_time()
        found = read_image(content.ljust(starts[0], b"\0") + pages)
        assert time.process_time() - started < 5  # Pillow's n_frames: quadratic
        assert found.notices == ("The first of 200,001 frames was used.",)

    def test_a_tiff_whose_pages_go_round(self):
        page = encoded(Image.new("L", (20, 20)), "TIFF")
        (directory,) = struct.unpack_from("<I", page, 4)
        (num_entries,) = struct.unpack_from("<H", page, directory)
        link = directory + 2 + 12 * num_entries
        assert read_image(page[:link] + page[4:8] + page[link + 4 :]).notices == ()

    def test_rare_compressions_of_a_tiff(self):
        image = Image.new("L", (32, 32))
        for compression in ("raw", "packbits", "tiff_lzw", "tiff_adobe_deflate", "jpeg"):
            assert read_image(encoded(image, "TIFF", compression=compression)).image.size == (32, 32)
        refusal(encoded(image, "TIFF", compression="lzma"), "common TIFF", "lzma")
