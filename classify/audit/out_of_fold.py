"""Every labelled row judged by a strongly penalized linear head that saw neither it nor a copy of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from classify.features.matrix import FeatureMatrix
from classify.features.neighbours import parts
from classify.features.standardized import Standardized
from classify.penalized.penalty import FOLDS, best, path
from classify.penalized.softmax import Problem, proba_by, solve_loosely
from classify.scores.folds import folds_of, judged_by_folds

# C of the head `logistic`, on standardized features, from strong penalties to weak ones.
PENALTIES = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
_MOST_LEARNT = 2**28  # bytes of rows that heads learn from; where there are more, of a sample
_LEAST_LEARNT = 50  # rows of a class in a sample, where it has as many
_BLOCK = 512  # rows at once, which stay in a processor's cache
_CHOOSING = 2000  # rows, at the least, by which the penalty is chosen


@dataclass(frozen=True)
class OutOfFold:
    """What heads say of rows that they did not see.

    Attributes
    ----------
    rows : ndarray of int, shape (n,)
        Places in the matrix of the labelled rows that could be judged, ascending.
    y : ndarray of int, shape (n,)
        Their labels.
    proba : ndarray of float32, shape (n, K)
        Probabilities by the head that did not see the row; 0 of classes without rows.
    folds : int
    penalty : float
        C of the heads.
    learnt : int
        Rows that heads learnt from: all, or a sample where they take more than 256 MB.
    left_out : ndarray of int
        Labelled rows that cannot be judged, as no other image has their label.
    """

    rows: np.ndarray = field(repr=False)
    y: np.ndarray = field(repr=False)
    proba: np.ndarray = field(repr=False)
    folds: int
    penalty: float
    learnt: int
    left_out: np.ndarray = field(repr=False)

    @property
    def own(self) -> np.ndarray:
        """Probability of each row's own label, shape (n,)."""
        return self.proba[np.arange(len(self.y)), self.y]

    @property
    def other(self) -> np.ndarray:
        """The most probable class of each row but its own, shape (n,)."""
        others = self.proba.copy()
        others[np.arange(len(self.y)), self.y] = -1
        return others.argmax(axis=1)

    @property
    def ranking(self) -> np.ndarray:
        """Places in `rows`, the least probable label first."""
        return np.argsort(self.own, kind="stable")


