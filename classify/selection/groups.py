"""Configurations of one head, trained so that they share work where they can."""

import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from classify.heads.entry import Sharing, imported
from classify.heads.fit import fit_head
from classify.heads.table import HEADS, make_head
from classify.scores.evaluate import losses, of_all_classes
from classify.selection.trials import Entry, Trial
from data.console import prepare_logging
from data.errors import HeadstartError


def group_of(entry: Entry) -> tuple[str, ...]:
    """Return a key that is the same for configurations that can train together.

    Examples
    --------
    >>> group_of(Entry("mlp", {"dropout": 0.1})) == group_of(Entry("mlp", {"dropout": 0.1}))
    True
    >>> group_of(Entry("knn", {"k": 1})) == group_of(Entry("knn", {"k": 5}))
    False
    """
    sharing = _sharing(entry)
    free = sharing.free if sharing else ()
    fixed = {name: value for name, value in entry.params.items() if name not in free}
    return (*free, Entry(entry.head, fixed).key)


def attempt(
    members: Sequence[Entry], seed: int, X: np.ndarray, y: np.ndarray, X_val: np.ndarray, y_val: np.ndarray
) -> list[Trial] | HeadstartError:
    """Do as `train_together`, or return why a head cannot learn from these rows."""
    try:
        return train_together(members, seed, X, y, X_val, y_val)
    except HeadstartError as error:
        return error


def train_together(
    members: Sequence[Entry], seed: int, X: np.ndarray, y: np.ndarray, X_val: np.ndarray, y_val: np.ndarray
) -> list[Trial]:
    """Train configurations of one group, as `group_of` tells, and judge them on the validation rows.

    Parameters
    ----------
    members : sequence of Entry
    seed : int
    X, y, X_val, y_val : ndarray
        Training and validation rows.
    """
    prepare_logging()  # this may be a process of its own
    started = time.perf_counter()
    sharing = _sharing(members[0])
    train = imported(sharing.train) if sharing else partial(_train_alone, members[0].head, y_val)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default", UserWarning)  # not those for developers
        probas = list(train([entry.params for entry in members], seed, X, y, X_val))
    share = (time.perf_counter() - started) / len(members)
    said = list(dict.fromkeys(str(warning.message).splitlines()[0] for warning in caught))
    return [
        replace(_scored(entry, seed, proba, classes, y_val, share), warnings=said)
        for entry, (proba, classes) in zip(members, probas, strict=True)
    ]


def _sharing(entry: Entry) -> Sharing | None:
    """Return what an entry shares with others of its head, if it gives just those parameters."""
    sharing = HEADS[entry.head].sharing
    return sharing if sharing and set(entry.params) == {*sharing.same, *sharing.free} else None


def _scored(
    entry: Entry, seed: int, proba: np.ndarray, classes: np.ndarray, y_val: np.ndarray, seconds: float
) -> Trial:
    proba = of_all_classes(proba, classes, max(classes.max(), y_val.max()) + 1)
    right = int((proba.argmax(axis=1) == y_val).sum())
    return Trial(entry.key, seed, right, len(y_val), float(losses(y_val, proba).mean()), seconds)


def _train_alone(
    head: str,
    y_val: np.ndarray,
    configurations: Sequence[Mapping[str, object]],
    seed: int,
    X: np.ndarray,
    y: np.ndarray,
    X_val: np.ndarray,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    seeded = {"seed": seed} if "seed" in HEADS[head].parameters else {}
    for params in configurations:
        fitted = fit_head(make_head(head, **{**seeded, **params}), X, y, X_val, y_val)
        yield fitted.predict_proba(X_val), fitted.classes_
