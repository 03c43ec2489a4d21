"""Logistic regression that chooses its penalty, and that has converged: no start moves a prediction."""

import hashlib
import warnings
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_class_weight

from classify.features.blocks import Blocks, ordered_parts, standardize
from classify.heads.linear_decision import (
    FLOATS,
    LinearDecision,
    encoded,
    encoded_validation,
    of_raw_features,
)
from classify.heads.parameters import LOGISTIC
from classify.penalized.penalty import Choice, by_folds, by_validation
from classify.penalized.softmax import Problem, solve
from classify.scores.folds import linked
from data.allowed import check_values

AUTO = "auto"
Validation = tuple[np.ndarray | Blocks, np.ndarray]


class Logistic(LinearDecision):
    """Logistic regression over standardized features, binary or multinomial, by L-BFGS to a small gradient.

    The penalized objective has one minimum. Thousands of correlated features make it so flat in some
    directions that L-BFGS, stopped at scikit-learn's tolerance of 1e-4, is still far from it, and where it
    stops depends on its start and on rounding. This one goes on in float64 until the minimum is near.

    With ``C="auto"`` the penalty is chosen on a path of half decades from 1e-6 to 10, from strong to weak,
    that ends once the log loss has risen twice, and then a quarter of a decade to either side of the best:
    by the log loss of validation rows where they are given, else of the training rows, each judged by a fit
    to four fifths that saw neither it nor its group nor a copy of it. Class weights count there too. The
    head then learns all training rows, and no others.

    Parameters
    ----------
    C : float or "auto"
        Inverse of the penalty's strength; a number is taken as it is.
    max_iter : int
        Steps of the last fit.
    class_weight : None, "balanced" or dict
    tol : float
        Greatest part of the gradient at the end, of C times the summed loss and the penalty: it bounds
        how far coefficients are from the minimum.
    standardize : bool
        Whether features are taken less their mean, over their standard deviation in the training rows.

    Attributes
    ----------
    classes_ : ndarray of shape (K,)
    coef_ : ndarray of float64, shape (1, D) for two classes, else (K, D)
        Of the features as they come, not of standardized ones.
    intercept_ : ndarray of float64, shape (1,) or (K,)
    C_ : float
        Given or chosen.
    chosen_by_ : str
        The rows that chose it, in words; empty where it was given.
    calibration_ : Calibration or None
        A temperature by the folds, where they chose; the probabilities are without it, as those of other
        heads: a `Bundle` applies it.
    n_iter_ : ndarray of int, shape (1,)

    Examples
    --------
    >>> X = np.array([[0.0], [0.1], [0.9], [1.0]] * 8)
    >>> y = np.array(["cat", "cat", "dog", "dog"] * 8)
    >>> Logistic().fit(X, y).predict([[0.05], [0.95]]).tolist()
    ['cat', 'dog']
    """

    inverse_temperature_ = 1.0

    def __init__(
        self,
        C: float | str = AUTO,
        max_iter: int = 1000,
        class_weight: str | Mapping[object, float] | None = None,
        tol: float = 1e-6,
        standardize: bool = True,
    ) -> None:
        self.C = C
        self.max_iter = max_iter
        self.class_weight = class_weight
        self.tol = tol
        self.standardize = standardize

    def __setstate__(self, state: dict[str, object]) -> None:
        """Take a stored head; those of before stood behind a scaler, and their C was given."""
        before = {"standardize": False, "C_": state["C"], "chosen_by_": ""} if "coef_" in state else {}
        super().__setstate__(before | state)

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        X_val: ArrayLike | None = None,
        y_val: ArrayLike | None = None,
        groups: Sequence[str] | None = None,
    ) -> "Logistic":
        """Choose the penalty and train.

        Parameters
        ----------
        X : array_like of shape (N, D)
        y : array_like of shape (N,)
        X_val : array_like of shape (M, D), optional
            Rows that choose the penalty; they do not shape the coefficients.
        y_val : array_like of shape (M,), optional
        groups : sequence of N str, optional
            Rows of one are in one fold, where folds choose.

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
        check_values(self.get_params(deep=False), LOGISTIC)
        rows, numbers, classes = encoded(self, X, y, FLOATS)
        validation = encoded_validation(self, classes, X_val, y_val, FLOATS)
        return self.fit_encoded(rows, numbers, classes, validation, groups)

    def fit_encoded(
        self,
        X: np.ndarray | Blocks,
        numbers: np.ndarray,
        classes: np.ndarray,
        validation: Validation | None = None,
        groups: Sequence[str] | None = None,
    ) -> "Logistic":
        """Fit to features whose labels are known to be right.

        Parameters
        ----------
        X : ndarray, or Blocks, of shape (N, D)
        numbers : ndarray of int, shape (N,)
            Indices into `classes`.
        classes : ndarray of shape (K,)
        validation : (X, numbers), optional
        groups : sequence of N str, optional

        Returns
        -------
        self
        """
        self.classes_, self.n_features_in_ = classes, X.shape[1]
        folds = self.C == AUTO and validation is None
        mean, scale, copies = _surveyed(X, self.standardize, folds)
        shares = compute_class_weight(self.class_weight, classes=classes, y=classes[numbers])

        def problem(X: np.ndarray | Blocks, numbers: np.ndarray) -> Problem:
            Z = standardize(X, mean, scale)
            return Problem(Z, numbers, shares[numbers, np.newaxis], len(classes))

        training = problem(X, numbers)
        if self.C != AUTO:
            chosen = Choice(float(self.C), "", np.zeros(training.shape))
        elif validation is not None:
            chosen = by_validation(training, problem(*validation))
        else:
            chosen = by_folds(training, linked(groups, copies) if groups else copies)
        self.C_, self.chosen_by_, self.calibration_ = chosen.C, chosen.by, chosen.calibration
        found = solve(training, chosen.C, chosen.start, self.tol, self.max_iter)
        if isinstance(X, Blocks) and isinstance(training.Z, Blocks):
            X.passes += training.Z.passes
        if not found.converged:
            words = f"the logistic head has not converged in {self.max_iter} steps; raise max_iter"
            warnings.warn(words, ConvergenceWarning, 3)
        self.n_iter_ = np.array([found.steps], np.int32)
        weights = found.weights[0]
        self.coef_, self.intercept_ = of_raw_features(weights[:, :-1], weights[:, -1], mean, scale)
        return self


def _surveyed(X: np.ndarray | Blocks, scaled: bool, compared: bool) -> tuple[np.ndarray, ...]:
    """Return mean and scale of the features, rounded as those are, and a number that copies share."""
    scaler, copies = StandardScaler(), [np.empty(0, int)]
    dtype = X.dtype if isinstance(X, np.ndarray) else np.dtype(np.float32)
    for _, part in ordered_parts(X):
        scaler.partial_fit(part)
        if compared:
            copies.append(np.array([_digest(row) for row in part], np.int64))
    if not scaled:
        return np.zeros(X.shape[1], dtype), np.ones(X.shape[1], dtype), np.concatenate(copies)
    return scaler.mean_.astype(dtype), scaler.scale_.astype(dtype), np.concatenate(copies)


def _digest(row: np.ndarray) -> int:
    """Return a number of a row that is the same in every process, which Python's own hash is not."""
    return int.from_bytes(hashlib.blake2b(row.tobytes(), digest_size=8).digest(), "big", signed=True)
