"""Rows of a feature file in blocks: matrices larger than memory, read and never mapped."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from classify.features.columns import Columns, Matrix
from data.errors import HeadstartError
from data.progress import EVERY
from data.text import counted, some_of

if TYPE_CHECKING:  # scikit-learn, which reading rows does not need
    from sklearn.preprocessing import StandardScaler

_log = logging.getLogger("headstart")
_EXTENTS = 256  # that a shuffled block is mixed from, where memory allows
_LEAST_EXTENT, _MOST_EXTENT = 2**16, 2**20  # bytes that are read at once
_IN_ORDER = 8 * 2**20  # bytes of a block in file order: it stays in a processor's cache
_AHEAD = 4  # extents that the system is asked for before they are read
SHARE = 4  # of the memory: two blocks, a copy of one for Keras, and the rest for all else

Part = tuple[slice | np.ndarray, np.ndarray]  # places of rows, and the rows


class Blocks:
    """Some rows of a matrix, in blocks that fit into memory; the next is read while one is used.

    Blocks are mixed from extents: runs of 64 KB to 1 MB of the file, 256 to a block where memory
    allows. A shuffled pass draws extents without replacement, so every row comes once, and the
    share of a class in a block has a standard deviation of at most 1 / (2 sqrt(256)) = 3 % even
    where the file is sorted by class. Who learns from a block draws the order of its rows.

    Parameters
    ----------
    columns : Columns
    rows : ndarray of int, shape (n,)
        Ascending; between the first and the last wanted row of an extent others are read too.
    ids : sequence of str
        Of all rows of the matrix, to name those with NaN.
    memory : int
        Bytes for everything that a pass needs; a block takes a quarter.

    Attributes
    ----------
    shape : tuple of int
        (n, D).
    passes : int
        Times that the rows were read, or began to be.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     layer = np.memmap(file.name, np.float32, "w+", shape=(4, 1))
    ...     layer[:] = [[0], [1], [2], [3]]
    ...     layer.flush()
    ...     blocks = Blocks(Columns([layer]), np.array([1, 3]), list("abcd"), 10**6)
    ...     [(places.tolist(), block.tolist()) for places, block in blocks.in_order()]
    [([0, 1], [[1.0], [3.0]])]
    """

    def __init__(self, columns: Columns, rows: np.ndarray, ids: Sequence[str], memory: int) -> None:
        self._columns, self._rows, self._ids, self._memory = columns, rows, ids, memory
        self.shape = (len(rows), columns.shape[1])
        self.passes = 0
        self._said = time.monotonic()
        self._checked = False
        self._prepare: Callable[[np.ndarray], None] | None = None

    def __len__(self) -> int:
        return self.shape[0]

    def in_order(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield blocks in the order of the file.

        Yields
        ------
        places : ndarray of int, shape (k,)
            Which of the n rows they are.
        block : ndarray of float32, shape (k, D)
            Overwritten when the block after the next one is asked for.

        Raises
        ------
        HeadstartError
            If a row holds NaN or infinity.
        """
        return self._pass(min(_IN_ORDER, self._memory // SHARE), None)

    def shuffled(self, generator: np.random.Generator) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield blocks of extents from all over the file, as `in_order` does.

        Parameters
        ----------
        generator : numpy.random.Generator
            Draws the order of the extents, before the first block.
        """
        return self._pass(self._memory // SHARE, generator)

    def standardized(self, mean: np.ndarray, scale: np.ndarray) -> "Blocks":
        """Return the same rows, less a mean and divided by a scale."""

        def prepare(block: np.ndarray) -> None:
            block -= mean
            block /= scale

        other = self.take(slice(None))
        other._prepare = prepare
        return other

    def take(self, places: slice | np.ndarray) -> "Blocks":
        """Return some of the rows, by ascending places."""
        other = Blocks(self._columns, self._rows[places], self._ids, self._memory)
        other._checked, other._said = self._checked, self._said
        return other

    def _pass(
        self, size: int, generator: np.random.Generator | None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        extent, at_once = _extents(size, 4 * self.shape[1])
        bounds = self._bounds(extent)
        if generator is not None:
            bounds = generator.permutation(bounds)
        groups = np.array_split(bounds, -(-len(bounds) // at_once))
        room = max(int((group[:, 1] - group[:, 0]).sum()) for group in groups)
        buffers = [np.empty((room, self.shape[1]), np.float32) for _ in groups[:2]]
        stage = np.empty((extent, self.shape[1]), np.float32)
        self.passes += 1
        ahead = 0 if generator is None else _AHEAD  # in order the system reads ahead by itself

        def fill(buffer: np.ndarray, group: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            return self._fill(buffer, group, stage, ahead)

        done = 0
        for places, block in _read_ahead(fill, buffers, groups):
            yield places, block
            done += len(places)
            self._say_progress(done)
        self._checked = True

    def _say_progress(self, done: int) -> None:
        if time.monotonic() - self._said >= EVERY:
            self._said = time.monotonic()
            _log.info("pass %d over the rows: %s of %s read", self.passes, f"{done:,}", f"{len(self):,}")

    def _bounds(self, extent: int) -> np.ndarray:
        """Return the first place of each extent that has rows, and the place behind its last: (E, 2)."""
        starts = np.flatnonzero(np.diff(self._rows // extent, prepend=-1))
        return np.stack([starts, np.append(starts[1:], len(self._rows))], axis=1)

    def _fill(
        self, buffer: np.ndarray, group: np.ndarray, stage: np.ndarray, ahead: int
    ) -> tuple[np.ndarray, np.ndarray]:
        filled, coming = 0, iter(group[1:])
        for number, (start, end) in enumerate(group):
            for first, behind in islice(coming, min(ahead, 1) if number else ahead):
                self._columns.expect(self._rows[first], self._rows[behind - 1])
            rows = self._rows[start:end]
            read = stage[: rows[-1] - rows[0] + 1]
            self._columns.read(rows[0], read)
            target = buffer[filled : filled + len(rows)]
            np.take(read, rows - rows[0], axis=0, out=target, mode="clip")
            filled += len(rows)
        places, block = np.concatenate([np.arange(*bounds) for bounds in group]), buffer[:filled]
        if not self._checked:
            refuse_not_finite(block, lambda row: self._ids[self._rows[places[row]]])
        if self._prepare:
            self._prepare(block)
        return places, block


def refuse_not_finite(
    X: np.ndarray, name_of: Callable[[int], str], where: str = "the block read last"
) -> None:
    """Raise if a row holds NaN or infinity.

    Raises
    ------
    HeadstartError
        With the names of some such rows.

    Examples
    --------
    >>> refuse_not_finite(np.ones((2, 3), np.float32), str)
    """
    with np.errstate(all="ignore"):
        suspects = np.flatnonzero(~np.isfinite(X.sum(axis=1)))  # or numbers so large that their sum is not
    wrong = [int(row) for row in suspects if not np.isfinite(X[row]).all()]
    if wrong:
        raise HeadstartError(
            "features hold NaN or infinity",
            "finite features",
            f"{counted(len(wrong), 'such row')} in {where}: {some_of([name_of(row) for row in wrong])}",
            "python -m extract verify FILE.h5 names all; repair drops them, run computes them again",
        )


def _extents(size: int, row: int) -> tuple[int, int]:
    """Return the rows of an extent, and the extents of a block of so many bytes."""
    wanted = min(max(size // _EXTENTS, _LEAST_EXTENT), _MOST_EXTENT)
    rows = max(1, wanted // row)
    return rows, max(1, size // (rows * row))


def least_memory(width: int) -> int:
    """Return the bytes without which no pass is possible: blocks of 16 extents.

    Examples
    --------
    >>> least_memory(2048)
    4194304
    """
    return SHARE * 16 * max(_LEAST_EXTENT, 4 * width)


def _read_ahead(
    fill: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]],
    buffers: list[np.ndarray],
    groups: list[np.ndarray],
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield what `fill` makes of each group; a thread fills the next buffer meanwhile."""
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(fill, buffers[0], groups[0])
        for number in range(1, len(groups) + 1):
            present = coming.result()
            if number < len(groups):
                coming = reader.submit(fill, buffers[number % 2], groups[number])
            yield present


def shuffled_parts(X: np.ndarray | Blocks, generator: np.random.Generator) -> Iterator[Part]:
    """Yield what one epoch learns from: blocks of `Blocks`, or an array as it is.

    Yields
    ------
    places : ndarray of int or slice
        Which rows.
    part : ndarray of shape (k, D)

    Examples
    --------
    >>> [(places, part.shape) for places, part in shuffled_parts(np.zeros((3, 2)), None)]
    [(slice(None, None, None), (3, 2))]
    """
    return X.shuffled(generator) if isinstance(X, Blocks) else iter([(slice(None), X)])


def ordered_parts(X: np.ndarray | Blocks) -> Iterator[Part]:
    """Yield the rows of `Blocks` in order, or an array as it is; as `shuffled_parts` does."""
    return X.in_order() if isinstance(X, Blocks) else iter([(slice(None), X)])


def fit_scaler(scaler: "StandardScaler", X: np.ndarray | Blocks) -> "StandardScaler":
    """Fit scikit-learn's `StandardScaler` to rows, which may come in blocks; return it."""
    for _, part in ordered_parts(X):
        scaler.partial_fit(part)
    return scaler


def proba_of(
    predict_proba: Callable[[np.ndarray], np.ndarray],
    X: Matrix,
    rows: np.ndarray,
    ids: Sequence[str],
) -> np.ndarray:
    """Return the probabilities of some rows; those of `Columns` are read in blocks.

    Parameters
    ----------
    predict_proba : function
        From features (k, D) to probabilities (k, K).
    X : ndarray or Columns, of shape (N, D)
    rows : ndarray of int, shape (n,)
        Ascending.
    ids : sequence of str
        Of all rows of X.

    Returns
    -------
    ndarray of float64, shape (n, K)

    Examples
    --------
    >>> proba_of(lambda X: X / 2, np.array([[0.0, 2.0], [1.0, 1.0]]), np.array([1]), "ab").tolist()
    [[0.5, 0.5]]
    """
    if not isinstance(X, Columns):
        return predict_proba(X[rows])
    blocks = Blocks(X, rows, ids, SHARE * _IN_ORDER)
    return np.concatenate([predict_proba(block) for _, block in blocks.in_order()])


def blocks_of(X: Matrix, rows: np.ndarray, ids: Sequence[str]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield some rows in blocks of 8 MB, in their order, whatever holds them.

    Parameters
    ----------
    X : ndarray, ShardedArray or Columns, of shape (N, D)
    rows : ndarray of int, shape (n,)
        Ascending.
    ids : sequence of str
        Of all rows of X, to name those with NaN.

    Yields
    ------
    rows : ndarray of int, shape (k,)
    block : ndarray of float32, shape (k, D)
        Overwritten when the block after the next one is asked for.

    Raises
    ------
    HeadstartError
        If a row holds NaN or infinity.

    Examples
    --------
    >>> [(rows.tolist(), block.tolist()) for rows, block in blocks_of(np.eye(2), np.array([1]), "ab")]
    [([1], [[0.0, 1.0]])]
    """
    if isinstance(X, Columns):
        blocks = Blocks(X, rows, ids, SHARE * _IN_ORDER)
        yield from ((rows[places], block) for places, block in blocks.in_order())
        return
    most = max(1, _IN_ORDER // (4 * max(1, X.shape[1])))
    for start in range(0, len(rows), most):
        some = rows[start : start + most]
        block = X[some]
        refuse_not_finite(block, [ids[row] for row in some].__getitem__)
        yield some, block


def standardize(X: np.ndarray | Blocks, mean: np.ndarray, scale: np.ndarray) -> np.ndarray | Blocks:
    """Return rows, which may come in blocks, less a mean and divided by a scale."""
    return X.standardized(mean, scale) if isinstance(X, Blocks) else (X - mean) / scale
