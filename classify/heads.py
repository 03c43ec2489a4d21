"""Heads: scikit-learn classifiers over features, by name."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from classify.parameters import PARAMETERS, checked
from classify.trees import TREES
from data.errors import HeadstartError, unknown_name
from data.text import one_line


@checked
def logistic(C=1.0, max_iter=1000, class_weight=None):
    """Make a logistic regression over standardized features; see `classify.logistic.Logistic`.

    Parameters
    ----------
    C : float
        Inverse of the penalty's strength.
    max_iter : int
    class_weight : None or "balanced"

    Examples
    --------
    >>> logistic(C=0.1)[-1].C
    0.1
    """
    from classify.logistic import Logistic

    return _standardized(Logistic(C=C, max_iter=max_iter, class_weight=class_weight), "logisticregression")


@checked
def linear_svm(**params):
    """Make a linear support vector machine; see `classify.linear_svm.LinearSvm`."""
    from classify.linear_svm import LinearSvm

    return LinearSvm(**params)


@checked
def ridge(**params):
    """Make a ridge classifier that chooses its own penalty; see `classify.ridge.RidgeHead`."""
    from classify.ridge import RidgeHead

    return RidgeHead(**params)


@checked
def lda(shrinkage="auto"):
    """Make a linear discriminant analysis, its covariance shrunk as Ledoit and Wolf (2004) do."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    return LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage)


@checked
def knn(k=5, metric="cosine"):
    """Make a vote of the k nearest training rows, the nearer the more.

    Parameters
    ----------
    k : int
    metric : str
        ``cosine`` or ``euclidean``.
    """
    from sklearn.neighbors import KNeighborsClassifier

    return KNeighborsClassifier(k, metric=metric, weights="distance", algorithm="brute")


@checked
def centroid(shrink_threshold=None):
    """Make a classifier by the nearest class mean of standardized features."""
    from sklearn.neighbors import NearestCentroid

    return _standardized(NearestCentroid(shrink_threshold=shrink_threshold), "nearestcentroid")


@checked
def boosting(max_iter=100, learning_rate=0.1, max_leaf_nodes=15, class_weight=None, seed=0):
    """Make boosted trees over binned features."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        max_iter=max_iter,
        learning_rate=learning_rate,
        max_leaf_nodes=max_leaf_nodes,
        max_features=0.1,
        class_weight=class_weight,
        random_state=seed,
    )


@checked
def keras_linear(**params):
    """Make the head of the Keras guide: dropout and one dense layer; see `classify.keras_head.KerasHead`.

    Examples
    --------
    >>> keras_linear(epochs=5).epochs
    5
    """
    from classify.keras_head import KerasHead

    return KerasHead(**params)


@checked
def mlp(hidden=(256,), standardize=True, **params):
    """Make a Keras net with hidden layers, by default one, over standardized features."""
    from classify.keras_head import KerasHead

    return KerasHead(hidden=hidden, standardize=standardize, **params)


HEADS: dict[str, Callable] = {
    "logistic": logistic,
    "linear-svm": linear_svm,
    "ridge": ridge,
    "lda": lda,
    "knn": knn,
    "centroid": centroid,
    "mlp": mlp,
    "keras-linear": keras_linear,
    "boosting": boosting,
}


TRUSTED_TYPES = (  # besides those of scikit-learn and numpy that skops trusts by itself
    "classify.keras_head.KerasHead",
    "classify.linear_svm.LinearSvm",
    "classify.logistic.Logistic",
    "classify.ridge.RidgeHead",
    *TREES,  # see `classify.trees.check_trees`
)


def make_head(name: str, **params):
    """Make the head of that name, or raise with the nearest names.

    Parameters
    ----------
    name : str
        An entry of `HEADS`.
    **params
        Of its factory, as `classify.parameters.PARAMETERS` allows them.

    Raises
    ------
    UsageError
        If the name or a parameter is unknown, or a value is not allowed.

    Examples
    --------
    >>> make_head("logistic", C=0.1)[-1].C
    0.1
    """
    if name not in HEADS:
        raise unknown_name("head", name, HEADS)
    return HEADS[name](**params)


def head_parameters(name: str) -> tuple[str, ...]:
    """Return the names of a head's parameters.

    Examples
    --------
    >>> head_parameters("knn")
    ('k', 'metric')
    """
    return tuple(PARAMETERS[name])


def fit_head(head, X, y, X_val=None, y_val=None):
    """Fit a head; those that choose by validation rows get them.

    Validation rows of classes that training has not are left out: no head can choose by them.

    Raises
    ------
    HeadstartError
        If the head cannot learn from these rows, with its reason.
    """
    chosen_by = {}
    if X_val is not None and "X_val" in inspect.signature(head.fit).parameters:
        known = np.isin(y_val, y)
        chosen_by = {"X_val": X_val[known], "y_val": y_val[known]} if known.any() else {}
    with explained(head):
        head.fit(X, y, **chosen_by).predict_proba(X[:1])  # more neighbours than rows are noticed here
    return head


@contextmanager
def explained(head) -> Iterator[None]:
    """Turn what scikit-learn says of rows or parameters into a user's error.

    Raises
    ------
    HeadstartError
        In place of a ValueError.
    """
    try:
        yield
    except HeadstartError:
        raise
    except ValueError as error:
        last = head.steps[-1][1] if hasattr(head, "steps") else head
        raise HeadstartError(
            f"the head {type(last).__name__} cannot learn from these rows",
            "finite features, and parameters that fit the rows",
            one_line(error),
            "correct its parameters (--param, --class-weight), or choose another head",
        ) from error


def _standardized(estimator, name: str):
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    return Pipeline([("standardscaler", StandardScaler()), (name, estimator)])
