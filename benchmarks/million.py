"""A million images: how long do opening, hashing and planning take, and in how much memory?

    python benchmarks/million.py [KIND ...]

Makes a million tiny JPEG files, all different, in 100 tar files in a temporary folder (1.5 GB), once in
folders of classes and once as WebDataset names them, with labels beside (2.5 GB); a folder of 200,000 files;
and a CSV file of a million lines, in which each of these files has five names. Each is opened, hashed and
planned in a process of its own, and once more when digests are known; then the whole command
`extract run --plan` does it, which quantizes the backbone, and again with the model that was kept. Peaks are
those of the process by the operating system. The survey is that of a sharded feature file of 200,000 rows
in 391 parts, by `tracemalloc`. With kinds of `KINDS`, only these are measured anew.
"""

import io
import json
import os
import resource
import subprocess
import sys
import tarfile
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from machine import machine
from PIL import Image

from data import open_source
from extract import FeatureFile, Recipe
from extract.feature_file.contents import Contents
from extract.feature_file.part import PartFile, write_part
from extract.feature_file.part_names import PART_ROWS, part_name
from extract.feature_file.writer import write_feature_file
from extract.recipe import EngineInfo
from extract.run.plan import plan
from extract.run.scan import scan_source
from extract.run.survey import survey

ROWS, SHARDS, FILES, SURVEYED = 1_000_000, 100, 200_000, 200_000
ROOT = Path(__file__).resolve().parent.parent
RECIPE = ["--backbone", "mobilenet", "--weights", "none", "--image-size", "32"]


def main(wanted: Sequence[str]) -> None:
    """Measure and write the JSON."""
    kept = Path(__file__).parent / "results" / "million.json"
    result = json.loads(kept.read_text()) if kept.exists() else {"sources": {}}
    with tempfile.TemporaryDirectory() as name:
        folder, cache = Path(name), {**os.environ, "HEADSTART_CACHE": f"{name}/cache"}
        result |= {"machine": machine(), "load": os.getloadavg()[0], "few": plans(folder, "digits", cache)}
        for kind in wanted or KINDS:
            source = KINDS[kind](folder)
            time.sleep(3)  # files that changed so lately are hashed again
            measured = {"first": steps(source, cache), "again": steps(source, cache)}
            result["sources"][kind] = {**measured, "plans": plans(folder, source, cache)}
            print(kind, json.dumps(result["sources"][kind]), flush=True)
        result["survey"] = surveyed(folder / "features")
    kept.write_text(json.dumps(result, indent=1) + "\n")


def jpeg() -> bytes:
    """Return a small JPEG file, behind which bytes may stand."""
    buffer = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, "JPEG", quality=50)
    return buffer.getvalue()


def tars(folder: Path, beside: bool) -> Path:
    """Write the tar files, with classes as folders or beside the images."""
    folder.mkdir()
    body, each = jpeg(), ROWS // SHARDS
    for shard in range(SHARDS):
        with open(folder / f"train-{shard:06d}.tar", "wb") as file:
            for number in range(shard * each, (shard + 1) * each):
                name = f"{number:09d}.jpg" if beside else f"class{number % 10}/{number:09d}.jpg"
                entries = {name: body + b"%09d" % number}
                entries |= {f"{number:09d}.cls": b"%d" % (number % 10)} if beside else {}
                for name, data in entries.items():
                    info = tarfile.TarInfo(name)
                    info.size = len(data)
                    file.write(
                        info.tobuf(tarfile.USTAR_FORMAT) + data + bytes(-len(data) % tarfile.BLOCKSIZE)
                    )
            file.write(bytes(2 * tarfile.BLOCKSIZE))
    return folder


def files(folder: Path) -> Path:
    """Write files into folders of classes."""
    body = jpeg()
    for number in range(FILES):
        path = folder / "files" / f"class{number % 10}" / f"{number:09d}.jpg"
        if number < 10:
            path.parent.mkdir(parents=True)
        path.write_bytes(body + b"%09d" % number)
    return folder / "files"


