"""Scores with 95 % intervals: pure functions over labels and probabilities."""

from collections.abc import Sequence

import numpy as np

from classify.scores.intervals import (
    Interval,
    Statistic,
    bootstrap,
    paired_correlation,
    paired_difference,
    percentile_interval,
    shifted_interval,
    wilson,
)
from data.errors import HeadstartError

_SMALLEST = 1e-15  # probability that log loss takes for zero
BINS = 15  # of Guo et al. (2017)


def evaluate(y: np.ndarray, proba: np.ndarray, class_names: Sequence[str]) -> dict:
    """Return every score of a classifier on labelled rows.

    Accuracy, recall and precision have Wilson intervals; balanced accuracy combines those of
    the recalls; macro F1, log loss and ROC AUC have percentile bootstrap intervals (seeded;
    1,000 resamples, 200 at the least where rows are many), which shrink to a point where macro
    F1 or ROC AUC is 1; the calibration error has that of `calibration`.

    Parameters
    ----------
    y : ndarray of int, shape (N,)
        True labels, indices into `class_names`.
    proba : ndarray of shape (N, K)
        Probability of each class.
    class_names : sequence of K str

    Returns
    -------
    dict
        ``rows``; ``accuracy``, ``balanced_accuracy``, ``macro_f1``, ``log_loss``, ``ece`` and,
        for two classes, ``roc_auc``, each ``{"value", "low", "high"}``; ``undefined``, where
        there is such a score, with the reason why it has no value; ``classes`` with rows,
        precision, recall and f1 of each; ``confusion``, true class by predicted class;
        ``reliability``, the bins of `calibration`.

    Raises
    ------
    HeadstartError
        If there are no rows.

    Examples
    --------
    >>> report = evaluate(np.array([0, 1]), np.array([[0.9, 0.1], [0.6, 0.4]]), ["cat", "dog"])
    >>> report["accuracy"]["value"], report["confusion"]
    (0.5, [[1, 0], [1, 0]])
    """
    _refuse_no_rows(y)
    predicted = proba.argmax(axis=1)
    confusion = np.zeros((len(class_names),) * 2, int)
    np.add.at(confusion, (y, predicted), 1)
    drawn = bootstrap(len(y), _statistics(y, proba, predicted))
    calibrated = calibration(y, proba)
    report = {
        "rows": len(y),
        "accuracy": wilson(int((predicted == y).sum()), len(y)).to_dict(),
        "balanced_accuracy": balanced_accuracy(confusion).to_dict(),
        **{name: percentile_interval(*drawn[name]).to_dict() for name in ("macro_f1", "log_loss")},
        "ece": calibrated["ece"].to_dict(),
    }
    if "roc_auc" in drawn:
        report["roc_auc"] = percentile_interval(*drawn["roc_auc"]).to_dict()
    elif len(class_names) == 2:
        report["undefined"] = {"roc_auc": "the rows hold one class alone"}
    report["classes"] = _class_scores(confusion, class_names)
    report["confusion"] = confusion.tolist()
    report["reliability"] = calibrated["bins"]
    return report


def losses(y: np.ndarray, proba: np.ndarray) -> np.ndarray:
    """Return the log loss of each row; a probability of 0 counts as 1e-15.

    Examples
    --------
    >>> losses(np.array([0, 1]), np.array([[0.8, 0.2], [0.5, 0.5]])).round(4).tolist()
    [0.2231, 0.6931]
    """
    return -np.log(np.clip(proba[np.arange(len(y)), y], _SMALLEST, None))


def of_all_classes(proba: np.ndarray, classes: np.ndarray, count: int) -> np.ndarray:
    """Return probabilities of some classes as those of all; of classes that a head never saw, 0.

    Examples
    --------
    >>> of_all_classes(np.array([[0.25, 0.75]]), np.array([0, 2]), 3).tolist()
    [[0.25, 0.0, 0.75]]
    """
    everything = np.zeros((len(proba), count))
    everything[:, classes] = proba
    return everything


