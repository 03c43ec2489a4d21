"""Ridge regression on the classes: one eigendecomposition serves every penalty."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike
from sklearn.preprocessing import StandardScaler

from classify.features.blocks import Blocks, ordered_parts
from classify.heads.linear_decision import (
    FLOATS,
    LinearDecision,
    encoded,
    encoded_validation,
    of_raw_features,
)
from classify.heads.parameters import RIDGE
from classify.scores.calibration import fit_inverse_temperature, flat, log_loss, smoothing_of
from data.allowed import check_values
from data.lists import as_list

ALPHAS = tuple(np.logspace(-2, 4, 13).tolist())
_BLOCK_ROWS = 2048  # rows that are float64 at one time


class RidgeHead(LinearDecision):
    """Least squares on targets of -1 and 1, one against the rest, with the best of several penalties.

    Each penalty is judged on decision values of rows that the fit did not see. Without validation
    rows these are the leave-one-out values of the training rows, by their log loss after a
    temperature: it is smooth where counts of errors tie, does not punish values beyond the target
    as squared error does, and leaves the scale to the temperature, which is fitted on the same values.
    With validation rows it is their count of errors, then their log loss. Ties go to the greatest
    penalty. Rows are left out after standardization.

    Parameters
    ----------
    alphas : float or sequence of float
        Penalties to try, each above 0.
    standardize : bool
        Whether features are divided by their standard deviation in the training rows.

    Attributes
    ----------
    classes_ : ndarray of shape (K,)
    coef_ : ndarray of float64, shape (1, D) for two classes, else (K, D)
        Of the features as they come, not of standardized ones.
    intercept_ : ndarray of float64, shape (1,) or (K,)
    alpha_ : float
        The penalty chosen.
    inverse_temperature_ : float
        From decision values to logits, see `classify.scores.calibration.fit_inverse_temperature`.

    References
    ----------
    Rifkin and Lippert, Notes on Regularized Least Squares, MIT-CSAIL-TR-2007-025: one decomposition for
    every penalty, and leave-one-out values in closed form. The formula is Allen's PRESS, Technometrics
    16(1), 1974: where H takes targets to fitted values, row i left out is missed by
    (y - H y)_i / (1 - H_ii).

    Examples
    --------
    >>> X = np.array([[0.0], [0.1], [0.9], [1.0]] * 8)
    >>> y = np.array(["cat", "cat", "dog", "dog"] * 8)
    >>> RidgeHead().fit(X, y).predict([[0.05], [0.95]]).tolist()
    ['cat', 'dog']
    """

    def __init__(self, alphas: float | Sequence[float] = ALPHAS, standardize: bool = True) -> None:
        self.alphas = alphas
        self.standardize = standardize

    def fit(
        self, X: ArrayLike, y: ArrayLike, X_val: ArrayLike | None = None, y_val: ArrayLike | None = None
    ) -> "RidgeHead":
        """Choose the penalty, the coefficients and the temperature.

        Parameters
        ----------
        X : array_like of shape (N, D)
        y : array_like of shape (N,)
        X_val : array_like of shape (M, D), optional
            Rows that choose penalty and temperature; they do not shape the coefficients.
        y_val : array_like of shape (M,), optional

        Returns
        -------
        self

        Raises
        ------
        UsageError
            If a parameter has a value that it may not have.
        ValueError
            If there is one class only, or `y_val` has classes that `y` has not.
        """
        check_values(self.get_params(deep=False), RIDGE)
        rows, numbers, classes = encoded(self, X, y, FLOATS)
        validation = encoded_validation(self, classes, X_val, y_val, FLOATS)
        return self.fit_encoded(rows, numbers, classes, validation)

    def fit_encoded(
        self,
        X: np.ndarray | Blocks,
        numbers: np.ndarray,
        classes: np.ndarray,
        validation: tuple[np.ndarray | Blocks, np.ndarray] | None = None,
    ) -> "RidgeHead":
        """Fit to features whose labels are known to be right.

        Parameters
        ----------
        X : ndarray, or Blocks, of shape (N, D)
        numbers : ndarray of int, shape (N,)
            Indices into `classes`.
        classes : ndarray of shape (K,)
        validation : (X, numbers), optional
            As `fit` takes them; blocks need them, since rows left out would take too much memory.

        Returns
        -------
        self
        """
        self.classes_, self.n_features_in_ = classes, X.shape[1]
        alphas = list(map(float, as_list(self.alphas)))
        scaler = StandardScaler(with_std=self.standardize)
        for _, part in ordered_parts(X):
            scaler.partial_fit(part)
        scale = scaler.scale_ if self.standardize else np.ones(X.shape[1])
        targets = _targets(numbers, len(classes))
        standardization = (scaler.mean_, scale, targets)
        solution: _ByRows | _ByFeatures
        if not isinstance(X, Blocks) and len(X) <= X.shape[1]:
            solution = _ByRows(X, *standardization)
        else:
            solution = _ByFeatures(X, *standardization)

        def keep(alpha: float) -> None:
            coef = solution.coef(alpha).T
            self.coef_, self.intercept_ = of_raw_features(coef, targets.mean(axis=0), scaler.mean_, scale)

        if validation is None:
            decisions, truth = solution.left_out(alphas), numbers
        else:
            decisions, truth = _of_each(self, alphas, keep, validation[0]), validation[1]
        self.alpha_, self.inverse_temperature_ = _best(
            alphas, decisions, truth, by_errors=validation is not None
        )
        keep(self.alpha_)
        return self


def _targets(numbers: np.ndarray, classes: int) -> np.ndarray:
    """Return 1 for the class of a row and -1 for others; for two classes, only of the second."""
    targets = np.where(numbers[:, None] == np.arange(classes), 1.0, -1.0)
    return targets[:, 1:] if classes == 2 else targets


def _of_each(
    head: RidgeHead, alphas: list[float], keep: Callable[[float], None], X: np.ndarray | Blocks
) -> Iterator[np.ndarray]:
    """Return the decision values of rows with each penalty; one pass serves all."""
    kept = []
    for alpha in alphas:
        keep(alpha)
        kept.append((head.coef_.T, head.intercept_))
    found = [[flat(part @ coef + intercept) for coef, intercept in kept] for _, part in ordered_parts(X)]
    return map(np.concatenate, zip(*found, strict=True))


def _best(
    alphas: list[float], decisions: Iterable[np.ndarray], numbers: np.ndarray, by_errors: bool
) -> tuple[float, float]:
    """Return the best penalty and its inverse temperature, given the decision values of each."""

    def loss(alpha: float, decision: np.ndarray) -> tuple[int, float, float, float]:
        factor = fit_inverse_temperature(decision, numbers, smoothing_of(len(numbers)))
        found = decision > 0 if decision.ndim == 1 else decision.argmax(axis=1)
        errors = int(np.count_nonzero(found != numbers)) if by_errors else 0
        return errors, log_loss(decision, numbers, factor), -alpha, factor

    _, _, negative, factor = min(map(loss, alphas, decisions))
    return -negative, factor


def _blocks(
    X: np.ndarray | Blocks, mean: np.ndarray, scale: np.ndarray
) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield standardized rows in float64.

    In float32 the Gram matrix errs by about 1e-7 of its greatest eigenvalue: more than a small penalty.
    """
    done = 0
    for _, part in ordered_parts(X):
        for start in range(0, len(part), _BLOCK_ROWS):
            block = part[start : start + _BLOCK_ROWS] - mean
            block /= scale
            yield slice(done, done + len(block)), block
            done += len(block)


