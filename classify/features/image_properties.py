"""What image files are besides their pictures: sizes, JPEG quality, camera, brightness, border."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
from PIL import Image

from classify.features.images import Images
from data.images import ImageError, load_image, open_header
from data.npy import is_npy
from data.text import one_line
from extract.engines.engine import available_threads

_SMALL = 32  # pixels a side, at which brightness is measured
_AT_ONCE = 256  # images in memory
_ORIENTATION, _MAKE, _MODEL = 0x0112, 0x010F, 0x0110  # tags of EXIF
_TURNED = range(5, 9)  # orientations that swap width and height
_LUMINANCE = (  # ITU-T T.81, table K.1, which encoders scale by the quality
    *(16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55),
    *(14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62),
    *(18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92),
    *(49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99),
)
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
NUMBERS = (
    *("bytes", "width", "height", "quality"),
    *("brightness", "contrast", "brightest"),
    *("red", "green", "blue"),
)
TEXTS = ("format", "camera")


@dataclass(frozen=True)
class ImageProperties:
    """Properties of image files, a row for each that was found and is an image.

    Attributes
    ----------
    rows : ndarray of int, shape (n,)
        Ascending: their rows in the features.
    numbers : dict of str to ndarray of float64, shape (n,)
        By the names of `NUMBERS`: size of the file in ``bytes``; ``width`` and ``height`` in pixels as
        the image is seen; ``quality`` of a JPEG file from 1 to 100, NaN of others; ``brightness``, mean
        in 0..255, its standard deviation ``contrast`` and 95 % quantile ``brightest``; mean ``red``,
        ``green`` and ``blue`` of the border.
    texts : dict of str to tuple of str
        ``format`` of the file; ``camera`` by EXIF, empty where that names none.
    """

    rows: np.ndarray
    numbers: dict[str, np.ndarray] = field(repr=False)
    texts: dict[str, tuple[str, ...]] = field(repr=False)


def image_properties(
    images: Images, rows: Iterable[int] | None = None, threads: int | None = None
) -> ImageProperties:
    """Read the properties of image files; pixels are decoded as small as the file allows.

    Parameters
    ----------
    images : Images
    rows : iterable of int, optional
        Of the features; by default all. Those without an image, and those that are none, are left out.
    threads : int, optional
        By default as many as this process may use.

    Examples
    --------
    >>> from data.sources.arrays import from_arrays, npy_bytes
    >>> from hashlib import sha256
    >>> source = from_arrays(np.full((1, 10, 20), 51, np.uint8), ["grey"])
    >>> digest = sha256(npy_bytes(source.images[0])).digest()
    >>> found = image_properties(Images(["00000000"], np.frombuffer(digest, np.uint8)[np.newaxis], source))
    >>> [float(found.numbers[name][0]) for name in ("width", "height", "brightness")]
    [20.0, 10.0, 51.0]
    """
    with ThreadPoolExecutor(threads or available_threads(), "properties") as pool:
        chunks = _chunks(images.each(rows))
        found = sorted(each for chunk in chunks for each in pool.map(_of_image, chunk) if each)
    numbers = np.array([each for _, each, _ in found], np.float64).reshape(-1, len(NUMBERS))
    texts = zip(*(each for _, _, each in found), strict=True) if found else [()] * len(TEXTS)
    return ImageProperties(
        rows=np.array([row for row, _, _ in found], int),
        numbers=dict(zip(NUMBERS, numbers.T, strict=True)),
        texts=dict(zip(TEXTS, texts, strict=True)),
    )


def jpeg_quality(table: Iterable[int]) -> int:
    """Return the quality, 1 to 100, whose table of the Independent JPEG Group is nearest.

    Parameters
    ----------
    table : iterable of 64 int
        Quantization of luminance, in natural order.

    Examples
    --------
    >>> jpeg_quality([1] * 64), jpeg_quality(_LUMINANCE)
    (100, 50)
    """
    return 1 + int(np.abs(_TABLES - np.fromiter(table, int, 64)).sum(axis=1).argmin())


def _tables() -> np.ndarray:
    """Return the table of luminance of every quality, as libjpeg's ``jpeg_set_quality`` scales it."""
    quality = np.arange(1, 101)
    scale = np.where(quality < 50, 5000 // quality, 200 - 2 * quality)
    return np.clip((np.outer(scale, _LUMINANCE) + 50) // 100, 1, 255)


_TABLES = _tables()


def _chunks(items: Iterator) -> Iterator[list]:
    while chunk := list(islice(items, _AT_ONCE)):
        yield chunk


_Found = tuple[int, tuple[float, ...], tuple[str, ...]]


def _of_image(item: tuple[int, bytes | None]) -> _Found | None:
    row, data = item
    if data is None:
        return None
    try:
        small = load_image(data, (_SMALL, _SMALL), decode_scale="dct")
        size, quality, texts = _of_header(data)
    except ImageError:
        return None
    light = small @ _LUMA
    edge = np.ones((_SMALL, _SMALL), bool)
    edge[1:-1, 1:-1] = False
    numbers = (len(data), *size, quality, light.mean(), light.std(), np.quantile(light, 0.95))
    return row, (*map(float, numbers), *map(float, small[edge].mean(axis=0))), texts


def _of_header(data: bytes) -> tuple[tuple[int, int], float, tuple[str, str]]:
    """Return width and height, quality, format and camera."""
    if is_npy(data):
        pixels = load_image(data, None)
        return (pixels.shape[1], pixels.shape[0]), np.nan, ("array", "")
    image = open_header(data)
    tables = getattr(image, "quantization", None)
    quality = jpeg_quality(tables[0]) if tables and 0 in tables else np.nan
    orientation, camera = _exif(image)
    size = image.size[::-1] if orientation in _TURNED and image.format != "TIFF" else image.size
    return size, quality, (image.format or "", camera)


def _exif(image: Image.Image) -> tuple[object, str]:
    """Return the orientation and the camera; broken EXIF, which raises anything, is as none."""
    if "exif" not in image.info and image.format != "TIFF":
        return 1, ""
    try:
        exif = image.getexif()
        named = [one_line(exif[tag], 60).strip("\0 ") for tag in (_MAKE, _MODEL) if tag in exif]
        return exif.get(_ORIENTATION, 1), " ".join(named)
    except Exception:
        return 1, ""
