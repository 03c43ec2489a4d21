"""Labels that the features contradict, each with the images that show it."""

from collections import Counter

import numpy as np

from classify.audit.findings import Finding
from classify.audit.out_of_fold import OutOfFold
from classify.features.matrix import FeatureMatrix
from classify.features.neighbours import nearest
from data.text import one_line

MOST = 2000  # suspects, as the neighbours of each are looked up among all rows
_NEIGHBOURS = 5


def disagreements(judged: OutOfFold) -> np.ndarray:
    """Return places in `judged.rows` whose own label is not the most probable, the least probable first.

    Examples
    --------
    >>> proba = np.array([[0.9, 0.1], [0.4, 0.6], [0.7, 0.3]], np.float32)
    >>> judged = OutOfFold(np.arange(3), np.array([0, 0, 1]), proba, 5, 1e-3, 3, np.arange(0))
    >>> disagreements(judged).tolist()
    [2, 1]
    """
    ranking = judged.ranking
    return ranking[(judged.proba.argmax(axis=1) != judged.y)[ranking]]


def label_suspects(features: FeatureMatrix, judged: OutOfFold, most: int = MOST) -> list[Finding]:
    """Return rows whose label a head that did not see them contradicts, the least probable label first.

    Parameters
    ----------
    features : FeatureMatrix
    judged : OutOfFold
        Of these features.
    most : int
        The first so many.

    Returns
    -------
    list of Finding
        Each with 1 - P(label) as its score, the label that it looks like, and as evidence the
        five nearest images with a label.

    Examples
    --------
    >>> features = load_features("photos.h5")  # doctest: +SKIP
    >>> print(label_suspects(features, out_of_fold(features))[0].reason)  # doctest: +SKIP
    P(dog) = 0.008, looks like cat; of its 5 nearest images 5 are cat
    """
    chosen = disagreements(judged)[:most]
    rows, others = judged.rows[chosen], judged.other[chosen]
    near, _ = nearest(features.X, rows, _NEIGHBOURS, among=judged.rows)
    return [
        _finding(features, row, other, beside[beside >= 0], own)
        for row, other, beside, own in zip(rows, others, near, judged.own[chosen], strict=True)
    ]


def _finding(features: FeatureMatrix, row: int, other: int, beside: np.ndarray, own: float) -> Finding:
    label, suggested = (features.class_names[number] for number in (features.y[row], other))
    found = Counter(features.class_names[number] for number in features.y[beside])
    counts = ", ".join(f"{count} {name}" for name, count in found.most_common())
    return Finding(
        kind="label suspect",
        score=round(1 - float(own), 6),
        reason=one_line(f"P({label}) = {own:.3f}, looks like {suggested}; nearest: {counts}"),
        digest=features.digests[row].tobytes().hex(),
        id=features.ids[row],
        label=label,
        suggested=suggested,
        evidence=tuple(features.digests[other].tobytes().hex() for other in beside),
    )
