"""Images of another size, bit for bit as ``tf.image.resize`` makes them."""

from functools import lru_cache

import numpy as np


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
    (above, below, down), (left, right, across) = _places(height, size[0]), _places(width, size[1])
    offsets = np.arange(channels)
    rows = np.ascontiguousarray(pixels).reshape(height, -1).take(np.concatenate([above, below]), 0)
    low, high = (
        rows.take((columns[:, np.newaxis] * channels + offsets).ravel(), 1).astype(np.float32)
        for columns in (left, right)
    )
    between = _between(low, high, np.repeat(across, channels))
    result = _between(between[: size[0]], between[size[0] :], down[:, np.newaxis])
    return result.reshape(*size, channels)


def _between(low: np.ndarray, high: np.ndarray, share: np.ndarray) -> np.ndarray:
    high -= low
    high *= share
    high += low
    return high


@lru_cache(4096)
def _places(length: int, wanted: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return for each new pixel the two old ones that it lies between, and its share of the second."""
    scale = np.float32(length) / np.float32(wanted)
    places = (np.arange(wanted, dtype=np.float32) + np.float32(0.5)) * scale - np.float32(0.5)
    below = np.floor(places)
    first = np.maximum(below, 0).astype(np.intp)
    second = np.minimum(below + 1, length - 1).astype(np.intp)
    return first, second, places - below
