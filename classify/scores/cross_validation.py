"""Cross-validation: every row predicted once, by a head that did not see it."""

from dataclasses import dataclass

import numpy as np

from classify.features.matrix import FeatureMatrix
from classify.head import Head, taken_by
from classify.scores.evaluate import evaluate, of_all_classes
from classify.scores.folds import linked
from data.errors import HeadstartError


@dataclass(frozen=True)
class CrossValidation:
    """What heads say of rows that they did not see.

    Attributes
    ----------
    y : ndarray of int, shape (N,)
        Labels of the training and validation rows.
    proba : ndarray of shape (N, K)
        Probabilities by the head that did not see the row.
    fold_accuracies : list of float
    class_names : tuple of str
    rows : ndarray of int, shape (N,)
        Their places in the matrix.
    """

    y: np.ndarray
    proba: np.ndarray
    fold_accuracies: list[float]
    class_names: tuple[str, ...]
    rows: np.ndarray

    def report(self) -> dict:
        """Return the scores as `evaluate` does, and ``folds`` and ``fold_accuracies``, ready for JSON."""
        scores = evaluate(self.y, self.proba, self.class_names)
        return {**scores, "folds": len(self.fold_accuracies), "fold_accuracies": self.fold_accuracies}


def cross_validate(head: Head, features: FeatureMatrix, folds: int, seed: int = 0) -> CrossValidation:
    """Judge a head by cross-validation on the training and validation rows.

    Folds are stratified and seeded; rows of one group stay together, and so do equal images. Each row is
    predicted once, by a head that did not see it, and the scores are those of all these predictions.

    Parameters
    ----------
    head : scikit-learn classifier
        Cloned for each fold.
    features : FeatureMatrix
    folds : int
    seed : int

    Returns
    -------
    CrossValidation

    Raises
    ------
    HeadstartError
        If a class has fewer rows than there are folds.
    """
    from sklearn.base import clone

    chosen = features.rows("train", "validation")
    X, y, groups = features.X[chosen], features.y[chosen], features.groups_of(chosen)
    divided = divisions(features, folds, seed)
    if not divided:
        raise no_folds(features, folds)
    proba = np.zeros((len(y), len(features.class_names)))
    accuracies = []
    for train, test in divided:
        own = clone(head)
        given = taken_by(own.fit, groups=[groups[row] for row in train] if groups else None)
        fitted = own.fit(X[train], y[train], **given)
        proba[test] = of_all_classes(fitted.predict_proba(X[test]), fitted.classes_, proba.shape[1])
        accuracies.append(float((proba[test].argmax(axis=1) == y[test]).mean()))
    return CrossValidation(y, proba, accuracies, features.class_names, chosen)


def possible_folds(features: FeatureMatrix, most: int) -> int:
    """Return of how many folds a cross-validation is possible, `most` at the most; 0 if of none."""
    return next((folds for folds in range(most, 1, -1) if divisions(features, folds)), 0)


def divisions(features: FeatureMatrix, folds: int, seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    """Divide the training and validation rows in folds.

    Parameters
    ----------
    features : FeatureMatrix
    folds : int
    seed : int

    Returns
    -------
    list of (ndarray of int, ndarray of int)
        Of each fold the rows to learn from, and those to judge by, as places among the training and
        validation rows; empty where rows or groups do not suffice.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    chosen = features.rows("train", "validation")
    y, numbers = features.y[chosen], together(features, chosen)
    groups = numbers if len(np.unique(numbers)) < len(chosen) else None
    if not _divides(y, folds, groups):
        return []
    alone = groups is None
    splitter = (StratifiedKFold if alone else StratifiedGroupKFold)(folds, shuffle=True, random_state=seed)
    divided = list(splitter.split(np.empty(len(y)), y, groups))
    return divided if all(len(np.unique(y[train])) > 1 for train, _ in divided) else []


def together(features: FeatureMatrix, rows: np.ndarray) -> np.ndarray:
    """Return a number for each of some rows, which rows of one group and equal images share, shape (n,)."""
    images = np.unique(features.digests[rows], axis=0, return_inverse=True)[1].ravel()
    groups = features.groups_of(rows)
    return images if groups is None else linked(groups, images)


def _divides(y: np.ndarray, folds: int, groups: np.ndarray | None) -> bool:
    counts = np.unique(y, return_counts=True)[1]
    enough = len(counts) > 1 and counts.min() >= folds
    return folds > 1 and enough and (groups is None or len(np.unique(groups)) >= folds)


def no_folds(features: FeatureMatrix, folds: int) -> HeadstartError:
    """Return the error of rows that so many folds cannot divide."""
    counts = np.bincount(
        features.y[features.rows("train", "validation")], minlength=len(features.class_names)
    )
    counted = ", ".join(
        f"{name} {count}" for name, count in zip(features.class_names, counts, strict=True) if count
    )
    return HeadstartError(
        f"{folds}-fold cross-validation is not possible here",
        "2 folds or more, as many rows of each class, and groups, as folds, two classes in every fold",
        f"{folds} folds; training and validation rows: {counted or 'none'}",
        "choose fewer folds, or extract more images",
    )
