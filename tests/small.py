"""What tests of heads share: drawn features, and heads that learn them in little time."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from classify.features.columns import Columns
from classify.features.matrix import FeatureMatrix, FeatureSet
from classify.heads.table import make_head
from extract import Recipe
from extract.feature_file.contents import Contents
from extract.feature_file.part import PartFile, write_part
from extract.feature_file.writer import write_feature_file
from extract.recipe import EngineInfo

NAMES = ("ant", "bee", "cow", "dog", "eel")
# Parameters with which a head learns the drawn data in little time.
QUICK = {
    "keras-linear": {"learning_rate": 0.1, "epochs": 8},
    "mlp": {"hidden": (8,), "learning_rate": 0.05, "epochs": 4},
    "boosting": {"max_iter": 60},
}


def drawn(labels=(0, 1), rows: int = 90, noise: float = 1.0, seed: int = 0):
    """Draw features whose column of the class is raised by 4."""
    generator = np.random.default_rng(seed)
    numbers = generator.permutation(np.arange(rows) % len(labels))
    X = generator.normal(0, noise, (rows, 5)).astype(np.float32)
    X[np.arange(rows), numbers] += 4
    return X, np.array(labels)[numbers]


def quick(name: str):
    """Make a head that trains in little time."""
    return make_head(name, **QUICK.get(name, {}))


def drawn_features(rows: int = 100, classes: int = 2, width: int = 6, **values) -> FeatureMatrix:
    """Draw separable features: class = row % classes; of five rows three train, one validates, one tests."""
    labels = np.arange(rows) % classes
    X = np.random.default_rng(0).normal(size=(rows, width)).astype(np.float32)
    X[np.arange(rows), labels] += 4
    usual = {
        "X": X,
        "y": labels.astype(np.int32),
        "ids": tuple(f"{row:04d}.png" for row in range(rows)),
        "digests": np.random.default_rng(1).integers(0, 256, (rows, 32), np.uint8),
        "splits": np.repeat(np.array([0, 0, 0, 1, 2], np.int8), rows // 5),
        "groups": (),
        "class_names": NAMES[:classes],
        "feature_sets": (drawn_set(width),),
        "path": "drawn.h5",
    }
    return FeatureMatrix(**usual | values)


def drawn_set(width: int = 6, content_digest: str = "d" * 64, **recipe) -> FeatureSet:
    """Make the feature set of drawn features."""
    recipe = Recipe("xception", weights="00", **recipe)
    return FeatureSet(recipe, ("avg_pool",), (width,), {"name": "none", "origin": "drawn"}, content_digest)


def draw(rows: int, classes: int, decimals: int = 8, seed: int = 0):
    """Draw labels and probabilities that are better than chance; few decimals make ties."""
    generator = np.random.default_rng(seed)
    y = generator.integers(0, classes, rows)
    raw = generator.random((rows, classes)) + 0.1
    raw[np.arange(rows), y] += 0.4
    proba = (raw / raw.sum(axis=1, keepdims=True)).round(decimals)
    proba[:, 0] += 1 - proba.sum(axis=1)
    return y, proba


def on_disk(features, folder: Path, parts: int = 1):
    """Return the same features, read from a file with their columns in some layers."""
    path, offset, layers = folder / "layers.bin", 6, []
    arrays = np.array_split(features.X, parts, axis=1)
    path.write_bytes(b"header" + b"".join(part.tobytes() for part in arrays))
    for part in arrays:
        layers.append(np.memmap(path, part.dtype, "r", offset, part.shape))
        offset += part.nbytes
    return replace(features, X=Columns(layers))


def write_two_layers(folder: Path, labels: np.ndarray | None = None) -> Path:
    """Write a feature file of 60 rows in three classes; the layer `deep` separates them, `noise` does not.

    With `labels` it holds those in the place of the true ones.
    """
    recipe = Recipe("xception", weights="00", layers=("noise", "deep"))
    generator, truth = np.random.default_rng(0), np.arange(60, dtype=np.int32) % 3
    digests = [bytes([row] * 32) for row in range(60)]
    rows = {
        digest: (generator.normal(size=4).astype(np.float32), 5 * np.eye(3, dtype=np.float32)[label])
        for digest, label in zip(digests, truth, strict=True)
    }
    write_part(folder / "part.h5", recipe, EngineInfo("none"), (np.zeros(4), np.zeros(3)), rows, {})
    contents = Contents(
        recipe=recipe,
        source={"kind": "drawn"},
        weights={"name": "none", "origin": "drawn"},
        class_names=("ant", "bee", "cow"),
        engines=(EngineInfo("none"),),
        ids=tuple(f"{row:03d}.png" for row in range(60)),
        digests=np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 32),
        labels=truth if labels is None else labels,
        splits=np.array([0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 2] * 5, np.int8),
        origins=np.zeros(60, np.uint8),
    )
    part = PartFile(folder / "part.h5")
    write_feature_file(folder / "layers.h5", contents, [(part, row) for row in range(60)])
    return folder / "layers.h5"
