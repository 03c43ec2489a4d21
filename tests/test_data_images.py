"""What pixels a model sees: formats, transparency, turns, damage, and parity with TensorFlow."""

import io
import struct
import subprocess
import sys
import time
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from data.images import ImageError, is_dim, load_image
from data.sources.arrays import npy_bytes

HEIGHT, WIDTH = SIZE = (24, 40)
FORMATS = {
    "JPEG": {"quality": 98, "subsampling": 0},
    "PNG": {},
    "GIF": {},
    "BMP": {},
    "WEBP": {"lossless": True},
    "TIFF": {},
}
LOSSY = 4  # grey levels, mean over an image, by which JPEG decoders and encoders differ


@pytest.fixture(scope="module", autouse=True)
def tensorflow():
    """Import it before any test measures its time."""
    import tensorflow

    return tensorflow


def photo(seed: int = 0) -> Image.Image:
    """Draw smooth colours without any symmetry."""
    colours = np.random.default_rng(seed).integers(0, 256, (3, 5, 3), dtype=np.uint8)
    return Image.fromarray(colours).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)


def encode(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **{**FORMATS[kind], **options})
    return buffer.getvalue()


def rgb(image) -> np.ndarray:
    return np.asarray(image.convert("RGB") if isinstance(image, Image.Image) else image, np.float32)


def with_alpha(mode: str, alpha: int) -> Image.Image:
    image = photo().convert(mode)
    image.putalpha(alpha)
    return image


def grey16() -> Image.Image:
    return Image.fromarray(np.asarray(photo().convert("L")).astype(np.uint16) * 257)


def animation() -> dict:
    return {"save_all": True, "append_images": [photo(seed=1), photo(seed=2)]}


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def npy_as_saved(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def png_chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png_header(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = png_chunk(b"IDAT", zlib.compress(b"\0"))
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + pixels + png_chunk(b"IEND", b"")


def gif_header(width: int, height: int) -> bytes:
    frame = b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x02\x02\x4c\x01\0"
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6) + frame + b";"


def bmp(width: int, height: int, bits: int, pixels: bytes) -> bytes:
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, 0, len(pixels), 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + len(pixels), 0, 0, 54) + header + pixels


def bmp_with_unused_byte() -> bytes:
    """Write 32 bits for each pixel, the last eight unused and 0, as Windows does."""
    bgrx = np.dstack([np.asarray(photo())[..., ::-1], np.zeros(SIZE, np.uint8)])
    return bmp(WIDTH, HEIGHT, 32, bgrx[::-1].tobytes())


