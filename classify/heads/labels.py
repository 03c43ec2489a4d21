"""Labels of rows to the indices of their classes, checked: what every head of ours begins with."""

import numpy as np
from numpy.typing import ArrayLike, DTypeLike
from sklearn.base import BaseEstimator
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

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
