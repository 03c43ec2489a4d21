"""How fast do heads train, against Keras' own `fit` and scikit-learn's estimators?

    python benchmarks/heads.py [FILE]

Takes 9,305 rows of 2,048 features: those of a feature file of that width, drawn again with a little noise, or
seeded ones that look like them. What is compared takes turns; ratios are of medians.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
from machine import machine

from classify.features.load import load_features
from classify.heads.net import build_net
from classify.heads.ridge import ALPHAS
from classify.heads.table import make_head
from classify.selection.division import Part
from classify.selection.groups import train_together
from classify.selection.trials import Entry
from data.console import prepare_logging, say
from extract import Recipe
from extract.feature_file.part import PartFile, write_part
from extract.feature_file.reader import Contents
from extract.feature_file.writer import write_feature_file
from extract.recipe import EngineInfo

ROWS, WIDTH, REPEATS = 9305, 2048, 3
ROOT = Path(__file__).resolve().parent.parent
ENGINE = EngineInfo("drawn", "1", "none")
TARGETS = {  # what is compared, what is wanted, and whether more is better
    "keras-linear": ("fit / head", 10, True),
    "mlp": ("fit / head", 3, True),
    "linear_64": ("64 / one", 5, False),
    "logistic": ("head / scikit-learn", 1.2, False),
    "logistic_command": ("seconds", 10, False),
    "ridge": ("RidgeClassifierCV / head", 5, True),
}


def main() -> None:
    """Measure and write the JSON."""
    prepare_logging()
    X, y, origin = matrix(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
    work = {
        "keras-linear": lambda: in_turns(head("keras-linear", X, y, epochs=20), fit(X, y, (), 20)),
        "mlp": lambda: in_turns(head("mlp", X, y, epochs=5, standardize=False), fit(X, y, (256,), 5)),
        "linear_64": lambda: in_turns(linear(1, X, y), linear(64, X, y)),
        "logistic": lambda: in_turns(bare_logistic(X, y), head("logistic", X, y)),
        "logistic_command": lambda: command(X, y),
        "ridge": lambda: in_turns(head("ridge", X, y), bare_ridge(X, y)),
    }
    result = {"machine": machine(), "rows": ROWS, "width": WIDTH, "features": origin, "heads": {}}
    for name, measure in work.items():
        result["heads"][name] = found = judged(name, measure())
        say(f"{name}: {found['ratio']} {found['value']:.2f}, wanted {found['wanted']}")
    result["limits"] = limits(result["heads"])
    target = Path(__file__).parent / "results" / "heads.json"
    target.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


def matrix(path: Path | None) -> tuple[np.ndarray, np.ndarray, str]:
    """Return features, labels of two classes, and where they come from."""
    generator = np.random.default_rng(0)
    if path is None:
        y = generator.integers(0, 2, ROWS)
        X = np.maximum(generator.normal(0.1, 0.5, (ROWS, WIDTH)), 0)
        X[:, :64] += 0.2 * y[:, np.newaxis]
        return X.astype(np.float32), y, "drawn"
    features = load_features(path)
    if features.X.shape[1] != WIDTH:
        raise SystemExit(f"{path} has {features.X.shape[1]} features a row; {WIDTH} are wanted")
    rows = generator.choice(features.rows("train", "validation", "test"), ROWS)
    X = features.X[rows] + generator.normal(0, 0.1, (ROWS, WIDTH)) * features.X.std(axis=0)
    return np.maximum(X, 0).astype(np.float32), (features.y[rows] > 0).astype(int), path.name


def in_turns(first: Callable, second: Callable) -> list[list[float]]:
    """Time two functions by turns, after a turn each that does not count."""
    times: list[list[float]] = [[], []]
    for repeat in range(REPEATS + 1):
        for work, seconds in zip((first, second), times, strict=True):
            started = time.perf_counter()
            work()
            if repeat:
                seconds.append(time.perf_counter() - started)
    return times


def judged(name: str, times: list[list[float]]) -> dict:
    """Return the times, the ratio of their medians, and whether it is as good as wanted."""
    what, wanted, at_least = TARGETS[name]
    ratio = median(times[-1]) / median(times[0]) if len(times) > 1 else median(times[0])
    holds = ratio >= wanted if at_least else ratio <= wanted
    return {"seconds": times, "ratio": what, "value": ratio, "wanted": wanted, "holds": holds}


def limits(heads: dict) -> dict:
    """Return what the machine reaches, and the share of our time that this leaves no way round.

    That is reading the matrix once an epoch for one linear head, the two products of each batch for 64, and
    for the ridge the Gram matrix and the leverages in float64, without the decomposition between them.
    """
    copy = np.ones((ROWS, WIDTH), np.float32)
    gflops = {name: product_rate(np.dtype(name)) for name in ("float32", "float64")}
    bandwidth = 2 * copy.nbytes / fastest(copy.copy) / 1e9
    least = {
        "keras-linear": 20 * copy.nbytes / bandwidth / 1e9,
        "linear_64": 20 * 4 * copy.size * 64 / gflops["float32"] / 1e9,
        "ridge": 3 * copy.size * WIDTH / gflops["float64"] / 1e9,
    }
    ours = {"keras-linear": 0, "linear_64": 1, "ridge": 0}
    shares = {name: seconds / median(heads[name]["seconds"][ours[name]]) for name, seconds in least.items()}
    return {
        "gflop_per_second": gflops,
        "copy_gb_per_second": bandwidth,
        "least_seconds": least,
        "shares": shares,
    }


def product_rate(dtype: np.dtype) -> float:
    """Return the GFLOP/s of a large matrix product."""
    one = np.ones((WIDTH, WIDTH), dtype)
    return 2 * WIDTH**3 / fastest(lambda: one @ one) / 1e9


def fastest(work: Callable) -> float:
    """Return the seconds of the fastest of several turns."""
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def head(name: str, X, y, **params) -> Callable:
    """Return what fits a head of the table."""
    return lambda: make_head(name, **params).fit(X, y)


def fit(X, y, hidden: tuple[int, ...], epochs: int) -> Callable:
    """Return what fits the same net with `keras.Model.fit`, compiling and all."""
    import keras

    def work():
        net = build_net(WIDTH, 1, hidden, 0.2, 0.0, 0)
        net.compile(keras.optimizers.Adam(1e-3), keras.losses.BinaryCrossentropy(from_logits=True))
        net.fit(X, y, batch_size=32, epochs=epochs, verbose=0)

    return work


def linear(count: int, X, y) -> Callable:
    """Return what trains that many configurations of one dropout rate as a sweep does, in one process."""
    rates, penalties = np.logspace(-4, -2, 8), np.logspace(-5, -2, 8)
    params = [{"learning_rate": rate, "l2": l2, "dropout": 0.2} for rate in rates for l2 in penalties]
    members = [Entry("keras-linear", one) for one in params[:count]]
    rows = np.arange(len(y))
    return lambda: train_together(members, 0, 0, Part(X, y, rows, rows[:100], (), stops=True))


def bare_logistic(X, y) -> Callable:
    """Return what fits scikit-learn's estimators alone, with L-BFGS in float64 to the same gradient."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    double, how = X.astype(np.float64), {"tol": 1e-9, "max_iter": 10_000}
    return lambda: make_pipeline(StandardScaler(), LogisticRegression(**how)).fit(double, y)


