"""How often do sets of labels hold the truth, and how large are they?

    python benchmarks/label_sets.py digits trash.h5 photos.h5 --splits 200

Over random divisions of the labelled rows, four of five for training (of scikit-learn's digits 500), each
image once. Scores come from an eighth of the training rows that the head does not see (`validation`), or
from five folds, new rows being scored by the head of all training rows (`folds`) or, as cross-conformal
prediction has it, by the heads of the folds (`fold heads`). A label's score is 1 less its probability
(`probability`), or the sum of all probabilities down to its own, less a random part of that for the rows that
are kept (`sum`: adaptive prediction sets, Romano, Sesia and Candes, NeurIPS 2020). The most probable label
is in every set.
"""

import argparse
import json
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from machine import machine
from sklearn.datasets import load_digits
from sklearn.model_selection import StratifiedKFold

from classify import HEADS, load_features
from classify.scores.conformal import Conformal

COVERAGE, FOLDS = 0.95, 5


def main() -> None:
    """Measure, print a table in Markdown and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+")
    parser.add_argument("--splits", type=int, default=200)
    options = parser.parse_args()
    results = [measured(name, options.splits) for name in options.data]
    target = Path(__file__).parent / "results" / "label_sets.json"
    values = {"machine": machine(), "coverage": COVERAGE, "data": results}
    target.write_text(json.dumps(values, indent=1) + "\n")
    print("| data | accuracy | scores of | score | coverage | labels in a set | sets of one label |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for each in results:
        for row in each["rows"]:
            numbers = f"{row['coverage']:.4f} ± {row['error']:.4f} | {row['size']:.3f} | {row['single']:.1%}"
            names = f"{each['name']} | {each['accuracy']:.3f} | {row['scores of']} | {row['score']}"
            print(f"| {names} | {numbers} |")


def rows_of(name: str) -> tuple[np.ndarray, np.ndarray, int]:
    """Return features, labels and the number of training rows."""
    if name == "digits":
        X, y = load_digits(return_X_y=True)
        return X.astype(np.float32), y, 500
    features = load_features(name)
    once = np.unique(features.digests, axis=0, return_index=True)[1]
    rows = np.intersect1d(once, features.rows("train", "validation", "test"))
    return features.X[rows], features.y[rows], len(rows) * 4 // 5


def measured(name: str, splits: int) -> dict:
    """Return mean coverage with its standard error, and the size of the sets, of each way."""
    X, y, training = rows_of(name)
    with ProcessPoolExecutor() as pool:
        found = list(pool.map(partial(one_split, X, y, training), range(splits)))
    accuracies, ways_found = zip(*found, strict=True)
    rows = []
    for origin, score in ways_found[0]:
        values = np.array([each[origin, score] for each in ways_found])
        numbers = dict(zip(("coverage", "size", "single"), values.mean(axis=0).tolist(), strict=True))
        error = float(values[:, 0].std(ddof=1) / np.sqrt(splits))
        rows.append({"scores of": origin, "score": score, **numbers, "error": error})
    counts = {"training_rows": training, "test_rows": len(y) - training, "splits": splits}
    return {"name": Path(name).stem, **counts, "accuracy": float(np.mean(accuracies)), "rows": rows}


def one_split(X: np.ndarray, y: np.ndarray, training: int, split: int) -> tuple[float, dict]:
    """Return the accuracy of the head, and of each way coverage, size and the share of single labels."""
    order = np.random.default_rng(split).permutation(len(y))
    train, test = order[:training], order[training:]
    sets, accuracy = ways(X, y, train, test, split)
    numbers = {}
    for way, inside in sets.items():
        sizes = inside.sum(axis=1)
        numbers[way] = inside[np.arange(len(test)), y[test]].mean(), sizes.mean(), (sizes == 1).mean()
    return accuracy, numbers


def ways(X: np.ndarray, y: np.ndarray, train: np.ndarray, test: np.ndarray, seed: int) -> tuple:
    """Return the sets of the test rows by each way, and the accuracy of the head."""
    classes = y.max() + 1
    draw = np.random.default_rng(seed).random(len(train))
    held = len(train) // 8
    alone, head = fitted(X, y, train[held:]), fitted(X, y, train)
    kept, alone_test, proba = (
        each.predict_proba(X[rows]) for each, rows in ((alone, train[:held]), (alone, test), (head, test))
    )
    unseen, by_fold = np.empty((len(train), classes)), []
    for others, fold in StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(train, y[train]):
        own = fitted(X, y, train[others])
        unseen[fold] = own.predict_proba(X[train[fold]])
        by_fold.append((fold, own.predict_proba(X[test])))
    scores = 1 - unseen[np.arange(len(train)), y[train]]
    beside = sum((scores[fold][:, None, None] >= 1 - each).sum(axis=0) for fold, each in by_fold)
    found = {
        ("validation", "probability"): Conformal.of(kept, y[train[:held]], "").sets(alone_test, COVERAGE),
        ("validation", "sum"): sums(kept, y[train[:held]], alone_test, draw[:held]),
        ("folds", "probability"): Conformal.of(unseen, y[train], "").sets(proba, COVERAGE),
        ("folds", "sum"): sums(unseen, y[train], proba, draw),
        ("fold heads", "probability"): with_best((beside + 1) / (len(train) + 1) > 1 - COVERAGE, proba),
    }
    return found, float((proba.argmax(axis=1) == y[test]).mean())


def with_best(inside: np.ndarray, proba: np.ndarray) -> np.ndarray:
    """Return sets with the most probable label of each row."""
    inside[np.arange(len(proba)), proba.argmax(axis=1)] = True
    return inside


def fitted(X: np.ndarray, y: np.ndarray, rows: np.ndarray):
    """Return the default head of these rows, which are of all classes."""
    head = HEADS["logistic"]().fit(X[rows], y[rows])
    assert len(head.classes_) == y.max() + 1
    return head


def sums(kept: np.ndarray, labels: np.ndarray, proba: np.ndarray, draw: np.ndarray) -> np.ndarray:
    """Return adaptive prediction sets: the most probable labels until their sum reaches the quantile."""
    order, sums = sums_of(kept)
    rank = np.argsort(order, axis=1)[np.arange(len(labels)), labels]
    own = sums[np.arange(len(labels)), rank] - draw * kept[np.arange(len(labels)), labels]
    highest = Conformal(np.sort(own), "").highest(COVERAGE)
    order, sums = sums_of(proba)
    inside = sums - np.take_along_axis(proba, order, axis=1) < highest
    chosen = np.zeros_like(inside)
    np.put_along_axis(chosen, order, inside, axis=1)
    return with_best(chosen, proba)


def sums_of(proba: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the classes of each row, the most probable first, and the sums of probabilities up to each."""
    order = np.argsort(-proba, axis=1)
    return order, np.take_along_axis(proba, order, axis=1).cumsum(axis=1)


if __name__ == "__main__":
    main()
