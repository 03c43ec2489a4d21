"""The rows that heads are judged by: test, cross-validation or validation, as `judging_rows` has it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from classify.bundle.bundle import Bundle
from classify.features.matrix import FeatureMatrix
from classify.scores.cross_validation import cross_validate, possible_folds
from data.errors import HeadstartError

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
    left_out : int
        Test or validation rows whose images training saw.
    folds : int
        Of the cross-validation; else 0.
    """

    how: str
    rows: np.ndarray
    y: np.ndarray
    proba: tuple[np.ndarray, ...]
    left_out: int = 0
    folds: int = 0

    @property
    def predicted(self) -> np.ndarray:
        """Labels that the first head predicts."""
        return self.proba[0].argmax(axis=1)


def judge(bundles: Sequence[Bundle], features: FeatureMatrix) -> Judged:
    """Let heads predict rows that none of them saw: of the test split, where it has any.

    Without such test rows it is a cross-validation of the same kind of head on training and validation
    rows, and where no fold is possible, the validation rows.

    Raises
    ------
    HeadstartError
        If there are no such rows at all, or the bundles know other classes.
    """
    _refuse_other_classes(bundles)
    unseen = {split: _unseen(bundles, features, split) for split in ("test", "validation")}
    folds = possible_folds(features, _FOLDS)
    if len(unseen["test"].rows("test")) or not folds:
        return _on_split(
            "test" if len(unseen["test"].rows("test")) else "validation", bundles, features, unseen
        )
    return _by_folds(bundles, features, folds)


def _unseen(bundles: Sequence[Bundle], features: FeatureMatrix, split: str) -> FeatureMatrix:
    for bundle in bundles:
        features = features.without(split, bundle.seen)
    return features


def _on_split(
    split: str, bundles: Sequence[Bundle], features: FeatureMatrix, unseen: dict[str, FeatureMatrix]
) -> Judged:
    rows = unseen[split].rows(split)
    if not len(rows):
        raise HeadstartError(
            f"{features.path!r} has no rows by which a head can be judged",
            "labelled test or validation rows that training did not see, or two rows of each class or more",
            f"{len(features.rows('train', 'validation', 'test'))} labelled rows",
            "extract more images with labels",
        )
    y, first = bundles[0].predict_split(unseen[split], split)
    others = [
        _in_order(bundles[0], each, each.predict_split(unseen[split], split)[1]) for each in bundles[1:]
    ]
    return Judged(split, rows, y, (first, *others), len(features.rows(split)) - len(rows))


def _by_folds(bundles: Sequence[Bundle], features: FeatureMatrix, folds: int) -> Judged:
    done = [
        cross_validate(each.head, each.select(features, "train", "validation"), folds) for each in bundles
    ]
    proba = [_in_order(bundles[0], each, one.proba) for each, one in zip(bundles, done, strict=True)]
    return Judged("cross-validation", done[0].rows, done[0].y, tuple(proba), folds=folds)


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
