"""Which backbone, at which size, in which arithmetic? Accuracy, log loss and time of each, on several sets.

    python benchmarks/backbones.py WORK photos=PHOTOS trash=TRASH

Every recipe extracts all images of each set, and `logistic` is cross-validated on all rows; differences are
paired. Then some images of the first set are extracted from the shell by every recipe, in turns, its backbone
converted and calibrated by then; at last `frontier` chooses among all these backbones. What WORK holds is not
computed again. Times want a machine without other work; its load stands beside them.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from machine import machine

from classify.features.load import load_features
from classify.frontier.compare import Judged, difference
from classify.heads.table import make_head
from classify.scores.cross_validation import cross_validate, together
from data.console import say
from data.sources.source import open_source

FOLDS, TIMED, TURNS = 10, 400, 3
SIZES = {"xception": (150, 299), "efficientnetlite0": (224,), "efficientnetlite2": (260,)}
ARITHMETICS = {
    "float32": (),
    "bfloat16": ("--precision", "bfloat16"),
    "int8": ("--quantization", "int8"),
}
RESIZINGS = {
    "bilinear": (),
    "bilinear antialias": ("--antialias",),
    "bicubic antialias": ("--resize", "bicubic", "--antialias"),
    "bicubic antialias crop": ("--resize", "bicubic", "--antialias", "--crop", "0.875"),
}
RESIZED = {"xception": 150, "efficientnetlite0": 224, "efficientnetlite2": 260}
RESULT = Path(__file__).parent / "results" / "backbones.json"
Arm = tuple[str, int, str, str]  # backbone, size, arithmetic, resizing


def main() -> None:
    """Measure and write the JSON."""
    work = Path(sys.argv[1])
    sets = dict(each.split("=", 1) for each in sys.argv[2:])
    judged = {name: judged_set(path, work / name) for name, path in sets.items()}
    result = {"machine": machine(), "folds": FOLDS, "sets": judged}
    first = next(iter(sets.values()))
    result |= {"timed_images": TIMED, "times": timed(first, work / "timed"), "load": os.getloadavg()[0]}
    result["frontier"] = front(first, work / "frontier")
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    say(f"wrote {RESULT}")


def arms() -> dict[Arm, list[str]]:
    """Return the options of `extract run` for each recipe."""
    chosen = [
        (name, size, arithmetic, "bilinear")
        for name, sizes in SIZES.items()
        for size in sizes
        for arithmetic in ARITHMETICS
    ]
    chosen += [(name, size, "float32", resizing) for name, size in RESIZED.items() for resizing in RESIZINGS]
    return {
        (name, size, arithmetic, resizing): [
            *("--backbone", name, "--image-size", str(size)),
            *ARITHMETICS[arithmetic],
            *RESIZINGS[resizing],
        ]
        for name, size, arithmetic, resizing in dict.fromkeys(chosen)
    }


def judged_set(path: str, folder: Path) -> list[dict]:
    """Return what each recipe is worth on the images of a source."""
    folder.mkdir(parents=True, exist_ok=True)
    judged: dict[Arm, Judged] = {}
    for arm, words in arms().items():
        file = folder / (stem(arm) + ".h5")
        run(path, file, words)
        judged[arm] = judge(file)
        say(f"{folder.name} {stem(arm)}: log loss {judged[arm].log_loss:.4f}")
    best = min(judged, key=lambda each: judged[each].log_loss)
    return [
        {
            **described(arm),
            **{name: one.found.report()[name] for name in ("rows", "accuracy", "log_loss")},
            "against_best": None if arm == best else difference(one, judged[best]).to_dict(),
            "against_bilinear": difference(one, judged[*arm[:3], "bilinear"]).to_dict(),
        }
        for arm, one in judged.items()
    ]


def described(arm: Arm) -> dict:
    """Return what an arm is, ready for JSON."""
    return dict(zip(("backbone", "image_size", "arithmetic", "resizing"), arm, strict=True))


def stem(arm: Arm) -> str:
    """Return how the files of an arm are named."""
    return "-".join(map(str, arm)).replace(" ", "_")


def run(path: str, file: Path, words: list[str]) -> dict:
    """Extract from the shell, and return the report."""
    return shell("extract", "run", path, "-o", str(file), *words)


def shell(package: str, *words: str) -> dict:
    """Run a command, and return what it says as JSON."""
    command = [sys.executable, "-m", package, *words, "--json"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def judge(file: Path) -> Judged:
    """Cross-validate `logistic` on all rows of a file."""
    features = load_features([file])
    every = replace(features, X=np.asarray(features.X), splits=np.zeros(len(features.y), np.int8))
    found = cross_validate(make_head("logistic"), every, FOLDS)
    return Judged(found, together(every, found.rows))


def timed(path: str, folder: Path) -> list[dict]:
    """Return medians of what each recipe takes from the shell for some images."""
    images = folder / "images"
    link_some(path, images)
    chosen = {arm: words for arm, words in arms().items() if arm[3] == "bilinear"}
    taken: dict[Arm, list[dict]] = {arm: [one_run(images, arm, words)] for arm, words in chosen.items()}
    for _ in range(TURNS):
        for arm, words in chosen.items():
            taken[arm].append(one_run(images, arm, words))
    return [{**described(arm), **medians(each[1:])} for arm, each in taken.items()]


def one_run(images: Path, arm: Arm, words: list[str]) -> dict:
    """Return what one run takes, from the shell and from opening the source to the finished file."""
    file = images.parent / (stem(arm) + ".h5")
    file.unlink(missing_ok=True)
    before, started = os.times(), time.perf_counter()
    report = run(str(images), file, words)
    seconds, after = time.perf_counter() - started, os.times()
    if report["computed"] != TIMED:
        raise SystemExit(f"{arm} computed {report['computed']} images of {TIMED}")
    spent = sum(after[2:4]) - sum(before[2:4])  # of children: user and system
    return {"seconds": seconds, "processor_seconds": spent, "images_per_second": TIMED / report["seconds"]}


def medians(turns: list[dict]) -> dict:
    """Return the median of each figure, and all of them."""
    return {
        name: {"median": statistics.median(values), "turns": [round(value, 2) for value in values]}
        for name in turns[0]
        if (values := [turn[name] for turn in turns])
    }


def front(path: str, folder: Path) -> dict:
    """Return what `frontier` says of all backbones."""
    found = shell("classify", "frontier", path, "-o", str(folder), "--backbones", ",".join(SIZES))
    keys = ("name", "rows", "log_loss", "accuracy", "images_per_second", "on_front")
    recipes = [{key: each[key] for key in keys} for each in found["recipes"]]
    return {**{key: found[key] for key in ("images", "best", "named", "alike")}, "recipes": recipes}


def link_some(path: str, folder: Path) -> None:
    """Link images of a source, spread evenly, into folders of their classes."""
    source = open_source(path)
    for place in np.linspace(0, len(source.rows) - 1, TIMED).astype(int).tolist():
        target = folder / source.rows[place].id
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.is_symlink():
            target.symlink_to(Path(path).resolve() / source.rows[place].id)


if __name__ == "__main__":
    main()
