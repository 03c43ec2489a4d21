"""Pixels without TensorFlow are those of TensorFlow, bit for bit, and the same images are rejected."""

import io
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image

from data import images
from data.images import ImageError, load_image
from data.jpeg import jpeg_pixels
from data.resize import resized

SIZE = (20, 30)
_LOADED = """
import sys
from pathlib import Path
from data.images import ImageError, is_dim, load_image
for name in sys.argv[1:]:
    data = Path(name).read_bytes()
    is_dim(data, load_image(data, (32, 32)))
print(*sorted({name.split(".")[0] for name in sys.modules}))
"""


@pytest.fixture(scope="module")
def tf():
    import tensorflow

    return tensorflow


@pytest.fixture
def asked(monkeypatch) -> list[int]:
    """Bytes of each image that TensorFlow was asked for."""
    found: list[int] = []
    own = images._decode_with_tensorflow

    def decode(data, ratio):
        found.append(len(data))
        return own(data, ratio)

    monkeypatch.setattr(images, "_decode_with_tensorflow", decode)
    return found


def noise(height: int, width: int, seed: int = 0) -> Image.Image:
    """Draw colours with soft and hard edges."""
    generator = np.random.default_rng([height, width, seed])
    low = Image.fromarray(generator.integers(0, 256, (3, 4, 3), np.uint8))
    pixels = np.asarray(low.resize((width, height), Image.Resampling.BICUBIC), int)
    return Image.fromarray(np.clip(pixels + generator.normal(0, 12, pixels.shape), 0, 255).astype(np.uint8))


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def jpegs(image: Image.Image):
    for quality in (30, 95):
        for subsampling in (0, 1, 2):
            for progressive in (False, True):
                for restart in (0, 3):
                    yield encoded(
                        image,
                        "JPEG",
                        quality=quality,
                        subsampling=subsampling,
                        progressive=progressive,
                        restart_marker_blocks=restart,
                    )


def lossless(image: Image.Image):
    grey = image.convert("L")
    shaded = image.copy()
    shaded.putalpha(grey)
    deep = Image.fromarray(np.asarray(grey, np.uint16) * 257 - np.asarray(grey))
    for mode in (image, grey, grey.convert("1"), image.quantize(7), grey.convert("LA"), shaded, deep):
        yield "PNG", encoded(mode, "PNG")
    for mode in (image, grey, image.quantize(7), grey.convert("1")):
        yield "GIF", encoded(mode, "GIF")
    for mode in (image, shaded):
        for options in ({"lossless": True}, {"quality": 40}):
            yield "WEBP", encoded(mode, "WEBP", **options)


def by_tensorflow(tf, data: bytes, ratio: int = 1) -> np.ndarray:
    if ratio > 1:
        return tf.io.decode_jpeg(data, channels=0, ratio=ratio).numpy()
    return tf.io.decode_image(data, channels=0, expand_animations=False).numpy()


def test_any_size_is_that_of_tensorflow(tf):
    generator = np.random.default_rng(0)
    for number in range(300):
        sides = (generator.integers(1, (40, 400)[place], 2) for place in (number % 2, number // 2 % 2))
        (height, width), size = (tuple(map(int, each)) for each in sides)
        pixels = generator.integers(0, 256, (height, width, number % 4 + 1), np.uint8)
        if number % 3 == 0:
            pixels = pixels * np.float32(0.77) + np.float32(0.3)
        np.testing.assert_array_equal(resized(pixels, size), tf.image.resize(pixels, size).numpy())


def test_large_images_are_those_of_tensorflow_block_by_block(tf):
    pixels = np.random.default_rng(0).integers(0, 256, (301, 407, 3), np.uint8)
    for size in ((299, 299), (150, 151), (640, 90), (90, 1300), (299, 407), (301, 150)):
        np.testing.assert_array_equal(resized(pixels, size), tf.image.resize(pixels, size).numpy())


@pytest.mark.parametrize("size", [None, (40, 50), (20, 30)])
def test_an_image_stays_as_it_is_while_others_are_loaded(size):
    files = [encoded(noise(40, 50, seed), "JPEG") for seed in range(40)]
    alone = [load_image(data, size).copy() for data in files]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda data: load_image(data, size), files))
    np.testing.assert_array_equal(together, alone)


@pytest.mark.parametrize("side", [(1, 1), (8, 9), (17, 16), (61, 83)])
def test_jpegs_are_those_of_tensorflow(side, tf, asked):
    for image in (noise(*side), noise(*side).convert("L")):
        for data in jpegs(image):
            expected = by_tensorflow(tf, data)
            np.testing.assert_array_equal(jpeg_pixels(data), expected)
            rgb = np.repeat(expected, 3, -1) if expected.shape[2] == 1 else expected
            np.testing.assert_array_equal(load_image(data, SIZE), tf.image.resize(rgb, SIZE).numpy())
    assert not asked


