"""The rows that heads are judged by: test, cross-validation or validation, as `judging_rows` has it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from classify import judge as judging
from classify.bundle.bundle import Bundle
from classify.features.matrix import FeatureMatrix
from classify.scores.cross_validation import possible_folds
from data.errors import HeadstartError
from data.text import counted

_FOLDS = 5


@dataclass(frozen=True)
class Judged:
    """What heads say of rows that they did not learn from.

    Attributes
    ----------
    how : str
        ``test``, ``cross-validation`` or ``validation``.
    rows : ndarray of int, shape (n,)
        Their places in the feature matrix.
    y : ndarray of int, shape (n,)
        Labels, indices into the classes of the first bundle.
    proba : tuple of ndarray, each of shape (n, K)
        One for each bundle, of the same classes in the same order.
    reports : tuple of dict
        Of each bundle, as `classify.judge.judge` makes them.
    left_out : int
        Test or validation rows whose images training saw.
    folds : int
        Of the cross-validation; else 0.
    """

    how: str
    rows: np.ndarray
    y: np.ndarray
    proba: tuple[np.ndarray, ...]
    reports: tuple[dict, ...]
    left_out: int = 0
    folds: int = 0

    @property
    def predicted(self) -> np.ndarray:
        """Labels that the first head predicts."""
        return self.proba[0].argmax(axis=1)


def judge(bundles: Sequence[Bundle], features: FeatureMatrix, before: FeatureMatrix | None = None) -> Judged:
    """Let heads predict rows that none of them saw: of the test split, where it has any.

    Without such test rows it is a cross-validation of the same kinds of heads on training and validation
    rows, and where no fold is possible, the validation rows.

    Parameters
    ----------
    bundles : sequence of Bundle
    features : FeatureMatrix
    before : FeatureMatrix, optional
        The features before their labels were corrected.

    Raises
    ------
    HeadstartError
        If there are no such rows at all, or the bundles know other classes.
    """
    _refuse_other_classes(bundles)
    how, split, folds = _how(bundles, features)
    if not folds and not len(_unseen(bundles, features, split).rows(split)):
        raise _no_rows(features)
    unseen = features if folds else _unseen(bundles, features, split)
    left_out = 0 if folds else len(features.rows(split)) - len(unseen.rows(split))
    done = [judging.judge(each, unseen, judging.Judging(split, folds or None), before) for each in bundles]
    proba = [_in_order(bundles[0], each, one.proba) for each, one in zip(bundles, done, strict=True)]
    reports = tuple(each.report for each in done)
    return Judged(how, done[0].rows, done[0].y, tuple(proba), reports, left_out, folds)


def _how(bundles: Sequence[Bundle], features: FeatureMatrix) -> tuple[str, str, int]:
    """Return by what heads are judged, the split for that, and the folds where it is a cross-validation."""
    if len(_unseen(bundles, features, "test").rows("test")):
        return "test", "test", 0
    if folds := possible_folds(features, _FOLDS):
        return "cross-validation", "test", folds
    return "validation", "validation", 0


def _unseen(bundles: Sequence[Bundle], features: FeatureMatrix, split: str) -> FeatureMatrix:
    for bundle in bundles:
        features = features.without(split, bundle.seen)
    return features


def _no_rows(features: FeatureMatrix) -> HeadstartError:
    return HeadstartError(
        f"{features.path!r} has no rows by which a head can be judged",
        "labelled test or validation rows that training did not see, or two rows of each class or more",
        counted(len(features.rows("train", "validation", "test")), "labelled row"),
        "extract more images with labels",
    )


def _in_order(first: Bundle, other: Bundle, proba: np.ndarray) -> np.ndarray:
    """Return probabilities of another bundle in the order of the first one's classes."""
    return proba[:, [other.class_names.index(name) for name in first.class_names]]


def _refuse_other_classes(bundles: Sequence[Bundle]) -> None:
    first, *others = bundles
    for other in others:
        if set(other.class_names) != set(first.class_names):
            raise HeadstartError(
                "bundles of other classes cannot be compared",
                f"the classes {', '.join(first.class_names)}",
                ", ".join(other.class_names),
                "name bundles that were trained on the same classes",
            )
