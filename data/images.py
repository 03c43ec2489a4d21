"""Encoded bytes to pixels: the one place that says what pixels a model sees."""

import io
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import numpy as np
from PIL import Image
from PIL.GifImagePlugin import GifImageFile
from PIL.TiffImagePlugin import TiffImageFile

from data.jpeg import jpeg_pixels
from data.npy import is_npy, npy_pixels
from data.resize import PLAIN, Resizing, fitted
from data.text import one_line

MAY_DECODE = "may decode it"  # so ends the reason for rejecting what TensorFlow is wanted for
PIXEL_LIMIT = 178_956_970  # Pillow's own limit for what it takes for a decompression bomb
WHITE = (255, 255, 255)
_ORIENTATION, _BITS = 0x0112, 0x0102  # tags of EXIF and TIFF
_TURNS = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: np.rot90(pixels, 2).swapaxes(0, 1),
    8: lambda pixels: np.rot90(pixels, 1),
}
_TENSORFLOW_FRAME = re.compile(r"\{\{.*?\}\}|\[Op:\w+\]")  # names of kernels around a message
_FORMATS = {"AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "TGA", "TIFF", "WEBP"}
_NO_DECODER = {
    "HEIC": re.compile(rb"....ftyp(hei[cmsx]|hev[cmx]|mif1|msf1)", re.DOTALL),
    "JPEG XL": re.compile(rb"\xff\x0a|\0\0\0\x0cJXL "),
}
_TURNED_BACK = {6: 8, 8: 6}  # the others undo themselves
_JPEGS = {"JPEG", "MPO"}
_TENSORFLOW_READS = _JPEGS | {"PNG", "GIF", "WEBP"}  # BMP's palettes and unused bytes go wrong


class ImageError(ValueError):
    """The bytes are no image that can be decoded; the text is the reason."""


def load_image(
    data: bytes,
    size: tuple[int, int] | None,
    *,
    exif_orientation: bool = True,
    alpha_background: tuple[int, int, int] = WHITE,
    pixel_limit: int = PIXEL_LIMIT,
    decode_scale: str = "full",
    resizing: Resizing = PLAIN,
) -> np.ndarray:
    """Decode and resize one image.

    The pixels are those of ``tf.image.resize(image, size)`` (bilinear, no antialias), unless `resizing` says
    more, on the image as ``tf.io.decode_image`` decodes it; Pillow decodes what TensorFlow cannot read.
    It is imported for those files only that nothing else decodes so: odd or damaged JPEGs.

    Parameters
    ----------
    data : bytes
        An image file, or an ``.npy`` file of shape (H, W) or (H, W, C) in 0..255.
    size : tuple of int or None
        Height and width in pixels; None keeps those of the image.
    exif_orientation : bool
        Turn the image as its EXIF tag says.
    alpha_background : tuple of int
        RGB colour under transparent pixels.
    pixel_limit : int
        Images that declare more pixels are refused before they are decoded.
    decode_scale : str
        ``dct`` decodes a JPEG at 1/2, 1/4 or 1/8 where that is still as large as `size`.
    resizing : Resizing

    Returns
    -------
    ndarray of float32, shape (height, width, 3)
        RGB in 0..255.

    Raises
    ------
    ImageError
        If the bytes cannot be decoded.

    Examples
    --------
    >>> from data.sources.arrays import npy_bytes
    >>> load_image(npy_bytes(np.full((8, 8), 51, np.uint8)), (2, 2))[0, 0].tolist()
    [51.0, 51.0, 51.0]
    """
    least = resizing.whole_size(size, size) if size and decode_scale == "dct" else None
    pixels = _to_rgb(_decode(data, exif_orientation, pixel_limit, least), alpha_background)
    return fitted(pixels, size, resizing) if size else pixels.astype(np.float32)


def small_image(data: bytes, longest: int) -> np.ndarray:
    """Decode an image to be shown: a JPEG at 1/2, 1/4 or 1/8, where that is as large as is shown.

    Parameters
    ----------
    data : bytes
        As `load_image` takes them.
    longest : int
        Pixels of the longer side of what is shown; the image is not made smaller than that.

    Returns
    -------
    ndarray of uint8, shape (height, width, 3)
        Turned as EXIF says, on white.

    Raises
    ------
    ImageError
        If the bytes cannot be decoded.

    Examples
    --------
    >>> from data.sources.arrays import npy_bytes
    >>> small_image(npy_bytes(np.full((8, 6), 51, np.uint8)), 4).shape
    (8, 6, 3)
    """
    if not data or is_npy(data):
        return load_image(data, None).round().astype(np.uint8)
    image = open_header(data)
    if image.format in _JPEGS:
        ratio = max(image.size) / longest
        image.draft("RGB", (int(image.width / ratio), int(image.height / ratio)))
    pixels = _to_rgb(pillow_pixels(image, exif_orientation=True), WHITE)
    return np.clip(pixels, 0, 255).round().astype(np.uint8)


def is_dim(data: bytes, image: np.ndarray) -> bool:
    """Tell whether an image has 16 bits a value and uses a sixteenth of their range, as 12-bit grey may.

    Parameters
    ----------
    data : bytes
        An image file that can be decoded.
    image : ndarray
        What `load_image` makes of it.
    """
    return 0 < image.max() < 16 and _bits(data) == 16


def _bits(data: bytes) -> int:
    """Return how many bits a value of an image file has, of those that can have more than 8."""
    if is_npy(data):
        return 8
    if data.startswith(b"\x89PNG"):
        return data[24]
    image = Image.open(io.BytesIO(data), formats=_formats())
    if isinstance(image, TiffImageFile):
        return max(image.tag_v2.get(_BITS, (1,)))
    return 16 if image.mode.startswith("I;16") else 8


def _decode(
    data: bytes, exif_orientation: bool, pixel_limit: int, least: tuple[int, int] | None
) -> np.ndarray:
    if not data:
        raise ImageError("the file is empty")
    if is_npy(data):
        return _array_pixels(data)
    image = open_header(data, pixel_limit)
    if not _tensorflow_decodes(image, data):
        return pillow_pixels(image, exif_orientation)
    pixels = _as_tensorflow(image, data, _dct_ratio(image, least) if least else 1)
    return _turned(pixels, _orientation(image)) if exif_orientation else pixels


def _as_tensorflow(image: Image.Image, data: bytes, ratio: int) -> np.ndarray:
    """Decode to the pixels that TensorFlow sees: by it where nothing else gives the same, or fails."""
    is_jpeg = image.format in _JPEGS
    try:
        return jpeg_pixels(data, ratio) if is_jpeg else _lossless_pixels(image, data)
    except ValueError as error:  # of both
        reason = one_line(error)
    try:
        return _decode_with_tensorflow(data, ratio)
    except ImportError as error:
        absent = isinstance(error, ModuleNotFoundError)
        state = "is not installed" if absent else f"cannot be imported ({one_line(error)})"
        raise ImageError(f"{reason}; TensorFlow, which {state}, {MAY_DECODE}") from None
    except ImageError as error:
        if not is_jpeg:
            raise
        try:
            return pillow_pixels(image, exif_orientation=False)
        except ImageError:
            raise error from None


def _lossless_pixels(image: Image.Image, data: bytes) -> np.ndarray:
    """Decode a PNG, a GIF or a WebP by Pillow; WebP has but one decoder."""
    canvas = (0, 0, *struct.unpack("<HH", data[6:10]))
    if isinstance(image, GifImageFile) and image.tile[0].extents != canvas:
        raise ImageError("a GIF whose first frame has another size")
    if not image.mode.startswith("I;16"):
        return pillow_pixels(image, exif_orientation=False)
    with _as_image_errors():
        return (np.asarray(image) >> 8).astype(np.uint8)[..., np.newaxis]


def _tensorflow_decodes(image: Image.Image, data: bytes) -> bool:
    """Tell whether TensorFlow's decoder is right for an image.

    TensorFlow loses a colour that means transparent, and an animated WebP ends its process.
    """
    animated = data[8:16] == b"WEBPVP8X" and data[20] & 2  # the flag: Pillow tells only of two frames or more
    return image.format in _TENSORFLOW_READS and not animated and "transparency" not in image.info


def _orientation(image: Image.Image) -> int:
    if "exif" not in image.info and image.format != "TIFF":
        return 1
    try:
        return image.getexif().get(_ORIENTATION, 1)
    except Exception:  # broken EXIF raises anything, and is as none
        return 1


def _turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    return _TURNS[orientation](pixels) if orientation in _TURNS else pixels


@cache
def _formats() -> list[str]:
    """Return the formats that Pillow may try; others, as EPS, would start another program."""
    Image.init()
    return sorted(_FORMATS & set(Image.OPEN))


def _unknown(data: bytes) -> str:
    for name, start in _NO_DECODER.items():
        if start.match(data):
            return f"{name}, of which Pillow has no decoder: convert it to JPEG"
    return "not an image in any format that we know"


def open_header(data: bytes, pixel_limit: int = PIXEL_LIMIT) -> Image.Image:
    """Return an image file as Pillow opens it, of which no pixel is decoded yet.

    Raises
    ------
    ImageError
        If it is in no format that we read, or declares more pixels than `pixel_limit`.
    """
    _raise_pillows_limit(pixel_limit)
    try:
        image = Image.open(io.BytesIO(data), formats=_formats())
    except Image.DecompressionBombError as error:
        raise _too_large(int(re.findall(r"\d+", str(error))[0]), pixel_limit) from error
    except Image.UnidentifiedImageError as error:
        raise ImageError(_unknown(data)) from error
    except Exception as error:  # Pillow's plugins raise anything on broken headers
        raise ImageError(f"broken header: {one_line(error)}") from error
    if image.width * image.height > pixel_limit:
        raise _too_large(image.width * image.height, pixel_limit)
    return image


def _raise_pillows_limit(pixel_limit: int) -> None:
    """Let Pillow take what we take; its limit is one for the whole process, and stays where ours is less."""
    if Image.MAX_IMAGE_PIXELS is not None and pixel_limit > Image.MAX_IMAGE_PIXELS:
        Image.MAX_IMAGE_PIXELS = pixel_limit


def _too_large(pixels: int, pixel_limit: int) -> ImageError:
    return ImageError(
        f"{pixels} pixels are more than {pixel_limit}: a decompression bomb, or a large photograph, which "
        f"extract run --pixel-limit {pixels} takes into a file of its own"
    )


def _dct_ratio(image: Image.Image, least: tuple[int, int]) -> int:
    """Return by how much a JPEG's sides may be divided so that they stay at least so long."""
    if image.format not in _JPEGS:
        return 1
    fitting = min(image.size) // max(least)  # whichever way EXIF turns the image
    return max(ratio for ratio in (1, 2, 4, 8) if ratio <= max(1, fitting))


def _decode_with_tensorflow(data: bytes, ratio: int) -> np.ndarray:
    import tensorflow as tf

    try:
        if ratio > 1:
            return tf.io.decode_jpeg(data, channels=0, ratio=ratio).numpy()
        return tf.io.decode_image(data, channels=0, expand_animations=False).numpy()
    except tf.errors.InvalidArgumentError as error:
        raise ImageError(one_line(_TENSORFLOW_FRAME.sub("", error.message))) from error


def pillow_pixels(image: Image.Image, exif_orientation: bool) -> np.ndarray:
    with _as_image_errors():
        orientation = _orientation(image)
        image.load()
        if image.mode.startswith("I;16"):  # Pillow's own conversion saturates to white
            pixels = np.asarray(image, np.float32)[..., np.newaxis] / 257
        elif image.mode in ("I", "F"):
            raise ImageError(f"grey values of mode {image.mode} have no known range")
        else:
            pixels = np.asarray(image.convert("RGBA" if image.has_transparency_data else "RGB"))
    if image.format == "TIFF":  # Pillow has turned it while loading
        return pixels if exif_orientation else _turned(pixels, _TURNED_BACK.get(orientation, orientation))
    return _turned(pixels, orientation) if exif_orientation else pixels


@contextmanager
def _as_image_errors() -> Iterator[None]:
    try:
        yield
    except ImageError:
        raise
    except Exception as error:  # Pillow's plugins raise anything on broken data
        raise ImageError(one_line(error)) from error


def _array_pixels(data: bytes) -> np.ndarray:
    try:
        return npy_pixels(data)
    except ValueError as error:
        raise ImageError(str(error)) from error


def _to_rgb(pixels: np.ndarray, background: tuple[int, int, int]) -> np.ndarray:
    channels = pixels.shape[-1]
    if channels in (2, 4):
        alpha = pixels[..., -1:].astype(np.float32) / 255
        pixels = pixels[..., :-1] * alpha + np.asarray(background, np.float32) * (1 - alpha)
    elif channels == 1:
        pixels = np.repeat(pixels, 3, axis=-1)
    return pixels
