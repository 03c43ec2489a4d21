"""What does the feature file cost? A run with nothing to do, one with 1 % more images, assembly, reads.

    python benchmarks/feature_file.py

Makes 100,000 tiny PNG files in a temporary folder and extracts them with MobileNet at 32 pixels and random
weights, so that the backbone costs little. Reads are taken in turns with `numpy.memmap` on the same bytes.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
from machine import machine
from PIL import Image

from data import open_source
from data.split_rule import HASH
from extract import FeatureFile, Options, Recipe, extract
from extract.feature_file.writer import write_feature_file
from extract.run.assemble import assemble
from extract.run.scan import scan_source
from extract.run.survey import survey

ROWS, REPEATS = 100_000, 7
ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Measure and write the JSON."""
    with tempfile.TemporaryDirectory() as folder:
        images, path = Path(folder) / "images", Path(folder) / "images.h5"
        draw(images, 0, ROWS)
        recipe = Recipe.for_backbone("mobilenet", weights="none", image_size=32)
        extract(open_source(images), recipe, path, Options(batch_size=256))
        result = {"machine": machine(), "rows": ROWS, "width": 1024, "bytes": path.stat().st_size}
        result["hit_seconds"] = [hit(images, path) for _ in range(REPEATS)]
        result["assembly_mb_per_second"] = [assembly(images, recipe, path) for _ in range(REPEATS)]
        result["reads"] = reads(path)
        draw(images, ROWS, ROWS // 100)
        started = time.perf_counter()
        report = extract(open_source(images), recipe, path, Options(batch_size=256))
        result["one_percent_more"] = {"computed": report.computed, "seconds": time.perf_counter() - started}
    target = Path(__file__).parent / "results" / "feature_file.json"
    target.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


def draw(folder: Path, first: int, count: int) -> None:
    """Write tiny images of noise, half of them in each of two classes, dated in the past."""
    generator = np.random.default_rng(first)
    for number in range(first, first + count):
        path = folder / ("even", "odd")[number % 2] / f"{number:06d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(path)
        os.utime(path, (1, 1))


def hit(images: Path, path: Path) -> float:
    """Time a whole process of `extract run` that has nothing to do, warm."""
    words = ["run", images, "-o", path, "--backbone", "mobilenet", "--weights", "none", "--image-size", "32"]
    command = [sys.executable, "-m", "extract", *map(str, words)]
    started = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert f"{ROWS} rows, 0 computed" in done.stdout, done.stdout
    return time.perf_counter() - started


def assembly(images: Path, recipe: Recipe, path: Path) -> float:
    """Time writing the whole file anew from the present one, checksums, sync and all."""
    source, found = open_source(images), survey(recipe, path)
    contents, rows = assemble(source, scan_source(source), found, HASH)
    target = path.with_name("again.h5")
    started = time.perf_counter()
    write_feature_file(target, contents, rows)
    seconds = time.perf_counter() - started
    size = target.stat().st_size
    target.unlink()
    return size / seconds / 1e6


def reads(path: Path) -> dict:
    """Time 32 random rows and a sequential pass, in turns with `numpy.memmap` on the same bytes."""
    import h5py

    with h5py.File(path) as file:
        data = file["features/avg_pool"]
        shape, offset = data.shape, data.id.get_offset()
    generator = np.random.default_rng(0)
    batches = [generator.integers(0, shape[0], 32) for _ in range(200)]
    times = {"random_ours": [], "random_memmap": [], "sequential_ours": [], "sequential_memmap": []}
    for _ in range(REPEATS):
        for name in ("ours", "memmap"):
            features = (
                FeatureFile(path).features("avg_pool")
                if name == "ours"
                else np.memmap(path, np.float32, "r", offset, shape)
            )
            started = time.perf_counter()
            for batch in batches:
                features[batch]
            times[f"random_{name}"].append((time.perf_counter() - started) / len(batches))
            started = time.perf_counter()
            features.sum()
            times[f"sequential_{name}"].append(features.nbytes / (time.perf_counter() - started) / 1e9)
    medians = {name: median(values) for name, values in times.items()}
    return {
        "random_32_rows_ms": {name: medians[f"random_{name}"] * 1e3 for name in ("ours", "memmap")},
        "random_ratio": medians["random_ours"] / medians["random_memmap"],
        "sequential_gb_per_second": {name: medians[f"sequential_{name}"] for name in ("ours", "memmap")},
    }


if __name__ == "__main__":
    main()
