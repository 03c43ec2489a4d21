"""Heads: scikit-learn classifiers over features, by name."""

from data.errors import unknown_name


def logistic(C: float = 1.0, max_iter: int = 1000):
    """Make a logistic regression (L-BFGS) over standardized features.

    Parameters
    ----------
    C : float
        Inverse of the penalty's strength.
    max_iter : int

    Examples
    --------
    >>> logistic(C=0.1)[-1].C
    0.1
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(C=C, max_iter=max_iter))


def keras_linear(**params):
    """Make the head of the Keras guide: dropout and one dense layer.

    Parameters
    ----------
    **params
        As `classify.keras_head.KerasHead` takes them.

    Examples
    --------
    >>> keras_linear(epochs=5).epochs  # doctest: +SKIP
    5
    """
    from classify.keras_head import KerasHead

    return KerasHead(**params)


HEADS = {"logistic": logistic, "keras-linear": keras_linear}


def make_head(name: str, **params):
    """Make the head of that name, or raise with the nearest names.

    Examples
    --------
    >>> make_head("logistic", C=0.1)[-1].C
    0.1
    """
    if name not in HEADS:
        raise unknown_name("head", name, HEADS)
    return HEADS[name](**params)
