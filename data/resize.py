"""Images of another size, bit for bit as ``tf.image.resize`` makes them."""

from functools import lru_cache

import numpy as np

from data.scratch import scratch

_BLOCK = (
    1 << 19
)  # values of a new image that are made at once: threads share the interpreter in few, long calls


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
    scale = np.float32(length) / np.float32(wanted)
    places = (np.arange(wanted, dtype=np.float32) + np.float32(0.5)) * scale - np.float32(0.5)
    before = np.floor(places)
    first = np.maximum(before, 0).astype(np.intp)
    second = np.minimum(before + 1, length - 1).astype(np.intp)
    return first, second, (places - before)[:, np.newaxis]
