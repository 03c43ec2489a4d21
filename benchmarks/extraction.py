"""How near is extraction to the machine's limit in each arithmetic, and what does an arithmetic cost?

    python benchmarks/extraction.py PHOTOS
    python benchmarks/extraction.py PHOTOS --only large --only decoding

`speed`: what `python -m extract bench` measures, for float32, bfloat16 (where the CPU computes it) and int8,
all in turns; `threads`: the float32 pipeline with one thread and with all; `decoding`: one whose engine does
nothing, with threads and with processes, and what an image takes under the interpreter's lock;
`accuracy`: 10-fold accuracy and log loss of a logistic head on all photographs, and the cosine of features
to those in float32; `large`: photographs of twelve megapixels, made by upscaling. `long` (20,000 synthetic
images) runs only where `--only long` asks for it. Each is written when it is done, and what was measured
before stays.
"""

import argparse
import io
import json
import multiprocessing
import tempfile
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from machine import machine
from PIL import Image

from classify import HEADS, load_features
from classify.scores.cross_validation import cross_validate
from data import HeadstartError, Source, open_source
from data.images import load_image
from data.sources.arrays import npy_bytes
from extract import Options, Recipe, extract
from extract.engines.engine import Engine, available_threads, open_engine
from extract.engines.pipeline import compute_features, decode, decode_ahead
from extract.recipe import EngineInfo
from extract.run.bench import benches, in_turns
from extract.run.calibrate import quantized

TARGET = Path(__file__).parent / "results" / "extraction.json"
IMAGES, REPEATS = 512, 5
FOLDS = 10
LARGE, LARGE_SIDES = 24, (4000, 3000)
LONG, WINDOW = 20_000, 2_000


def main() -> None:
    """Measure what is asked for, and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos")
    usual = [name for name in SECTIONS if name != "long"]
    parser.add_argument("--only", action="append", choices=SECTIONS)
    parser.add_argument("--output", type=Path, default=TARGET)
    given = parser.parse_args()
    source = open_source(given.photos)
    recipes = precisions(source)
    result = json.loads(given.output.read_text()) if given.output.exists() else {}
    for name in given.only or usual:
        started = time.perf_counter()
        result[name] = SECTIONS[name](source, recipes)
        result["machine"] = machine()
        result.setdefault("seconds", {})[name] = time.perf_counter() - started
        given.output.write_text(json.dumps(result, indent=1) + "\n")
        print(name, json.dumps(result[name], indent=1))


def precisions(source: Source) -> dict[str, Recipe]:
    """Return a recipe for each arithmetic that this CPU has."""
    recipe = Recipe.for_backbone("xception", image_size=150)
    found = {"float32": recipe, "bfloat16": replace(recipe, precision="bfloat16")}
    try:
        open_engine("openvino", found["bfloat16"])
    except HeadstartError:
        del found["bfloat16"]
    return found | {"int8": quantized(recipe, source)}


def speed(source: Source, recipes: dict[str, Recipe]) -> dict:
    """Run all arms of all arithmetics in turns; ratios are to the best turn of Keras' own."""
    measured = benches(source, list(recipes.values()), Options(), IMAGES, REPEATS)
    return {name: figures(bench.to_dict()) for name, bench in zip(recipes, measured, strict=True)}


def figures(bench: dict) -> dict:
    """Add what the pipeline is of Keras' best turn, and of what engine and decoding allow on shared cores."""
    medians = bench["medians"]
    both = 1 / (1 / medians["engine"] + 1 / medians["decode"])
    best = max(bench["images_per_second"].get("keras", [float("nan")]))
    return bench | {
        "pipeline_over_keras_best": medians["pipeline"] / best,
        "pipeline_over_both": medians["pipeline"] / both,
    }


def threads(source: Source, recipes: dict[str, Recipe]) -> dict:
    """Measure the whole pipeline with one thread and with all, in turns."""
    rows, recipe = some(source), recipes["float32"]
    counts = (1, available_threads())
    engines = {count: open_engine("openvino", recipe, count) for count in counts}

    def arm(count: int) -> Callable[[], float]:
        return lambda: rate(
            len(rows),
            lambda: compute_features(
                engines[count], recipe, zip(rows, source.read(rows), strict=True), count
            ),
        )

    speeds = in_turns({str(count): arm(count) for count in counts}, 3)
    one, many = (float(np.median(speeds[str(count)])) for count in counts)
    return {"images_per_second": speeds, "medians": [one, many], "efficiency": many / one / counts[1]}


