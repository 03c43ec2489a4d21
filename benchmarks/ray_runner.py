"""What does a Ray cluster cost on one machine, and what does a second actor bring?

    python benchmarks/ray_runner.py PHOTOS [IMAGES]

Computes some of the photographs in turns: in this process with one thread, in one actor of one thread, and
in two. The seconds of each turn start when the cluster is up and its actors have opened their engines: they
do so before the first turn, and what comes before is told apart.
"""

import json
import os
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
from machine import machine

from data import open_source
from extract import Recipe
from extract.hashes import scan_source
from extract.plan import Part, plan
from extract.ray_cluster import connected
from extract.ray_replica import Replica, Task
from extract.worker import PartWorker

PART, REPEATS = 32, 5


def main(photos: str, images: int = 384) -> None:
    """Measure and write the JSON."""
    source, recipe = open_source(Path(photos).absolute()), Recipe.for_backbone("xception", image_size=150)
    os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parent.parent)
    parts = plan(scan_source(source), (), part_rows=PART).parts[: images // PART]
    with tempfile.TemporaryDirectory() as folder:
        make = partial(PartWorker, recipe, Path(folder), engine="openvino", threads=1)
        result = {"machine": machine(), "images": PART * len(parts), "part_rows": PART}
        result |= measure(make, source, parts, Path(folder))
    target = Path(__file__).parent / "results" / "ray.json"
    target.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


def measure(make, source, parts: tuple[Part, ...], folder: Path) -> dict:
    """Return the seconds of each turn, the overhead of one actor and the gain of two."""
    marker = folder / "marker"
    marker.touch()
    task = Task(make, source, marker, parts[0], 1)
    local = make(source=source, progress=lambda images: None)
    started = time.perf_counter()
    with connected(None) as ray:
        init = time.perf_counter() - started
        actors = [ray.remote(Replica).options(num_cpus=1).remote() for _ in range(2)]
        for opened in ray.get([actor.open.remote(task) for actor in actors]):
            assert opened is True, opened
        ready = time.perf_counter() - started - init
        ways = {
            "local": lambda: [local(part) for part in parts],
            "one_actor": lambda: spread(ray, actors[:1], parts),
            "two_actors": lambda: spread(ray, actors, parts),
        }
        seconds = {name: [] for name in ways}
        for turn in range(REPEATS + 1):
            for name, way in ways.items():
                started = time.perf_counter()
                way()
                if turn:  # the first one warms up
                    seconds[name].append(time.perf_counter() - started)
    ratio = {name: np.array(seconds[name]) / np.array(seconds["local"]) for name in ways}
    gain = np.array(seconds["one_actor"]) / np.array(seconds["two_actors"])
    return {
        "seconds": seconds,
        "seconds_to_start_ray": init,
        "seconds_until_two_actors_are_ready": ready,
        "overhead_of_one_actor": float(np.median(ratio["one_actor"])) - 1,
        "two_actors_over_one": float(np.median(gain)),
    }


def spread(ray, actors: list, parts: tuple[Part, ...]) -> None:
    """Compute parts with one under way in each actor, as `extract.ray_runner` does."""
    waiting, busy = list(parts), {}
    idle = list(actors)
    while waiting or busy:
        while idle and waiting:
            actor = idle.pop()
            busy[actor.compute.remote(waiting.pop(), [])] = actor
        done, _ = ray.wait(list(busy))
        for reference in done:
            result = ray.get(reference)
            assert isinstance(result, int), result
            idle.append(busy.pop(reference))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
