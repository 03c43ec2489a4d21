"""Folds of rows: classes evenly among them, and rows that belong together in one."""

from collections.abc import Sequence

import numpy as np


def folds_of(
    y: np.ndarray, groups: Sequence[str] | np.ndarray | None, folds: int, generator: np.random.Generator
) -> np.ndarray:
    """Return the fold of each row: classes evenly among folds, rows of one group in one.

    Groups are dealt to folds one after the other, those of one class together, the largest first.

    Parameters
    ----------
    y : ndarray of int, shape (n,)
    groups : sequence of n str, ndarray of int, or None
        A number, or a name that is empty for a row of its own.
    folds : int
    generator : numpy.random.Generator

    Returns
    -------
    ndarray of int, shape (n,)

    Examples
    --------
    >>> y, groups = np.array([0, 0, 0, 1, 1]), ["a", "", "a", "", ""]
    >>> folds_of(y, groups, 2, np.random.default_rng(0)).tolist()
    [0, 1, 0, 0, 1]
    """
    number = groups if isinstance(groups, np.ndarray) else _numbered(groups or [""] * len(y))
    _, first, number, sizes = np.unique(number, return_index=True, return_inverse=True, return_counts=True)
    order = np.lexsort((generator.permutation(len(first)), -sizes, y[first]))
    of = np.empty(len(first), int)
    of[order] = np.arange(len(first)) % folds
    return of[number]


def judged_by_folds(y: np.ndarray, of: np.ndarray, folds: int) -> np.ndarray:
    """Tell which rows have their label in another fold too.

    Examples
    --------
    >>> judged_by_folds(np.array([0, 0, 1, 1]), np.array([0, 1, 0, 0]), 2).tolist()
    [True, True, False, False]
    """
    counts = np.zeros((folds, int(y.max(initial=-1)) + 1), int)
    np.add.at(counts, (of, y), 1)
    return counts.sum(axis=0)[y] > counts[of, y]


def linked(groups: Sequence[str], copies: np.ndarray) -> np.ndarray:
    """Return a number for each row: those of one group or alike, or linked by others, have the same.

    Parameters
    ----------
    groups : sequence of n str
        Empty for a row of its own.
    copies : ndarray of int, shape (n,)
        The same for rows that are alike.

    Examples
    --------
    >>> linked(["a", "a", "b", ""], np.array([1, 2, 2, 3])).tolist()
    [0, 0, 0, 1]
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    first, second = (np.unique(key, return_inverse=True)[1] for key in (_numbered(groups), copies))
    ends = np.stack([first, len(copies) + second])
    graph = coo_array((np.ones(len(copies)), ends), (2 * len(copies), 2 * len(copies)))
    return connected_components(graph, directed=False)[1][first]


def _numbered(groups: Sequence[str]) -> np.ndarray:
    """Return a number for each row, that of its group where it has one."""
    known: dict[str, int] = {}
    return np.array([known.setdefault(group, row) if group else row for row, group in enumerate(groups)])
