"""What linear heads share: decision values to probabilities, labels to indices of their classes."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, DTypeLike
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from classify.scores.calibration import flat, probabilities

FLOATS = (np.float64, np.float32)  # what a linear head takes as it comes


class LinearDecision(ClassifierMixin, BaseEstimator):
    """What linear heads share: from `coef_` to probabilities.

    Attributes
    ----------
    classes_ : ndarray of shape (K,)
    coef_ : ndarray of float64, shape (1, D) for two classes, else (K, D)
        Of the features as they come.
    intercept_ : ndarray of float64, shape (1,) or (K,)
    inverse_temperature_ : float
        As `fit_inverse_temperature` returns it.
    """

    classes_: np.ndarray
    coef_: np.ndarray
    intercept_: np.ndarray
    inverse_temperature_: float

    def __setstate__(self, state: dict[str, object]) -> None:
        """Take a stored head; version 0.1 stored the inverse temperature as ``temperature_``."""
        state = dict(state)
        if "temperature_" in state:
            state["inverse_temperature_"] = state.pop("temperature_")
        super().__setstate__(state)

    def decision_function(self, X: ArrayLike) -> np.ndarray:
        """Return the decision values.

        Returns
        -------
        ndarray of float64, shape (N,) for two classes, else (N, K)
        """
        check_is_fitted(self)
        return self._decision(validate_data(self, X, dtype=FLOATS, reset=False))

    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """Return the probability of each class.

        Returns
        -------
        ndarray of float64, shape (N, K)
        """
        return probabilities(self.decision_function(X), self.inverse_temperature_)

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Return the most probable class of each row."""
        decision = self.decision_function(X)
        numbers = (decision > 0).astype(int) if decision.ndim == 1 else decision.argmax(axis=1)
        return self.classes_[numbers]

    def dense(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the coefficients and intercepts of its logits: decision values times the factor."""
        return self.inverse_temperature_ * self.coef_, self.inverse_temperature_ * self.intercept_

    def _decision(self, X: np.ndarray) -> np.ndarray:
        return flat(X @ self.coef_.T + self.intercept_)


def of_raw_features(
    coef: np.ndarray, intercept: np.ndarray, mean: np.ndarray, scale: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return coefficients of standardized features, shape (1 or K, D), and intercepts as those of raw ones.

    Examples
    --------
    >>> mean, scale = np.array([4.0]), np.array([2.0])
    >>> coef, intercept = of_raw_features(np.array([[3.0]]), np.array([1.0]), mean, scale)
    >>> coef.tolist(), intercept.tolist()
    ([[1.5]], [-5.0])
    """
    coef = coef / scale
    return coef, intercept - coef @ mean


Dtypes = DTypeLike | tuple[DTypeLike, ...]  # what rows may be; the first where they are none of these


def encoded(
    head: BaseEstimator, X: ArrayLike, y: ArrayLike, dtype: Dtypes
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return checked training rows, the index of each row's class, and the classes.

    Parameters
    ----------
    head : scikit-learn classifier
    X : array_like of shape (N, D)
    y : array_like of shape (N,)
    dtype : dtype, or tuple of them

    Raises
    ------
    ValueError
        If the rows are not finite numbers, or there is one class only.
    """
    rows, labels = validate_data(head, X, y, dtype=dtype)
    check_classification_targets(labels)
    classes, numbers = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(f"a head needs two classes; the labels hold one class: {classes[0]!r}")
    return rows, numbers, classes


def encoded_validation(
    head: BaseEstimator,
    classes: np.ndarray,
    X_val: ArrayLike | None,
    y_val: ArrayLike | None,
    dtype: Dtypes,
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return checked validation rows and the index of each row's class, or None if there are none.

    Raises
    ------
    ValueError
        If one of the two came alone, or `y_val` has classes that training has not.
    """
    if (X_val is None) != (y_val is None):
        raise ValueError("X_val and y_val belong together; one came alone: pass both or neither")
    if X_val is None or y_val is None:
        return None
    rows, labels = validate_data(head, X_val, y_val, dtype=dtype, reset=False)
    unknown = np.setdiff1d(labels, classes)
    if len(unknown):
        raise ValueError(
            f"y_val holds classes that y does not: {unknown.tolist()}; "
            f"y has {classes.tolist()}: leave those rows out"
        )
    return rows, np.searchsorted(classes, labels)


def row_weights(
    class_weight: str | Mapping[object, float] | None, classes: np.ndarray, targets: np.ndarray
) -> np.ndarray | None:
    """Return the weight of each row's loss by its class, float32 (N,); None without class weights."""
    if class_weight is None:
        return None
    weights = compute_class_weight(class_weight, classes=classes, y=classes[targets])
    return weights[targets].astype(np.float32)
