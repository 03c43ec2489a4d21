"""Find duplicates among 25,000 to 1,000,000 rows: time, memory, and what the search by projections misses.

python benchmarks/duplicates.py [FOLDER [ROWS...]]; a million rows take 4.1 GB in the folder, freed again.

Rows are drawn with about the dimension that features of photographs have; one in a hundred has a copy, as
near as re-encoded, slightly cropped and mirrored photographs are. Each search is a process of its own.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from machine import machine

from classify.audit import duplicates
from classify.audit.gaps import NEIGHBOURS
from classify.features.columns import Columns
from classify.features.matrix import FeatureMatrix
from classify.features.neighbours import nearest_of_all
from classify.features.projection import nearest_projected

WIDTH, LATENT, BLOCK = 2048, 24, 10_000
COPIES = {"re-encoded": 0.05, "cropped": 0.28, "mirrored": 0.5}  # how far a copy is, of the length of a row
COMPARED = 100_000  # rows, up to which each is also compared with each
RESULT = Path(__file__).parent / "results" / "duplicates.json"


def main(folder: str | None = None, *rows: str) -> None:
    """Measure and write the JSON; with some numbers of rows alone, those in it are brought up to date."""
    result = json.loads(RESULT.read_text()) if rows and RESULT.exists() else {"searches": {}}
    result |= {"machine": machine(), "width": WIDTH, "copies": COPIES, "exact_up_to": duplicates.EXACT}
    with tempfile.TemporaryDirectory(dir=folder) as aside:
        for count in map(int, rows or ("25000", "100000", "1000000")):
            path = Path(aside) / "features.bin"
            draw(path, count)
            ways = ("usual", "exact") if duplicates.EXACT < count <= COMPARED else ("usual",)
            found = {way: searched(path, count, way) for way in ways}
            if len(ways) > 1:
                found["recall"] = recall(*(np.load(path.with_suffix(f".{way}.npy")) for way in ways))
            result["searches"][str(count)] = found
            print(count, json.dumps(found, indent=1), file=sys.stderr, flush=True)
    RESULT.write_text(json.dumps(result, indent=1) + "\n")


def planted(rows: int) -> np.ndarray:
    """Return the rows that have a copy, the last ones, and those that they copy: (P, 2)."""
    count = rows // 100
    originals = np.random.default_rng(1).permutation(rows - count)[:count]
    return np.stack([originals, np.arange(rows - count, rows)], axis=1)


def draw(path: Path, rows: int) -> None:
    """Write the features of rows in float16: positive parts of products of few hidden numbers."""
    generator = np.random.default_rng(0)
    hidden = generator.standard_normal((rows, LATENT), np.float32)
    pairs = planted(rows)
    away = generator.standard_normal((len(pairs), LATENT), np.float32)
    far = np.resize(list(COPIES.values()), len(pairs))
    hidden[pairs[:, 1]] = hidden[pairs[:, 0]] + far[:, None] * away
    mixing = generator.standard_normal((LATENT, WIDTH), np.float32)
    with open(path, "wb") as file:
        for first in range(0, rows, BLOCK):
            products = hidden[first : first + BLOCK] @ mixing
            products += 0.5 * generator.standard_normal(products.shape, np.float32)
            file.write(np.maximum(products, 0).astype(np.float16).tobytes())


def searched(path: Path, rows: int, way: str) -> dict:
    """Search in a process of its own; its pairs lie beside the features then."""
    words = [sys.executable, __file__, "--search", str(path), str(rows), way]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def search(path: Path, rows: int, way: str) -> dict:
    """Find the duplicates among rows of a file; say what it took and what was found."""
    X = Columns([np.memmap(path, np.float16, "r", shape=(rows, WIDTH))])
    features = FeatureMatrix(
        X=X,
        y=np.zeros(rows, np.int32),
        ids=tuple(map(str, range(rows))),
        digests=np.random.default_rng(2).integers(0, 256, (rows, 32), np.uint8),
        splits=np.zeros(rows, np.int8),
        groups=(),
        class_names=("drawn",),
        path=str(path),
        feature_sets=(),
    )
    if way == "exact":
        duplicates.EXACT = rows
    before, started, used = resident(), time.perf_counter(), time.process_time()
    found = duplicates.find_duplicates(features)
    took, used = time.perf_counter() - started, time.process_time() - used
    np.save(path.with_suffix(f".{way}.npy"), found.pairs)
    return {
        "seconds": round(took, 1),
        "cpu_seconds": round(used, 1),
        "load": os.getloadavg()[0],
        "resident_before": before,
        "resident_peak": resident(),
        "ratio": found.thresholds.ratio,
        "cosine": found.thresholds.cosine,
        **told(found.pairs, found.cosine, rows),
        **({"neighbours_found": neighbours_found(X, rows)} if way == "exact" else {}),
    }


def told(pairs: np.ndarray, cosine: np.ndarray, rows: int) -> dict:
    """Return which planted copies are among pairs, and how many rows of others."""
    right = {tuple(pair): number % len(COPIES) for number, pair in enumerate(planted(rows).tolist())}
    kinds = np.array([right.get(tuple(pair), -1) for pair in pairs.tolist()], int)
    there = np.bincount(list(right.values()))
    return {
        "found": {name: float((kinds == kind).sum() / there[kind]) for kind, name in enumerate(COPIES)},
        "median_cosine": {name: float(np.median(cosine[kinds == kind])) for kind, name in enumerate(COPIES)},
        "false_alarms": len(np.unique(pairs[kinds < 0])) / rows,
    }


def neighbours_found(X: Columns, rows: int) -> dict:
    """Return which of the nearest rows by all comparisons the projected search gives, over all rows."""
    exact, _ = nearest_of_all(X, np.arange(rows), NEIGHBOURS)
    near, _ = nearest_projected(X, np.arange(rows), NEIGHBOURS)
    first = (near == exact[:, :1]).any(axis=1)
    return {"first": float(first.mean()), "sample": rows}


def recall(usual: np.ndarray, exact: np.ndarray) -> dict:
    """Return which pairs of the exact search the usual one found too."""
    known, found = ({tuple(pair) for pair in pairs.tolist()} for pairs in (exact, usual))
    return {"exact_pairs": len(known), "found": len(known & found) / len(known), "others": len(found - known)}


def resident() -> int:
    """Return the highest resident memory so far, in bytes."""
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    if sys.argv[1:2] == ["--search"]:
        path, rows, way = sys.argv[2:]
        print(json.dumps(search(Path(path), int(rows), way)))
    else:
        main(*sys.argv[1:])
