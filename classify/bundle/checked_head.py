"""What a head must be before a bundle is made of it."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from classify.features.blocks import refuse_not_finite
from classify.head import Head
from data.errors import HeadstartError
from data.text import counted, some_of

if TYPE_CHECKING:  # files of features, which the table of heads does not need
    from classify.features.matrix import FeatureMatrix


def check_head(head: Head, features: "FeatureMatrix") -> None:
    """Raise if a bundle cannot be made of a head and the features that it was fitted on.

    Parameters
    ----------
    head : scikit-learn classifier
    features : FeatureMatrix

    Raises
    ------
    HeadstartError
        If it gives no probabilities, is not fitted, or its classes or width are not those of the features.
    """
    if not hasattr(features, "class_names"):
        raise HeadstartError(
            "a bundle is made of a head and its features",
            "features, as load_features returns them",
            type(features).__name__,
            'write Bundle.of(head, load_features("photos.h5"))',
        )
    kind = head.__name__ if isinstance(head, type) else type(head).__name__
    if not hasattr(head, "predict_proba"):
        raise HeadstartError(
            f"the head {kind} gives no probabilities",
            "a classifier with the method predict_proba",
            "one without",
            "choose another one; the heads ridge and linear-svm of classify.HEADS have it",
        )
    if not hasattr(head, "classes_") or not hasattr(head, "n_features_in_"):
        raise HeadstartError(
            f"the head {kind} is not fitted",
            "a fitted head",
            "one that has seen no rows",
            'fit it first: head.fit(*features.split("train"))',
        )
    check_width(head, features.X.shape[1])
    labels = np.asarray(head.classes_)
    whole = labels.ndim == 1 and labels.dtype.kind in "iu"
    if not whole or labels.min() < 0 or labels.max() >= len(features.class_names):
        raise HeadstartError(
            f"the head {kind} was fitted on other labels than those of {features.path!r}",
            f"whole numbers from 0 to {len(features.class_names) - 1}, indices into class_names",
            some_of([repr(label) for label in labels.tolist()]),
            'fit it on the features\' own labels: head.fit(*features.split("train"))',
        )


def checked_rows(head: Head, X: ArrayLike) -> np.ndarray:
    """Return features as the rows that a fitted head takes.

    Parameters
    ----------
    head : Head
    X : array_like of shape (N, D)

    Raises
    ------
    HeadstartError
        If they have another shape, or are no finite numbers.
    """
    rows = np.asarray(X)
    if rows.ndim != 2 or rows.dtype.kind not in "uif":
        raise HeadstartError(
            "these are no rows of features",
            "numbers of shape (N, D), a row for each image",
            f"{rows.dtype} of shape {rows.shape}",
            "give one row as X[numpy.newaxis]; for images there is predict",
        )
    check_width(head, rows.shape[1])
    refuse_not_finite(rows, str, "these features")
    return rows


def check_width(head: Head, width: int) -> None:
    """Raise if a fitted head takes another number of features.

    Raises
    ------
    HeadstartError
    """
    if width != head.n_features_in_:
        raise HeadstartError(
            "the head expects a different number of features",
            counted(head.n_features_in_, "feature"),
            counted(width, "feature"),
            "train the head on features of the bundle's recipes and layers",
        )