def balanced_accuracy(confusion: np.ndarray) -> Interval:
    """Return the mean recall of the classes that have rows, with a 95 % interval.

    The interval combines Wilson's intervals of the recalls by the method of variance
    estimates recovery: G. Y. Zou, A. Donner (2008), Statistics in Medicine 27, 1693-1702. It
    does not shrink to a point where every row is right, as a bootstrap would.

    Examples
    --------
    >>> balanced_accuracy(np.array([[9, 1], [0, 5]])).value
    0.95
    """
    recalls = [
        wilson(int(confusion[k, k]), int(rows)) for k, rows in enumerate(confusion.sum(axis=1)) if rows
    ]
    value, low, high = np.array([(recall.value, recall.low, recall.high) for recall in recalls]).T
    mean, count = value.mean(), len(recalls)
    return Interval(
        float(mean),
        float(max(0.0, mean - ((value - low) ** 2).sum() ** 0.5 / count)),
        float(min(1.0, mean + ((high - value) ** 2).sum() ** 0.5 / count)),
    )


def macro_f1(y: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> float:
    """Return the mean F1 of the classes that have rows or predictions, rows counted by weights.

    Source: the mean of F1 scores, the first of the two definitions that J. Opitz, S. Burst
    (2019), arXiv:1911.03347, tell apart.

    Examples
    --------
    >>> round(macro_f1(np.array([0, 0, 1]), np.array([0, 1, 1]), np.ones(3)), 4)
    0.6667
    """
    classes = 1 + max(y.max(), predicted.max())
    right = np.bincount(y, weights * (y == predicted), classes)
    total = np.bincount(y, weights, classes) + np.bincount(predicted, weights, classes)
    return float((2 * right[total > 0] / total[total > 0]).mean())


def calibration(y: np.ndarray, proba: np.ndarray, bins: int = BINS) -> dict:
    """Return how far the probability of the predicted class is from the share of right rows.

    The expected calibration error (ECE) is the mean over rows of the distance between the
    accuracy and the mean confidence of a row's bin, with bins of equal width. Source: C. Guo,
    G. Pleiss, Y. Sun, K. Q. Weinberger (2017), On calibration of modern neural networks, ICML,
    arXiv:1706.04599, equation 3.

    Few rows in a bin make the error too large, and those of a resample make it larger again;
    `classify.scores.intervals.shifted_interval` allows for that. In simulations of 300 rows it held
    errors of 0.02 to 0.25 in 92 to 98 of 100 samples; of a perfectly calibrated classifier it
    held the 0 in 70, so a low end just above 0 proves nothing. It shrinks to a point where all
    rows have one confidence and all are right.

    Parameters
    ----------
    y : ndarray of int, shape (N,)
        True labels.
    proba : ndarray of shape (N, K)
        Probability of each class.
    bins : int

    Returns
    -------
    dict
        ``ece``, an `Interval`; ``bins``, each with ``low`` (not in the bin; 0 is
        in the first), ``high``, ``rows``, and the means ``confidence`` and ``accuracy``, None
        where the bin has no rows.

    Raises
    ------
    HeadstartError
        If there are no rows, or no bins.

    Examples
    --------
    >>> result = calibration(np.array([0, 1]), np.array([[0.9, 0.1], [0.8, 0.2]]), bins=2)
    >>> round(result["ece"].value, 4), result["bins"][1]["accuracy"]
    (0.35, 0.5)
    """
    _refuse_no_rows(y)
    if bins < 1:
        raise HeadstartError("a calibration error needs bins", "1 bin or more", f"{bins}", "choose more bins")
    edges = np.linspace(0, 1, bins + 1)
    confidence, right = proba.max(axis=1), proba.argmax(axis=1) == y
    place = np.searchsorted(edges[1:-1], confidence)
    gaps = right - confidence

    def error(weights: np.ndarray) -> float:
        return float(np.abs(np.bincount(place, weights * gaps)).sum() / len(y))

    value, drawn = bootstrap(len(y), {"ece": error})["ece"]
    return {"ece": shifted_interval(value, drawn), "bins": _bins(edges, place, confidence, right)}


def _bins(edges: np.ndarray, place: np.ndarray, confidence: np.ndarray, right: np.ndarray) -> list[dict]:
    """Return the bins of `calibration`, from the bin that each row is in."""
    count = len(edges) - 1
    rows = np.bincount(place, minlength=count)
    means = [np.bincount(place, of_rows, count) / np.maximum(rows, 1) for of_rows in (confidence, right)]
    return [
        {
            "low": float(edges[k]),
            "high": float(edges[k + 1]),
            "rows": int(rows[k]),
            "confidence": float(means[0][k]) if rows[k] else None,
            "accuracy": float(means[1][k]) if rows[k] else None,
        }
        for k in range(count)
    ]


def mcnemar(y: np.ndarray, one: np.ndarray, two: np.ndarray) -> dict:
    """Compare two classifiers by the rows that one of them alone gets right.

    The p-value is that of the exact test, two-sided: were both equally good, each such row
    would be either's with probability 1/2. Source: Q. McNemar (1947), Psychometrika 12,
    153-157; in its exact form, M. W. Fagerland, S. Lydersen, P. Laake (2013), BMC Medical
    Research Methodology 13:91. The difference of the accuracies has the interval of
    `paired_difference`, so p-value and interval can disagree where it is close.

    Parameters
    ----------
    y, one, two : ndarray of int, shape (N,)
        True labels, and those that each classifier predicts.

    Returns
    -------
    dict
        ``both_right``, ``only_first``, ``only_second``, ``both_wrong``: rows; ``p_value``;
        ``difference``, accuracy of the first less that of the second, ``{"value", "low",
        "high"}``.

    Raises
    ------
    HeadstartError
        If there are no rows, or the classifiers were given other rows.

    Examples
    --------
    >>> y = np.zeros(10, int)
    >>> result = mcnemar(y, y, np.array([1, 1, 1, 1, 1, 1, 0, 0, 0, 0]))
    >>> result["only_first"], result["p_value"], result["difference"]["value"]
    (6, 0.03125, 0.6)
    """
    from scipy.stats import binomtest

    _refuse_no_rows(y)
    if not len(y) == len(one) == len(two):
        raise HeadstartError(
            "two classifiers can be compared only on the same rows",
            f"predictions for {len(y)} rows",
            f"{len(one)} and {len(two)} predictions",
            "let both predict the same rows",
        )
    first, second = one == y, two == y
    counts = {
        "both_right": int((first & second).sum()),
        "only_first": int((first & ~second).sum()),
        "only_second": int((~first & second).sum()),
        "both_wrong": int((~first & ~second).sum()),
    }
    apart = counts["only_first"] + counts["only_second"]
    p_value = float(binomtest(counts["only_first"], apart).pvalue) if apart else 1.0
    difference = paired_difference(
        wilson(int(first.sum()), len(y)), wilson(int(second.sum()), len(y)), paired_correlation(first, second)
    )
    return {**counts, "p_value": p_value, "difference": difference.to_dict()}


def _class_scores(confusion: np.ndarray, class_names: Sequence[str]) -> list[dict]:
    scores = []
    for k, name in enumerate(class_names):
        right, rows, predicted = (
            int(n) for n in (confusion[k, k], confusion[k].sum(), confusion[:, k].sum())
        )
        scores.append(
            {
                "name": name,
                "rows": rows,
                "precision": wilson(right, predicted).to_dict() if predicted else None,
                "recall": wilson(right, rows).to_dict() if rows else None,
                "f1": 2 * right / (rows + predicted) if rows + predicted else None,
            }
        )
    return scores


def _refuse_no_rows(y: np.ndarray) -> None:
    if len(y) == 0:
        raise HeadstartError(
            "there are no labelled rows to evaluate", "one row or more", "none", "choose another --split"
        )


def _statistics(y: np.ndarray, proba: np.ndarray, predicted: np.ndarray) -> dict[str, Statistic]:
    """Return macro F1, log loss and, where it is defined, ROC AUC as functions of the rows' weights."""
    of_rows = losses(y, proba)
    statistics: dict[str, Statistic] = {
        "macro_f1": lambda weights: macro_f1(y, predicted, weights),
        "log_loss": lambda weights: weights @ of_rows / len(y),
    }
    if proba.shape[1] == 2 and 0 < y.sum() < len(y):
        rank = np.unique(proba[:, 1], return_inverse=True)[1]
        statistics["roc_auc"] = lambda weights: roc_auc(y, rank, weights)
    return statistics


def roc_auc(y: np.ndarray, rank: np.ndarray, weights: np.ndarray) -> float:
    """Return the area under the ROC curve, rows counted by weights, ties by half.

    Parameters
    ----------
    y : ndarray of int, shape (N,)
        1 for the positive class, else 0.
    rank : ndarray of int, shape (N,)
        Place of a row's score among all scores; equal scores share one.
    weights : ndarray of shape (N,)

    Examples
    --------
    >>> roc_auc(np.array([0, 0, 1, 1]), np.array([0, 2, 1, 3]), np.ones(4))
    0.75
    """
    positive = np.bincount(rank, weights * (y == 1))
    negative = np.bincount(rank, weights * (y == 0))
    below = np.cumsum(negative) - negative
    pairs = positive.sum() * negative.sum()
    return float((positive * (below + negative / 2)).sum() / pairs) if pairs else float("nan")
