"""A bundle judged by the rows of a split or by a cross-validation, also by labels before corrections."""

from dataclasses import dataclass

import numpy as np

from classify.bundle.bundle import Bundle
from classify.features.matrix import FeatureMatrix
from classify.scores.cross_validation import cross_validate
from classify.scores.evaluate import evaluate
from classify.scores.intervals import SCORES
from classify.scores.learning_curve import learning_curve
from classify.scores.mistakes import Mistake, confused_pairs, mistakes
from data.errors import HeadstartError


@dataclass(frozen=True)
class Judging:
    """By which rows a bundle is judged, and what else is told.

    Attributes
    ----------
    split : str
    folds : int or None
        Of a cross-validation of training and validation rows, which takes the place of the split.
    learning_curve : bool
    """

    split: str = "test"
    folds: int | None = None
    learning_curve: bool = False

    @property
    def splits(self) -> tuple[str, ...]:
        """Whose rows are judged."""
        return (self.split,) if self.folds is None else ("train", "validation")


@dataclass(frozen=True)
class Judged:
    """What came out.

    Attributes
    ----------
    report : dict
        As `classify.scores.evaluate.evaluate` returns it, and ``split``, ``confused``, ``errors``,
        ``corrections``, ``before_corrections`` (or why not, as ``uncorrected`` in ``undefined``),
        ``learning_curve``; ready for JSON.
    rows : ndarray of int, shape (n,)
        Of the features.
    y : ndarray of int, shape (n,)
    proba : ndarray of float64, shape (n, K)
    mistakes : list of Mistake
    """

    report: dict
    rows: np.ndarray
    y: np.ndarray
    proba: np.ndarray
    mistakes: list[Mistake]


def judge(
    bundle: Bundle, features: FeatureMatrix, how: Judging, before: FeatureMatrix | None = None
) -> Judged:
    """Judge a bundle.

    Parameters
    ----------
    bundle : Bundle
    features : FeatureMatrix
    how : Judging
    before : FeatureMatrix, optional
        The features before their labels were corrected: the scores by those labels are told too, where
        that makes a difference. Images that training saw are left out of them.

    Raises
    ------
    HeadstartError
        As `Bundle.predict_split` and `classify.scores.cross_validation.cross_validate` raise it.

    Examples
    --------
    >>> judge(bundle, features, Judging("validation")).report["accuracy"]  # doctest: +SKIP
    """
    report, rows, y, proba = _scores(bundle, features, how)
    applied = features.corrections
    if applied is not None:
        report["corrections"] = applied.to_dict()
    if before is not None and applied and any(map(applied.changed, how.splits)):
        report |= _before(bundle, before, how, report.get("undefined", {}))
    if how.learning_curve:
        report["learning_curve"] = learning_curve(bundle.head, bundle.select(features)).to_dict()
    ids = [features.ids[row] for row in rows]
    wrong = mistakes(y, proba, bundle.class_names, ids, features.digests[rows])
    report["confused"] = confused_pairs(report["confusion"], bundle.class_names)
    report["errors"] = [each.to_dict() for each in wrong]
    return Judged(report, rows, y, proba, wrong)


def _before(bundle: Bundle, before: FeatureMatrix, how: Judging, undefined: dict) -> dict:
    """Return the scores by the labels before corrections, or why there are none."""
    if how.folds is None and how.split != "train":
        before = before.without(how.split, bundle.seen)
    if not len(before.rows(*how.splits)):
        return {"undefined": undefined | {"uncorrected": "no row had a label"}}
    try:
        report, *_ = _scores(bundle, before, how)
    except HeadstartError as error:  # labels that cannot be judged by, as a class of one row in folds
        return {"undefined": undefined | {"uncorrected": f"{error.happened}: {error.received}"}}
    return {"before_corrections": {name: report[name] for name in ("rows", *SCORES) if name in report}}


def _scores(
    bundle: Bundle, features: FeatureMatrix, how: Judging
) -> tuple[dict, np.ndarray, np.ndarray, np.ndarray]:
    """Return a report, and the rows, labels and probabilities that it is about."""
    selected = bundle.select(features, *([how.split] if how.folds is None else []))
    if how.folds is None:
        y, proba = bundle.predict_split(features, how.split)
        report = {"split": how.split, **evaluate(y, proba, bundle.class_names)}
        return report, selected.rows(how.split), y, proba
    validated = cross_validate(bundle.head, selected, how.folds)
    report = {"split": f"{how.folds}-fold cross-validation", **validated.report()}
    return report, validated.rows, validated.y, validated.proba
