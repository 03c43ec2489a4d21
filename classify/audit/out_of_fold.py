"""Every labelled row judged by a strongly penalized linear head that saw neither it nor a copy of it."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from threadpoolctl import threadpool_limits

from classify.features.matrix import FeatureMatrix
from classify.features.neighbours import parts
from classify.features.standardized import Standardized
from data.machine import cores

# C of the head `logistic`, on standardized features, from strong penalties to weak ones.
PENALTIES = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
FOLDS = 5
_MOST_LEARNT = 2**28  # bytes of rows that heads learn from; where there are more, of a sample
_LEAST_LEARNT = 50  # rows of a class in a sample, where it has as many
_BLOCK = 512  # rows at once, which stay in a processor's cache from their logits to their gradient
_NEAR = 3e-4  # of the mean gradient, as L-BFGS measures how far it is from the minimum
_STEPS = 200
_CHOOSING = 2000  # rows, at the least, by which the penalty is chosen
_LEAST = 1e-7  # a probability, whose logarithm is taken


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

    The heads minimize what the head `logistic` does, by L-BFGS in float32, from the strongest
    penalty on, each from the one before. The penalty is one step stronger than that of the least
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
    judged = _judged(y, of, folds)
    classes, numbers = np.unique(y, return_inverse=True)
    if len(np.unique(y[judged])) < 2:
        return None
    learnt = sample(y, _MOST_LEARNT // (4 * features.X.shape[1]), generator)
    scale = Standardized(features, rows[learnt])
    penalty, heads = _heads(scale.matrix(rows[learnt]), numbers[learnt], of[learnt], folds, penalties)
    proba = np.zeros((len(rows), len(features.class_names)), np.float32)
    proba[:, classes] = _proba(scale, rows, heads, of)
    return OutOfFold(rows[judged], y[judged], proba[judged], folds, penalty, len(learnt), rows[~judged])


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


def folds_of(
    y: np.ndarray, groups: Sequence[str] | None, folds: int, generator: np.random.Generator
) -> np.ndarray:
    """Return the fold of each row: classes evenly among folds, rows of one group in one.

    Groups are dealt to folds one after the other, those of one class together, the largest first.

    Parameters
    ----------
    y : ndarray of int, shape (n,)
    groups : sequence of n str or None
        Empty for a row of its own.
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
    number = _numbered(groups) if groups else np.arange(len(y))
    _, first, number, sizes = np.unique(number, return_index=True, return_inverse=True, return_counts=True)
    order = np.lexsort((generator.permutation(len(first)), -sizes, y[first]))
    of = np.empty(len(first), int)
    of[order] = np.arange(len(first)) % folds
    return of[number]


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


@dataclass(frozen=True)
class _Linear:
    """A linear head of standardized features: coefficients and intercepts, shape (1 or K, D + 1)."""

    weights: np.ndarray

    @property
    def classes(self) -> int:
        return max(2, len(self.weights))

    def proba(self, Z: np.ndarray) -> np.ndarray:
        return _softmax(_logits(Z, self.weights.astype(np.float32)))


def _proba(scale: Standardized, rows: np.ndarray, heads: Sequence[_Linear], of: np.ndarray) -> np.ndarray:
    """Return the probabilities of rows, each by the head of its fold."""
    found = np.empty((len(rows), heads[0].classes), np.float32)
    for part in parts(len(rows), _BLOCK):
        block, folds = scale.matrix(rows[part]), of[part]
        for fold in np.unique(folds):
            found[part][folds == fold] = heads[fold].proba(block[folds == fold])
    return found


