"""How the accuracy grows with the number of training rows, and whether more would help."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np

from classify.features.matrix import FeatureMatrix
from classify.head import Head
from classify.scores.intervals import Interval, paired_difference, wilson
from data.errors import HeadstartError

SHARES = (0.1, 0.2, 0.4, 0.7, 1.0)
LITTLE = 0.01  # a gain of accuracy below which more labels hardly help


@dataclass(frozen=True)
class Point:
    """What heads reached that were trained on one share of the rows.

    Attributes
    ----------
    share : float
    rows : int
        Their mean, where groups differ in size.
    mean : float
        Of `values`.
    standard_deviation : float or None
        Of `values`; None of one value.
    values : list of float
        The accuracies.
    """

    share: float
    rows: int
    mean: float
    standard_deviation: float | None
    values: list[float]


@dataclass(frozen=True)
class LearningCurve:
    """How the accuracy grows with the number of training rows.

    Attributes
    ----------
    rows : int
        That train at most.
    validation_rows : int
    points : list of Point
    last_gain : Interval
    more_labels : str
        A sentence: would more labels help?
    right : ndarray of shape (points, validation rows)
        How often each validation row was right at a point, from 0 to 1.
    """

    rows: int
    validation_rows: int
    points: list[Point]
    last_gain: Interval
    more_labels: str
    right: np.ndarray = field(default_factory=lambda: np.empty((0, 0)), repr=False, compare=False)

    def to_dict(self) -> dict:
        """Return the curve as JSON-ready values, without `right`."""
        values = asdict(self)
        del values["right"]
        return values


def learning_curve(
    head: Head,
    features: FeatureMatrix,
    shares: Sequence[float] = SHARES,
    repeats: int = 5,
    seed: int = 0,
    whole: Head | None = None,
) -> LearningCurve:
    """Train a head on growing parts of the training rows and score it on the validation rows.

    Each repeat draws the rows in another order and grows one part into the next. Parts are
    stratified; rows of one group stay together, and a group counts for its most frequent
    class. All rows are trained on once, as there is one such part. Test rows are not read.

    Would more labels help? The answer is the gain of the last step, with an interval for the
    sampling of the validation rows: their Wilson intervals, combined with the correlation of
    the rows' results (G. Y. Zou, A. Donner (2008), Statistics in Medicine 27, 1693-1702). Where
    learning follows a power law (J. Hestness et al. (2017), arXiv:1712.00409), a step of the
    same factor gains less each time, so the last gain bounds the next. A fitted power law is
    not extrapolated: five points do not hold its three parameters (T. Viering, M. Loog (2023),
    The shape of learning curves: a review, IEEE TPAMI 45, 7799-7819).

    Parameters
    ----------
    head : scikit-learn classifier
        Cloned for each training; it stays as it is.
    features : FeatureMatrix
    shares : sequence of float
        Of the training rows; growing, two or more, above 0 and up to 1.
    repeats : int
    seed : int
    whole : scikit-learn classifier, optional
        The head as it was trained on all training rows, which then is not done again.

    Returns
    -------
    LearningCurve

    Raises
    ------
    HeadstartError
        If the shares do not grow, there are no validation rows, or a part has fewer rows than
        there are classes, or only one class.

    Examples
    --------
    >>> from classify import HEADS, load_features
    >>> curve = learning_curve(HEADS["logistic"](), load_features("photos.h5"))  # doctest: +SKIP
    >>> [point.rows for point in curve.points]  # doctest: +SKIP
    [161, 323, 646, 1130, 1614]
    """
    _check_shares(shares, repeats)
    X, y = features.training_rows()
    held_out = features.validation_rows()
    _check_rows(y, shares)
    groups = features.groups_of(features.rows("train"))
    sizes: list[list[int]] = [[] for _ in shares]
    right: list[list[np.ndarray]] = [[] for _ in shares]
    for parts in _parts(y, groups, shares, repeats, seed):
        for k, part in enumerate(parts):
            if len(part) < len(y) or not right[k]:
                known = whole if len(part) == len(y) else None
                fitted = known or _fitted(head, X[part], y[part])
                right[k].append(_right(fitted, *held_out))
                sizes[k].append(len(part))
    points = [_point(*values) for values in zip(shares, sizes, right, strict=True)]
    shares_right = np.stack([np.mean(rows, axis=0) for rows in right])
    gain = _gain(shares_right[-1], shares_right[-2])
    return LearningCurve(len(y), len(held_out[1]), points, gain, more_labels(points, gain), shares_right)


def more_labels(points: Sequence[Point], gain: Interval) -> str:
    """Say whether more labels would help, from the last two points and the gain between them.

    Examples
    --------
    >>> points = [Point(0.7, 70, 0.8, None, [0.8]), Point(1.0, 100, 0.9, None, [0.9])]
    >>> more_labels(points, Interval(0.1, 0.05, 0.15))
    'more labels would probably help: from 70 to 100 rows the accuracy rose by 0.1000 [0.0500, 0.1500]'
    """
    if gain.low > 0:
        answer = "more labels would probably help"
    elif gain.high < LITTLE:
        answer = "more labels would hardly help"
    else:
        answer = "the validation rows are too few to say whether more labels would help"
    before, last = (point.rows for point in points[-2:])
    verb, sign = ("fell", -1) if gain.value < 0 else ("rose", 1)
    low, high = sorted((sign * gain.low, sign * gain.high))
    return (
        f"{answer}: from {before} to {last} rows the accuracy {verb} "
        f"by {sign * gain.value:.4f} [{low:.4f}, {high:.4f}]"
    )


def _check_shares(shares: Sequence[float], repeats: int) -> None:
    growing = all(one < two for one, two in zip((0, *shares), shares, strict=False))
    if len(shares) < 2 or not growing or shares[-1] > 1 or repeats < 1:
        raise HeadstartError(
            "a learning curve cannot be drawn so",
            "two shares or more that grow, above 0 and up to 1, and 1 repeat or more",
            f"shares {', '.join(f'{share:g}' for share in shares) or 'none'}; repeats {repeats}",
            f"choose such as {', '.join(map(str, SHARES))}",
        )


def _check_rows(y: np.ndarray, shares: Sequence[float]) -> None:
    classes, fewest = len(np.unique(y)), round(shares[0] * len(y))
    if fewest < classes:
        raise HeadstartError(
            "the smallest part of a learning curve has fewer rows than there are classes",
            f"{classes} rows or more, one of each class",
            f"{fewest}, which is {shares[0]:g} of {len(y)} training rows",
            "extract more images, or choose larger shares in classify.scores.learning_curve.learning_curve",
        )


def _parts(
    y: np.ndarray, groups: list[str] | None, shares: Sequence[float], repeats: int, seed: int
) -> Iterator[list[np.ndarray]]:
    """Yield the rows of every share, once for each repeat."""
    unit = np.arange(len(y)) if groups is None else np.unique(groups, return_inverse=True)[1]
    counts = np.zeros((unit.max() + 1, y.max() + 1), int)
    np.add.at(counts, (unit, y), 1)
    size, label = counts.sum(axis=1), counts.argmax(axis=1)
    generator = np.random.default_rng(seed)
    for _ in range(repeats):
        reached = np.ones(len(size))  # the share of its class at which a unit comes in
        for k in np.unique(label):
            order = generator.permutation(np.flatnonzero(label == k))
            middle = np.cumsum(size[order]) - size[order] / 2
            middle[0] = 0  # each class has one unit at the least
            reached[order] = middle / size[order].sum()
        yield [np.flatnonzero(reached[unit] < share) for share in shares]


def _fitted(head: Head, X: np.ndarray, y: np.ndarray) -> Head:
    """Train a clone."""
    from sklearn.base import clone

    if len(np.unique(y)) < 2:
        raise HeadstartError(
            "a part of the training rows holds one class alone",
            "groups of both classes in every part",
            f"{len(y)} rows of one class",
            "choose larger shares, or give fewer rows the same group",
        )
    return clone(head).fit(X, y)


def _right(fitted: Head, held_out: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return which of the held-out rows a head gets right."""
    return fitted.classes_[fitted.predict_proba(held_out).argmax(axis=1)] == labels


def _point(share: float, sizes: list[int], right: list[np.ndarray]) -> Point:
    values = [float(row.mean()) for row in right]
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return Point(float(share), round(np.mean(sizes)), float(np.mean(values)), deviation, values)


def _gain(last: np.ndarray, before: np.ndarray) -> Interval:
    """Return the difference of two accuracies on the same rows, each row's result in 0..1."""
    varies = last.std() > 0 and before.std() > 0
    correlation = float(np.corrcoef(last, before)[0, 1]) if varies else 0.0
    rows = len(last)
    return paired_difference(wilson(last.sum(), rows), wilson(before.sum(), rows), correlation)
