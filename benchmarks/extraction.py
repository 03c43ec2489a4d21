"""How near is extraction to the machine's limit, and does it scale?

    python benchmarks/extraction.py PHOTOS

Takes the figures of `python -m extract bench` for float32 and int8, the whole pipeline with one thread and
with all, and one run over 20,000 synthetic images, of which the first and the last 2,000 are compared.
"""

import json
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
from machine import machine

from data import open_source
from data.sources.arrays import npy_bytes
from extract import Recipe
from extract.engines.engine import available_threads, open_engine
from extract.engines.pipeline import compute_features
from extract.run.bench import bench
from extract.run.calibrate import quantized

IMAGES, REPEATS = 256, 5
LONG, WINDOW = 20_000, 2_000


def main(photos: str) -> None:
    """Measure and write the JSON."""
    source, recipe = open_source(photos), Recipe.for_backbone("xception", image_size=150)
    result = {"machine": machine()}
    for name, wanted in (("float32", recipe), ("int8", quantized(recipe, source))):
        result[name] = bench(source, wanted, images=IMAGES, repeats=REPEATS).to_dict()
    result["threads"] = threads(source, recipe)
    result["long_run"] = long_run(recipe)
    target = Path(__file__).parent / "results" / "extraction.json"
    target.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


def threads(source, recipe: Recipe) -> dict:
    """Measure the whole pipeline with one thread and with all, in turns."""
    rows = [source.rows[number] for number in range(0, len(source.rows), len(source.rows) // IMAGES)]
    counts = (1, available_threads())
    engines = {count: open_engine("openvino", recipe, count) for count in counts}
    speeds = {count: [] for count in counts}
    for _ in range(REPEATS):
        for count, engine in engines.items():
            started = time.perf_counter()
            for _ in compute_features(engine, recipe, zip(rows, source.read(rows), strict=True), count):
                pass
            speeds[count].append(len(rows) / (time.perf_counter() - started))
    one, many = (float(np.median(speeds[count])) for count in counts)
    return {"images_per_second": speeds, "medians": [one, many], "efficiency": many / one / counts[1]}


def long_run(recipe: Recipe) -> dict:
    """Run over synthetic images once; return the time of each window, after one that warms up."""
    engine = open_engine("openvino", recipe)
    generator = np.random.default_rng(0)
    images = [npy_bytes(generator.integers(0, 256, (375, 500, 3), dtype=np.uint8)) for _ in range(8)]
    items = ((number, images[number % 8]) for number in range(WINDOW + LONG))
    marks = []
    for number, _ in enumerate(compute_features(engine, recipe, items)):
        if number % WINDOW == WINDOW - 1:
            marks.append(time.perf_counter())
    seconds = [later - earlier for earlier, later in pairwise(marks)]
    return {"window": WINDOW, "seconds": seconds, "last_over_first": seconds[-1] / seconds[0]}


if __name__ == "__main__":
    main(sys.argv[1])
