"""Configurations of one head, trained so that they share work where they can."""

import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from classify.evaluate import losses, spread
from classify.grids import Entry
from classify.heads import fit_head, head_parameters, make_head
from classify.journal import Trained
from data.console import prepare_logging
from data.errors import HeadstartError


def company(entry: Entry) -> tuple[str, ...]:
    """Return a key that is the same for configurations that can train together.

    Examples
    --------
    >>> company(Entry("logistic", {"C": 1.0})) == company(Entry("logistic", {"C": 0.1}))
    True
    >>> company(Entry("knn", {"k": 1})) == company(Entry("knn", {"k": 5}))
    False
    """
    free, _ = _way(entry)
    fixed = {name: value for name, value in entry.params.items() if name not in free}
    return (*free, Entry(entry.head, fixed).key)


def attempt(members: list[Entry], seed: int, X, y, X_val, y_val) -> list[Trained] | HeadstartError:
    """Do as `train_together`, or return why a head cannot learn from these rows."""
    try:
        return train_together(members, seed, X, y, X_val, y_val)
    except HeadstartError as error:
        return error


def train_together(members: list[Entry], seed: int, X, y, X_val, y_val) -> list[Trained]:
    """Train configurations of one `company` and judge them on the validation rows.

    Parameters
    ----------
    members : list of Entry
    seed : int
    X, y, X_val, y_val : ndarray
        Training and validation rows.
    """
    prepare_logging()  # this may be a process of its own
    started = time.perf_counter()
    _, train = _way(members[0])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default", UserWarning)  # not those for developers
        probas = list(train(members, seed, X, y, X_val))
    share = (time.perf_counter() - started) / len(members)
    said = list(dict.fromkeys(str(warning.message).splitlines()[0] for warning in caught))
    return [
        replace(_judged(entry, seed, proba, classes, y_val, share), warnings=said)
        for entry, (proba, classes) in zip(members, probas, strict=True)
    ]


def _way(entry: Entry) -> tuple[tuple[str, ...], Callable]:
    """Return the parameters that may differ from those of its company, and what trains them all."""
    same, free, train = _SHARED.get(entry.head, ((), (), _train_alone))
    return (free, train) if set(entry.params) == {*same, *free} else ((), _train_alone)


def _judged(entry: Entry, seed: int, proba, classes, y_val, seconds: float) -> Trained:
    proba = spread(proba, classes, max(classes.max(), y_val.max()) + 1)
    right = int((proba.argmax(axis=1) == y_val).sum())
    return Trained(entry.key, seed, right, len(y_val), float(losses(y_val, proba).mean()), seconds)


def _train_alone(members: list[Entry], seed: int, X, y, X_val) -> Iterator:
    for entry in members:
        seeded = {"seed": seed} if "seed" in head_parameters(entry.head) else {}
        head = fit_head(make_head(entry.head, **{**seeded, **entry.params}), X, y)
        yield head.predict_proba(X_val), head.classes_


def _train_linear(members: list[Entry], seed: int, X, y, X_val) -> Iterator:
    """Train linear Keras heads of one dropout rate in one pass an epoch."""
    from threadpoolctl import threadpool_limits

    from classify.linear import Setting, train_linear
    from classify.temperature import flat, probabilities

    classes, targets = np.unique(y, return_inverse=True)
    settings = [Setting(entry.params["learning_rate"], entry.params["l2"]) for entry in members]
    units = len(classes) if len(classes) > 2 else 1
    dropout = members[0].params["dropout"]
    with threadpool_limits(1, "blas"):  # the products of a batch are too small to share out
        *_, last = train_linear(
            np.asarray(X, np.float32), targets, units, settings, seed=seed, dropout=dropout
        )
    for kernel, bias in zip(last.kernels, last.biases, strict=True):
        yield probabilities(flat(X_val @ kernel + bias)), classes


def _train_logistic(members: list[Entry], seed: int, X, y, X_val) -> Iterator:
    """Train logistic regressions from the strongest penalty on, each from the one before."""
    scaler, model = (step for _, step in make_head("logistic").steps)
    seen, unseen = scaler.fit_transform(X), scaler.transform(X_val)
    model.set_params(warm_start=True)
    found = {}
    for C in sorted({entry.params["C"] for entry in members}):
        found[C] = model.set_params(C=C).fit(seen, y).predict_proba(unseen)
    for entry in members:
        yield found[entry.params["C"]], model.classes_


_SHARED = {  # by head: parameters that are equal in a company, those that may differ, and what trains it
    "keras-linear": (("dropout",), ("learning_rate", "l2"), _train_linear),
    "logistic": ((), ("C",), _train_logistic),
}
