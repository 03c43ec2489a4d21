"""Images of another size: as ``tf.image.resize`` makes them, or as Pillow does where it smooths."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image

from data.errors import UsageError, unknown_name
from data.scratch import scratch

_BLOCK = (
    1 << 19
)  # values of a new image that are made at once: threads share the interpreter in few, long calls

_PILLOWS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
FILTERS = tuple(_PILLOWS)
_STEPS = 1 << 10  # of TensorFlow's table of cubic weights, between two pixels


@dataclass(frozen=True)
class Resizing:
    """How an image gets the size that a model takes.

    Attributes
    ----------
    filter : str
        One of `FILTERS`.
    antialias : bool
        Whether pixels are averaged where an image gets smaller: by Pillow, on values of 8 bits, as
        torchvision and timm do to images of Pillow. Without, it is ``tf.image.resize``.
    crop : float
        0: the whole image gets the size, whatever its shape. Else its shape stays: it is made so large
        that this share of its shorter side is the size, whose centre is cut out.
    """

    filter: str = "bilinear"
    antialias: bool = False
    crop: float = 0.0

    def __post_init__(self) -> None:
        if self.filter not in FILTERS:
            raise unknown_name("filter", self.filter, FILTERS)
        if isinstance(self.crop, bool) or not isinstance(self.crop, int | float) or not 0 <= self.crop <= 1:
            raise UsageError(
                "the crop is no share of an image",
                "a number in 0..1, as 0.875; 0 crops nothing",
                repr(self.crop),
                "correct --crop",
            )

    def whole_size(self, given: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
        """Return the size of a whole image before its centre is cut out, as torchvision's ``Resize`` has it.

        Parameters
        ----------
        given, size : tuple of int
            Height and width of the image, and those that are wanted.

        Examples
        --------
        >>> Resizing(crop=0.875).whole_size((300, 400), (224, 224)), Resizing().whole_size((3, 4), (8, 8))
        ((256, 341), (8, 8))
        """
        if not self.crop:
            return size
        height, width = (math.floor(side / self.crop) for side in size)
        if height * given[1] >= width * given[0]:
            return height, height * given[1] // given[0]
        return width * given[0] // given[1], width


PLAIN = Resizing()


def fitted(pixels: np.ndarray, size: tuple[int, int], how: Resizing = PLAIN) -> np.ndarray:
    """Resize an image, and cut out its centre, as a recipe says.

    Parameters
    ----------
    pixels : ndarray of shape (H, W, 3)
        Of uint8 or float32, in 0..255.
    size : tuple of int
        Height and width.
    how : Resizing

    Returns
    -------
    ndarray of float32, shape (height, width, 3)

    Examples
    --------
    >>> fitted(np.arange(48, dtype=np.uint8).reshape(4, 4, 3), (2, 2), Resizing(crop=0.5))[0, 0].tolist()
    [15.0, 16.0, 17.0]
    """
    whole = how.whole_size(pixels.shape[:2], size)
    if how.antialias:
        pixels = _by_pillow(pixels, whole, how.filter)
    else:
        pixels = cubic(pixels, whole) if how.filter == "bicubic" else resized(pixels, whole)
    top, left = (round((have - side) / 2) for have, side in zip(whole, size, strict=True))
    return pixels[top : top + size[0], left : left + size[1]]


def _by_pillow(pixels: np.ndarray, size: tuple[int, int], filter: str) -> np.ndarray:
    whole = pixels if pixels.dtype == np.uint8 else np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
    image = Image.fromarray(np.ascontiguousarray(whole))
    return np.asarray(image.resize(size[::-1], _PILLOWS[filter]), np.float32)


def cubic(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Interpolate between four pixels by Keys' cubic, in float32, without antialiasing.

    The weights are those of TensorFlow's kernel ``ResizeBicubic`` with ``half_pixel_centers``: rows first,
    then columns; what lies beyond the border has no weight.

    Parameters
    ----------
    pixels : ndarray of shape (H, W, C)
    size : tuple of int
        Height and width.

    Returns
    -------
    ndarray of float32, shape (height, width, C)
        Values beyond 0..255 are where edges overshoot.

    Examples
    --------
    >>> cubic(np.array([[[0], [100]]], np.uint8), (1, 4))[0, :, 0].round().tolist()
    [-9.0, 21.0, 79.0, 109.0]
    """
    if pixels.shape[:2] == size:
        return pixels.astype(np.float32)
    for axis in (0, 1):
        places, weights = _taps(pixels.shape[axis], size[axis])
        shape = [1, 1, 1]
        shape[axis] = -1
        total = np.zeros((*pixels.shape[:axis], size[axis], *pixels.shape[axis + 1 :]), np.float32)
        for place, weight in zip(places, weights, strict=True):
            total += pixels.take(place, axis) * weight.reshape(shape)
        pixels = total
    return pixels


