"""Scores with 95 % intervals: pure functions over labels and probabilities."""

from collections.abc import Sequence

import numpy as np

from data.errors import HeadstartError

_Z = 1.959963984540054  # 97.5 % quantile of the normal distribution
RESAMPLES, FEWEST_RESAMPLES = 1000, 200
_ROWS_RESAMPLED = 50_000_000  # in all, which bounds the time: fewer resamples serve where rows are many
_SMALLEST = 1e-15  # probability that log loss takes for zero


def evaluate(y: np.ndarray, proba: np.ndarray, class_names: Sequence[str]) -> dict:
    """Return every score of a classifier on labelled rows.

    Accuracy, recall and precision have Wilson intervals; balanced accuracy combines those of
    the recalls; log loss and ROC AUC have percentile bootstrap intervals (seeded; 1,000
    resamples, 200 at the least where rows are many), which shrink to a point where the ROC AUC
    is 1.

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
        ``rows``; ``accuracy``, ``balanced_accuracy``, ``log_loss`` and, for two classes,
        ``roc_auc``, each ``{"value", "low", "high"}``; ``classes`` with rows, precision,
        recall and f1 of each; ``confusion``, true class by predicted class.

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
    if len(y) == 0:
        raise HeadstartError(
            "there are no labelled rows to evaluate", "one row or more", "none", "choose another --split"
        )
    predicted = proba.argmax(axis=1)
    confusion = np.zeros((len(class_names),) * 2, int)
    np.add.at(confusion, (y, predicted), 1)
    losses = -np.log(np.clip(proba[np.arange(len(y)), y], _SMALLEST, None))
    resampled = _resample(y, proba, losses)
    report = {
        "rows": len(y),
        "accuracy": wilson(int((predicted == y).sum()), len(y)),
        "balanced_accuracy": balanced_accuracy(confusion),
        "log_loss": _with_interval(losses.mean(), resampled["log_loss"]),
    }
    if "roc_auc" in resampled:
        auc = weighted_auc(y, proba[:, 1], np.ones(len(y)))
        report["roc_auc"] = _with_interval(auc, resampled["roc_auc"])
    report["classes"] = _class_scores(confusion, class_names)
    report["confusion"] = confusion.tolist()
    return report


def wilson(successes: int, trials: int) -> dict[str, float]:
    """Return a proportion with Wilson's 95 % interval.

    Source: E. B. Wilson (1927), Journal of the American Statistical Association 22, 209-212.

    Examples
    --------
    >>> {name: round(value, 3) for name, value in wilson(95, 100).items()}
    {'value': 0.95, 'low': 0.888, 'high': 0.978}
    """
    share, z2 = successes / trials, _Z**2
    middle = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = _Z / (1 + z2 / trials) * (share * (1 - share) / trials + z2 / (4 * trials**2)) ** 0.5
    low, high = max(0.0, middle - half), min(1.0, middle + half)
    return {"value": share, "low": min(low, share), "high": max(high, share)}


def balanced_accuracy(confusion: np.ndarray) -> dict[str, float]:
    """Return the mean recall of the classes that have rows, with a 95 % interval.

    The interval combines Wilson's intervals of the recalls by the method of variance
    estimates recovery: G. Y. Zou, A. Donner (2008), Statistics in Medicine 27, 1693-1702. It
    does not shrink to a point where every row is right, as a bootstrap would.

    Examples
    --------
    >>> balanced_accuracy(np.array([[9, 1], [0, 5]]))["value"]
    0.95
    """
    recalls = [
        wilson(int(confusion[k, k]), int(rows)) for k, rows in enumerate(confusion.sum(axis=1)) if rows
    ]
    value, low, high = (np.array([recall[name] for recall in recalls]) for name in ("value", "low", "high"))
    mean, count = value.mean(), len(recalls)
    return {
        "value": float(mean),
        "low": float(max(0.0, mean - ((value - low) ** 2).sum() ** 0.5 / count)),
        "high": float(min(1.0, mean + ((high - value) ** 2).sum() ** 0.5 / count)),
    }


def weighted_auc(y: np.ndarray, score: np.ndarray, weights: np.ndarray) -> float:
    """Return the area under the ROC curve, rows counted by weights, ties by half.

    Examples
    --------
    >>> weighted_auc(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8]), np.ones(4))
    0.75
    """
    return _auc(y, np.unique(score, return_inverse=True)[1], weights)


def cross_validate(head, features, folds: int, seed: int = 0) -> dict:
    """Evaluate a head by cross-validation on the training and validation rows.

    Folds are stratified and seeded; rows of one group stay together. Each row is predicted
    once, by a head that did not see it, and the scores are those of all these predictions.

    Parameters
    ----------
    head : scikit-learn classifier
        Cloned for each fold.
    features : Features
    folds : int
    seed : int

    Returns
    -------
    dict
        As `evaluate`, and ``folds`` and ``fold_accuracies``.

    Raises
    ------
    HeadstartError
        If a class has fewer rows than there are folds.
    """
    from sklearn.base import clone
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    chosen = features.rows("train", "validation")
    X, y = features.X[chosen], features.y[chosen]
    groups = [features.groups[row] or features.ids[row] for row in chosen] if features.groups else None
    if not _divides(y, folds, groups):
        raise _no_folds(y, folds, features.class_names)
    splitter = (StratifiedGroupKFold if groups else StratifiedKFold)(folds, shuffle=True, random_state=seed)
    proba = np.zeros((len(y), len(features.class_names)))
    accuracies = []
    for train, test in splitter.split(X, y, groups):
        if len(np.unique(y[train])) < 2:
            raise _no_folds(y, folds, features.class_names)
        fitted = clone(head).fit(X[train], y[train])
        proba[test[:, np.newaxis], fitted.classes_] = fitted.predict_proba(X[test])
        accuracies.append(float((proba[test].argmax(axis=1) == y[test]).mean()))
    return {**evaluate(y, proba, features.class_names), "folds": folds, "fold_accuracies": accuracies}


def _divides(y: np.ndarray, folds: int, groups: Sequence[str] | None) -> bool:
    counts = np.unique(y, return_counts=True)[1]
    enough = len(counts) > 1 and counts.min() >= folds and (not groups or len(set(groups)) >= folds)
    return folds > 1 and enough


def _no_folds(y: np.ndarray, folds: int, class_names: Sequence[str]) -> HeadstartError:
    counts = np.bincount(y, minlength=len(class_names))
    counted = ", ".join(f"{name} {count}" for name, count in zip(class_names, counts, strict=True) if count)
    return HeadstartError(
        f"{folds}-fold cross-validation is not possible here",
        "2 folds or more, as many rows of each class, and groups, as folds, two classes in every fold",
        f"{folds} folds; training and validation rows: {counted or 'none'}",
        "choose fewer folds, or extract more images",
    )


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
                "precision": wilson(right, predicted) if predicted else None,
                "recall": wilson(right, rows) if rows else None,
                "f1": 2 * right / (rows + predicted) if rows + predicted else None,
            }
        )
    return scores


def _resample(y: np.ndarray, proba: np.ndarray, losses: np.ndarray) -> dict[str, list[float]]:
    """Return log loss and, for two classes, ROC AUC of bootstrap resamples."""
    generator, rows = np.random.default_rng(0), len(y)
    binary = proba.shape[1] == 2 and 0 < y.sum() < rows
    rank = np.unique(proba[:, 1], return_inverse=True)[1] if binary else None
    scores = {"log_loss": [], "roc_auc": []} if binary else {"log_loss": []}
    for _ in range(max(FEWEST_RESAMPLES, min(RESAMPLES, _ROWS_RESAMPLED // rows))):
        weights = np.bincount(generator.integers(0, rows, rows), minlength=rows)
        scores["log_loss"].append(weights @ losses / rows)
        if binary:
            scores["roc_auc"].append(_auc(y, rank, weights))
    return scores


def _auc(y: np.ndarray, rank: np.ndarray, weights: np.ndarray) -> float:
    positive = np.bincount(rank, weights * (y == 1))
    negative = np.bincount(rank, weights * (y == 0))
    below = np.cumsum(negative) - negative
    pairs = positive.sum() * negative.sum()
    return float((positive * (below + negative / 2)).sum() / pairs) if pairs else float("nan")


def _with_interval(value: float, resampled) -> dict[str, float]:
    low, high = np.nanpercentile(resampled, [2.5, 97.5])
    return {"value": float(value), "low": float(low), "high": float(high)}
