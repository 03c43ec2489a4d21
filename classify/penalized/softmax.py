"""Penalized logistic regression, binary and multinomial, by L-BFGS: several fits over the same rows."""

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
from numpy.typing import DTypeLike
from threadpoolctl import ThreadpoolController

from classify.features.blocks import Blocks, ordered_parts
from classify.scores.calibration import number_of_logits

_ROWS = 512  # at once: they stay in a processor's cache from their logits to their gradient
_PAIRS = 20  # of steps and gradients that L-BFGS remembers where it is to converge, half of them elsewhere
_LOOSE = 0.01  # of the gradient at the start of a loose fit is left at its end
_LOOSE_STEPS = 200
_AT_ONCE = 2**26  # bytes that L-BFGS may take for loose fits that share their passes


@dataclass(frozen=True)
class Problem:
    """Rows that some fits share, each with weights of its own.

    Attributes
    ----------
    Z : ndarray or Blocks, of shape (n, D)
        Standardized.
    y : ndarray of int, shape (n,)
        Indices of classes.
    shares : ndarray of shape (n, F)
        Weight of each row in each of F fits; 0 of one that it does not see.
    classes : int
    """

    Z: np.ndarray | Blocks = field(repr=False)
    y: np.ndarray = field(repr=False)
    shares: np.ndarray = field(repr=False)
    classes: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of the weights of all fits: (F, logits, D + 1), the intercept last; one logit for two classes."""
        return self.shares.shape[1], number_of_logits(self.classes), self.Z.shape[1] + 1

    def of_fits(self, chosen: slice | np.ndarray) -> "Problem":
        """Return the problem of some of the fits."""
        return replace(self, shares=self.shares[:, chosen])


@dataclass(frozen=True)
class Solution:
    """Weights, of shape (F, logits, D + 1), the steps to them, and whether the gradient there is small."""

    weights: np.ndarray = field(repr=False)
    steps: int
    converged: bool


def solve(problem: Problem, C: float, start: np.ndarray, tol: float, max_iter: int) -> Solution:
    """Minimize the summed log loss plus the penalty |w|^2 / (2 C), in float64 and to the end.

    Times C the objective curves by 1 or more in every coefficient, so that its gradient, which is at most
    `tol` at the end, bounds how far they are from the minimum, whatever C and the number of rows.

    Parameters
    ----------
    problem : Problem
    C : float
    start : ndarray of shape (F, logits, D + 1)
    tol : float
    max_iter : int

    Examples
    --------
    >>> rows = Problem(np.array([[-1.0], [1.0], [2.0]]), np.array([0, 1, 1]), np.ones((3, 1)), 2)
    >>> found = solve(rows, 1.0, np.zeros(rows.shape), 1e-6, 100)
    >>> found.weights.round(3).tolist(), found.converged
    ([[[0.848, 0.289]]], True)
    """
    objective = _Objective(problem, C, np.float64)
    options: dict[str, float] = {
        "maxcor": _PAIRS,
        "maxiter": max_iter,
        "maxls": 50,
        "gtol": tol / (C * objective.total),
        "ftol": 0,  # a step may gain next to nothing far from the end
    }
    weights, steps = _minimize(objective, start, options)
    return Solution(weights, steps, steps < max_iter)


def solve_loosely(problem: Problem, C: float, start: np.ndarray) -> np.ndarray:
    """Return weights from which 99 % of the gradient at the start is gone, in float32.

    Fits share their passes over the rows, as many at once as memory allows.
    """
    found = np.empty(problem.shape, np.float32)
    at_once = max(1, _AT_ONCE // _vectors(_PAIRS // 2, *problem.shape[1:]))
    for first in range(0, len(found), at_once):
        some = slice(first, first + at_once)
        objective = _Objective(problem.of_fits(some), C, np.float32)
        options: dict[str, float] = {"maxcor": _PAIRS // 2, "maxiter": _LOOSE_STEPS, "gtol": 0, "ftol": 0}
        found[some], _ = _minimize(objective, start[some], options, _LOOSE)
    return found


def solver_bytes(shape: tuple[int, int, int]) -> int:
    """Return the bytes that fits of these weights take beside their rows, and those of weights of a path."""
    fits, *one = shape
    loose, last = _vectors(_PAIRS // 2, *one), _vectors(_PAIRS, *one)
    at_once = min(fits, max(1, _AT_ONCE // loose))
    return max(last, at_once * loose) + 4 * 4 * fits * one[0] * one[1]


def _vectors(pairs: int, units: int, width: int) -> int:
    """Return the bytes of the vectors of L-BFGS, and of the weights and gradients that it is given."""
    return 8 * (2 * pairs + 10) * units * width


def mean_loss(problem: Problem, weights: np.ndarray) -> float:
    """Return the mean log loss of all fits over their rows, by the rows' weights."""
    value = 0.0
    with _one_thread():
        for rows, _, losses, _ in _judged(problem, weights, np.float32):
            value += float((problem.shares[rows] * losses).sum())
    total = float(problem.shares.sum())
    return value / total if total else 0.0