@lru_cache(1024)
def _taps(length: int, wanted: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the four old pixels around each new one, and their weights, each of shape (4, wanted)."""
    at = _centres(length, wanted)
    before = np.floor(at)
    step = np.rint((at - before) * np.float32(_STEPS)).astype(int)
    near, far = _cubic_weights()
    places = before.astype(int) + np.arange(-1, 3)[:, np.newaxis]
    weights = np.stack([far[step], near[step], near[_STEPS - step], far[_STEPS - step]])
    weights[(places < 0) | (places >= length)] = 0
    return places.clip(0, length - 1), weights * (np.float32(1) / weights.sum(axis=0))


def _cubic_weights() -> tuple[np.ndarray, np.ndarray]:
    """Return the weights of pixels within one pixel of a place, and of those within two, by distance."""
    share = np.arange(_STEPS + 1) / _STEPS
    near = (1.5 * share - 2.5) * share**2 + 1
    more = share + 1
    far = ((-0.5 * more + 2.5) * more - 4) * more + 2
    return near.astype(np.float32), far.astype(np.float32)


def resized(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Interpolate linearly between the nearest pixels, in float32, without antialiasing.

    The arithmetic is that of TensorFlow's kernel ``ResizeBilinear`` with ``half_pixel_centers``:
    columns first, then rows, each ``low + (high - low) * share``.

    Parameters
    ----------
    pixels : ndarray of shape (H, W, C)
        Of uint8 or float32.
    size : tuple of int
        Height and width.

    Returns
    -------
    ndarray of float32, shape (height, width, C)

    Examples
    --------
    >>> resized(np.array([[[0], [100]]], np.uint8), (1, 4))[0, :, 0].tolist()
    [0.0, 25.0, 75.0, 100.0]
    """
    height, width, channels = pixels.shape
    if (height, width) == size:
        return pixels.astype(np.float32)
    lines = np.ascontiguousarray(pixels).reshape(height, -1)
    result = np.empty((size[0], size[1] * channels), np.float32)
    step = max(1, _BLOCK // result[0].size)
    for start in range(0, size[0], step):
        _fill(result[start : start + step], lines, start, size, channels)
    return result.reshape(*size, channels)


def _fill(block: np.ndarray, lines: np.ndarray, start: int, size: tuple[int, int], channels: int) -> None:
    """Interpolate the rows of a new image from `start` on."""
    stop = start + len(block)
    above, below, down = _places(len(lines), size[0])
    first, last = above[start], below[stop - 1] + 1
    rows = np.concatenate([above[start:stop], below[start:stop]])
    dense = last - first <= len(rows)  # then each line is interpolated once
    lines = lines[first:last] if dense else _taken("rows", lines, rows)
    between = _across(lines, *_values(lines.shape[1] // channels, size[1], channels))
    if dense:
        between = _taken("between", between, rows - first)
    _between(between[: len(block)], between[len(block) :], down[start:stop], out=block)


def _across(lines: np.ndarray, left: np.ndarray, right: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Interpolate within lines."""
    shape = (2, len(lines), len(left))
    pair, floats = scratch("pair", shape, lines.dtype), scratch("floats", shape, np.float32)
    for places, out in zip((left, right), pair, strict=True):
        lines.take(places, 1, out=out, mode="clip")  # other modes copy `out`
    floats[...] = pair
    return _between(floats[0], floats[1], share, out=floats[1])


def _taken(name: str, lines: np.ndarray, rows: np.ndarray) -> np.ndarray:
    out = scratch(name, (len(rows), lines.shape[1]), lines.dtype)
    return lines.take(rows, 0, out=out, mode="clip")


def _between(low: np.ndarray, high: np.ndarray, share: np.ndarray, out: np.ndarray) -> np.ndarray:
    np.subtract(high, low, out=out)
    out *= share
    out += low
    return out


@lru_cache(1024)
def _values(length: int, wanted: int, channels: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return `_places` in lines that hold several values a pixel, and the shares by value."""
    before, after, shares = _places(length, wanted)
    left, right = (
        (places[:, np.newaxis] * channels + np.arange(channels)).ravel() for places in (before, after)
    )
    return left, right, np.repeat(shares, channels)


@lru_cache(1024)
def _places(length: int, wanted: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the old pixels before and after each new one, and its share of the one after."""
    places = _centres(length, wanted)
    before = np.floor(places)
    first = np.maximum(before, 0).astype(np.intp)
    second = np.minimum(before + 1, length - 1).astype(np.intp)
    return first, second, (places - before)[:, np.newaxis]


def _centres(length: int, wanted: int) -> np.ndarray:
    """Return where the centres of new pixels lie among those of old ones."""
    scale = np.float32(length) / np.float32(wanted)
    return (np.arange(wanted, dtype=np.float32) + np.float32(0.5)) * scale - np.float32(0.5)
