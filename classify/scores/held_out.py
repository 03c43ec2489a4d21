"""How far a head falls on rows of a kind that it never saw."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from classify.head import Head
from classify.scores.intervals import Interval, paired_correlation, paired_difference, wilson


@dataclass(frozen=True)
class HeldOut:
    """Accuracy on rows of a kind by heads that saw others of it, and by one that saw none.

    Attributes
    ----------
    rows : int
    seen : Interval
        By heads that saw such rows, each row by one that did not see that row.
    unseen : Interval
        By a head that saw none, trained on as many rows of each class.
    fall : Interval
        The first less the second, paired.
    """

    rows: int
    seen: Interval
    unseen: Interval
    fall: Interval


class KindsHeldOut:
    """Judges a head on kinds of rows that its training does without.

    Parameters
    ----------
    head : scikit-learn classifier
        Cloned for each training.
    X : ndarray of shape (N, D)
    y : ndarray of int, shape (N,)
    folds : sequence of (ndarray, ndarray)
        Training and test rows, by which the heads that saw a kind are cross-validated.
    seed : int
        Of the training rows that are drawn so that each head has as many of a class.
    least : int
        Training rows of a class: it is left out where fewer remain.
    """

    def __init__(
        self,
        head: Head,
        X: np.ndarray,
        y: np.ndarray,
        folds: Sequence[tuple[np.ndarray, np.ndarray]],
        seed: int = 0,
        least: int = 10,
    ) -> None:
        self._head, self._X, self._y, self._folds = head, X, y, folds
        self._seed, self._least = seed, least

    def judge(self, kind: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Tell which rows of a kind come out right.

        Parameters
        ----------
        kind : ndarray of bool, shape (N,)

        Returns
        -------
        seen, unseen : ndarray of bool, shape (n,)
            By heads that saw others of the kind, and by one that did not: of the rows whose class has
            others to learn from, if two classes have.
        """
        y, others = self._y, np.flatnonzero(~kind)
        counts = np.bincount(y[others], minlength=y.max() + 1)
        left = np.min([np.bincount(y[train], minlength=len(counts)) for train, _ in self._folds], axis=0)
        sizes = np.minimum(counts, left)  # that every head can have
        sizes[sizes < self._least] = 0
        judged = kind & (sizes[y] > 0)
        if not judged.any() or (sizes > 0).sum() < 2:
            return np.empty(0, bool), np.empty(0, bool)
        unseen, seen = np.zeros(len(y), bool), np.zeros(len(y), bool)
        unseen[judged] = self._right(others, sizes, judged)
        for train, test in self._folds:
            rows = np.zeros(len(y), bool)
            rows[test] = judged[test]
            if rows.any():
                seen[rows] = self._right(train, sizes, rows)
        return seen[judged], unseen[judged]

    def _right(self, rows: np.ndarray, sizes: np.ndarray, judged: np.ndarray) -> np.ndarray:
        """Train on so many rows of each class, and tell which others come out right."""
        from sklearn.base import clone

        generator = np.random.default_rng(self._seed)
        of_class = ((rows[self._y[rows] == label], size) for label, size in enumerate(sizes) if size)
        chosen = np.concatenate([generator.permutation(each)[:size] for each, size in of_class])
        fitted = clone(self._head).fit(self._X[chosen], self._y[chosen])
        return fitted.predict(self._X[judged]) == self._y[judged]


def compared(seen: np.ndarray, unseen: np.ndarray, z: float) -> HeldOut:
    """Compare heads on rows, of one kind or of several.

    Parameters
    ----------
    seen, unseen : ndarray of bool, shape (n,)
        As `KindsHeldOut.judge` returns them, joined.
    z : float
        Standard deviations of the fall's interval to either side.

    Examples
    --------
    >>> found = compared(np.ones(100, bool), np.arange(100) < 60, 1.96)
    >>> found.unseen.value, round(found.fall.value, 2), round(found.fall.low, 2)
    (0.6, 0.4, 0.3)
    """
    rows, right = len(seen), (int(seen.sum()), int(unseen.sum()))
    first, second = (wilson(each, rows, z) for each in right)
    fall = paired_difference(first, second, paired_correlation(seen, unseen))
    return HeldOut(rows, wilson(right[0], rows), wilson(right[1], rows), fall)
