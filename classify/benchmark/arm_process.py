"""One arm of a benchmark in a process of its own: -m classify.benchmark.arm_process JOB.json RESULT.json."""

import json
import os
import re
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from classify.benchmark.arms import ARMS, FEATURES, HEAD, Job, some_rows
from classify.benchmark.report import epochs_that_fit
from data.console import prepare_logging
from data.errors import HeadstartError
from data.progress import progress_bar
from extract.recipe import Recipe

if TYPE_CHECKING:  # what an arm imports is part of its time
    from classify.bundle.bundle import Bundle


@dataclass
class Clock:
    """When epochs of an arm ended, in seconds since it began, and whether another one fits.

    Attributes
    ----------
    started : float
        By `time.perf_counter`.
    seconds : float or None
        After which no epoch begins.
    testing : float
        What predicting the test rows takes, in epochs.
    ends : dict of int to float
        By the number of the epoch, from 1.
    """

    started: float
    seconds: float | None = None
    testing: float = 0.0
    ends: dict[int, float] = field(default_factory=dict)

    def passed(self) -> float:
        """Return the seconds since the arm began."""
        return time.perf_counter() - self.started

    def enough(self, epochs: list[dict]) -> bool:
        """Note the end of the last epoch, and tell whether there is no time for another one."""
        self.ends[len(epochs)] = self.passed()
        if self.seconds is None:
            return False
        left, epoch = self.seconds - self.passed(), epochs[-1]["seconds"]
        return epochs_that_fit(left - self.testing * epoch, epoch, 1) == 0


def extraction(job: Job, clock: Clock) -> dict:
    """Extract the rows of a job into its feature file."""
    from extract.feature_file.reader import FeatureFile
    from extract.run.extract import extract

    path = Path(job.folder) / FEATURES
    with progress_bar("waiting for the backbone", doing="extracting") as progress:
        report = extract(some_rows(job), Recipe.from_json(job.recipe), path, progress=progress)
    seconds = clock.passed()
    return {"seconds": seconds, "rejected": report.rejected, "engine": FeatureFile(path).engine(0).to_dict()}


def cached_head(job: Job, clock: Clock) -> dict:
    """Train the head on cached features, and keep it for the arms that start from it."""
    from classify.bundle.bundle import Bundle
    from classify.features.load import load_features
    from classify.heads.keras_head import KerasHead

    epochs: list[dict] = []
    planned = ARMS[job.arm].epochs
    features = load_features(Path(job.folder) / FEATURES)
    (X, y), (X_val, y_val) = features.training_rows(), features.validation_rows()
    known = np.isin(y_val, y)
    X_val, y_val = X_val[known], y_val[known]
    head = KerasHead(epochs=planned, patience=planned, seed=job.seed)
    begun = clock.passed()

    def note(logs: dict[str, float]) -> None:
        accuracy = float((head.predict(X_val) == y_val).mean())
        before = clock.ends.get(len(epochs), begun)
        epochs.append({"seconds": clock.passed() - before, "val_accuracy": accuracy})
        clock.enough(epochs)

    head.fit(X, y, X_val, y_val, on_epoch=note)
    seconds = clock.passed()
    Bundle.of(head, features, "keras-linear", calibrate=False).save(Path(job.folder) / HEAD)
    test = features.rows("test")
    losses = [logs["val_loss"] for logs in head.history_]
    result = _result(clock, epochs, seconds, int(np.argmin(losses)) + 1)
    predicted = head.predict(features.X[test])
    return result | _predictions([features.ids[row] for row in test], features.y[test], predicted)


def in_the_graph(job: Job, clock: Clock) -> dict:
    """Train with the backbone in the graph, from an untrained head or from the cached one."""
    from classify.finetuning.images import load_rows
    from classify.finetuning.loops import Hooks
    from classify.finetuning.options import TrainingOptions
    from classify.finetuning.run_state import RunState
    from classify.finetuning.training import Run

    arm = ARMS[job.arm]
    options = TrainingOptions(**arm.options, epochs=arm.epochs, patience=arm.epochs, seed=job.seed)
    run = Run(_start(job), options)
    rows = load_rows(some_rows(job), Recipe.from_json(job.recipe))
    test = rows["test"]
    clock.testing = len(test.y) / (len(rows["train"].y) + len(rows["validation"].y))
    aside = TemporaryDirectory(dir=job.folder, prefix=f".{HEAD}.")
    with aside as folder, progress_bar(arm.label, "batch") as progress:
        state = RunState(Path(folder) / "run", {})
        record = run.train(rows, state, hooks=Hooks(progress, clock.enough)).record
    if not record.history:
        raise HeadstartError(
            f"{arm.label}: the loss diverged in the first epoch",
            "a finite loss",
            "one that is not a finite number",
            "check the images and the weights; there is nothing to compare",
        )
    result = _result(clock, record.history, clock.passed(), record.best_epoch)
    result |= {"parameters": record.parameters.to_dict()}
    return result | _predictions(test.ids, test.y, run.predict(test.pixels))


def _start(job: Job) -> "Bundle":
    """Return the bundle that an arm starts from."""
    from classify.bundle.bundle import Bundle
    from classify.features.load import load_features
    from classify.finetuning.live import untrained

    bundle = Bundle.load(Path(job.folder) / HEAD)
    if ARMS[job.arm].transplants:
        return bundle
    return replace(bundle, head=untrained(load_features(Path(job.folder) / FEATURES), job.seed))


def _result(clock: Clock, epochs: list[dict], seconds: float, best: int) -> dict:
    return {
        "seconds": seconds,
        "epoch_seconds": [epoch["seconds"] for epoch in epochs],
        "curve": [[clock.ends[number], epoch["val_accuracy"]] for number, epoch in enumerate(epochs, 1)],
        "best_epoch": best,
    }


def _predictions(ids: Sequence[str], labels: np.ndarray, predicted: np.ndarray) -> dict:
    return {"ids": list(ids), "labels": labels.tolist(), "predicted": predicted.tolist()}


def peak_memory() -> int:
    """Return the most memory that this process has had resident so far, in bytes.

    The kernel's own counter of this program: that of `getrusage` begins with the parent's.

    Examples
    --------
    >>> peak_memory() > 10**6
    True
    """
    (kilobytes,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return 1024 * int(kilobytes)


def end_with_parent() -> None:
    """End this process as soon as its standard input ends, which the process that started it holds open."""

    def watch() -> None:
        os.read(sys.stdin.fileno(), 1)  # unbuffered: this process may end while it waits here
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


WORK = {"extract": extraction, "cached": cached_head}


def main(job: Path, result: Path) -> None:
    """Do a job, and write what came of it; a user's error in its four parts."""
    prepare_logging()
    asked = Job(**json.loads(job.read_text()))
    clock = Clock(time.perf_counter(), asked.seconds)
    try:
        found = WORK.get(asked.arm, in_the_graph)(asked, clock) | {"peak_memory": peak_memory()}
    except HeadstartError as error:
        found = {"error": error.args}
    result.write_text(json.dumps(found))


if __name__ == "__main__":
    end_with_parent()
    main(*map(Path, sys.argv[1:]))
