"""Labels of rows to the indices of their classes, checked: what every head of ours begins with."""

import numpy as np
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data


def encoded(head, X, y, dtype) -> tuple[np.ndarray, np.ndarray]:
    """Return checked training rows and the index of each row's class; set the head's `classes_`.

    Parameters
    ----------
    head : scikit-learn classifier
    X : array_like of shape (N, D)
    y : array_like of shape (N,)
    dtype : dtype, or tuple of them
        What the rows may be; the first where they are none of these.

    Raises
    ------
    ValueError
        If the rows are not finite numbers, or there is one class only.
    """
    X, y = validate_data(head, X, y, dtype=dtype)
    check_classification_targets(y)
    head.classes_, numbers = np.unique(y, return_inverse=True)
    if len(head.classes_) < 2:
        raise ValueError(f"a head needs two classes; the labels hold one class: {head.classes_[0]!r}")
    return X, numbers


def encoded_validation(head, X_val, y_val, dtype) -> tuple[np.ndarray, np.ndarray] | None:
    """Return checked validation rows and the index of each row's class, or None if there are none.

    Raises
    ------
    ValueError
        If one of the two came alone, or `y_val` has classes that training has not.
    """
    if (X_val is None) != (y_val is None):
        raise ValueError("X_val and y_val belong together; one came alone: pass both or neither")
    if X_val is None:
        return None
    X_val, y_val = validate_data(head, X_val, y_val, dtype=dtype, reset=False)
    unknown = np.setdiff1d(y_val, head.classes_)
    if len(unknown):
        raise ValueError(
            f"y_val holds classes that y does not: {unknown.tolist()}; "
            f"y has {head.classes_.tolist()}: leave those rows out"
        )
    return X_val, np.searchsorted(head.classes_, y_val)
