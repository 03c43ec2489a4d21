"""Arrays that are images: ``.npy`` bytes to pixels, in any thread."""

import math
import re
from typing import Literal

import numpy as np

_MAGIC = b"\x93NUMPY"
_LENGTHS = {b"\x01\x00": 2, b"\x02\x00": 4}  # of the header's length, by the version of the format
_TYPE = rb"[<>|](?:b1|[ui][1248]|f(?:2|4|8|16))"  # that pixels may have
_HEADER = re.compile(
    rb"\{'descr': '(" + _TYPE + rb")', 'fortran_order': (True|False), 'shape': \(([\d, ]*)\), *\} *\n?"
)


def is_npy(data: bytes) -> bool:
    """Say whether bytes begin as an ``.npy`` file does.

    Examples
    --------
    >>> is_npy(b"\\x93NUMPY\\x01\\x00"), is_npy(b"\\xff\\xd8\\xff")
    (True, False)
    """
    return data.startswith(_MAGIC)


def how_to_scale(dtype: np.dtype, low: float, high: float) -> str:
    """Return what to do with an array whose values are not pixels in 0..255, or "" if they may be.

    Parameters
    ----------
    dtype : dtype
    low, high : float
        The lowest and the highest value. Floats up to 1 are taken for scaled ones.

    Examples
    --------
    >>> how_to_scale(np.dtype("f4"), 0.0, 1.0), how_to_scale(np.dtype("u1"), 0, 1)
    ('multiply by 255', '')
    >>> how_to_scale(np.dtype("f4"), -1.0, 1.0), how_to_scale(np.dtype("?"), False, True)
    ('give (array + 1) * 127.5', "give array.astype('uint8') * 255")
    """
    if dtype.kind == "b":
        return "give array.astype('uint8') * 255"
    if dtype.kind == "f" and low < 0 and low >= -1 and high <= 1:
        return "give (array + 1) * 127.5"
    if dtype.kind == "f" and low >= 0 and 0 < high <= 1:
        return "multiply by 255"
    return "" if low >= 0 and high <= 255 else "scale them to 0..255; NaN is not a pixel"


def npy_pixels(data: bytes) -> np.ndarray:
    """Return the pixels of an array's ``.npy`` bytes, of NumPy's format 1.0 or 2.0.

    The header is matched, not parsed as Python, as NumPy does: in CPython 3.11 threads that parse
    at a time may fail (gh-106905), and an image would be rejected for good.

    Parameters
    ----------
    data : bytes
        An array of shape (H, W) or (H, W, C), C from 1 to 4, with values in 0..255.

    Returns
    -------
    ndarray of float32, shape (H, W, C)

    Raises
    ------
    ValueError
        If the bytes are no such array; the text is the reason.

    Examples
    --------
    >>> from data.sources.arrays import npy_bytes
    >>> npy_pixels(npy_bytes(np.full((8, 6), 51, np.uint8))).shape
    (8, 6, 1)
    """
    pixels = npy_array(data)
    if pixels.dtype.kind == "b":
        raise ValueError(f"an array of {pixels.dtype}: {how_to_scale(pixels.dtype, False, True)}")
    if not (pixels.min() >= 0 and pixels.max() <= 255):
        raise ValueError(f"values from {pixels.min()} to {pixels.max()} are not in 0..255")
    return (pixels if pixels.ndim == 3 else pixels[..., np.newaxis]).astype(np.float32)


def npy_array(data: bytes) -> np.ndarray:
    """Return the array of an image as its ``.npy`` bytes have it; see `npy_pixels`.

    Examples
    --------
    >>> from data.sources.arrays import npy_bytes
    >>> npy_array(npy_bytes(np.full((8, 6), 51, np.uint8))).dtype
    dtype('uint8')
    """
    shape, order, dtype, start = _header(data)
    shaped = len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 2, 3, 4))
    if not shaped or 0 in shape:
        raise ValueError(f"an array of the shape {shape} is no image")
    if len(data) - start != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"the array says {shape} of {dtype}, but holds {len(data) - start} bytes")
    return np.frombuffer(data, dtype, offset=start).reshape(shape, order=order)


def _header(data: bytes) -> tuple[tuple[int, ...], Literal["C", "F"], np.dtype, int]:
    """Return shape, order and type of an array, and where its values begin."""
    length = _LENGTHS.get(data[6:8])
    if not is_npy(data) or length is None:
        raise ValueError(f"no .npy file of NumPy's format 1.0 or 2.0: {data[:8]!r}")
    start = 8 + length
    end = start + int.from_bytes(data[8:start], "little")
    found = _HEADER.fullmatch(data[start:end])
    if found is None or end > len(data):
        raise ValueError(f"no .npy header of an image: {data[start:end][:80]!r}")
    descr, by_columns, shape = (group.decode() for group in found.groups())
    sides = tuple(int(side) for side in shape.split(",") if side.strip())
    return sides, "F" if by_columns == "True" else "C", np.dtype(descr), end
