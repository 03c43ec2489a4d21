"""A linear support vector machine over features, with probabilities."""

import numpy as np
from numpy.typing import ArrayLike
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from classify.heads.linear_decision import (
    FLOATS,
    LinearDecision,
    encoded,
    encoded_validation,
    of_raw_features,
)
from classify.heads.parameters import LINEAR_SVM
from classify.scores.calibration import fit_inverse_temperature, smoothing_of
from data.allowed import check_values

_HELD_OUT = 5  # every fifth row; a class of fewer rows could lose all of one side


class LinearSvm(LinearDecision):
    """Squared hinge loss over standardized features, one against the rest, by liblinear.

    Decision values of the training rows lie too far out to give probabilities. The temperature is
    fitted on rows that the machine did not see: validation rows, or a fifth of the training rows, held
    out of a first fit and taken in again for the second. Where a class has fewer than 5 rows nothing
    is held out, and the probabilities are bolder than they should be.

    Parameters
    ----------
    C : float
        Inverse of the penalty's strength; for thousands of features well below 1.
    seed : int
        Of the rows held out and of liblinear's order.

    Attributes
    ----------
    classes_ : ndarray of shape (K,)
    coef_ : ndarray of float64, shape (1, D) for two classes, else (K, D)
        Of the features as they come, not of standardized ones.
    intercept_ : ndarray of float64, shape (1,) or (K,)
    inverse_temperature_ : float
        From decision values to logits, see `classify.scores.calibration.fit_inverse_temperature`.

    Examples
    --------
    >>> X = np.array([[0.0], [0.1], [0.9], [1.0]] * 8)
    >>> y = np.array(["cat", "cat", "dog", "dog"] * 8)
    >>> LinearSvm().fit(X, y).predict([[0.05], [0.95]]).tolist()
    ['cat', 'dog']
    """

    def __init__(self, C: float = 0.01, seed: int = 0) -> None:
        self.C = C
        self.seed = seed

    def fit(
        self, X: ArrayLike, y: ArrayLike, X_val: ArrayLike | None = None, y_val: ArrayLike | None = None
    ) -> "LinearSvm":
        """Train on features.

        Parameters
        ----------
        X : array_like of shape (N, D)
        y : array_like of shape (N,)
        X_val : array_like of shape (M, D), optional
            Rows that fit the temperature; by default a fifth of the training rows.
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
        check_values(self.get_params(deep=False), LINEAR_SVM)
        rows, numbers, self.classes_ = encoded(self, X, y, FLOATS)
        validation = encoded_validation(self, self.classes_, X_val, y_val, FLOATS)
        if validation is None and np.bincount(numbers).min() >= _HELD_OUT:
            kept, held = train_test_split(
                np.arange(len(rows)), test_size=1 / _HELD_OUT, stratify=numbers, random_state=self.seed
            )
            self._fit_coef(rows[kept], numbers[kept])
            self._fit_temperature(rows[held], numbers[held])
            self._fit_coef(rows, numbers)
        else:
            self._fit_coef(rows, numbers)
            self._fit_temperature(*(validation or (rows, numbers)))
        return self

    def _fit_coef(self, X: np.ndarray, numbers: np.ndarray) -> None:
        scaler = StandardScaler().fit(X)
        machine = LinearSVC(C=self.C, dual="auto", random_state=self.seed)
        machine.fit(scaler.transform(X), numbers)
        raw = of_raw_features(machine.coef_, machine.intercept_, scaler.mean_, scaler.scale_)
        self.coef_, self.intercept_ = raw

    def _fit_temperature(self, X: np.ndarray, numbers: np.ndarray) -> None:
        decision = self._decision(X)
        self.inverse_temperature_ = fit_inverse_temperature(decision, numbers, smoothing_of(len(numbers)))
