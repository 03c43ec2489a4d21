"""Configurations of one head, trained so that they share work where they can."""

import time
import warnings
from collections.abc import Iterator, Sequence

import numpy as np

from classify.heads.entry import Sharing, imported
from classify.heads.table import HEADS, make_head
from classify.scores.evaluate import losses, of_all_classes
from classify.selection.division import Part
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


def attempt(members: Sequence[Entry], seed: int, number: int, part: Part) -> list[Trial] | HeadstartError:
    """Do as `train_together`, or return why a head cannot learn from these rows."""
    try:
        return train_together(members, seed, number, part)
    except HeadstartError as error:
        return error


def train_together(members: Sequence[Entry], seed: int, number: int, part: Part) -> list[Trial]:
    """Train configurations of one group, as `group_of` tells, and judge them.

    Parameters
    ----------
    members : sequence of Entry
    seed : int
    number : int
        Of the part.
    part : Part
    """
    prepare_logging()  # this may be a process of its own
    started = time.perf_counter()
    sharing = _sharing(members[0])
    X_judge, y_judge = part.judged
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default", UserWarning)  # not those for developers
        if sharing:
            configurations = [entry.params for entry in members]
            probas = list(imported(sharing.train)(configurations, seed, *part.learned, X_judge))
        else:
            probas = list(_train_alone(members, seed, part, X_judge))
    share = (time.perf_counter() - started) / len(members)
    said = list(dict.fromkeys(str(warning.message).splitlines()[0] for warning in caught))
    return [
        Trial(
            entry.key, seed, number, len(part.learn), *_scored(proba, classes, y_judge), share, warnings=said
        )
        for entry, (proba, classes) in zip(members, probas, strict=True)
    ]


def _sharing(entry: Entry) -> Sharing | None:
    """Return what an entry shares with others of its head, if it gives just those parameters."""
    sharing = HEADS[entry.head].sharing
    return sharing if sharing and set(entry.params) == {*sharing.same, *sharing.free} else None


def _scored(
    proba: np.ndarray, classes: np.ndarray, y: np.ndarray
) -> tuple[list[int], list[int], float, float]:
    """Return right rows and all by class, and the sums of losses and of their squares."""
    count = max(classes.max(), y.max()) + 1
    proba = of_all_classes(proba, classes, count)
    lost = losses(y, proba)
    right = np.bincount(y[proba.argmax(axis=1) == y], minlength=count)
    of = np.bincount(y, minlength=count)
    return right.tolist(), of.tolist(), float(lost.sum()), float((lost**2).sum())


def _train_alone(
    members: Sequence[Entry], seed: int, part: Part, X: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for entry in members:
        seeded = {"seed": seed} if "seed" in HEADS[entry.head].parameters else {}
        fitted = part.fit(make_head(entry.head, **{**seeded, **entry.params}))
        yield fitted.predict_proba(X), fitted.classes_
