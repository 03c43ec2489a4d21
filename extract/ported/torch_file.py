"""Tensors of a PyTorch file: read by an unpickler that knows four names, so that nothing in it is run."""

import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from data.errors import HeadstartError
from data.text import one_line

_MAGIC = 0x1950A86A20F9469CFC6C  # of the format before that of zip files


def read_torch(path: Path) -> dict[str, np.ndarray]:
    """Return the tensors of a model's state that PyTorch saved in its format before version 1.6.

    Parameters
    ----------
    path : Path

    Returns
    -------
    dict of str to ndarray of float32 or int64
        In the order of the file.

    Raises
    ------
    HeadstartError
        If the file is none, is cut, or asks for anything but tensors.
    """
    try:
        with open(path, "rb") as file:
            return _state(file)
    except HeadstartError:
        raise
    except Exception as error:  # a damaged pickle may end in any
        raise HeadstartError(
            f"{path.name!r} holds no tensors that can be read",
            "the state of a model as PyTorch saved it before version 1.6",
            one_line(error) or type(error).__name__,
            "download it again; do not trust a file that asks for other names",
        ) from error


def _state(file: BinaryIO) -> dict[str, np.ndarray]:
    whole = os.fstat(file.fileno()).st_size
    if _Tensors(file, whole).load() != _MAGIC:
        raise ValueError("it does not begin as such a file does")
    for _ in ("version", "machine that wrote it"):
        _Tensors(file, whole).load()
    reader = _Tensors(file, whole)
    state = reader.load()
    for key in _Tensors(file, whole).load():
        _fill(reader.storages[key], file)
    if not all(isinstance(each, np.ndarray) for each in state.values()):
        raise pickle.UnpicklingError("values that are no tensors")
    return dict(state)


def _fill(storage: np.ndarray, file: BinaryIO) -> None:
    """Read the values of a storage, which come after their number."""
    count, data = file.read(8), file.read(storage.nbytes)
    if int.from_bytes(count, "little") != len(storage) or len(data) != storage.nbytes:
        raise EOFError("it ends within a tensor")
    storage[:] = np.frombuffer(data, storage.dtype)


def _tensor(storage: np.ndarray, offset: int, shape: tuple, strides: tuple, *_: object) -> np.ndarray:
    """Return a view of a storage, whose values are read later; strides count values."""
    last = offset + sum((side - 1) * stride for side, stride in zip(shape, strides, strict=True))
    if min(offset, *shape, *strides, 0) < 0 or last >= len(storage):
        raise ValueError("it holds a tensor that leaves its values")
    steps = [stride * storage.itemsize for stride in strides]
    return np.lib.stride_tricks.as_strided(storage[offset:], shape, steps)


_NAMES = {
    "collections.OrderedDict": OrderedDict,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch.FloatStorage": np.dtype("<f4"),
    "torch.LongStorage": np.dtype("<i8"),
}


class _Tensors(pickle.Unpickler):
    """Unpickles what names of `_NAMES` make, and no others."""

    def __init__(self, file: BinaryIO, whole: int) -> None:
        super().__init__(file)
        self._whole = whole  # bytes of the file, which no storage exceeds
        self.storages: dict[str, np.ndarray] = {}

    def find_class(self, module: str, name: str) -> Any:
        if f"{module}.{name}" not in _NAMES:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return _NAMES[f"{module}.{name}"]

    def persistent_load(self, told: Any) -> np.ndarray:
        _, dtype, key, _, count, *_ = told
        if not 0 <= count * dtype.itemsize <= self._whole:
            raise pickle.UnpicklingError("it names more values than it holds")
        return self.storages.setdefault(key, np.zeros(count, dtype))