def _heads(
    Z: np.ndarray, y: np.ndarray, of: np.ndarray, folds: int, penalties: Sequence[float]
) -> tuple[float, list[_Linear]]:
    """Fit a head to the rows outside each fold, and return the penalty and the heads.

    The penalty is chosen by as many folds as hold 2,000 rows; others begin at the first one's head.
    """
    classes = int(y.max()) + 1
    nothing = _Linear(np.zeros((1 if classes == 2 else classes, Z.shape[1] + 1)))
    choosing = range(min(folds, -(-_CHOOSING * folds // len(y))))
    # Of products so small threads wait for each other longer than they compute.
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(cores()) as pool:

        def fitted(chosen: Iterable[int], penalty: float, starts: list[_Linear]) -> list[_Linear]:
            shares = [(of != fold).astype(np.float32) for fold in chosen]
            return list(pool.map(lambda share, start: _fitted(Z, y, share, penalty, start), shares, starts))

        heads, found = [nothing for _ in choosing], []
        for penalty in penalties:
            heads = fitted(choosing, penalty, heads)
            loss = sum(_loss(head, Z, y, of == fold) for head, fold in zip(heads, choosing, strict=True))
            found.append((loss, penalty, heads))
            if len(found) > 1 and loss > found[-2][0]:
                break
        least = int(np.argmin([loss for loss, *_ in found]))
        _, penalty, heads = found[max(0, least - 1)]
        others = range(len(choosing), folds)
        return penalty, heads + fitted(others, penalty, heads[:1] * len(others))


def _loss(head: _Linear, Z: np.ndarray, y: np.ndarray, chosen: np.ndarray) -> float:
    """Return the log loss of some rows, their sum."""
    total, places = 0.0, np.flatnonzero(chosen)
    for part in parts(len(places), _BLOCK):
        rows = places[part]
        own = head.proba(Z[rows])[np.arange(len(rows)), y[rows]]
        total -= float(np.log(np.maximum(own, _LEAST)).sum())
    return total


def _fitted(Z: np.ndarray, y: np.ndarray, shares: np.ndarray, penalty: float, first: _Linear) -> _Linear:
    """Minimize the log loss of the rows by their shares, plus the penalty."""
    from scipy.optimize import minimize

    total, start = float(shares.sum()), first.weights

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = flat.reshape(start.shape)
        rounded, value, gradient = weights.astype(np.float32), 0.0, np.zeros_like(weights)
        for part in parts(len(Z), _BLOCK):
            proba = _softmax(_logits(Z[part], rounded))
            own = np.arange(len(proba)), y[part]
            value -= float(shares[part] @ np.log(np.maximum(proba[own], _LEAST)))
            proba[own] -= 1
            missed = (proba * shares[part, np.newaxis])[:, -len(weights) :]
            gradient[:, :-1] += missed.T @ Z[part]
            gradient[:, -1] += missed.sum(axis=0)
        gradient[:, :-1] += weights[:, :-1] / penalty
        value += (weights[:, :-1] ** 2).sum() / (2 * penalty)
        return value / total, (gradient / total).ravel()

    options = {"maxiter": _STEPS, "gtol": _NEAR, "ftol": 0}
    found = minimize(objective, start.ravel(), method="L-BFGS-B", jac=True, options=options)
    return _Linear(found.x.reshape(start.shape))


def _logits(Z: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the logits of rows, shape (n, K), of which the first is 0 for two classes."""
    found = Z @ weights[:, :-1].T + weights[:, -1]
    return np.concatenate([np.zeros_like(found), found], axis=1) if len(weights) == 1 else found


def _softmax(logits: np.ndarray) -> np.ndarray:
    logits -= logits.max(axis=1, keepdims=True)
    np.exp(logits, out=logits)
    logits /= logits.sum(axis=1, keepdims=True)
    return logits


def _judged(y: np.ndarray, of: np.ndarray, folds: int) -> np.ndarray:
    """Tell which rows have their label in another fold too."""
    counts = np.zeros((folds, int(y.max(initial=-1)) + 1), int)
    np.add.at(counts, (of, y), 1)
    return counts.sum(axis=0)[y] > counts[of, y]


def _numbered(groups: Sequence[str]) -> np.ndarray:
    """Return a number for each row, that of its group where it has one."""
    known: dict[str, int] = {}
    return np.array([known.setdefault(group, row) if group else row for row, group in enumerate(groups)])
