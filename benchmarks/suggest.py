"""How many labels does `classify suggest` save? Accuracy over labels spent, against random choice and others.

    python benchmarks/suggest.py photos.h5 trash.h5 --figure docs/suggest.png

Each set of images is divided at random: 35 % judge, of the others a few are labelled and the labels of the
rest are hidden. A logistic head is trained, a batch is chosen and gets its labels, and so on, with ten seeds;
all ways of choosing share division and first labels. The pixels of 1,797 digits are a third set.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from machine import machine
from sklearn.datasets import load_digits
from threadpoolctl import threadpool_limits

from classify import HEADS, Bundle, load_features
from classify.audit.suggest import METHOD, diverse, suggest
from classify.features.matrix import FeatureMatrix, FeatureSet
from extract import Recipe

SEEDS = 10
JUDGES = 0.35
ROUNDS = 12
EACH = {2: 5, 6: 3, 10: 2}  # first labels of each class, by the number of classes; a batch is as many in all
Choose = Callable[[Bundle, FeatureMatrix, int, np.random.Generator], np.ndarray]


def main() -> None:
    """Measure, write the JSON and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+")
    parser.add_argument("--figure", type=Path, required=True)
    options = parser.parse_args()
    started = time.process_time()
    sets = {Path(name).stem: once(load_features(name)) for name in options.files} | {"digits": digits()}
    with threadpool_limits(1):
        curves = {name: measure(features) for name, features in sets.items()}
    result = {
        "machine": machine(),
        "method": METHOD,
        "seeds": SEEDS,
        "cpu_seconds": round(time.process_time() - started),
        "sets": curves,
    }
    target = Path(__file__).parent / "results" / "suggest.json"
    target.write_text(json.dumps(result, indent=1) + "\n")
    draw(curves, options.figure)


def digits() -> FeatureMatrix:
    """Return the pixels of scikit-learn's digits as features."""
    X, y = load_digits(return_X_y=True)
    rows = np.arange(len(y))
    own = FeatureSet(Recipe("xception", weights=""), ("pixels",), (X.shape[1],), {}, "")
    numbers = np.zeros((len(y), 32), np.uint8)
    numbers[:, :4] = rows.astype(">u4").view(np.uint8).reshape(-1, 4)
    return FeatureMatrix(
        X=X.astype(np.float32),
        y=y.astype(np.int32),
        ids=tuple(map(str, rows)),
        digests=numbers,
        splits=np.zeros(len(y), np.int8),
        groups=(),
        class_names=tuple(map(str, range(10))),
        feature_sets=(own,),
        path="digits",
    )


def once(features: FeatureMatrix) -> FeatureMatrix:
    """Return the labelled rows in memory, all for training, one of each image."""
    rows = np.flatnonzero(features.y >= 0)
    rows = rows[np.sort(np.unique(features.digests[rows], axis=0, return_index=True)[1])]
    return taken(features, rows)


def taken(features: FeatureMatrix, rows: np.ndarray) -> FeatureMatrix:
    """Return some rows."""
    return replace(
        features,
        X=np.asarray(features.X[rows]),
        y=features.y[rows],
        ids=tuple(features.ids[row] for row in rows),
        digests=features.digests[rows],
        splits=np.zeros(len(rows), np.int8),
        groups=(),
    )


def measure(features: FeatureMatrix) -> dict:
    """Return accuracies over labels spent, for each way of choosing."""
    classes = len(features.class_names)
    found = {
        name: np.array([curve(features, choose, seed) for seed in range(SEEDS)])
        for name, choose in WAYS.items()
    }
    batch = classes * EACH[classes]
    labels = batch * np.arange(1, ROUNDS + 2)
    goal = float(found["random"].mean(axis=0)[-1])
    reached = {name: until(labels, values.mean(axis=0), goal) for name, values in found.items()}
    return {
        "images": len(features.y),
        "classes": classes,
        "judged_on": int(JUDGES * len(features.y)),
        "labels": labels.tolist(),
        "goal": goal,
        "ways": {
            name: {
                "mean": values.mean(axis=0).tolist(),
                "sd": values.std(axis=0, ddof=1).tolist(),
                "labels_to_goal": reached[name],
                "gain": paired(values, found["random"]),
            }
            for name, values in found.items()
        },
    }


def until(labels: np.ndarray, means: np.ndarray, goal: float) -> float | None:
    """Return how many labels a mean accuracy took, by a straight line between batches; None: it took more."""
    first = int(np.argmax(means >= goal))
    if means[first] < goal:
        return None
    return (
        float(np.interp(goal, means[first - 1 : first + 1], labels[first - 1 : first + 1]))
        if first
        else float(labels[0])
    )


def paired(values: np.ndarray, others: np.ndarray) -> dict:
    """Return the mean gain in accuracy over all batches, and its deviation over the seeds."""
    gains = (values - others)[:, 1:].mean(axis=1)
    return {
        "mean": float(gains.mean()),
        "sd": float(gains.std(ddof=1)),
        "seeds_above": int((gains > 0).sum()),
    }


