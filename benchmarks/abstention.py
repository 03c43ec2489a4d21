"""Measure how well strange images are told from familiar ones.

    python benchmarks/abstention.py FILE.h5

Each class in turn is the only one known; the test images of the others, scikit-learn's digits
and noise are strange. Prints a table in Markdown.
"""

import sys

import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score

from classify.bundle.detector import Detector
from classify.features.load import load_features
from extract import FeatureExtractor

RATE = 0.05


def strange_features(recipe) -> dict[str, np.ndarray]:
    """Compute features of 100 digits and of 50 images of noise."""
    extractor = FeatureExtractor(recipe)
    digits = (load_digits().images[:100] * (255 / 16)).astype(np.uint8)
    noise = np.random.default_rng(0).integers(0, 256, (50, *recipe.image_size, 3), dtype=np.uint8)
    return {"digits": extractor.transform(digits), "noise": extractor.transform(noise)}


def table(path: str) -> None:
    """Print a row for each known class, each kind of strange images and each number of neighbours."""
    features = load_features(path)
    strange = strange_features(features.feature_sets[0].recipe)
    print("| known | strange | neighbours | AUROC | familiar called unknown | strange called unknown |")
    print("|---|---|---|---|---|---|")
    for label, name in enumerate(features.class_names):
        splits = {split: features.split(split) for split in ("train", "validation", "test")}
        train, validation, familiar = (X[y == label] for X, y in splits.values())
        X, y = splits["test"]
        for neighbours in (1, 5, 20):
            detector = Detector.fit(train, validation, neighbours=neighbours)
            low, share = detector.score(familiar), detector.unknown(familiar, RATE).mean()
            for kind, rows in {"other classes": X[y != label], **strange}.items():
                high = detector.score(rows)
                area = roc_auc_score(np.repeat([0, 1], [len(low), len(high)]), np.concatenate([low, high]))
                found = detector.unknown(rows, RATE).mean()
                print(f"| {name} | {kind} | {neighbours} | {area:.3f} | {share:.3f} | {found:.3f} |")


if __name__ == "__main__":
    table(sys.argv[1])
