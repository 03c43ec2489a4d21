"""What does a Ray cluster cost on one machine, and what does a second actor bring?

    python benchmarks/ray_runner.py PHOTOS [IMAGES]

Computes some of the photographs in turns: in this process with one thread, and by `ray_map`, as
`extract run --runner ray` does it, in one actor of one thread and in two. Images per second are counted from
the moment when each worker has finished its first part, so that neither the start of Ray nor that of an
engine is in them; the seconds until the first part is there are told apart.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from machine import machine

from data import Source, open_source
from extract import Recipe
from extract.cluster.connect import Cluster
from extract.cluster.driver import ray_map
from extract.run.local import local_map
from extract.run.plan import Part, plan
from extract.run.scan import scan_source
from extract.run.worker import PartWorker, Work

PART, REPEATS = 16, 5


def main(photos: str, images: int = 384) -> None:
    """Measure and write the JSON."""
    source, recipe = open_source(Path(photos).absolute()), Recipe.for_backbone("xception", image_size=150)
    os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parent.parent)
    parts = plan(scan_source(source), (), part_rows=PART).parts[: images // PART]
    with tempfile.TemporaryDirectory() as folder:
        make = Work(PartWorker, recipe, Path(folder), engine="openvino")
        result = {"machine": machine(), "images": PART * len(parts), "part_rows": PART}
        result |= measure(make, source, parts)
    target = Path(__file__).parent / "results" / "ray.json"
    target.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


def measure(make: Work, source: Source, parts: tuple[Part, ...]) -> dict:
    """Return the speed of each turn, the overhead of one actor and the gain of two."""
    on_ray = partial(ray_map, make, cluster=Cluster())
    ways = {
        "local": (partial(local_map, replace(make, threads=1)), 1),
        "one_actor": (partial(on_ray, replicas=1), 1),
        "two_actors": (partial(on_ray, replicas=2), 2),
    }
    speeds = {name: [] for name in ways}
    first = {name: [] for name in ways}
    for turn in range(REPEATS + 1):
        for name, (way, workers) in ways.items():
            started = time.perf_counter()
            ends = list(part_ends(way(parts=parts, source=source, progress=lambda images: None)))
            if turn:  # the first one warms up
                speeds[name].append(PART * (len(ends) - workers) / (ends[-1] - ends[workers - 1]))
                first[name].append(ends[0] - started)
    ratio = {name: np.array(speeds[name]) / np.array(speeds["local"]) for name in ways}
    gain = np.array(speeds["two_actors"]) / np.array(speeds["one_actor"])
    return {
        "images_per_second": speeds,
        "seconds_until_the_first_part": first,
        "overhead_of_one_actor": float(np.median(1 / ratio["one_actor"])) - 1,
        "two_actors_over_one": float(np.median(gain)),
    }


def part_ends(results) -> Iterator[float]:
    """Yield when each part was done."""
    for _, result in results:
        assert isinstance(result, int), result
        yield time.perf_counter()


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
