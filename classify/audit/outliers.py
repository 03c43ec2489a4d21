"""Images unlike everything of their class."""

import numpy as np

from classify.audit.findings import Finding
from classify.features.matrix import FeatureMatrix
from classify.features.neighbours import nearest
from data.text import one_line

_REFERENCES = 2000  # images of a class, at the most, among which the nearest are looked up
_NEIGHBOURS = 5
_FEWEST = 20  # images of a class whose distances tell what is usual
_UNUSUAL = 3.5  # deviations from the median
_DEVIATION = 1.4826  # of a normal distribution, over its median absolute deviation
_LEAST = 1e-6  # a distance; what is nearer is a copy
_MOST = 200


def outliers(features: FeatureMatrix, rows: np.ndarray, seed: int = 0) -> list[Finding]:
    """Return the images that are unusually far from their nearest ones of the same class.

    The distance is 1 less the mean cosine to the five nearest of at most 2,000 images of the class.
    Its logarithm is unusual where it is more than 3.5 deviations above the median of the class, the
    deviation taken from the median absolute one: B. Iglewicz and D. C. Hoaglin (1993), How to
    Detect and Handle Outliers.

    Parameters
    ----------
    features : FeatureMatrix
    rows : ndarray of int, shape (n,)
        Labelled rows, whose labels are believed.
    seed : int
        Of the images among which the nearest are looked up.

    Returns
    -------
    list of Finding
        At most 200, the most unusual first, with 1 - 3.5 / deviations as their score.

    Examples
    --------
    >>> features = load_features("photos.h5")  # doctest: +SKIP
    >>> outliers(features, features.rows("train"))[0].id  # doctest: +SKIP
    'dog/dog.9188.jpg'
    """
    generator, y, far = np.random.default_rng(seed), features.y[rows], np.zeros(len(rows))
    near = np.full((len(rows), _NEIGHBOURS), -1)
    for label in np.unique(y):
        places = np.flatnonzero(y == label)
        if len(places) >= _FEWEST:
            kept = generator.permutation(len(places))[:_REFERENCES]
            near[places], cosine = nearest(features.X, rows[places], _NEIGHBOURS, np.sort(rows[places][kept]))
            far[places] = _deviations(1 - cosine.mean(axis=1))
    order = np.argsort(-far, kind="stable")[:_MOST]
    return [_finding(features, rows[each], near[each], far[each]) for each in order if far[each] > _UNUSUAL]


def _deviations(distance: np.ndarray) -> np.ndarray:
    """Return how many deviations the logarithm of each distance lies above the median."""
    logs = np.log(np.maximum(distance, _LEAST))
    above = logs - np.median(logs)
    deviation = _DEVIATION * np.median(np.abs(above))
    return above / deviation if deviation > 0 else np.zeros_like(above)


def _finding(features: FeatureMatrix, row: int, near: np.ndarray, far: float) -> Finding:
    label = features.class_names[features.y[row]]
    return Finding(
        kind="outlier",
        score=round(1 - _UNUSUAL / float(far), 6),
        reason=one_line(f"{far:.1f} deviations farther from its nearest images of {label} than is usual"),
        digest=features.digests[row].tobytes().hex(),
        id=features.ids[row],
        label=label,
        evidence=tuple(features.digests[other].tobytes().hex() for other in near),
    )