def some(source: Source) -> list:
    """Return rows spread evenly over a source."""
    return [source.rows[number] for number in range(0, len(source.rows), max(1, len(source.rows) // IMAGES))]


def rate(images: int, work: Callable) -> float:
    """Return images/s of what yields them."""
    started = time.perf_counter()
    deque(work(), maxlen=0)
    return images / (time.perf_counter() - started)


class Nothing(Engine):
    """An engine that takes batches and does nothing, as a very fast one."""

    batch_size, ahead = 64, 1

    def start(self, batch):
        return lambda: [np.zeros((len(batch), 1), np.float32)]

    def describe(self):
        return EngineInfo("nothing", "1", "CPU")


def decoding(source: Source, recipes: dict[str, Recipe]) -> dict:
    """Measure decoding with an engine that does nothing: threads, and processes as what they could be.

    The time under the lock is what an image of 8x8 pixels takes through the same pipeline: there is nothing
    to decode and to resize, which happens outside of the lock, so what is left is Python's.
    """
    recipe, engine, cores = recipes["float32"], Nothing(), available_threads()
    data = [each for each in source.read(some(source)) if isinstance(each, bytes)]
    tiny, small = jpeg(np.zeros((8, 8, 3), np.uint8)), replace(recipe, image_size=(8, 8))

    def through(items: list[bytes], by: Recipe, count: int) -> float:
        return rate(len(items), lambda: compute_features(engine, by, enumerate(items), count))

    with Processes(recipe, data, cores) as processes:
        arms = {
            "1 thread": lambda: through(data, recipe, 1),
            f"{cores} threads": lambda: through(data, recipe, cores),
            "1 process": lambda: processes.rate(1),
            f"{cores} processes": lambda: processes.rate(cores),
            "lock": lambda: 1e3 / cpu_ms(lambda: through([tiny] * len(data), small, 1), len(data)),
        }
        speeds = in_turns(arms, 2 * REPEATS + 1)
    lock = 1e3 / np.median(speeds.pop("lock"))
    medians = {name: float(np.median(values)) for name, values in speeds.items()}
    return {"images": len(data), "images_per_second": speeds, "medians": medians, "lock_ms": float(lock)} | {
        f"{kind}_scaling": medians[f"{cores} {kinds}"] / medians[f"1 {kind}"]
        for kind, kinds in (("thread", "threads"), ("process", "processes"))
    }


def cpu_ms(work: Callable, images: int) -> float:
    """Return milliseconds of CPU for an image, of all threads."""
    started = time.process_time()
    work()
    return (time.process_time() - started) / images * 1e3


class Processes:
    """Forked processes that decode, each all images at each call, and hand nothing over."""

    def __init__(self, recipe: Recipe, data: list[bytes], count: int):
        self._recipe, self._data = recipe, data
        context = multiprocessing.get_context("fork")
        self._pipes = [context.Pipe() for _ in range(count)]
        self._children = [
            context.Process(target=self._decode, args=(end,), daemon=True) for _, end in self._pipes
        ]

    def __enter__(self):
        for child in self._children:
            child.start()
        return self

    def __exit__(self, *_):
        for child in self._children:
            child.terminate()

    def _decode(self, pipe) -> None:
        while pipe.recv():
            for each in self._data:
                decode(self._recipe, each)
            pipe.send(True)

    def rate(self, count: int) -> float:
        """Return images/s of so many of the processes together."""
        ends = [end for end, _ in self._pipes[:count]]
        started = time.perf_counter()
        for end in ends:
            end.send(True)
        for end in ends:
            end.recv()
        return count * len(self._data) / (time.perf_counter() - started)


def accuracy(source: Source, recipes: dict[str, Recipe]) -> dict:
    """Extract all photographs in each arithmetic; compare features, and heads on them."""
    found, base = {}, None
    with tempfile.TemporaryDirectory() as folder:
        for name, recipe in recipes.items():
            path = Path(folder) / f"{name}.h5"
            extract(source, recipe, path, Options())
            features = load_features(path)
            X = np.asarray(features.X, np.float64)
            base = X if base is None else base
            norms = np.linalg.norm(X, axis=1) * np.linalg.norm(base, axis=1)
            cosine = (X * base).sum(1) / norms
            scores = cross_validate(HEADS["logistic"](), features, FOLDS).report()
            found[name] = {
                "images": len(X),
                "accuracy": scores["accuracy"]["value"],
                "log_loss": scores["log_loss"]["value"],
                "cosine_mean": float(cosine.mean()),
                "cosine_least": float(cosine.min()),
            }
    return found


def large(source: Source, recipes: dict[str, Recipe]) -> dict:
    """Decode photographs of twelve megapixels, made by upscaling, in full and by `--decode-scale dct`."""
    chosen = list(source.read(some(source)[:LARGE]))
    data = [jpeg(load_image(each, LARGE_SIDES[::-1]).astype(np.uint8)) for each in chosen]
    engine = open_engine("openvino", recipes["float32"])
    ways = {way: replace(recipes["float32"], decode_scale=way) for way in ("full", "dct")}

    def decoded(recipe: Recipe) -> Callable[[], float]:
        return lambda: rate(
            len(data), lambda: decode_ahead(engine, recipe, enumerate(data), available_threads())
        )

    def whole(recipe: Recipe) -> Callable[[], float]:
        return lambda: rate(len(data), lambda: compute_features(engine, recipe, enumerate(data)))

    arms = {f"decode, {way}": decoded(recipe) for way, recipe in ways.items()}
    arms |= {f"pipeline, {way}": whole(recipe) for way, recipe in ways.items()}
    speeds = in_turns(arms, 3)
    return {
        "images": len(data),
        "sides": LARGE_SIDES,
        "mean_bytes": float(np.mean([len(each) for each in data])),
        "images_per_second": speeds,
        "medians": {name: float(np.median(values)) for name, values in speeds.items()},
    }


def jpeg(pixels: np.ndarray) -> bytes:
    """Return a JPEG file as cameras write them."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=92)
    return stream.getvalue()


def long_run(source: Source, recipes: dict[str, Recipe]) -> dict:
    """Run over synthetic images once; return the time of each window, after one that warms up."""
    recipe = recipes["float32"]
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


SECTIONS = {
    "speed": speed,
    "threads": threads,
    "decoding": decoding,
    "accuracy": accuracy,
    "large": large,
    "long": long_run,
}


if __name__ == "__main__":
    main()
