"""How good are the penalty and the temperature that `train` chooses with no option, and what do they cost?

    python benchmarks/penalty.py TWO_CLASSES.h5 SIX_CLASSES.h5 [MORE.h5 ...]

The rows of each file, and 3,781 in ten classes (clusters of the rows of the first two, drawn again with
noise; rows drawn of one are a group). Ten seeds divide each in training, validation and test rows, 8 : 1 : 1.
Heads: `logistic` with C=1, the default before; with C chosen by the validation rows, and with a temperature
fitted to them, the default now; the same, of training and validation rows together, by folds; and, as in
DINOv3, scikit-learn's logistic regression with the best of 45 values from 1e-6 to 1e5 by log loss on
the validation rows, fitted again to training and validation rows. Log losses of test rows are compared in
pairs.
"""

import json
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from machine import machine
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from classify.features.load import load_features
from classify.heads.logistic import Logistic
from classify.scores.evaluate import calibration
from classify.scores.temperature import Calibration, tempered
from data.console import say

SEEDS, VALUES = 10, np.logspace(-6, 5, 45)
ROWS, NOISE = 3068 + 341 + 372, 0.5


def main() -> None:
    """Measure and write the JSON."""
    sets = {Path(path).stem: loaded(Path(path)) for path in sys.argv[1:]}
    sets["ten classes"] = ten_classes(np.concatenate([X for X, _, _ in list(sets.values())[:2]]))
    found = {name: [one_seed(*rows, seed) for seed in range(SEEDS)] for name, rows in sets.items()}
    result = {
        "machine": machine(),
        "seeds": SEEDS,
        "noise": NOISE,
        "sets": {
            name: {
                "rows": len(sets[name][1]),
                "classes": len(np.unique(sets[name][1])),
                "heads": {head: summed([seed[head] for seed in seeds]) for head in seeds[0]},
                "differences": {pair: compared(seeds, *pair.split(" - ")) for pair in PAIRS},
            }
            for name, seeds in found.items()
        },
    }
    target = Path(__file__).parent / "results" / "penalty.json"
    target.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


CALIBRATED = ", calibrated"
PAIRS = (
    f"validation rows{CALIBRATED} - C=1",
    f"folds{CALIBRATED} - C=1",
    f"validation rows{CALIBRATED} - validation rows",
    f"folds{CALIBRATED} - folds",
    "validation rows - reference of the same rows",
    "folds - reference",
)


