"""What the parameters of heads and trainings may be; every one of them has its default where it is used."""

from collections.abc import Callable, Mapping
from functools import wraps

from data.allowed import YES_OR_NO, AnyOf, Choice, Number, Other, Several, Table, check_values, whole
from data.errors import unknown_name

_NOT_GIVEN = Choice(None)
_POSITIVE, _SHARE = Number(0, above=True), Number(0, 1)
_SEED = whole(0, 2**32 - 1)  # what numpy's and scikit-learn's generators take
_WIDEST = 2**16  # a layer whose weights from 2,048 features take half a gigabyte
_RATE = Number(0, 10, above=True)  # a step of Adam moves a weight by about so much


def _are_weights(value) -> bool:
    return isinstance(value, dict) and len(value) > 0 and all(map(Number(0).takes, value.values()))


def _are_callbacks(value) -> bool:
    return isinstance(value, list | tuple) and all(hasattr(one, "on_epoch_end") for one in value)


_CLASS_WEIGHT = AnyOf(
    Choice(None, "balanced"), Other("a dictionary from each class to its weight, 0 or more", _are_weights)
)
_PATIENCE = AnyOf(_NOT_GIVEN, whole(1))
_KERAS: Table = {
    "hidden": Several(whole(1, _WIDEST)),
    "standardize": YES_OR_NO,
    "dropout": Number(0, 1, below=True),
    "learning_rate": _RATE,
    "l2": Number(0),
    "epochs": whole(1),
    "batch_size": whole(1),
    "patience": _PATIENCE,
    "class_weight": _CLASS_WEIGHT,
    "build": AnyOf(_NOT_GIVEN, Other("a function that makes a Keras model", callable)),
    "callbacks": Other("a list of Keras callbacks", _are_callbacks),
    "seed": _SEED,
}
# By head, in the order of its factory's arguments.
PARAMETERS: dict[str, Table] = {
    "logistic": {"C": _POSITIVE, "max_iter": whole(1), "class_weight": _CLASS_WEIGHT},
    "linear-svm": {"C": _POSITIVE, "seed": _SEED},
    "ridge": {"alphas": Several(_POSITIVE, fewest=1), "standardize": YES_OR_NO},
    "lda": {"shrinkage": AnyOf(Choice("auto", None), _SHARE)},
    "knn": {"k": whole(1), "metric": Choice("cosine", "euclidean")},
    "centroid": {"shrink_threshold": AnyOf(_NOT_GIVEN, _POSITIVE)},
    "mlp": _KERAS,
    "keras-linear": _KERAS,
    "boosting": {
        "max_iter": whole(1),
        "learning_rate": Number(0, 1, above=True),
        "max_leaf_nodes": AnyOf(_NOT_GIVEN, whole(2)),
        "class_weight": _CLASS_WEIGHT,
        "seed": _SEED,
    },
}
ROWS = AnyOf(_NOT_GIVEN, whole(1))
# Of a training with the backbone in the graph, of a comparison of such, and of a sweep.
TRAINING: Table = {
    **{name: _KERAS[name] for name in ("learning_rate", "epochs", "batch_size", "seed")},
    "patience": whole(1),
    "rows": ROWS,
    "augment": YES_OR_NO,
}
BENCHMARK: Table = {
    "rows": ROWS,
    "budget": AnyOf(_NOT_GIVEN, Number(0)),
    "target": AnyOf(_NOT_GIVEN, _SHARE),
    "seed": _SEED,
}
SWEEP: Table = {"seeds": whole(1), "trials": whole(1), "jobs": AnyOf(whole(1), Choice(-1))}


def check_parameters(head: str, params: Mapping[str, object]) -> None:
    """Raise if a head has no such parameters, or they may not have these values.

    Parameters
    ----------
    head : str
        An entry of `PARAMETERS`.
    params : mapping of str to object

    Raises
    ------
    UsageError
        With the nearest names, or with what is allowed.

    Examples
    --------
    >>> check_parameters("mlp", {"hidden": 256, "dropout": 0})
    """
    if head not in PARAMETERS:
        raise unknown_name("head", head, PARAMETERS)
    for name in params:
        if name not in PARAMETERS[head]:
            raise unknown_name(f"parameter of {head}", name, PARAMETERS[head])
    check_values(params, PARAMETERS[head])


def checked(factory: Callable) -> Callable:
    """Make a head's factory, named like its head, check its parameters first."""
    head = factory.__name__.replace("_", "-")

    @wraps(factory)
    def make(*values, **params):
        check_parameters(head, {**dict(zip(PARAMETERS[head], values, strict=False)), **params})
        return factory(*values, **params)

    return make


def check_estimator(estimator, head: str) -> None:
    """Raise if the parameters of a scikit-learn estimator are not allowed.

    Parameters
    ----------
    estimator : scikit-learn estimator
    head : str
        The entry of `PARAMETERS` that it belongs to.

    Raises
    ------
    UsageError
    """
    check_values(estimator.get_params(deep=False), PARAMETERS[head])