def curve(features: FeatureMatrix, choose: Choose, seed: int) -> list[float]:
    """Return the accuracy after each batch."""
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(features.y))
    judges, pool = np.split(order, [int(JUDGES * len(order))])
    X, y = features.X[judges], features.y[judges]
    features = taken(features, pool)
    truth, each = features.y, EACH[len(features.class_names)]
    known = np.full(len(truth), -1, np.int32)
    for label in range(len(features.class_names)):
        rows = np.flatnonzero(truth == label)[:each]
        known[rows] = label
    batch, accuracies = int((known >= 0).sum()), []
    for left in range(ROUNDS, -1, -1):
        rows = np.flatnonzero(known >= 0)
        head = HEADS["logistic"]().fit(features.X[rows], known[rows])
        accuracies.append(float((head.predict(X) == y).mean()))
        if left:
            bundle = Bundle(head, "logistic", features.class_names, features.feature_sets, {}, {})
            rows = choose(bundle, replace(features, y=known), batch, generator)
            known[rows] = truth[rows]
    return accuracies


def _by_suggest(bundle: Bundle, features: FeatureMatrix, n: int, _: np.random.Generator) -> np.ndarray:
    place = {name: row for row, name in enumerate(features.ids)}
    return np.array([place[each.id] for each in suggest(bundle, features, n)])


def _at_random(_: Bundle, features: FeatureMatrix, n: int, generator: np.random.Generator) -> np.ndarray:
    return generator.choice(np.flatnonzero(features.y < 0), n, replace=False)


def _margins(proba: np.ndarray) -> np.ndarray:
    two = np.sort(proba, axis=1)[:, -2:]
    return two[:, 1] - two[:, 0]


def _by_margin(bundle: Bundle, features: FeatureMatrix, n: int, _: np.random.Generator) -> np.ndarray:
    rows = np.flatnonzero(features.y < 0)
    return rows[np.argsort(_margins(bundle.predict_proba(features.X[rows])), kind="stable")[:n]]


def _by_clusters(_: Bundle, features: FeatureMatrix, n: int, __: np.random.Generator) -> np.ndarray:
    rows = np.flatnonzero(features.y < 0)
    return rows[diverse(features.X[rows], np.zeros(len(rows)), n)]


def _by_badge(bundle: Bundle, features: FeatureMatrix, n: int, generator: np.random.Generator) -> np.ndarray:
    """Draw by k-means++ over gradients of the last layer (Ash et al. 2020), which are never laid out."""
    rows = np.flatnonzero(features.y < 0)
    X, gradients = features.X[rows], bundle.predict_proba(features.X[rows])
    X = X / np.linalg.norm(X, axis=1, keepdims=True)
    gradients[np.arange(len(rows)), gradients.argmax(axis=1)] -= 1
    sizes = (gradients**2).sum(axis=1)
    chosen, nearest = [int(sizes.argmax())], np.full(len(rows), np.inf)
    while len(chosen) < n:
        last = chosen[-1]
        products = (gradients @ gradients[last]) * (X @ X[last])
        nearest = np.minimum(nearest, np.maximum(sizes + sizes[last] - 2 * products, 0))
        nearest[chosen] = 0
        chosen.append(int(generator.choice(len(rows), p=nearest / nearest.sum())))
    return rows[chosen]


WAYS: dict[str, Choose] = {
    "suggest": _by_suggest,
    "random": _at_random,
    "margin": _by_margin,
    "k-means": _by_clusters,
    "BADGE": _by_badge,
}


def draw(curves: dict, path: Path) -> None:
    """Draw accuracy over labels, a set beside the other."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, plots = plt.subplots(1, len(curves), figsize=(3.6 * len(curves), 3.6), layout="constrained")
    for axes, (name, result) in zip(np.atleast_1d(plots), curves.items(), strict=True):
        labels = np.array(result["labels"])
        for way, marker in (("suggest", "o"), ("random", "s"), ("margin", "^"), ("k-means", "v")):
            mean, sd = (np.array(result["ways"][way][value]) for value in ("mean", "sd"))
            (line,) = axes.plot(labels, mean, marker=marker, markersize=4, linewidth=1.2, label=way)
            if way in ("suggest", "random"):
                axes.fill_between(labels, mean - sd, mean + sd, color=line.get_color(), alpha=0.2)
        axes.set_title(f"{name}: {result['images']:,} images, {result['classes']} classes", fontsize="medium")
        axes.set_xlabel("labels spent")
        axes.set_ylim(*_limits(result))
        axes.grid(alpha=0.3)
    plots = np.atleast_1d(plots)
    plots[0].set_ylabel(f"accuracy, mean of {SEEDS} seeds")
    plots[0].legend(loc="lower right")
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=120)


def _limits(result: dict) -> tuple[float, float]:
    means = [each["mean"] for each in result["ways"].values()]
    top, low = max(map(max, means)), min(each[1] for each in means)
    return low - 0.35 * (top - low), top + 0.15 * (top - low)


if __name__ == "__main__":
    main()