def proba_of_own(problem: Problem, weights: np.ndarray) -> np.ndarray:
    """Return the probabilities of rows, each by the fit in which it counts most.

    Parameters
    ----------
    problem : Problem
    weights : ndarray of shape (F, logits, D + 1)

    Returns
    -------
    ndarray of float64, shape (n, K)
    """
    fit, found = problem.shares.argmax(axis=1), np.empty((len(problem.y), problem.classes))
    with _one_thread():
        for rows, _, _, proba in _judged(problem, weights, np.float64):
            found[rows] = proba[np.arange(len(proba)), fit[rows]]
    return found


def proba_by(weights: np.ndarray, Z: np.ndarray) -> np.ndarray:
    """Return the probabilities of rows by one fit.

    Parameters
    ----------
    weights : ndarray of shape (logits, D + 1)
    Z : ndarray of float32, shape (n, D)

    Returns
    -------
    ndarray of float32, shape (n, K)
    """
    proba = _logits(Z, weights[np.newaxis].astype(np.float32))
    _softmax(proba)
    return proba[:, 0]


def _minimize(
    objective: "_Objective", start: np.ndarray, options: dict[str, float], loose: float = 0.0
) -> tuple[np.ndarray, int]:
    """Return the weights and the steps to them; a part of the slope at the start may be left."""
    from scipy.optimize import minimize

    first = start.ravel().astype(np.float64)  # of float32 scipy would go on in float32

    def stop(_: np.ndarray) -> None:
        if objective.slope <= loose * objective.first_slope:
            raise StopIteration

    with _one_thread():
        found = minimize(objective, first, method="L-BFGS-B", jac=True, options=options, callback=stop)
    return found.x.reshape(start.shape), int(found.nit)


def _one_thread() -> AbstractContextManager[object]:
    """Let BLAS take one thread: of products so small several wait for each other longer than they compute."""
    return _libraries(len(sys.modules)).limit(limits=1, user_api="blas")


@lru_cache(1)
def _libraries(_modules: int) -> ThreadpoolController:
    """Return what sets threads; beside TensorFlow it takes 10 ms to look for them, so as modules come."""
    return ThreadpoolController()


class _Objective:
    """Log loss plus penalty of all fits, over the weight of all rows, and its gradient."""

    def __init__(self, problem: Problem, C: float, dtype: DTypeLike) -> None:
        self._problem, self._C, self._dtype = problem, C, dtype
        self.total = float(problem.shares.sum(axis=0, dtype=float).max())
        self.first_slope = self.slope = -1.0

    def __call__(self, flat: np.ndarray) -> tuple[float, np.ndarray]:
        shape, shares = self._problem.shape, self._problem.shares
        weights = flat.reshape(-1, shape[-1])
        value, gradient = 0.0, np.zeros_like(weights)
        for rows, part, losses, missed in _judged(self._problem, flat.reshape(shape), self._dtype):
            value += float((shares[rows] * losses).sum())
            missed[np.arange(len(part)), :, self._problem.y[rows]] -= 1
            missed *= shares[rows, :, np.newaxis].astype(self._dtype, copy=False)
            missed = missed[:, :, -shape[1] :].reshape(len(part), -1)
            gradient[:, :-1] += missed.T @ part
            gradient[:, -1] += missed.sum(axis=0)
        gradient[:, :-1] += weights[:, :-1] / self._C
        value += (weights[:, :-1] ** 2).sum() / (2 * self._C)
        gradient /= self.total
        self.slope = float(np.abs(gradient).max())
        if self.first_slope < 0:
            self.first_slope = self.slope
        return value / self.total, gradient.ravel()


def _judged(
    problem: Problem, weights: np.ndarray, dtype: DTypeLike
) -> Iterator[tuple[slice, np.ndarray, np.ndarray, np.ndarray]]:
    """Yield rows, their features, their losses (k, F) and their probabilities (k, F, K)."""
    rounded, done = weights.astype(dtype), 0
    for _, block in ordered_parts(problem.Z):
        for first in range(0, len(block), _ROWS):
            part = block[first : first + _ROWS].astype(dtype, copy=False)
            rows = slice(done, done + len(part))
            done = rows.stop
            proba = _logits(part, rounded)
            yield rows, part, _softmax(proba, problem.y[rows]), proba


def _logits(Z: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the logits of rows by each fit, shape (n, F, K), of which the first is 0 for two classes."""
    fits, units, _ = weights.shape
    flat = weights.reshape(fits * units, -1)
    found = (Z @ flat[:, :-1].T + flat[:, -1]).reshape(len(Z), fits, units)
    return np.concatenate([np.zeros_like(found), found], axis=2) if units == 1 else found


def _softmax(logits: np.ndarray, y: np.ndarray | None = None) -> np.ndarray:
    """Make probabilities of logits in place; return the losses of the labels, shape (n, F)."""
    logits -= logits.max(axis=2, keepdims=True)
    own = 0.0 if y is None else logits[np.arange(len(y)), :, y]
    np.exp(logits, out=logits)
    total = logits.sum(axis=2, keepdims=True)
    logits /= total
    return np.log(total[:, :, 0]) - own