def table(folder: Path) -> Path:
    """Write a table in which each file stands five times, each time by the name of another link."""
    images = folder / "files"
    if not images.exists():
        files(folder)
    links = [f"link{number}" for number in range(ROWS // FILES)]
    for name in links:
        (folder / name).symlink_to(images)
    with open(folder / "list.csv", "w") as file:
        print("path,label", file=file)
        for link in links:
            for number in range(FILES):
                print(f"{link}/class{number % 10}/{number:09d}.jpg,class{number % 10}", file=file)
    return folder / "list.csv"


KINDS: dict[str, Callable[[Path], Path]] = {
    "tar": lambda folder: tars(folder / "plain", beside=False),
    "labels-beside": lambda folder: tars(folder / "beside", beside=True),
    "folder": files,
    "csv": table,
}


def steps(source: Path, cache: dict[str, str]) -> dict:
    """Measure the steps in a process of their own."""
    done = subprocess.run(
        [sys.executable, __file__, "--steps", str(source)],
        cwd=ROOT,
        env=cache,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def step_by_step(text: str) -> dict:
    """Open, scan and plan a source in this process."""
    clock, found = Clock(), {}
    source = open_source(text)
    found["open"] = clock.next()
    scan = scan_source(source)
    found["scan"] = clock.next()
    decided = plan(scan, known=())
    found["plan"] = clock.next()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    return {**found, "rows": decided.rows, "missing": decided.missing, "peak_mb": peak}


class Clock:
    """Seconds on the wall and of the CPU since it was asked before."""

    def __init__(self) -> None:
        self._at = (time.perf_counter(), time.process_time())

    def next(self) -> dict[str, float]:
        """Return them."""
        before, self._at = self._at, (time.perf_counter(), time.process_time())
        wall, cpu = (now - then for now, then in zip(self._at, before, strict=True))
        return {"seconds": wall, "cpu_seconds": cpu}


def plans(folder: Path, source: str | Path, cache: dict[str, str]) -> list[dict]:
    """Measure `extract run --plan` of a new process, and once more, when the int8 model is kept."""
    words = ["run", str(source), "-o", str(folder / "out.h5"), *RECIPE, "--plan"]
    code = (
        "import sys; from resource import *; from extract.cli import app; "
        "app(sys.argv[1:], standalone_mode=False); "
        "print(*(getrusage(who).ru_maxrss for who in (RUSAGE_SELF, RUSAGE_CHILDREN)))"
    )
    found = []
    for _ in range(2):
        started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            [sys.executable, "-c", code, *words],
            cwd=ROOT,
            env=cache,
            capture_output=True,
            text=True,
            check=True,
        )
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
        peak, child = (int(kilobytes) * 1024 / 1e6 for kilobytes in done.stdout.split()[-2:])
        seconds = time.perf_counter() - started
        found.append({"seconds": seconds, "cpu_seconds": cpu, "peak_mb": peak, "child_peak_mb": child})
    return found


def surveyed(folder: Path) -> dict:
    """Measure what a row of a sharded file takes in memory, opened and surveyed."""
    recipe = Recipe("xception", weights="00")
    draw(recipe, folder)
    FeatureFile(folder)  # what is imported on use does not count
    tracemalloc.start()
    file = FeatureFile(folder)
    opened = tracemalloc.get_traced_memory()[0]
    del file
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    found = survey(recipe, folder)
    taken, peak = (each - before for each in tracemalloc.get_traced_memory())
    tracemalloc.stop()
    parts = len(found.old.shards.names) if found.old and found.old.shards else 0
    figures = {"opened": opened, "survey": taken, "survey_peak": peak}
    return {"rows": SURVEYED, "parts": parts, **{name: each / SURVEYED for name, each in figures.items()}}


def draw(recipe: Recipe, folder: Path) -> None:
    """Write a sharded feature file with four features a row, and ids of 23 bytes."""
    folder.mkdir()
    generator, engine = np.random.default_rng(0), EngineInfo("drawn", "0", "CPU")
    digests = generator.integers(0, 256, (SURVEYED, 32), np.uint8)
    places = []
    for start in range(0, SURVEYED, PART_ROWS):
        rows = {digest.tobytes(): [np.zeros(4, np.float32)] for digest in digests[start : start + PART_ROWS]}
        path = folder / part_name(list(rows))
        write_part(path, recipe, engine, [np.zeros(4, np.float32)], rows, {})
        part = PartFile(path)
        places += [(part, row) for row in range(len(rows))]
    contents = Contents(
        recipe=recipe,
        source={"kind": "drawn"},
        weights={},
        class_names=("cat", "dog"),
        engines=(engine,),
        ids=[f"class{number % 10}/{number:012d}.jpg" for number in range(SURVEYED)],
        digests=digests,
        labels=np.arange(SURVEYED, dtype=np.int32) % 2,
        splits=np.zeros(SURVEYED, np.int8),
        origins=np.zeros(SURVEYED, np.uint8),
    )
    write_feature_file(folder, contents, places, "sharded")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--steps"]:
        print(json.dumps(step_by_step(sys.argv[2])))
    else:
        main(sys.argv[1:])
