"""What a head is: a classifier of scikit-learn that gives probabilities."""

import inspect
from collections.abc import Callable
from typing import Any, Protocol

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


def chosen_by(head: Any) -> dict[str, Any]:
    """Return what a fitted head chose by itself: C of `logistic` and by which rows, the alpha of `ridge`.

    Examples
    --------
    >>> chosen_by("no head")
    {}
    """
    own = head.steps[-1][1] if hasattr(head, "steps") else head
    if getattr(own, "chosen_by_", ""):
        return {"C": own.C_, "by": own.chosen_by_}
    return {"alpha": own.alpha_} if hasattr(own, "alpha_") else {}


def taken_by(function: Callable, **given: Any) -> dict[str, Any]:
    """Return those of some keywords that a function has by name and that are not None.

    Examples
    --------
    >>> taken_by(lambda X, y, groups=None: ..., groups=["a"], X_val=[1])
    {'groups': ['a']}
    """
    known = inspect.signature(function).parameters
    return {name: value for name, value in given.items() if name in known and value is not None}
