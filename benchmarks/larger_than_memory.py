"""Train heads on a feature file of 8 GB within 1 GB: resident memory, passes, and what reading costs.

python benchmarks/larger_than_memory.py [FOLDER [ROWS]]; the folder needs 8.5 GB, which are freed again.
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
from machine import machine
from sklearn.preprocessing import StandardScaler

from classify import load_features
from classify.features.blocks import Blocks
from classify.heads.table import make_head
from classify.penalized.softmax import Problem, _Objective
from extract import Recipe
from extract.feature_file.contents import Contents
from extract.feature_file.hdf5 import row_checksums
from extract.feature_file.writer import write_feature_file
from extract.recipe import EngineInfo

WIDTH, REPEATS, MEMORY = 2048, 3, 10**9
HEADS = {"logistic": [], "keras-linear": ["--param", "epochs=3"]}


def main(folder: str | None = None, rows: str = "1000000") -> None:
    """Measure and write the JSON."""
    with tempfile.TemporaryDirectory(dir=folder) as aside:
        path = Path(aside) / "large.h5"
        draw(path, int(rows))
        result = {"machine": machine(), "rows": int(rows), "width": WIDTH, "bytes": path.stat().st_size}
        result |= {"memory": MEMORY, "repeats": REPEATS, "load": os.getloadavg()}
        result["reads"] = reads(path)
        print(result["reads"], file=sys.stderr, flush=True)
        result["heads"] = {}
        for name, words in HEADS.items():
            result["heads"][name] = training(path, name, words)
            print(name, result["heads"][name], file=sys.stderr, flush=True)
    if int(rows) == 10**6:
        target = Path(__file__).parent / "results" / "larger_than_memory.json"
        target.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


class Drawn:
    """Rows of two overlapping classes, the first half of one and the second of the other."""

    path, outputs = Path("drawn"), ("avg_pool",)

    def __init__(self, labels: np.ndarray, digests: np.ndarray):
        self._labels, self._digests = labels, digests
        self._generator = np.random.default_rng(0)
        self._between = self._generator.normal(size=WIDTH).astype(np.float32) * np.float32(3 / WIDTH**0.5)
        self.probe = {"avg_pool": np.zeros(WIDTH, np.float32)}
        self.checksums = {"avg_pool": self}

    def dtype(self, output: str) -> np.dtype:
        return np.dtype(np.float32)

    def features(self, output: str):
        return self._Matrix(self)

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        """Return the checksums of the rows drawn last."""
        return row_checksums(self._block, self._digests[rows])

    class _Matrix:
        def __init__(self, store):
            self._store = store

        def __getitem__(self, rows: np.ndarray) -> np.ndarray:
            store = self._store
            block = store._generator.standard_normal((len(rows), WIDTH), np.float32)
            block += store._labels[rows, np.newaxis] * store._between
            store._block = np.maximum(block, 0)
            return store._block


def draw(path: Path, rows: int) -> None:
    """Write a feature file; splits are drawn as by a hash, 80, 10 and 10 %."""
    generator = np.random.default_rng(1)
    digests = generator.integers(0, 256, (rows, 32), np.uint8)
    labels = (np.arange(rows) >= rows // 2).astype(np.int32)
    contents = Contents(
        recipe=Recipe("xception", weights="00"),
        source={"kind": "drawn"},
        weights={"name": "none", "origin": "drawn"},
        class_names=("cat", "dog"),
        engines=(EngineInfo("none", "0", "none"),),
        ids=tuple(f"{('cat', 'dog')[label]}/{row:07d}.jpg" for row, label in enumerate(labels)),
        digests=digests,
        labels=labels,
        splits=generator.choice(np.array([0, 1, 2], np.int8), rows, p=[0.8, 0.1, 0.1]),
        origins=np.zeros(rows, np.uint8),
    )
    store = Drawn(labels, digests)
    write_feature_file(path, contents, [(store, row) for row in range(rows)])


def forget(path: Path) -> None:
    """Ask the system to drop what it keeps of a file, so that the disk is read."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def reads(path: Path) -> dict:
    """Time passes over the training rows, in turns with a direct sequential read."""
    features = load_features(path, in_memory=False)
    rows = features.rows("train")
    blocks = Blocks(features.X, rows, features.ids, MEMORY)
    scaler = StandardScaler()
    for _, block in blocks.in_order():
        scaler.partial_fit(block)
        break
    standardized = blocks.standardized(*(each.astype(np.float32) for each in (scaler.mean_, scaler.scale_)))
    problem = Problem(standardized, features.y[rows], np.ones((len(rows), 1)), 2)
    objective = _Objective(problem, 1.0, np.float64)
    flat = np.zeros(WIDTH + 1)
    head = make_head("keras-linear", epochs=1)
    passes = {
        "direct": lambda: direct(path, features.X.nbytes),
        "logistic": lambda: objective(flat),
        "shuffled": lambda: [None for _ in blocks.shuffled(np.random.default_rng(0))],
        "keras_linear_epoch": lambda: head.fit_encoded(blocks, features.y[rows], np.arange(2)),
    }
    return {
        "from_disk": timed(passes, features.X.nbytes, lambda: forget(path)),
        "from_cache": timed(passes, features.X.nbytes, lambda: None),
    }


def direct(path: Path, size: int) -> None:
    """Read the features' bytes in order, 8 MB at a time."""
    buffer = memoryview(bytearray(8 * 2**20))
    with path.open("rb", buffering=0) as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)
        offset = path.stat().st_size - size
        while count := os.preadv(file.fileno(), [buffer], offset):
            offset += count


def timed(passes: dict, size: int, before) -> dict:
    """Return megabytes of the file a second of each pass, and its ratio to the direct read, in turns."""
    speeds = {name: [] for name in passes}
    for _ in range(REPEATS):
        for name, run in passes.items():
            before()
            started = time.perf_counter()
            run()
            speeds[name].append(size / (time.perf_counter() - started) / 1e6)
    ratios = {
        name: median(one / two for one, two in zip(values, speeds["direct"], strict=True))
        for name, values in speeds.items()
    }
    return {"mb_per_second": speeds, "ratio_to_direct": ratios}


def training(path: Path, name: str, words: list[str]) -> dict:
    """Run the command in a process of its own; return its peak, its time and what it said."""
    forget(path)
    folder = path.with_name(name)
    command = ["-m", "classify", "train", str(path), "--head", name, "-o", str(folder), "--memory", "1GB"]
    log = path.with_suffix(".log")
    started = time.perf_counter()
    with log.open("wb") as file:
        actions = [(os.POSIX_SPAWN_DUP2, file.fileno(), 1), (os.POSIX_SPAWN_DUP2, file.fileno(), 2)]
        child = os.posix_spawn(
            sys.executable, [sys.executable, *command, *words], os.environ, file_actions=actions
        )
        _, status, usage = os.wait4(child, 0)
    said = log.read_text().splitlines()
    assert status == 0, said
    return {
        "peak_resident_gb": usage.ru_maxrss * 1024 / 1e9,
        "seconds": time.perf_counter() - started,
        "said": [line for line in said if " rows" in line or "rows " in line],
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
