"""A linear head as one dense layer."""

from collections.abc import Callable

import numpy as np
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestCentroid
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from classify.head import Head
from classify.heads.linear_decision import of_raw_features
from classify.heads.table import HEADS
from data.errors import HeadstartError

Dense = tuple[np.ndarray, np.ndarray]  # coefficients (U, D) and intercepts (U,) of logits


def fold(head: Head) -> tuple[np.ndarray, np.ndarray]:
    """Return the dense layer that does what a linear head does to features.

    Its logits give the head's probabilities: by a sigmoid where there is one, by a softmax where
    there is one for each class.

    Parameters
    ----------
    head : scikit-learn classifier
        Fitted: one of ours, whose method `dense` gives its layer, or scikit-learn's logistic
        regression, linear discriminant analysis or nearest centroids, bare or behind
        `StandardScaler` in a pipeline.

    Returns
    -------
    kernel : ndarray of float64, shape (D, U)
        Of the features as they come; U is 1 for two classes, else their number.
    bias : ndarray of float64, shape (U,)

    Raises
    ------
    HeadstartError
        If the head is not linear.

    Examples
    --------
    >>> from classify.heads.table import make_head
    >>> X, y = np.array([[0.0], [1.0], [5.0], [6.0]]), np.array([0, 0, 1, 1])
    >>> head = make_head("logistic").fit(X, y)
    >>> kernel, bias = fold(head)
    >>> shares = 1 / (1 + np.exp(-(X @ kernel + bias)))
    >>> bool(np.allclose(shares[:, 0], head.predict_proba(X)[:, 1]))
    True
    """
    *scalers, last = [step for _, step in head.steps] if isinstance(head, Pipeline) else [head]
    dense = last.dense() if hasattr(last, "dense") else _DENSE.get(type(last), _no_layer)(last)
    if dense is None or any(type(scaler) is not StandardScaler for scaler in scalers):
        raise _not_transplanted(head)
    coef, intercept = dense
    for scaler in reversed(scalers):
        mean = scaler.mean_ if scaler.with_mean else np.zeros(coef.shape[1])
        scale = scaler.scale_ if scaler.with_std else np.ones(coef.shape[1])
        coef, intercept = of_raw_features(coef, intercept, mean, scale)
    return coef.T.astype(np.float64), intercept.astype(np.float64)


def _no_layer(head: Head) -> None:
    return None


def _of_coef(head: LogisticRegression | LinearDiscriminantAnalysis) -> Dense:
    return head.coef_, head.intercept_


def _of_centroids(head: NearestCentroid) -> Dense | None:
    """Turn Euclidean distances to class means into linear logits.

    scikit-learn's probabilities are a softmax of 2 log(prior) - |x/s - c/s|^2. What |x/s|^2 adds is
    the same for every class, so the softmax drops it: 2 c/s^2 x - |c/s|^2 + 2 log(prior) is left.
    Less their mean over the classes, which is dropped too, the numbers are small.
    """
    if head.metric != "euclidean":
        return None
    scale = np.where(head.within_class_std_dev_ != 0, head.within_class_std_dev_, 1)
    centroids = head.centroids_ / scale
    coef = 2 * centroids / scale
    intercept = 2 * np.log(head.class_prior_) - (centroids**2).sum(axis=1)
    if len(intercept) == 2:
        return np.diff(coef, axis=0), np.diff(intercept)
    return coef - coef.mean(axis=0), intercept - intercept.mean()


# scikit-learn's own by type, since they have no method `dense`.
_DENSE: dict[type, Callable[[Head], Dense | None]] = {
    LogisticRegression: _of_coef,
    LinearDiscriminantAnalysis: _of_coef,
    NearestCentroid: _of_centroids,
}


def _not_transplanted(head: Head) -> HeadstartError:
    last = head[-1] if isinstance(head, Pipeline) else head
    return HeadstartError(
        f"the head {type(last).__name__} cannot become layers of a Keras model",
        f"one of {', '.join(name for name, entry in HEADS.items() if entry.becomes_layers)}, of raw or of "
        "standardized features; of scikit-learn's nearest centroids, Euclidean ones",
        " behind ".join(type(step).__name__ for _, step in reversed(head.steps))
        if isinstance(head, Pipeline)
        else type(head).__name__,
        "train such a head on the same feature file: python -m classify train FILE.h5 --head logistic",
    )