KINDS = {
    "jpeg": lambda: (encode(photo(), "JPEG"), photo(), LOSSY),
    "jpeg progressive": lambda: (encode(photo(), "JPEG", progressive=True), photo(), LOSSY),
    "jpeg grey": lambda: (encode(photo().convert("L"), "JPEG"), photo().convert("L"), LOSSY),
    "jpeg cmyk": lambda: (encode(photo().convert("CMYK"), "JPEG"), photo(), LOSSY),
    "png": lambda: (encode(photo(), "PNG"), photo(), 0),
    "png palette": lambda: (encode(photo().quantize(32), "PNG"), photo().quantize(32), 0),
    "png 1 bit": lambda: (encode(photo().convert("1"), "PNG"), photo().convert("1"), 0),
    "png 16 bit grey": lambda: (encode(grey16(), "PNG"), photo().convert("L"), 0),
    "png animated": lambda: (encode(photo(), "PNG", **animation()), photo(), 0),
    "gif": lambda: (encode(photo().quantize(32), "GIF"), photo().quantize(32), 0),
    "gif animated": lambda: (encode(photo().quantize(32), "GIF", **animation()), photo().quantize(32), 0),
    "bmp": lambda: (encode(photo(), "BMP"), photo(), 0),
    "bmp grey": lambda: (encode(photo().convert("L"), "BMP"), photo().convert("L"), 0),
    "bmp 1 bit": lambda: (encode(photo().convert("1"), "BMP"), photo().convert("1"), 0),
    "bmp palette": lambda: (encode(photo().quantize(32), "BMP"), photo().quantize(32), 0),
    "bmp unused byte": lambda: (bmp_with_unused_byte(), photo(), 0),
    "webp": lambda: (encode(photo(), "WEBP"), photo(), 0),
    "webp lossy": lambda: (encode(photo(), "WEBP", lossless=False, quality=100), photo(), LOSSY),
    "tiff": lambda: (encode(photo(), "TIFF"), photo(), 0),
    "tiff compressed": lambda: (encode(photo(), "TIFF", compression="tiff_lzw"), photo(), 0),
    "tiff 16 bit grey": lambda: (encode(grey16(), "TIFF"), photo().convert("L"), 0),
    "npy": lambda: (npy_bytes(np.asarray(photo())), photo(), 0),
    "npy grey": lambda: (npy_bytes(np.asarray(photo().convert("L"))), photo().convert("L"), 0),
    "npy by columns": lambda: (npy_as_saved(np.asfortranarray(photo())), photo(), 0),
    "npy floats": lambda: (npy_bytes(np.asarray(photo(), np.float64)), photo(), 0),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_file_gives_its_own_colours(kind):
    data, expected, tolerance = KINDS[kind]()
    pixels = load_image(data, SIZE)
    assert pixels.dtype == np.float32 and pixels.shape == (*SIZE, 3)
    assert np.abs(pixels - rgb(expected)).mean() <= tolerance


def frames_of_webp(count: int) -> bytes:
    """Write an animated WebP, then keep `count` of its frames: one alone is no animation to Pillow."""
    data, kept, position = encode(photo(), "WEBP", **animation()), b"WEBP", 12
    while position < len(data):
        length = 8 + 2 * ((struct.unpack_from("<I", data, position + 4)[0] + 1) // 2)
        name, chunk = data[position : position + 4], data[position : position + length]
        if name != b"ANMF" or kept.count(b"ANMF") < count:
            kept += chunk
        position += length
    return b"RIFF" + struct.pack("<I", len(kept)) + kept


@pytest.mark.parametrize("count", [1, 3])
def test_an_animated_webp_gives_its_first_frame(count, tmp_path):
    """In a process of its own, since TensorFlow's decoder writes past its memory and ends the process."""
    (tmp_path / "animated.webp").write_bytes(frames_of_webp(count))
    script = (
        "import sys, numpy; from pathlib import Path; from data.images import load_image\n"
        f"numpy.save('pixels.npy', load_image(Path('animated.webp').read_bytes(), {SIZE}))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-500:]
    np.testing.assert_array_equal(np.load(tmp_path / "pixels.npy"), rgb(photo()))


@pytest.mark.parametrize(
    "image, kind, options, size",
    [
        (photo(), "JPEG", {}, (150, 150)),
        (photo(), "JPEG", {"subsampling": 2, "quality": 60}, (7, 5)),
        (photo(), "JPEG", {"progressive": True}, SIZE),
        (photo().convert("L"), "JPEG", {}, (31, 17)),
        (photo(), "PNG", {}, (299, 299)),
        (photo().quantize(16), "PNG", {}, (10, 90)),
        (photo(), "WEBP", {}, (12, 12)),
    ],
)
def test_pixels_are_those_of_tensorflow(image, kind, options, size):
    import tensorflow as tf

    data = encode(image, kind, **options)
    decoded = tf.io.decode_image(data, channels=3, expand_animations=False)
    np.testing.assert_array_equal(load_image(data, size), tf.image.resize(decoded, size).numpy())


@pytest.mark.parametrize("size", [(150, 150), (299, 299)])
def test_photographs_are_those_of_tensorflow(shared, size):
    import tensorflow as tf

    for path in sorted((shared / "photos/train/cat").iterdir())[:5]:
        decoded = tf.io.decode_image(path.read_bytes(), channels=3, expand_animations=False)
        expected = tf.image.resize(decoded, size).numpy()
        np.testing.assert_array_equal(load_image(path.read_bytes(), size), expected)


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_alpha_is_composited_over_the_background(kind, mode):
    def load(alpha, **options):
        return load_image(encode(with_alpha(mode, alpha), kind, exact=True), SIZE, **options)

    opaque = rgb(photo().convert(mode))
    np.testing.assert_array_equal(load(255), opaque)
    np.testing.assert_array_equal(load(0), 255)
    np.testing.assert_allclose(load(128), opaque * (128 / 255) + 255 * (127 / 255), atol=0.01)
    np.testing.assert_array_equal(load(0, alpha_background=(1, 2, 3)), np.full((*SIZE, 3), (1, 2, 3)))


def keyed(mode: str) -> tuple[Image.Image, object]:
    """Return an image whose upper half has one colour, and that colour as `transparency`."""
    pixels = np.array(photo().quantize(32) if mode == "P" else photo().convert(mode))
    pixels[: HEIGHT // 2] = 200
    image = Image.fromarray(pixels)
    if mode == "P":
        image.putpalette(
            [*photo().quantize(32).getpalette()[: 3 * 200], *[0] * (3 * 200 - 3 * 32), 9, 99, 199]
        )
    return image, {"RGB": (200, 200, 200), "L": 200, "P": 200}[mode]


@pytest.mark.parametrize("kind, mode", [("PNG", "P"), ("PNG", "L"), ("PNG", "RGB"), ("GIF", "P")])
def test_a_colour_that_means_transparent_becomes_the_background(kind, mode):
    image, key = keyed(mode)
    pixels = load_image(encode(image, kind, transparency=key), SIZE)
    np.testing.assert_array_equal(pixels[: HEIGHT // 2], 255)
    np.testing.assert_array_equal(pixels[HEIGHT // 2 :], rgb(image)[HEIGHT // 2 :])


def test_sixteen_bits_keep_their_shades():
    ramp = np.arange(0, 65536, 257, dtype=np.uint16).reshape(16, 16)
    for kind in ("PNG", "TIFF"):
        pixels = load_image(encode(Image.fromarray(ramp), kind), (16, 16))
        np.testing.assert_array_equal(pixels[..., 0].ravel(), np.arange(256))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_turns_the_image(kind, orientation):
    data = encode(photo(), kind, exif=turned(orientation))
    expected = rgb(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    assert expected.shape[:2] == (SIZE if orientation < 5 else SIZE[::-1])
    tolerance = LOSSY if kind == "JPEG" else 0
    assert np.abs(load_image(data, expected.shape[:2]) - expected).mean() <= tolerance


@pytest.mark.parametrize("orientation", [3, 6])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_can_be_left_alone(kind, orientation):
    data = encode(photo(), kind, exif=turned(orientation))
    pixels = load_image(data, SIZE, exif_orientation=False)
    assert np.abs(pixels - rgb(photo())).mean() <= (LOSSY if kind == "JPEG" else 0)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_exif_does_not_know_turns_nothing(orientation):
    data = encode(photo(), "PNG", exif=turned(orientation))
    np.testing.assert_array_equal(load_image(data, SIZE), rgb(photo()))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    "exif", [b"no exif at all", b"II*\0\x08\0\0\0\xff\xff", b""], ids=["text", "cut", "empty"]
)
def test_broken_exif_does_not_lose_the_image(kind, exif):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of it
        pixels = load_image(encode(photo(), kind, exif=b"Exif\0\0" + exif), SIZE)
    np.testing.assert_array_equal(pixels, load_image(encode(photo(), kind), SIZE))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("kind", [kind for kind in KINDS if "animated" not in kind])
def test_a_truncated_file_is_refused(kind):
    data = KINDS[kind]()[0]
    with pytest.raises(ImageError, match=r"\w{3}"):
        load_image(data[: len(data) // 2], SIZE)


def npy(shape, dtype="|u1", body=b"") -> bytes:
    buffer = io.BytesIO()
    header = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, header)
    return buffer.getvalue() + body


BROKEN = {
    "eps, which would start another program": (
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n",
        "not an image",
    ),
    "empty": (b"", "empty"),
    "text": (b"this is not an image\n", "not an image"),
    "html": (b"<html><body>404</body></html>", "not an image"),
    "header only": (encode(photo(), "JPEG")[:24], "."),
    "png header only": (png_header(WIDTH, HEIGHT), "."),
    "png bomb": (png_header(60000, 60000), "bomb"),
    "gif bomb": (gif_header(60000, 60000), "bomb"),
    "bmp bomb": (bmp(60000, 60000, 24, b"\0" * 99), "bomb"),
    "npy bomb": (npy((60000, 60000, 3)), "."),
    "npy of more bytes than memory": (npy((10**6, 10**6, 10**3)), "."),
    "npy header only": (b"\x93NUMPY\x01\x00v\x00{", "."),
    "npy pickled": (npy_as_saved(np.array([1, "a"], object)), "."),
    "npy of one axis": (npy_bytes(np.zeros(40, np.uint8)), "."),
    "npy of four axes": (npy_bytes(np.zeros((2, 8, 8, 3), np.uint8)), "."),
    "npy of five channels": (npy_bytes(np.zeros((8, 8, 5), np.uint8)), "."),
    "npy without pixels": (npy_bytes(np.zeros((0, 8, 3), np.uint8)), "."),
    "npy of text": (npy_bytes(np.full((8, 8, 3), "a")), "."),
    "npy of complex numbers": (npy_bytes(np.zeros((8, 8, 3), np.complex64)), "."),
    "npy below 0": (npy_bytes(np.full((8, 8, 3), -5, np.float32)), "."),
    "npy above 255": (npy_bytes(np.full((8, 8, 3), 256, np.uint16)), "."),
    "npy of NaN": (npy_bytes(np.full((8, 8, 3), np.nan, np.float32)), "."),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_what_is_no_image_is_refused_quickly_with_a_reason(kind):
    data, reason = BROKEN[kind]
    start = time.perf_counter()
    with pytest.raises(ImageError, match=reason) as caught:
        load_image(data, SIZE)
    assert time.perf_counter() - start < 5
    text = str(caught.value)
    assert text.strip() and "\n" not in text and "{{" not in text and "[Op:" not in text


def test_the_limit_counts_declared_pixels():
    data = encode(photo(), "PNG")
    assert load_image(data, (1, 1), pixel_limit=HEIGHT * WIDTH).shape == (1, 1, 3)
    with pytest.raises(ImageError, match=f"bomb.*--pixel-limit {HEIGHT * WIDTH} takes"):
        load_image(data, (1, 1), pixel_limit=HEIGHT * WIDTH - 1)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_higher_limit_takes_what_pillow_would_refuse(kind, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 9)
    with pytest.raises(ImageError, match=f"bomb.*--pixel-limit {HEIGHT * WIDTH} takes"):
        load_image(encode(photo(), kind), (1, 1), pixel_limit=9)
    assert load_image(encode(photo(), kind), (1, 1), pixel_limit=HEIGHT * WIDTH).shape == (1, 1, 3)


def deep(kind: str, top: int) -> bytes:
    grey = np.linspace(0, top, WIDTH * HEIGHT).reshape(HEIGHT, WIDTH).astype(np.uint16)
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG2000"])
def test_values_in_a_sixteenth_of_16_bits_are_noticed(kind):
    for top, dim in ((4095, True), (8191, False), (65535, False), (0, False)):
        data = deep(kind, top)
        assert is_dim(data, load_image(data, None)) == dim, top
    night = encode(Image.fromarray(np.full((8, 8), 9, np.uint8)), "TIFF" if kind == "TIFF" else "PNG")
    assert not is_dim(night, load_image(night, None))


@pytest.mark.parametrize("kind", FORMATS)
def test_damage_gives_an_image_or_an_image_error(kind):
    """Overwrite bytes near the header, where decoders meet what they do not expect."""
    data = encode(photo(), kind)
    for seed in range(60):
        generator = np.random.default_rng(seed)
        damaged = bytearray(data)
        for position in generator.integers(0, min(len(data), 120), 3):
            damaged[position] = generator.integers(256)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                pixels = load_image(bytes(damaged), (8, 9))
            except ImageError:
                continue
        assert pixels.shape == (8, 9, 3) and 0 <= pixels.min() <= pixels.max() <= 255


def test_all_odd_images_decode(shared):
    paths = sorted((shared / "odd_images/good/cat").iterdir())
    assert len(paths) == 20
    for path in paths:
        pixels = load_image(path.read_bytes(), (150, 150))
        assert pixels.shape == (150, 150, 3), path
        assert np.isfinite(pixels).all() and pixels.min() >= 0 and pixels.max() <= 255, path


def test_odd_images_look_like_what_pillow_shows(shared):
    plain = load_image((shared / "odd_images/good/cat/plain.jpg").read_bytes(), (150, 150))
    for name in (
        "UPPER.JPG",
        "progressive.jpg",
        "cmyk.jpg",
        "png_named.jpg",
        "scan.tiff",
        "bitmap.bmp",
        "lossy.webp",
    ):
        pixels = load_image((shared / "odd_images/good/cat" / name).read_bytes(), (150, 150))
        assert pixels.std() > 20 and np.corrcoef(pixels.ravel(), plain.ravel())[0, 1] > 0.9, name


def test_broken_images_are_refused_and_bit_rot_decodes(shared):
    paths = sorted((shared / "odd_images/bad/cat").iterdir())
    reasons = {}
    for path in paths:
        try:
            load_image(path.read_bytes(), (150, 150))
        except ImageError as error:
            reasons[path.name] = str(error)
    assert len(paths) == 8 and {path.name for path in paths} - set(reasons) == {"bitrot.jpg"}
    assert all(reasons.values()) and "bomb" in reasons["bomb.png"]


@pytest.mark.parametrize(
    ("side", "ratio"), [(24, 1), (47, 1), (48, 2), (100, 4), (192, 8), (2000, 8)], ids=str
)
def test_a_large_jpeg_may_be_decoded_smaller(side, ratio, tensorflow):
    tf = tensorflow
    data = encode(photo().resize((side + 30, side), Image.Resampling.BICUBIC), "JPEG")
    small = tf.io.decode_jpeg(data, channels=3, ratio=ratio)
    expected = tf.image.resize(small, (20, 24)).numpy()
    np.testing.assert_array_equal(load_image(data, (20, 24), decode_scale="dct"), expected)
    assert min(small.shape[:2]) >= min(side, 24)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_only_jpegs_are_decoded_smaller(kind):
    data = encode(photo().resize((300, 300)), kind)
    np.testing.assert_array_equal(load_image(data, (8, 8), decode_scale="dct"), load_image(data, (8, 8)))