@pytest.mark.parametrize("side", [(64, 72), (171, 133)])
@pytest.mark.parametrize("ratio", [2, 4, 8])
def test_jpegs_that_are_decoded_smaller_are_those_of_tensorflow(side, ratio, tf):
    for image in (noise(*side), noise(*side).convert("L")):
        for data in jpegs(image):
            np.testing.assert_array_equal(jpeg_pixels(data, ratio), by_tensorflow(tf, data, ratio))


@pytest.mark.parametrize("side", [(1, 1), (9, 8), (40, 33)])
def test_other_formats_are_those_of_tensorflow(side, tf, asked):
    for _, data in lossless(noise(*side)):
        expected = images._to_rgb(by_tensorflow(tf, data), images.WHITE)
        np.testing.assert_array_equal(load_image(data, SIZE), tf.image.resize(expected, SIZE).numpy())
    assert not asked


def test_what_tensorflow_alone_decodes_so_is_decoded_by_it(tf, asked):
    gif = bytearray(encoded(noise(30, 40), "GIF"))
    gif[7] |= 1  # the canvas becomes 256 pixels wider than the frame
    rotten = bytearray(encoded(noise(80, 90), "JPEG"))
    rotten[-400] ^= 4  # of a Huffman code: all later ones are others
    with pytest.raises(ValueError, match="Corrupt JPEG data"):
        jpeg_pixels(bytes(rotten))
    files = [encoded(noise(30, 40).convert("CMYK"), "JPEG"), bytes(gif), bytes(rotten)]
    for data in files:
        expected = tf.image.resize(by_tensorflow(tf, data), SIZE).numpy()
        np.testing.assert_array_equal(load_image(data, SIZE), expected)
    assert len(asked) == len(files)


def test_damage_is_rejected_where_tensorflow_and_pillow_reject_it(tf):
    generator = np.random.default_rng(0)
    whole = [encoded(noise(50, 61), "JPEG"), encoded(noise(50, 61), "JPEG", progressive=True)]
    whole += [encoded(noise(20, 31), kind) for kind in ("PNG", "GIF", "WEBP")]
    verdicts = []
    for data in whole:
        cuts = [data[: len(data) * share // 100] for share in range(5, 100, 5)]
        for damaged in (*cuts, *(flipped(data, generator) for _ in range(40))):
            verdicts.append(expected := decoded_before(tf, damaged))
            if expected is None:
                with pytest.raises(ImageError):
                    load_image(damaged, SIZE)
            else:
                np.testing.assert_array_equal(load_image(damaged, SIZE), tf.image.resize(expected, SIZE))
    rejected = sum(verdict is None for verdict in verdicts)
    assert 95 <= rejected < len(verdicts) - 50


def flipped(data: bytes, generator) -> bytes:
    """Change one bit, as often in the first 300 bytes as in all."""
    changed = bytearray(data)
    changed[generator.integers(min(len(data), 300) if generator.integers(2) else len(data))] ^= (
        1 << generator.integers(8)
    )
    return bytes(changed)


def decoded_before(tf, data: bytes) -> np.ndarray | None:
    """Decode as the two do that this project began with: Pillow the header, TensorFlow, then Pillow."""
    try:
        image = images.open_header(data, images.PIXEL_LIMIT)
        if not images._tensorflow_decodes(image, data):
            return images._to_rgb(images.pillow_pixels(image, True), images.WHITE)
    except ImageError:
        return None
    try:
        return images._to_rgb(by_tensorflow(tf, data), images.WHITE)
    except tf.errors.InvalidArgumentError:
        try:
            return images._to_rgb(images.pillow_pixels(image, True), images.WHITE)
        except ImageError:
            return None


def test_nothing_imports_tensorflow(tmp_path):
    files = dict(enumerate(data for _, data in lossless(noise(40, 50))))
    files |= {f"{number}.jpg": data for number, data in enumerate(jpegs(noise(40, 50)))}
    turned = Image.Exif()
    turned[0x0112] = 6
    files["turned"] = encoded(noise(40, 50), "JPEG", exif=turned)
    files["grey"] = encoded(noise(40, 50).convert("L"), "JPEG")
    files |= {kind: encoded(noise(40, 50), kind) for kind in ("BMP", "TIFF")}
    for name, data in files.items():
        (tmp_path / str(name)).write_bytes(data)
    words = [sys.executable, "-c", _LOADED, *map(str, tmp_path.iterdir())]
    done = subprocess.run(words, capture_output=True, text=True, check=True, env=environment())
    loaded = set(done.stdout.split())
    assert {"simplejpeg", "PIL"} <= loaded
    assert not loaded & {"tensorflow", "keras", "openvino", "sklearn", "h5py"}


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def test_without_tensorflow_such_images_are_rejected_with_the_reason(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    cmyk = encoded(noise(30, 40).convert("CMYK"), "JPEG")
    with pytest.raises(ImageError, match="TensorFlow, which is not installed, may decode it"):
        load_image(cmyk, SIZE)
    whole = encoded(noise(30, 40), "JPEG")
    assert load_image(whole, SIZE).shape == (*SIZE, 3)
    with pytest.raises(ImageError, match="Premature end of JPEG file; TensorFlow"):
        load_image(whole[:-50], SIZE)
