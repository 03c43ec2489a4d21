"""Which backbone, at which size, in which arithmetic? Accuracy, log loss and time of each, on several sets.

    python benchmarks/backbones.py WORK photos=PHOTOS trash=TRASH

Every recipe extracts all images of a set from the shell, twice: the first run converts the backbone, and
calibrates it where it is int8; the second one writes the file anew. Seconds are the clock's, and of the
processor, which other work on the machine changes less. `logistic` is cross-validated on all rows of each
file; differences are paired. What WORK holds is not computed again.
"""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from machine import machine

from classify.features.load import load_features
from classify.frontier.compare import Judged, difference
from classify.frontier.sample import units_of
from classify.heads.table import make_head
from classify.scores.cross_validation import cross_validate
from data.console import say

FOLDS = 10
SIZES = {"xception": (150, 299), "efficientnetlite0": (150, 224), "efficientnetlite2": (150, 260)}
ARITHMETICS = {
    "float32": (),
    "bfloat16": ("--precision", "bfloat16"),
    "int8": ("--quantization", "int8"),
}
PUBLISHED = ("--resize", "bicubic", "--antialias", "--crop", "0.875")  # how EfficientNet-Lite was judged
RESIZING = {
    "bilinear": (),
    "bilinear, antialias": ("--antialias",),
    "bicubic, antialias": ("--resize", "bicubic", "--antialias"),
    "bicubic, antialias, crop 0.875": PUBLISHED,
}
RESIZED = {"xception": (150, 299), "efficientnetlite0": (224,), "efficientnetlite2": (260,)}
RESULT = Path(__file__).parent / "results" / "backbones.json"


def main() -> None:
    """Measure and write the JSON."""
    work = Path(sys.argv[1])
    sets = dict(each.split("=", 1) for each in sys.argv[2:])
    result = {"machine": machine(), "folds": FOLDS, "sets": {}}
    for name, path in sets.items():
        result["sets"][name] = one_set(path, work / name)
        RESULT.write_text(json.dumps(result, indent=1) + "\n")
    say(f"wrote {RESULT}")


def arms() -> dict[tuple[str, int, str, str], tuple[str, ...]]:
    """Return the options of each backbone, size, arithmetic and way of resizing."""
    found = {
        (name, size, arithmetic, "bilinear"): options
        for name, sizes in SIZES.items()
        for size in sizes
        for arithmetic, options in ARITHMETICS.items()
    }
    found |= {
        (name, size, "float32", resizing): options
        for name, sizes in RESIZED.items()
        for size in sizes
        for resizing, options in RESIZING.items()
    }
    return found


def one_set(path: str, folder: Path) -> list[dict]:
    """Return what each recipe gives on the images of a source."""
    folder.mkdir(parents=True, exist_ok=True)
    judged, told = {}, {}
    for arm, options in arms().items():
        name, size, arithmetic, resizing = arm
        file = folder / f"{'-'.join(map(str, arm)).replace(', ', '_').replace(' ', '')}.h5"
        words = ["--backbone", name, "--image-size", str(size), *options]
        times = extracted(path, file, words)
        judged[arm] = judge(file)
        report = judged[arm].found.report()
        scores = f"accuracy {report['accuracy']['value']}, log loss {report['log_loss']['value']}"
        say(f"{file.stem}: {scores}, {times}")
        told[arm] = {
            "backbone": name,
            "image_size": size,
            "arithmetic": arithmetic,
            "resizing": resizing,
            "rows": judged[arm].rows,
            "accuracy": report["accuracy"],
            "log_loss": report["log_loss"],
            **times,
        }
    best = min(judged, key=lambda each: judged[each].log_loss)
    for arm, one in told.items():
        one["against_best"] = None if arm == best else difference(judged[arm], judged[best], 1).to_dict()
    return list(told.values())


def extracted(path: str, file: Path, words: list[str]) -> dict:
    """Extract from the shell, twice, or return how long that took before."""
    kept = file.with_suffix(".json")
    if kept.is_file():
        return json.loads(kept.read_text())
    command = [sys.executable, "-m", "extract", "run", path, "-o", str(file), *words]
    times = {}
    for run in ("first", "second"):
        file.unlink(missing_ok=True)
        before, started = os.times(), time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        times[f"{run}_seconds"] = round(time.perf_counter() - started, 2)
        after = os.times()
        spent = after.children_user + after.children_system - before.children_user - before.children_system
        times[f"{run}_processor_seconds"] = round(spent, 2)
    kept.write_text(json.dumps(times))
    return times


def judge(file: Path) -> Judged:
    """Cross-validate `logistic` on all rows of a file."""
    features = load_features([file])
    every = replace(features, X=np.asarray(features.X), splits=np.zeros(len(features.y), np.int8))
    return Judged(cross_validate(make_head("logistic"), every, FOLDS), units_of(every))


if __name__ == "__main__":
    main()