def loaded(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the labelled rows of a file, their labels, and a group for each."""
    features = load_features(path)
    rows = np.flatnonzero(features.y >= 0)
    return np.array(features.X[rows]), features.y[rows], np.arange(len(rows))


def ten_classes(X: np.ndarray, count: int = ROWS) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return rows in ten classes, their labels, and the row that each was drawn from."""
    generator = np.random.default_rng(0)
    y = KMeans(10, random_state=0, n_init=1).fit_predict(StandardScaler().fit_transform(X))
    rows = generator.choice(len(X), count)
    noise = NOISE * generator.normal(size=(count, X.shape[1])) * X.std(axis=0)
    return np.maximum(X[rows] + noise, 0).astype(np.float32), y[rows], rows


def one_seed(X: np.ndarray, y: np.ndarray, groups: np.ndarray, seed: int) -> dict[str, dict]:
    """Return what each head reaches on the test rows of one division, with one thread of BLAS."""
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return _one_seed(X, y, groups, seed)


def _one_seed(X: np.ndarray, y: np.ndarray, groups: np.ndarray, seed: int) -> dict[str, dict]:
    places = np.unique(groups)
    share = np.random.default_rng(seed).permutation(len(places)) / len(places)
    share = share[np.searchsorted(places, groups)]
    train, held, test = share < 0.8, (share >= 0.8) & (share < 0.9), share >= 0.9
    named = [str(group) for group in groups[train | held]]
    work: dict[str, Callable] = {
        "C=1": lambda: Logistic(C=1.0).fit(X[train], y[train]),
        "validation rows": lambda: Logistic().fit(X[train], y[train], X[held], y[held]),
        "folds": lambda: Logistic().fit(X[train | held], y[train | held], groups=named),
    }
    found = {name: judged(fit, X[test], y[test]) for name, fit in work.items()}
    by = {
        "validation rows": lambda head: Calibration.of(head.predict_proba(X[held]), y[held], ""),
        "folds": lambda head: head.calibration_,
    }
    for name, fit in by.items():
        found[name + CALIBRATED] = calibrated(found[name], fit, y[test])
    C = reference_C(X[train], y[train], X[held], y[held])
    for name, rows in {"reference": train | held, "reference of the same rows": train}.items():
        found[name] = judged(lambda rows=rows: Reference(C).fit(X[rows], y[rows]), X[test], y[test])
    found = {name: one.scores for name, one in found.items()}
    say(f"seed {seed}: " + ", ".join(f"{name} {one['log_loss']:.4f}" for name, one in found.items()))
    return found


class Reference:
    """Scikit-learn's logistic regression over standardized features, as it is by default but for C."""

    def __init__(self, C: float) -> None:
        self.C_ = float(C)

    def fit(self, X: np.ndarray, y: np.ndarray) -> "Reference":
        """Train."""
        self.scaler = StandardScaler().fit(X)
        self.head = LogisticRegression(C=self.C_, max_iter=1000).fit(self.scaler.transform(X), y)
        return self

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Return the probabilities."""
        return self.head.predict_proba(self.scaler.transform(X))


def reference_C(X: np.ndarray, y: np.ndarray, X_val: np.ndarray, y_val: np.ndarray) -> float:
    """Return the best of 45 values on the held-out rows; each fit begins at the one before.

    Ten in a row that are worse end the search: their fits take the longest.
    """
    scaler = StandardScaler().fit(X)
    seen, unseen = scaler.transform(X), scaler.transform(X_val)
    head, losses = LogisticRegression(max_iter=1000, warm_start=True), []
    for C in VALUES:
        head.set_params(C=C).fit(seen, y)
        losses.append(row_losses(head.predict_proba(unseen), y_val).mean())
        if len(losses) - int(np.argmin(losses)) > 10:
            break
    return float(VALUES[int(np.argmin(losses))])


@dataclass(frozen=True)
class Fitted:
    """A head, its probabilities of test rows, and their scores."""

    head: Any
    proba: np.ndarray
    scores: dict


def judged(fit: Callable, X: np.ndarray, y: np.ndarray) -> Fitted:
    """Fit a head and judge it."""
    started = time.process_time()
    head = fit()
    seconds = time.process_time() - started
    proba = head.predict_proba(X)
    return Fitted(head, proba, scored(proba, y, seconds, head.C_))


def calibrated(found: Fitted, fit: Callable, y: np.ndarray) -> Fitted:
    """Fit a temperature and judge the head with it."""
    started = time.process_time()
    temperature = fit(found.head).temperature
    seconds = found.scores["cpu_seconds"] + time.process_time() - started
    proba = tempered(found.proba, temperature)
    return Fitted(found.head, proba, scored(proba, y, seconds, found.head.C_, temperature))


def scored(proba: np.ndarray, y: np.ndarray, seconds: float, C: float, temperature: float = 1.0) -> dict:
    """Return what a head was made with, CPU seconds and scores; losses of single rows too."""
    losses = row_losses(proba, y)
    return {
        "C": C,
        "temperature": temperature,
        "cpu_seconds": seconds,
        "accuracy": float((proba.argmax(axis=1) == y).mean()),
        "log_loss": float(losses.mean()),
        "ece": float(calibration(y, proba)["ece"].value),
        "losses": losses,
    }


def row_losses(proba: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the log loss of each row."""
    return -np.log(np.maximum(proba[np.arange(len(y)), y], 1e-15))


def summed(seeds: list[dict]) -> dict:
    """Return the means over seeds, and C of each."""
    names = ("cpu_seconds", "accuracy", "log_loss", "ece")
    return {name: float(np.mean([seed[name] for seed in seeds])) for name in names} | {
        name: [seed[name] for seed in seeds] for name in ("C", "temperature")
    }


def compared(seeds: list[dict], first: str, second: str) -> dict:
    """Return the differences of log losses, their standard errors, and how many are at most one above 0."""
    each = [seed[first]["losses"] - seed[second]["losses"] for seed in seeds]
    means, errors = ([float(one) for one in ones] for ones in zip(*map(mean_and_error, each), strict=True))
    within = sum(mean <= error for mean, error in zip(means, errors, strict=True))
    mean, error = (float(value) for value in mean_and_error(np.array(means)))
    return {"mean": mean, "error": error, "means": means, "errors": errors, "within": within}


def mean_and_error(values: np.ndarray) -> tuple[float, float]:
    """Return a mean and its standard error."""
    return values.mean(), values.std(ddof=1) / len(values) ** 0.5


if __name__ == "__main__":
    main()
