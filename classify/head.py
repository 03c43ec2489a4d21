"""What a head is: a classifier of scikit-learn that gives probabilities."""

from typing import Protocol

import numpy as np


class Head(Protocol):
    """A classifier of scikit-learn that gives probabilities.

    Attributes
    ----------
    classes_ : ndarray of shape (K,)
        Once it is fitted.
    n_features_in_ : int
        Once it is fitted.
    """

    classes_: np.ndarray
    n_features_in_: int

    def fit(self, X: np.ndarray, y: np.ndarray, **validation: np.ndarray) -> "Head":
        """Train on features (N, D) and their labels (N,); some take `X_val` and `y_val` to choose by."""

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Return the most probable class of each row."""

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Return the probability of each class, shape (N, K)."""

    def get_params(self, deep: bool = True) -> dict[str, object]:
        """Return the parameters that it was made with."""

    def set_params(self, **params: object) -> "Head":
        """Set some of them; return itself."""
