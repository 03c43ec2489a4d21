"""Find duplicates among 25,000 to 1,000,000 rows: time, memory, and what the search by projections misses.

python benchmarks/duplicates.py [FOLDER [ROWS...]]; a million rows take 4.1 GB in the folder, freed again.
python benchmarks/duplicates.py --planted PHOTOS FOLDER: copies of 500 photographs, made and extracted in the
folder, are sought among all; what is found of the originals alone is to be looked at.

Rows are drawn with about the dimension that features of photographs have; one in a hundred has a copy, as
near as re-encoded, slightly cropped and mirrored photographs are. Each search is a process of its own.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from machine import machine
from PIL import Image, ImageOps

from classify import load_features
from classify.audit import duplicates
from classify.audit.gaps import NEIGHBOURS, copies
from classify.features.columns import Columns
from classify.features.matrix import FeatureMatrix
from classify.features.neighbours import nearest
from extract import Recipe, extract

WIDTH, LATENT, BLOCK = 2048, 24, 10_000
COPIES = {"re-encoded": 0.05, "cropped": 0.28, "mirrored": 0.5}  # how far a copy is, of the length of a row
SEVERAL = ["q75", "mirror", "crop95"]
COMPARED, ASKED = 100_000, 2000  # rows whose search is compared with an exact one, for so many and all copies
RESULT = Path(__file__).parent / "results" / "duplicates.json"


def cropped(image: Image.Image, share: float) -> Image.Image:
    """Return an image without a border of a share of its sides."""
    x, y = round(share / 2 * image.width), round(share / 2 * image.height)
    return image.crop((x, y, image.width - x, image.height - y))


CHANGES = {  # by folder: the copy, and its JPEG quality
    "q75": lambda image: (image, 75),
    "q40": lambda image: (image, 40),
    "half": lambda image: (image.resize((image.width // 2, image.height // 2), Image.Resampling.BICUBIC), 90),
    "mirror": lambda image: (ImageOps.mirror(image), 90),
    "crop95": lambda image: (cropped(image, 0.05), 90),
    "crop90": lambda image: (cropped(image, 0.1), 75),
}


def main(folder: str | None = None, *rows: str) -> None:
    """Measure and write the JSON; with some numbers of rows alone, those in it are brought up to date."""
    result = json.loads(RESULT.read_text()) if rows and RESULT.exists() else {"searches": {}}
    result |= {"machine": machine(), "width": WIDTH, "copies": COPIES, "exact_up_to": duplicates.EXACT}
    with tempfile.TemporaryDirectory(dir=folder) as aside:
        for count in map(int, rows or ("25000", "100000", "1000000")):
            path = Path(aside) / "features.bin"
            draw(path, count)
            found = in_a_process("--search", path, count)
            if count == COMPARED:
                found["compared"] = in_a_process("--compare", path, count)
            result["searches"][str(count)] = found
            print(count, json.dumps(found, indent=1), file=sys.stderr, flush=True)
    RESULT.write_text(json.dumps(result, indent=1) + "\n")


def planted_copies(photos: str, folder: str) -> None:
    """Write into the JSON which copies of photographs are found, each kind of copy for itself."""
    result = json.loads(RESULT.read_text())
    aside, recipe = Path(folder), Recipe.for_backbone("xception")
    paths = sorted(Path(photos).rglob("*.jpg"))
    chosen = [paths[row] for row in np.random.default_rng(0).choice(len(paths), 500, replace=False)]
    for name, change in CHANGES.items():
        for path in () if (aside / "planted" / name).is_dir() else chosen:
            (aside / "planted" / name).mkdir(parents=True, exist_ok=True)
            with Image.open(path) as image:
                image, quality = change(image.convert("RGB"))
            image.save(aside / "planted" / name / path.name, quality=quality)
    files = [aside / "photos.h5", aside / "planted.h5"]
    for source, file in zip((photos, aside / "planted"), files, strict=True):
        extract(source, recipe, file)
    originals, copies = map(load_features, files)
    result["planted"] = {"photographs": len(originals.ids), "copies_of_each_kind": len(chosen)}
    result["planted"]["originals"] = found_among(originals, copies, [])
    kinds = {name: [name] for name in CHANGES} | {"quality 75, mirrored, cropped by 5 %": SEVERAL}
    result["planted"]["kinds"] = {name: found_among(originals, copies, each) for name, each in kinds.items()}
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result["planted"], indent=1))


def found_among(originals: FeatureMatrix, copies: FeatureMatrix, kinds: list[str]) -> dict:
    """Return how many of some kinds of copies are found with their originals, and what else is."""
    rows = [row for row, name in enumerate(copies.ids) if name.split("/")[0] in kinds]
    images = [name.split("/")[-1] for name in (*originals.ids, *(copies.ids[row] for row in rows))]
    features = replace(
        originals,
        X=np.concatenate([originals.X, copies.X[rows]]),
        y=np.zeros(len(images), np.int32),
        ids=tuple(map(str, range(len(images)))),
        digests=np.concatenate([originals.digests, copies.digests[rows]]),
        splits=np.zeros(len(images), np.int8),
        groups=(),
    )
    found = duplicates.find_duplicates(features)
    same = [images[one] == images[two] for one, two in found.pairs.tolist()]
    linked = set(found.pairs[same].ravel().tolist()) if any(same) else set()
    return {
        "ratio": found.thresholds.ratio,
        "cosine": found.thresholds.cosine,
        "found": len(linked & set(range(len(originals.ids), len(images)))) / max(1, len(rows)),
        "other_pairs": [
            [images[one], images[two]] for (one, two), own in zip(found.pairs, same, strict=True) if not own
        ],
    }


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


def in_a_process(step: str, path: Path, rows: int) -> dict:
    """Search or compare in a process of its own; the pairs lie beside the features then."""
    words = [sys.executable, __file__, step, str(path), str(rows)]
    done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def columns(path: Path, rows: int) -> Columns:
    """Open the features of a file, of which nothing is read yet."""
    return Columns([np.memmap(path, np.float16, "r", shape=(rows, WIDTH))])


def search(path: Path, rows: int) -> dict:
    """Find the duplicates among rows of a file; say what it took and what was found."""
    features = FeatureMatrix(
        X=columns(path, rows),
        y=np.zeros(rows, np.int32),
        ids=tuple(map(str, range(rows))),
        digests=np.random.default_rng(2).integers(0, 256, (rows, 32), np.uint8),
        splits=np.zeros(rows, np.int8),
        groups=(),
        class_names=("drawn",),
        path=str(path),
        feature_sets=(),
    )
    before, started, used = resident(), time.perf_counter(), time.process_time()
    found = duplicates.find_duplicates(features)
    took, used = time.perf_counter() - started, time.process_time() - used
    np.save(path.with_suffix(".npy"), found.pairs)
    return {
        "exact": rows <= duplicates.EXACT,
        "seconds": round(took, 1),
        "cpu_seconds": round(used, 1),
        "load": os.getloadavg()[0],
        "resident_before": before,
        "resident_peak": resident(),
        "ratio": found.thresholds.ratio,
        "cosine": found.thresholds.cosine,
        **told(found.pairs, found.cosine, rows),
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


def compare(path: Path, rows: int) -> dict:
    """Return what the usual search missed, by the exact neighbours of copies, their originals and others."""
    X, pairs = columns(path, rows), planted(rows)
    drawn = np.random.default_rng(3).choice(rows, ASKED, replace=False)
    asked = np.union1d(drawn, pairs.ravel())
    started = time.process_time()
    near, cosine = np.full((rows, NEIGHBOURS), -1), np.full((rows, NEIGHBOURS), -np.inf, np.float32)
    near[asked], cosine[asked] = nearest(X, asked, NEIGHBOURS)
    used = time.process_time() - started
    exact = {tuple(pair) for pair in copies(near, cosine, sample=drawn)[0].tolist()}
    usual = {tuple(pair) for pair in np.load(path.with_suffix(".npy")).tolist()}
    there = {tuple(pair) for pair in pairs.tolist()}
    return {
        "rows_asked": len(asked),
        "cpu_seconds_of_exact_search": round(used * rows / len(asked) / 2, 1),  # of all rows each pair once
        "exact_pairs": len(exact),
        "found": len(exact & usual) / len(exact),
        "planted_found_by_exact_search": len(there & exact) / len(there),
        "planted_found": len(there & usual) / len(there),
    }


def resident() -> int:
    """Return the highest resident memory so far, in bytes."""
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    if sys.argv[1:2] in (["--search"], ["--compare"]):
        step, path, rows = sys.argv[1:]
        print(json.dumps((search if step == "--search" else compare)(Path(path), int(rows))))
    elif sys.argv[1:2] == ["--planted"]:
        planted_copies(*sys.argv[2:])
    else:
        main(*sys.argv[1:])
