"""Sets of labels that hold the truth with a wanted coverage: conformal prediction, from plain numbers."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from data.errors import HeadstartError, UsageError
from data.text import counted

_MOST = 10_000  # scores that are kept: with them the coverage deviates by 0.2 % of 95
_ROUNDING = 1e-9  # of (n + 1) * coverage


@dataclass(frozen=True)
class Conformal:
    """Which labels an image may have, from the probabilities of rows that the head did not see.

    The score of a row is 1 less the probability of its own label. A label belongs to the set of an
    image where 1 less its probability is at most the score of rank ``ceil((n + 1) * coverage)`` among
    the n kept ones, and the most probable label always does. Of all sets with that coverage those are
    the smallest on average (Sadinle, Lei and Wasserman [1]_).

    Scores of validation rows make this split-conformal prediction: where new images are drawn as those
    were, the sets hold the truth with at least the wanted coverage on average [2]_. Scores out of folds
    are pooled as cross-conformal prediction pools them (Vovk [3]_), but a new image is scored by the head
    of all rows and not by those of the folds, which are not kept: that its coverage is the wanted one is
    measured, not proved.

    Attributes
    ----------
    scores : ndarray of float64, shape (n,)
        Ascending.
    origin : str
        Of the rows: ``validation rows`` or ``5 folds``.

    References
    ----------
    .. [1] Sadinle, Lei and Wasserman, Least Ambiguous Set-Valued Classifiers With Bounded Error Levels,
       JASA 114, 2019.
    .. [2] Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, Springer 2005, chapter 4.
    .. [3] Vovk, Cross-conformal predictors, Annals of Mathematics and Artificial Intelligence 74, 2015.

    Examples
    --------
    >>> proba = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.4, 0.6]])
    >>> conformal = Conformal.of(proba, [0, 0, 1, 0], "validation rows")
    >>> conformal.sets([[0.95, 0.05], [0.55, 0.45]], coverage=0.8).tolist()
    [[True, False], [True, True]]
    """

    scores: np.ndarray = field(repr=False)
    origin: str

    @classmethod
    def of(cls, proba: ArrayLike, y: ArrayLike, origin: str, *, seed: int = 0) -> "Conformal":
        """Keep the scores of rows; of more than 10,000 so many, drawn at random.

        Parameters
        ----------
        proba : array_like of shape (n, K)
            By a head that did not see the rows.
        y : array_like of int, shape (n,)
        origin : str
        seed : int
            Of the draw.
        """
        values, labels = np.asarray(proba, np.float64), np.asarray(y)
        scores = 1 - values[np.arange(len(labels)), labels]
        return cls(np.sort(np.random.default_rng(seed).permutation(scores)[:_MOST]), origin)

    def highest(self, coverage: float) -> float:
        """Return the highest score of a label that belongs to a set.

        Parameters
        ----------
        coverage : float
            Share of images whose sets hold the truth, between 0 and 1.

        Raises
        ------
        HeadstartError
            If there are too few scores: coverage / (1 - coverage) are needed.
        """
        rows = len(self.scores)
        if not 0 < coverage < 1:
            raise UsageError(
                "sets of labels have no such coverage",
                "a share between 0 and 1, both excluded, as 0.95",
                str(coverage),
                "correct --coverage, or leave it out",
            )
        rank = int(np.ceil((rows + 1) * coverage - _ROUNDING))
        if rank > rows:
            needed = int(np.ceil(coverage / (1 - coverage) - _ROUNDING))
            raise HeadstartError(
                f"there are too few rows for sets with a coverage of {coverage:g}",
                f"{needed} rows or more that training did not see",
                f"{counted(rows, 'row')}: {self.origin}",
                "choose a lower --coverage, or train again: python -m classify train --cross-conformal 5",
            )
        return float(self.scores[rank - 1])

    def sets(self, proba: ArrayLike, coverage: float) -> np.ndarray:
        """Tell which labels belong to the set of each row.

        Parameters
        ----------
        proba : array_like of shape (n, K)
        coverage : float

        Returns
        -------
        ndarray of bool, shape (n, K)
            One label or more in each row.
        """
        return label_sets(np.asarray(proba, np.float64), self.highest(coverage))


def label_sets(proba: np.ndarray, highest: float) -> np.ndarray:
    """Return the labels of each row whose score is not higher, and the most probable one.

    Parameters
    ----------
    proba : ndarray of shape (n, K)
    highest : float
        As `Conformal.highest` returns it.

    Returns
    -------
    ndarray of bool, shape (n, K)

    Examples
    --------
    >>> label_sets(np.array([[0.5, 0.3, 0.2], [0.3, 0.35, 0.35]]), 0.6).tolist()
    [[True, False, False], [False, True, False]]
    """
    chosen = 1 - proba <= highest
    chosen[np.arange(len(proba)), proba.argmax(axis=1)] = True
    return chosen
