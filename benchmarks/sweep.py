"""Does a sweep choose as well as one that trains everything on all rows, and how long does it take?

    python benchmarks/sweep.py TWO_CLASSES.h5 SIX_CLASSES.h5

Rows as in `benchmarks/penalty.py`: 3,781 of 2,048 features in ten classes, clusters of the rows of both
files, drawn again with noise; rows drawn of one are a group. Five seeds divide them in training, validation
and test rows, 8 : 1 : 1. Each is swept by default and exhaustively, one after the other; the log loss on
validation rows of both choices is compared with its standard error, and both are judged by the test rows.
Once 12,500 rows are swept by default, 10,000 of them for training.
"""

import json
import resource
import sys
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from joblib.externals.loky import get_reusable_executor
from machine import machine
from penalty import loaded, ten_classes

from classify.features.matrix import FeatureMatrix, FeatureSet
from classify.selection.options import SweepOptions
from classify.selection.sweep import sweep_and_save
from classify.selection.trials import entries
from data.console import say
from extract import Recipe

SEEDS, LARGE = 5, 12_500
WEIGHTS = {"name": "none", "origin": "drawn"}


def main() -> None:
    """Measure and write the JSON."""
    rows = [loaded(Path(path))[0] for path in sys.argv[1:]]
    X, y, groups = ten_classes(np.concatenate(rows))
    found = [one_seed(divided(X, y, groups, seed)) for seed in range(SEEDS)]
    say("12,500 rows")
    large = swept(divided(*ten_classes(np.concatenate(rows), LARGE), seed=0), SweepOptions())
    result = {"machine": machine(), "rows": len(y), "seeds": found, "large": {"rows": LARGE, **large}}
    target = Path(__file__).parent / "results" / "sweep.json"
    target.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


def divided(X: np.ndarray, y: np.ndarray, groups: np.ndarray, seed: int) -> FeatureMatrix:
    """Return rows as features, eight tenths of their groups for training, one each to choose and to judge."""
    places, number = np.unique(groups, return_inverse=True)
    share = np.random.default_rng(seed).permutation(len(places)) / len(places)
    generator = np.random.default_rng(seed)
    return FeatureMatrix(
        X=X,
        y=y.astype(np.int32),
        ids=tuple(f"{row}.jpg" for row in range(len(y))),
        digests=generator.integers(0, 256, (len(y), 32), np.uint8),
        splits=np.digitize(share[number], [0.8, 0.9]).astype(np.int8),
        groups=tuple(f"row {group}" for group in groups),
        class_names=tuple(f"cluster {label}" for label in range(int(y.max()) + 1)),
        feature_sets=(
            FeatureSet(Recipe("xception", weights="00"), ("avg_pool",), (X.shape[1],), WEIGHTS, "0" * 64),
        ),
        path="drawn.h5",
    )


def one_seed(features: FeatureMatrix) -> dict:
    """Sweep by default and exhaustively, and compare what they chose."""
    found = {
        name: swept(features, replace(SweepOptions(), exhaustive=name == "exhaustive"))
        for name in ("default", "exhaustive")
    }
    behind = found["default"]["log_loss"] - found["exhaustive"]["log_loss"]
    found["within_one_standard_error"] = behind <= found["exhaustive"]["standard_error"]
    say(json.dumps(found))
    return found


def cpu_seconds() -> float:
    """Return what this process and those that have ended took of all cores."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def swept(features: FeatureMatrix, options: SweepOptions) -> dict:
    """Return the choice of a sweep, its figures, and its seconds."""
    started, before = time.perf_counter(), cpu_seconds()
    with TemporaryDirectory() as folder:
        outcome = sweep_and_save(features, entries(), Path(folder) / "best", options)
    seconds = time.perf_counter() - started
    get_reusable_executor().shutdown(wait=True)  # only then the time of its processes is known
    values, winner = outcome.to_dict(), outcome.winner
    return {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds() - before,
        "head": winner.head,
        "params": winner.params,
        "log_loss": winner.log_loss,
        "standard_error": values["standard_error"],
        "alike": values["alike"],
        "compared": len(outcome.results.compared),
        "notes": values["notes"],
        "test": {name: values["test"][name]["value"] for name in ("accuracy", "log_loss")},
    }


if __name__ == "__main__":
    main()
