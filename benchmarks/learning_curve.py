"""How many labelled images does a head need? Accuracy on the test rows over the number of training rows.

    python benchmarks/learning_curve.py photos.h5 photos299.h5 --figure docs/learning_curve.png

Each point is the mean over random subsets of the training rows, the same for every file; the band is one
standard deviation over the subsets. The features are read from the files: nothing is extracted again.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
from machine import machine

from classify import HEADS, load_features

SIZES = (10, 20, 50, 100, 200, 500, 1000)
SUBSETS = 10


def main() -> None:
    """Measure, write the JSON and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+")
    parser.add_argument("--figure", type=Path, required=True)
    options = parser.parse_args()
    started = time.perf_counter()
    curves = {name: curve(name) for name in options.files}
    result = {
        "machine": machine(),
        "subsets": SUBSETS,
        "seconds": time.perf_counter() - started,
        "curves": curves,
    }
    target = Path(__file__).parent / "results" / "learning_curve.json"
    target.write_text(json.dumps(result, indent=1) + "\n")
    draw(curves, options.figure)


def curve(path: str) -> dict:
    """Return accuracies on the test rows for each number of training rows."""
    features = load_features(path)
    X, y = features.split("train")
    X_test, y_test = features.split("test")
    points = []
    for size in (*[size for size in SIZES if size < len(y)], len(y)):
        subsets = 1 if size == len(y) else SUBSETS
        scores = []
        for seed in range(subsets):
            chosen = balanced_subset(y, size, seed)
            head = HEADS["logistic"]().fit(X[chosen], y[chosen])
            scores.append(float((head.predict(X_test) == y_test).mean()))
        points.append({"rows": int(size), "mean": float(np.mean(scores)), "sd": float(np.std(scores))})
    return {
        "image_size": features.feature_sets[0].recipe.image_size[0],
        "test_rows": len(y_test),
        "points": points,
    }


def balanced_subset(y: np.ndarray, size: int, seed: int) -> np.ndarray:
    """Draw rows at random, as many of each class as the size allows."""
    if size == len(y):
        return np.arange(size)
    generator = np.random.default_rng(seed)
    classes = np.unique(y)
    rows = [generator.permutation(np.flatnonzero(y == label))[: size // len(classes)] for label in classes]
    return np.concatenate(rows)


def draw(curves: dict, path: Path) -> None:
    """Draw accuracy over training rows."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7.2, 3.6), layout="constrained")
    for result in curves.values():
        rows, mean, sd = (
            np.array([point[name] for point in result["points"]]) for name in ("rows", "mean", "sd")
        )
        (line,) = axes.plot(rows, mean, marker="o", label=f"Xception, {result['image_size']} pixels")
        axes.fill_between(rows, mean - sd, np.minimum(mean + sd, 1), color=line.get_color(), alpha=0.2)
    axes.set_xscale("log")
    axes.set_xlabel("labelled training photographs, cats and dogs")
    axes.set_ylabel(f"accuracy on {result['test_rows']} test photographs")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    axes.set_title("Logistic heads on cached features: one extraction, many heads")
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