def bare_ridge(X, y) -> Callable:
    """Return what fits scikit-learn's ridge over the same penalties."""
    from sklearn.linear_model import RidgeClassifierCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return lambda: make_pipeline(StandardScaler(), RidgeClassifierCV(ALPHAS)).fit(X, y)


def command(X, y) -> list[list[float]]:
    """Time ``python -m classify train FILE --head logistic`` from the shell, on a file of these rows."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "drawn.h5"
        write_file(path, X, y)
        words = [sys.executable, "-m", "classify", "train", str(path), "--head", "logistic"]
        seconds = []
        for repeat in range(REPEATS + 1):
            started = time.perf_counter()
            subprocess.run([*words, "-o", f"{folder}/{repeat}"], cwd=ROOT, capture_output=True, check=True)
            seconds.append(time.perf_counter() - started)
    return [seconds[1:]]


def write_file(path: Path, X, y) -> None:
    """Write a feature file of these rows: eight in ten train, one validates, one tests."""
    recipe = Recipe("xception", weights="00" * 32)
    digests = [number.to_bytes(32, "big") for number in range(len(X))]
    part = path.with_suffix(".part")
    write_part(
        part, recipe, ENGINE, [X[0]], {digest: [row] for digest, row in zip(digests, X, strict=True)}, {}
    )
    stored = PartFile(part)
    contents = Contents(
        recipe=recipe,
        source={"kind": "drawn"},
        weights={"name": "none", "origin": "drawn"},
        class_names=("no", "yes"),
        engines=(ENGINE,),
        ids=tuple(f"{number:05d}" for number in range(len(X))),
        digests=stored.digests,
        labels=y.astype(np.int32),
        splits=np.resize(np.array([0] * 8 + [1, 2], np.int8), len(X)),
        origins=np.zeros(len(X), np.uint8),
        groups=(),
        rejected=(),
    )
    write_feature_file(path, contents, [(stored, row) for row in range(len(X))])


if __name__ == "__main__":
    main()
