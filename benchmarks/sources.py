"""Are images of archives and Parquet files as fast as those of a folder?

    python benchmarks/sources.py PHOTOS [IMAGES]

Makes a zip, a tar and a Parquet file of some photographs, and takes all of them in turns: reading alone,
reading and decoding for an engine that does nothing, and whole runs of Xception at 150 pixels, each with an
output and a table of digests of its own, as the first run of a user. Then a run onto the file of the folder,
which computes no image again. Others may use the machine too, so CPU time is told beside images a second.
"""

import json
import os
import shutil
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
from extraction import Nothing
from machine import machine

from data import Source, open_source
from data.output.cache import cache_folder
from extract import Recipe, extract
from extract.engines.pipeline import compute_features

IMAGES, REPEATS = 200, 11
FAST_REPEATS = 15  # of what takes a second
ROW_GROUP = 100  # of Hugging Face's datasets


def main(photos: str, images: int = IMAGES) -> None:
    """Measure and write the JSON."""
    files = sorted(Path(photos).rglob("*.jpg"))
    files = [files[number] for number in np.linspace(0, len(files) - 1, images).astype(int)]
    with tempfile.TemporaryDirectory() as place:
        os.environ["HEADSTART_CACHE"] = f"{place}/cache"
        recipe = Recipe.for_backbone("xception", image_size=150)
        sources = {name: str(make(Path(place), photos, files)) for name, make in MAKERS.items()}
        result = {"machine": machine(), "load": os.getloadavg()[0], "images": len(files)}
        result |= {"megabytes": sum(file.stat().st_size for file in files) / 1e6, "row_group": ROW_GROUP}
        opened = {name: open_source(path) for name, path in sources.items()}
        arms = {
            "reading": ({name: reading(each) for name, each in opened.items()}, FAST_REPEATS),
            "decoding": ({name: decoding(each, recipe) for name, each in opened.items()}, FAST_REPEATS),
            "run": ({name: running(path, recipe, Path(place)) for name, path in sources.items()}, REPEATS),
        }
        result["turns"] = {what: in_turns(*each) for what, each in arms.items()}
        result["computed_again"] = computed_again(sources, recipe, Path(place))
    target = Path(__file__).parent / "results" / "sources.json"
    target.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


def folder(place: Path, top: str, files: list[Path]) -> Path:
    """Copy photographs into a folder."""
    for file in files:
        copy = place / "photos" / file.relative_to(top)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)
    return place / "photos"


def zipped(place: Path, top: str, files: list[Path]) -> Path:
    """Deflate photographs, as programs do which do not know that they are packed already."""
    with zipfile.ZipFile(place / "photos.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            archive.write(file, file.relative_to(top))
    return place / "photos.zip"


def tarred(place: Path, top: str, files: list[Path]) -> Path:
    """Put photographs into a tar file."""
    with tarfile.open(place / "photos.tar", "w") as archive:
        for file in files:
            archive.add(file, file.relative_to(top))
    return place / "photos.tar"


def in_parquet(place: Path, top: str, files: list[Path]) -> Path:
    """Put photographs into a Parquet file, as Hugging Face's datasets writes it."""
    images = [{"bytes": file.read_bytes(), "path": str(file.relative_to(top))} for file in files]
    table = pyarrow.table({"image": images, "label": [file.parent.name for file in files]})
    pyarrow.parquet.write_table(table, place / "photos.parquet", row_group_size=ROW_GROUP)
    return place / "photos.parquet"


MAKERS = {"folder": folder, "zip": zipped, "tar": tarred, "parquet": in_parquet}


def in_turns(arms: dict[str, Callable[[], int]], repeats: int) -> dict[str, dict[str, list[float]]]:
    """Run all arms one after the other, several times; who is first changes, and the first round warms up.

    Returns
    -------
    dict of str to dict of str to list of float
        Of each arm its images a second, and its milliseconds of CPU an image.
    """
    found = {name: {"images_per_second": [], "cpu_ms": []} for name in arms}
    names = list(arms)
    for turn in range(repeats + 1):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            started, cpu = time.perf_counter(), time.process_time()
            images = arms[name]()
            seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
            if turn:
                found[name]["images_per_second"].append(images / seconds)
                found[name]["cpu_ms"].append(1e3 * cpu / images)
    return found


def reading(source: Source) -> Callable[[], int]:
    """Return what reads all images, and counts them."""
    return lambda: sum(isinstance(data, bytes) for data in source.read(source.rows))


def decoding(source: Source, recipe: Recipe) -> Callable[[], int]:
    """Return what reads and decodes them."""

    def decode() -> int:
        items = zip(source.rows, source.read(source.rows), strict=True)
        return sum(1 for _ in compute_features(Nothing(), recipe, items))

    return decode


def running(path: str, recipe: Recipe, place: Path) -> Callable[[], int]:
    """Return a whole run onto a file of its own, from opening the source to the file."""

    def run() -> int:
        shutil.rmtree(cache_folder() / "hashes", ignore_errors=True)
        output = place / "features.h5"
        output.unlink(missing_ok=True)
        return extract(open_source(path), recipe, output).computed

    return run


def computed_again(sources: dict[str, str], recipe: Recipe, place: Path) -> dict[str, int]:
    """Return how many images a run computes onto the file of the folder."""
    found = {}
    for name, path in sources.items():
        output = place / f"{name}.h5"
        extract(open_source(sources["folder"]), recipe, output)
        found[name] = extract(open_source(path), recipe, output).computed
    return found


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
