"""Layers of a feature file side by side, read and never mapped."""

import os
from collections.abc import Sequence
from functools import cached_property
from io import FileIO

import numpy as np

from data.errors import HeadstartError
from extract.feature_file.shards import ShardedArray

RowIndex = int | slice | Sequence[int] | np.ndarray


class Columns:
    """Layers of a feature file side by side, as a matrix whose rows are read when they are asked for.

    A mapped page counts as resident memory until the system takes it back; what is read here
    lies in the arrays that it is read into, and nowhere else.

    Parameters
    ----------
    layers : sequence of numpy.memmap, each of shape (N, D)
        Of one file, as `FeatureFile.features` returns them; nothing is read through the maps.

    Attributes
    ----------
    shape : tuple of int
        (N, sum of the widths).
    dtype : numpy.dtype
        float32, whatever the file stores.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     layer = np.memmap(file.name, np.float32, "w+", shape=(3, 2))
    ...     layer[:] = [[0, 1], [2, 3], [4, 5]]
    ...     layer.flush()
    ...     Columns([layer, layer])[[2, 0]].tolist()
    [[4.0, 5.0, 4.0, 5.0], [0.0, 1.0, 0.0, 1.0]]
    """

    dtype = np.dtype(np.float32)

    def __init__(self, layers: Sequence[np.memmap]) -> None:
        self._layers = list(layers)
        self.shape = (len(layers[0]), sum(layer.shape[1] for layer in layers))
        self.nbytes = self.shape[0] * self.shape[1] * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: RowIndex) -> np.ndarray:
        rows = np.arange(len(self))[rows]
        block = np.empty((len(rows), self.shape[1]), self.dtype)
        for place, row in enumerate(rows):
            self.read(row, block[place : place + 1])
        return block

    def layers(self, numbers: Sequence[int]) -> "Columns":
        """Return some of the layers, in another order perhaps; nothing is read."""
        return Columns([self._layers[number] for number in numbers])

    def in_memory(self) -> np.ndarray:
        """Return the matrix as an array; mapped from the file where it is one layer."""
        return self._layers[0] if len(self._layers) == 1 else np.concatenate(self._layers, axis=1)

    def read(self, first: int, out: np.ndarray) -> None:
        """Read consecutive rows.

        Parameters
        ----------
        first : int
        out : ndarray of float32, shape (n, D), C-contiguous
            Gets the rows from `first` on.

        Raises
        ------
        HeadstartError
            If the file has become shorter since it was opened.
        """
        start = 0
        for layer in self._layers:
            end = start + layer.shape[1]
            direct = layer.dtype == out.dtype and layer.shape[1] == out.shape[1]
            part = out if direct else np.empty((len(out), layer.shape[1]), layer.dtype)
            self._read_bytes(layer.offset + int(first) * layer.shape[1] * layer.dtype.itemsize, part)
            if not direct:
                out[:, start:end] = part
            start = end

    def expect(self, first: int, last: int) -> None:
        """Tell the system which rows will be read soon; it fetches them meanwhile."""
        for layer in self._layers if hasattr(os, "posix_fadvise") else ():
            row = layer.shape[1] * layer.dtype.itemsize
            place = layer.offset + int(first) * row, int(last - first + 1) * row
            os.posix_fadvise(self._file.fileno(), *place, os.POSIX_FADV_WILLNEED)

    @cached_property
    def _file(self) -> FileIO:
        return FileIO(str(self._layers[0].filename))

    def _read_bytes(self, offset: int, out: np.ndarray) -> None:
        left = memoryview(out.data).cast("B")
        while left:
            count = os.preadv(self._file.fileno(), [left], offset)
            if not count:
                raise HeadstartError(
                    f"{self._file.name!r} ends before its features do",
                    "the file as it was when it was opened",
                    f"nothing at byte {offset}",
                    "do not change the file while it is read; python -m extract verify checks it",
                )
            left, offset = left[count:], offset + count


Matrix = np.ndarray | ShardedArray | Columns
