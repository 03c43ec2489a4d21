"""Which ranking finds wrong labels, and how well are they counted? Labels are planted wrong, and looked for.

    python benchmarks/suspects.py photos.h5 trash.h5

Of each set 1, 5 and 20 % of the labels, and none, are replaced: of any image by any other class (`random`),
of any image by the class that it looks like (`alike`), and of images that heads are unsure of (`hard`), which
the estimate does not claim to count. The pixels of 1,797 digits are a third set. All rankings see the same
labels.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from machine import machine
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from classify import load_features
from classify.audit.duplicates import find_duplicates
from classify.audit.label_errors import label_errors
from classify.audit.out_of_fold import OutOfFold, out_of_fold
from classify.features.matrix import FeatureMatrix, FeatureSet
from classify.features.neighbours import unit_rows
from extract import Recipe

RATES = (0.0, 0.01, 0.05, 0.2)
SEEDS, SEEDS_OF_COUNTS = 3, 8
NEIGHBOURS = 20


def main() -> None:
    """Measure and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+")
    options = parser.parse_args()
    started = time.process_time()
    sets = {Path(name).stem: load_features(name) for name in options.files} | {"digits": digits()}
    with threadpool_limits(1):
        found = {name: measure(features) for name, features in sets.items()}
    result = {"machine": machine(), "cpu_seconds": round(time.process_time() - started), "sets": found}
    target = Path(__file__).parent / "results" / "suspects.json"
    target.write_text(json.dumps(rounded(result)) + "\n")


def rounded(value: object) -> object:
    """Return the same with four places of every number, which the file then says in half the bytes."""
    if isinstance(value, dict):
        return {name: rounded(each) for name, each in value.items()}
    if isinstance(value, list):
        return [rounded(each) for each in value]
    return round(value, 4) if isinstance(value, float) else value


def digits() -> FeatureMatrix:
    """Return the pixels of scikit-learn's digits as features."""
    X, y = load_digits(return_X_y=True)
    rows = len(y)
    own = FeatureSet(Recipe("xception", weights=""), ("pixels",), (X.shape[1],), {}, "")
    return FeatureMatrix(
        X=X.astype(np.float32),
        y=y.astype(np.int32),
        ids=tuple(map(str, range(rows))),
        digests=np.random.default_rng(0).integers(0, 256, (rows, 32), np.uint8),
        splits=np.zeros(rows, np.int8),
        groups=(),
        class_names=tuple(map(str, range(10))),
        feature_sets=(own,),
        path="digits",
    )


def measure(features: FeatureMatrix) -> dict:
    """Return how well each ranking finds planted labels, and how they are counted."""
    groups = find_duplicates(features).groups(features)
    before = out_of_fold(features, groups)
    rankings, counts = [], []
    for kind, rate in [("none", 0.0), *((kind, rate) for kind in PLANTED for rate in RATES[1:])]:
        for seed in range(SEEDS_OF_COUNTS):
            labels, planted = plant(before, kind, rate, seed)
            noisy = replace(features, y=labels)
            judged = out_of_fold(noisy, groups, seed=seed)
            counts.append({"kind": kind, "rate": rate, "seed": seed, "planted": len(planted)})
            counts[-1] |= label_errors(judged).to_dict() | {"confident_learning": confident(judged)[1]}
            if kind in ("random", "alike") and seed < SEEDS:
                truth = np.isin(judged.rows, planted)
                for name, rank in RANKINGS.items():
                    scores = judging(truth, rank(noisy, groups, judged, seed))
                    rankings.append({"kind": kind, "rate": rate, "seed": seed, "ranking": name, **scores})
        print(features.path, kind, rate, flush=True)
    return {
        "rows": len(before.rows),
        "classes": len(features.class_names),
        "rankings": rankings,
        "counts": counts,
    }


