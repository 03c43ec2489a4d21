"""Nearest rows by cosine: products of blocks, never N x N numbers in memory."""

from collections.abc import Iterator

import numpy as np

from classify.features.blocks import refuse_not_finite
from classify.features.columns import Matrix

_BLOCK = 2048  # rows of a product's sides: its 16 MB pass through a processor's cache quickly
_HELD = 64 * 2**20  # bytes of the block that stays in memory while all others pass by


def nearest(
    X: Matrix, queries: np.ndarray, k: int, among: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the k rows with the highest cosine to each of some rows, the nearest first.

    A row is never its own neighbour. Equal cosines stand in the order of their rows.

    Parameters
    ----------
    X : ndarray, ShardedArray or Columns, of shape (N, D)
        May be larger than memory.
    queries : ndarray of int, shape (n,)
        Row numbers.
    k : int
        Fewer where there are fewer rows.
    among : ndarray of int, optional
        Rows that may be neighbours, each once; default: all.

    Returns
    -------
    rows : ndarray of int32, shape (n, k)
        -1 behind the last neighbour, where a row is the only one but for k - 1.
    cosine : ndarray of float32, shape (n, k)
        -inf there. Rows of zeros have the cosine 0 to all others.

    Raises
    ------
    HeadstartError
        If a row holds NaN or infinity.

    Examples
    --------
    >>> X = np.array([[1, 0], [2, 1], [0, 1]], np.float32)
    >>> rows, cosine = nearest(X, np.array([0, 2]), 1)
    >>> rows.tolist(), cosine.round(3).tolist()
    ([[1], [1]], [[0.8939999938011169], [0.44699999690055847]])
    """
    candidates = np.arange(len(X)) if among is None else np.asarray(among)
    queries = np.asarray(queries)
    best = Best(queries, min(k, len(candidates)))
    for held in parts(len(queries), _rows_held(X)):
        side = unit_rows(X, queries[held])
        for part in parts(len(candidates), _BLOCK):
            other = unit_rows(X, candidates[part])
            for tile in parts(len(side), _BLOCK):
                places = np.arange(held.start + tile.start, held.start + tile.stop)
                best.update(places, side[tile] @ other.T, candidates[part])
    return best.sorted()


def nearest_of_all(X: Matrix, rows: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return what ``nearest(X, rows, k, among=rows)`` does, with half of its products.

    Examples
    --------
    >>> X = np.array([[1, 0], [2, 1], [0, 1]], np.float32)
    >>> nearest_of_all(X, np.arange(3), 1)[0].tolist()
    [[1], [0], [1]]
    """
    best = Best(rows, max(0, min(k, len(rows) - 1)))
    for held in parts(len(rows), _rows_held(X)):
        side = unit_rows(X, rows[held])
        for part in parts(len(rows), _BLOCK, held.start):
            inside = slice(part.start - held.start, part.stop - held.start)
            other = side[inside] if part.start < held.stop else unit_rows(X, rows[part])
            for tile in parts(min(len(side), inside.stop), _BLOCK):
                product = side[tile] @ other.T
                places = np.arange(held.start + tile.start, held.start + tile.stop)
                best.update(places, product, rows[part])
                if places[0] < part.start:
                    best.update(np.arange(part.start, part.stop), product.T, rows[places])
    return best.sorted()


def unit_rows(X: Matrix, rows: np.ndarray) -> np.ndarray:
    """Return some rows as float32, each divided by its length; rows of zeros stay so.

    Raises
    ------
    HeadstartError
        If a row holds NaN or infinity.

    Examples
    --------
    >>> unit_rows(np.array([[3.0, 4.0], [0.0, 0.0]]), np.array([0, 1])).tolist()
    [[0.6000000238418579, 0.800000011920929], [0.0, 0.0]]
    """
    block = np.asarray(X[rows], np.float32)
    refuse_not_finite(block, lambda row: f"row {rows[row]}", "the features")
    lengths = np.sqrt(np.einsum("nd,nd->n", block, block, dtype=np.float64))
    block /= np.where(lengths, lengths, 1)[:, None].astype(np.float32)
    return block


def parts(count: int, size: int, start: int = 0) -> Iterator[slice]:
    """Yield slices of so many places, the last one shorter.

    Examples
    --------
    >>> list(parts(5, 2))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    for first in range(start, count, size):
        yield slice(first, min(first + size, count))


def _rows_held(X: Matrix) -> int:
    """Return how many rows, in whole blocks, stay in memory while others pass by."""
    return max(1, _HELD // (4 * X.shape[1] * _BLOCK)) * _BLOCK


class Best:
    """The k nearest rows of each query, among those that have passed by."""

    def __init__(self, queries: np.ndarray, k: int) -> None:
        self._queries, self._k = queries, k
        self._rows = np.full((len(queries), k), -1, np.int32)
        self._cosine = np.full((len(queries), k), -np.inf, np.float32)

    def update(self, places: np.ndarray, cosine: np.ndarray, candidates: np.ndarray) -> None:
        """Take what is nearer of `candidates` for some of the queries.

        Parameters
        ----------
        places : ndarray of int, shape (q,)
            Of these queries, each once.
        cosine : ndarray of float32, shape (q, c)
        candidates : ndarray of int, shape (c,)
        """
        worst = self._cosine[places, -1:].min(axis=1, initial=np.inf)
        gained = np.flatnonzero(cosine.max(axis=1, initial=-np.inf) > worst)
        if not len(gained):
            return
        nearer = np.ascontiguousarray(cosine[gained])
        rows = np.broadcast_to(candidates.astype(np.int32), nearer.shape)
        nearer = np.where(rows == self._queries[places[gained], None], -np.inf, nearer)
        if nearer.shape[1] > self._k:
            kept = np.argpartition(nearer, -self._k, axis=1)[:, -self._k :]
            nearer, rows = np.take_along_axis(nearer, kept, 1), np.take_along_axis(rows, kept, 1)
        self._merge(places[gained], nearer, rows)

    def _merge(self, places: np.ndarray, cosine: np.ndarray, rows: np.ndarray) -> None:
        cosine = np.concatenate([self._cosine[places], cosine], axis=1)
        rows = np.concatenate([self._rows[places], rows], axis=1)
        order = np.argsort(-cosine, axis=1, kind="stable")[:, : self._k]
        self._cosine[places] = np.take_along_axis(cosine, order, 1)
        self._rows[places] = np.take_along_axis(rows, order, 1)

    def sorted(self) -> tuple[np.ndarray, np.ndarray]:
        """Return rows and cosines, the nearest first, equal ones in the order of their rows."""
        self._rows[np.isneginf(self._cosine)] = -1
        order = np.lexsort((self._rows, -self._cosine), axis=1)
        cosine = np.take_along_axis(self._cosine, order, 1)
        return np.take_along_axis(self._rows, order, 1), cosine
