"""Pairs of rows to clusters, each around a row that is near to all others of it."""

from collections.abc import Iterator

import numpy as np

from classify.features.columns import Matrix
from classify.features.neighbours import unit_rows

_LARGEST = 2000  # rows of a component whose cosines are all looked at
_ROUNDING = 1e-5


def components(count: int, pairs: np.ndarray) -> np.ndarray:
    """Return for each row the number of its component: rows that pairs join, over others too.

    Parameters
    ----------
    count : int
        Rows.
    pairs : ndarray of int, shape (P, 2)

    Returns
    -------
    ndarray of int32, shape (count,)

    Examples
    --------
    >>> components(4, np.array([[0, 2], [2, 3]])).tolist()
    [0, 1, 0, 0]
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    joined = coo_array((np.ones(len(pairs), np.int8), tuple(pairs.T.reshape(2, -1))), shape=(count, count))
    return connected_components(joined, directed=False)[1]


def clusters_of(X: Matrix, pairs: np.ndarray, cosine: np.ndarray) -> np.ndarray:
    """Return for each row the number of its cluster, -1 where no pair holds it.

    Pairs join rows to components, in which a chain of pairs may lead far: each is divided into
    clusters around the row that is nearest to all, whose members are at least as near to that
    as the loosest pair of the component is to itself.

    Parameters
    ----------
    X : ndarray, ShardedArray or Columns, of shape (N, D)
    pairs : ndarray of int, shape (P, 2)
    cosine : ndarray of shape (P,)

    Returns
    -------
    ndarray of int32, shape (N,)
        Numbered from 0 in the order of the first rows.

    Examples
    --------
    >>> X = np.array([[1, 0], [0, 1], [2, 0.1], [0, 3]], np.float32)
    >>> clusters_of(X, np.array([[1, 3]]), np.array([1.0])).tolist()
    [-1, 0, -1, 0]
    """
    found = np.full(len(X), -1, np.int32)
    if not len(pairs):
        return found
    linked = np.unique(pairs)
    component = components(len(linked), np.searchsorted(linked, pairs))
    loosest = np.full(component.max() + 1, np.inf)
    np.minimum.at(loosest, component[np.searchsorted(linked, pairs[:, 0])], cosine)
    order = np.argsort(component, kind="stable")
    starts = np.flatnonzero(np.diff(component[order], prepend=-1))
    stars = [
        star
        for rows, least in zip(np.split(linked[order], starts[1:]), loosest, strict=True)
        for star in _stars(X, rows, least - _ROUNDING)
    ]
    for number, rows in enumerate(sorted(stars, key=lambda rows: int(rows[0]))):
        found[rows] = number
    return found


def _stars(X: Matrix, rows: np.ndarray, least: float) -> Iterator[np.ndarray]:
    """Yield the rows within a cosine of the row in the middle, and so on with those that are left."""
    while 2 < len(rows) <= _LARGEST:
        block = unit_rows(X, rows)
        cosine = block @ block.T
        near = cosine[cosine.sum(axis=1).argmax()] >= least
        if near.sum() > 1:
            yield rows[near]
        rows = rows[~near]
    if len(rows) > 1:
        yield rows
