"""Memory of a thread that is used again: fresh pages of the system cost more than what is written to them."""

import math
import threading

import numpy as np

_LARGEST = 1 << 26  # bytes of one array that a thread keeps: a photograph of 22 megapixels

_own = threading.local()


def scratch(name: str, shape: tuple[int, ...], dtype: np.dtype | type) -> np.ndarray:
    """Return an array to write to, on memory that the next call of this thread for the same name gets too.

    Parameters
    ----------
    name : str
    shape : tuple of int
    dtype : dtype

    Returns
    -------
    ndarray of that shape, C-contiguous
        Its values are anything; larger ones than 64 MiB are fresh.

    Examples
    --------
    >>> scratch("rows", (2, 3), np.uint8)[:] = 7
    >>> scratch("rows", (1, 4), np.uint8).tolist()
    [[7, 7, 7, 7]]
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size > _LARGEST:
        return np.empty(shape, dtype)
    kept = _own.__dict__.get(name)
    if kept is None or kept.size < size:
        kept = _own.__dict__[name] = np.empty(size, np.uint8)
    return kept[:size].view(dtype).reshape(shape)