def plant(before: OutOfFold, kind: str, rate: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return labels of which some are wrong, and the rows of these."""
    generator, y = np.random.default_rng(seed), before.y.copy()
    unsure = 1 - before.proba.max(axis=1) + 1e-3 if kind == "hard" else np.ones(len(y))
    places = generator.choice(len(y), round(rate * len(y)), replace=False, p=unsure / unsure.sum())
    classes = before.proba.shape[1]
    if kind == "random":
        y[places] = (y[places] + generator.integers(1, classes, len(places))) % classes
    else:
        y[places] = before.other[places]
    return y, before.rows[places]


PLANTED = ("random", "alike", "hard")


def judging(truth: np.ndarray, scores: np.ndarray) -> dict:
    """Return how well scores, the least for a wrong label, part wrong labels from right ones."""
    wrong = int(truth.sum())
    first = truth[np.argsort(scores, kind="stable")]
    return {
        "average_precision": float(average_precision_score(truth, -scores)),
        "auroc": float(roc_auc_score(truth, -scores)),
        "precision_at_planted": float(first[:wrong].mean()),
        "recall_at_1.1_planted": float(first[: round(1.1 * wrong)].sum() / wrong),
        "recall_at_2_planted": float(first[: 2 * wrong].sum() / wrong),
    }


Rank = Callable[[FeatureMatrix, tuple[str, ...], OutOfFold, int], np.ndarray]


def of_penalty(C: float) -> Rank:
    """Return the ranking by the probability of the label, of a fixed penalty."""
    return lambda features, groups, judged, seed: out_of_fold(features, groups, penalties=[C], seed=seed).own


def margin(judged: OutOfFold) -> np.ndarray:
    """Return the probability of the label less the highest other one."""
    return judged.own - judged.proba[np.arange(len(judged.y)), judged.other]


def confident(judged: OutOfFold) -> tuple[np.ndarray, int]:
    """Return the ranking and the count of confident learning: C. Northcutt et al. (2021), JAIR 70, 1373-1411.

    Counted are rows of which another class, the most probable one, exceeds the mean of its own rows; they
    come first, by their normalized margin.
    """
    classes = judged.proba.shape[1]
    known = [judged.y == label for label in range(classes)]
    usual = np.array(
        [judged.proba[own, label].mean() if own.any() else np.inf for label, own in enumerate(known)]
    )
    sure = np.where(judged.proba >= usual, judged.proba, -1)
    wrong = (sure.max(axis=1) >= 0) & (sure.argmax(axis=1) != judged.y)
    return margin(judged) - 2 * wrong, int(wrong.sum())


def cosines(features: FeatureMatrix, judged: OutOfFold) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield the cosines of some rows to all others; -inf to themselves."""
    unit = unit_rows(features.X, judged.rows)
    for first in range(0, len(unit), 512):
        part = slice(first, min(first + 512, len(unit)))
        found = unit[part] @ unit.T
        found[np.arange(len(found)), np.arange(part.start, part.stop)] = -np.inf
        yield part, found


def distance_ratio(
    features: FeatureMatrix, groups: tuple[str, ...], judged: OutOfFold, seed: int
) -> np.ndarray:
    """Return the distance to the nearest row of the label over that to the nearest other, negated.

    Source: F. Groeger et al. (2024), SelfClean, arXiv 2305.17048, with squared distances.
    """
    scores = np.empty(len(judged.y))
    for part, found in cosines(features, judged):
        same = judged.y[part, np.newaxis] == judged.y
        own, other = (1 - np.where(chosen, found, -np.inf).max(axis=1) for chosen in (same, ~same))
        scores[part] = -(own**2) / np.maximum(own**2 + other**2, 1e-12)
    return scores


def share(features: FeatureMatrix, groups: tuple[str, ...], judged: OutOfFold, seed: int) -> np.ndarray:
    """Return the share of a row's 20 nearest that have its label; ties by their cosine."""
    scores = np.empty(len(judged.y))
    for part, found in cosines(features, judged):
        near = np.argpartition(found, -NEIGHBOURS, axis=1)[:, -NEIGHBOURS:]
        weights = np.take_along_axis(found, near, 1)
        agree = judged.y[near] == judged.y[part, np.newaxis]
        scores[part] = agree.mean(axis=1) + 1e-3 * (weights * agree).sum(axis=1) / weights.sum(axis=1)
    return scores


def in_sample(features: FeatureMatrix, groups: tuple[str, ...], judged: OutOfFold, seed: int) -> np.ndarray:
    """Return the margin of a head, C=1, that learnt the very labels that it judges."""
    Z = StandardScaler().fit_transform(features.X[judged.rows])
    logits = LogisticRegression(C=1.0, max_iter=200).fit(Z, judged.y).decision_function(Z)
    if logits.ndim == 1:
        return np.where(judged.y == judged.y.max(), logits, -logits)
    rows = np.arange(len(Z))
    own = logits[rows, judged.y].copy()
    logits[rows, judged.y] = -np.inf
    return own - logits.max(axis=1)


RANKINGS: dict[str, Rank] = {
    "audit": lambda features, groups, judged, seed: judged.own,
    "C=0.001": of_penalty(1e-3),
    "C=1": of_penalty(1.0),
    "margin": lambda features, groups, judged, seed: margin(judged),
    "confident learning": lambda features, groups, judged, seed: confident(judged)[0],
    "distance ratio": distance_ratio,
    "neighbours": share,
    "in-sample margin": in_sample,
}


if __name__ == "__main__":
    main()