def out_of_fold(
    features: FeatureMatrix,
    groups: Sequence[str] = (),
    *,
    folds: int = FOLDS,
    penalties: Sequence[float] = PENALTIES,
    seed: int = 0,
) -> OutOfFold | None:
    """Judge the labelled rows of all splits by logistic regressions that did not see them.

    The heads minimize what the head `logistic` does, loosely, from the strongest penalty on, each from
    the one before. The penalty is one step stronger than that of the least
    log loss out of fold, as heads that follow single labels less tell better which are wrong. Rows
    of one group are in one fold.

    Parameters
    ----------
    features : FeatureMatrix
    groups : sequence of str, optional
        Of each row, empty for none, as `classify.audit.duplicates.Duplicates.groups` returns them.
    folds : int
    penalties : sequence of float
        Ascending; one alone is taken as it is.
    seed : int
        Of the folds, and of the sample where there is one.

    Returns
    -------
    OutOfFold or None
        None where fewer than two classes have two different images.

    Raises
    ------
    HeadstartError
        If a row holds NaN or infinity.

    Examples
    --------
    >>> judged = out_of_fold(load_features("photos.h5"))  # doctest: +SKIP
    >>> judged.rows[judged.ranking[:5]]  # doctest: +SKIP
    array([1109,  437,  925, 1747, 1286])
    """
    rows = np.flatnonzero(features.y >= 0)
    y, generator = features.y[rows], np.random.default_rng(seed)
    of = folds_of(y, [groups[int(row)] for row in rows] if len(groups) else None, folds, generator)
    able = judged_by_folds(y, of, folds)
    classes, numbers = np.unique(y, return_inverse=True)
    if len(np.unique(y[able])) < 2:
        return None
    learnt = sample(y, _MOST_LEARNT // (4 * features.X.shape[1]), generator)
    scale = Standardized(features, rows[learnt])
    penalty, heads = _heads(scale.matrix(rows[learnt]), numbers[learnt], of[learnt], folds, penalties)
    proba = np.zeros((len(rows), len(features.class_names)), np.float32)
    proba[:, classes] = _proba(scale, rows, heads, of)
    return OutOfFold(rows[able], y[able], proba[able], folds, penalty, len(learnt), rows[~able])


def trained_proba(
    features: FeatureMatrix, training: np.ndarray, judged: np.ndarray, penalty: float, seed: int = 0
) -> np.ndarray:
    """Return the probabilities of some rows by a head like those of `out_of_fold` that learns others.

    Parameters
    ----------
    features : FeatureMatrix
    training : ndarray of int, shape (m,)
        Labelled rows of two classes or more.
    judged : ndarray of int, shape (n,)
    penalty : float
        C of the head.
    seed : int
        Of the sample where there is one.

    Returns
    -------
    ndarray of float32, shape (n, K)
        0 of classes that no training row has.
    """
    classes, numbers = np.unique(features.y[training], return_inverse=True)
    generator = np.random.default_rng(seed)
    learnt = sample(numbers, _MOST_LEARNT // (4 * features.X.shape[1]), generator)
    scale = Standardized(features, training[learnt])
    _, heads = _heads(scale.matrix(training[learnt]), numbers[learnt], np.ones(len(learnt)), 1, [penalty])
    proba = np.zeros((len(judged), len(features.class_names)), np.float32)
    proba[:, classes] = _proba(scale, judged, heads, np.zeros(len(judged), int))
    return proba


def sample(y: np.ndarray, most: int, generator: np.random.Generator) -> np.ndarray:
    """Return about `most` rows, drawn evenly, but of a thin class 50 where it has as many.

    Examples
    --------
    >>> chosen = sample(np.repeat([0, 1], [900, 60]), 96, np.random.default_rng(0))
    >>> int((chosen < 900).sum()), int((chosen >= 900).sum())
    (90, 50)
    """
    if len(y) <= most:
        return np.arange(len(y))
    chosen = []
    for members in (np.flatnonzero(y == label) for label in np.unique(y)):
        count = max(min(_LEAST_LEARNT, len(members)), round(len(members) * most / len(y)))
        chosen.append(generator.choice(members, count, replace=False))
    return np.sort(np.concatenate(chosen))


def _proba(scale: Standardized, rows: np.ndarray, heads: np.ndarray, of: np.ndarray) -> np.ndarray:
    """Return the probabilities of rows, each by the head of its fold."""
    units = heads.shape[1]
    found = np.empty((len(rows), 2 if units == 1 else units), np.float32)
    for part in parts(len(rows), _BLOCK):
        block, folds = scale.matrix(rows[part]), of[part]
        for fold in np.unique(folds):
            found[part][folds == fold] = proba_by(heads[fold], block[folds == fold])
    return found


def _heads(
    Z: np.ndarray, y: np.ndarray, of: np.ndarray, folds: int, penalties: Sequence[float]
) -> tuple[float, np.ndarray]:
    """Fit a head to the rows outside each fold, and return the penalty and the weights of the heads.

    The penalty is chosen by as many folds as hold 2,000 rows; others begin at the first one's head.
    """
    mine = of[:, np.newaxis] == np.arange(folds)
    learnt = Problem(Z, y, (~mine).astype(np.float32), int(y.max()) + 1)
    judged = replace(learnt, shares=mine.astype(np.float32))
    choosing = slice(min(folds, -(-_CHOOSING * folds // len(y))))
    steps = path(learnt.of_fits(choosing), judged.of_fits(choosing), penalties, rises=1)
    step = steps[max(0, best(steps) - 1)]
    weights = np.asarray(step.weights)
    others = learnt.of_fits(slice(len(weights), None))
    start = np.repeat(weights[:1], folds - len(weights), axis=0)
    return step.C, np.concatenate([weights, solve_loosely(others, step.C, start)])