class _ByFeatures:
    """Ridge by the D x D Gram matrix of standardized rows.

    With X'X = V diag(l) V' the coefficients are V diag(1 / (l + alpha)) V'X'y and
    H_ii = 1/N + sum over j of (X V)_ij^2 / (l_j + alpha); 1/N is the intercept's.
    """

    def __init__(
        self, X: np.ndarray | Blocks, mean: np.ndarray, scale: np.ndarray, targets: np.ndarray
    ) -> None:
        self.data, self.targets = (X, mean, scale), targets
        gram = np.zeros((X.shape[1], X.shape[1]))
        cross = np.zeros((X.shape[1], targets.shape[1]))
        for rows, block in _blocks(*self.data):
            gram += block.T @ block
            cross += block.T @ targets[rows]
        values, self.vectors = np.linalg.eigh(gram)
        self.values = values.clip(0)
        self.projected = self.vectors.T @ cross

    def coef(self, alpha: float) -> np.ndarray:
        """Return the coefficients of standardized features, shape (D, columns of the targets)."""
        return self.vectors @ (self.projected / (self.values + alpha)[:, None])

    def left_out(self, alphas: list[float]) -> Iterator[np.ndarray]:
        """Yield the decision values of the training rows, each left out, with each penalty."""
        left = self._left(alphas).T[:, :, None]
        width = self.targets.shape[1]
        at_once = max(1, len(self.values) // (2 * width))  # at most half the room of float64 features
        for start in range(0, len(alphas), at_once):
            group = slice(start, start + at_once)
            coefs = np.concatenate([self.coef(alpha) for alpha in alphas[group]], axis=1)
            fitted = np.concatenate([block @ coefs for _, block in _blocks(*self.data)])
            for kept, values in zip(left[group], np.hsplit(fitted, len(alphas[group])), strict=True):
                missed = self.targets - self.targets.mean(axis=0) - values
                yield flat(self.targets - missed / kept)

    def _left(self, alphas: list[float]) -> np.ndarray:
        """Return 1 - H_ii, shape (N, number of penalties)."""
        weights = 1 / (self.values[:, None] + alphas)
        leverage = np.concatenate([(block @ self.vectors) ** 2 @ weights for _, block in _blocks(*self.data)])
        return np.maximum(1 - 1 / len(leverage) - leverage, np.finfo(float).eps)


class _ByRows:
    """Ridge by the N x N kernel of standardized rows.

    With X X' = Q diag(l) Q', and the constant vector, which is the intercept's, taken out of Q, the
    coefficients are X' Q diag(1 / (l + alpha)) Q'y, and I - H = Q diag(alpha / (l + alpha)) Q':
    no difference of near numbers, however close the fit.
    """

    def __init__(self, X: np.ndarray, mean: np.ndarray, scale: np.ndarray, targets: np.ndarray) -> None:
        self.features, self.targets = (X - mean) / scale, targets
        kernel = self.features @ self.features.T
        kernel += (2 * np.trace(kernel) + 1) / len(kernel)  # the constant vector has the greatest value
        values, vectors = np.linalg.eigh(kernel)
        self.values, self.vectors = values[:-1].clip(0), vectors[:, :-1]
        self.projected = self.vectors.T @ targets

    def coef(self, alpha: float) -> np.ndarray:
        """Return the coefficients of standardized features, shape (D, columns of the targets)."""
        return self.features.T @ (self.vectors @ (self.projected / (self.values + alpha)[:, None]))

    def left_out(self, alphas: list[float]) -> Iterator[np.ndarray]:
        """Yield the decision values of the training rows, each left out, with each penalty."""
        for alpha in alphas:
            shares = (alpha / (self.values + alpha))[:, None]
            missed = self.vectors @ (shares * self.projected)
            yield flat(self.targets - missed / (self.vectors**2 @ shares))
