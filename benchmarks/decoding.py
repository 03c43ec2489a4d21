"""What do bytes to pixels cost, without TensorFlow and with it?

    python benchmarks/decoding.py PHOTOS

Takes every eighth JPEG of a folder, and photographs of twelve megapixels made of some by upscaling: CPU time
of one thread, in turns with TensorFlow's decoder and resizer, which give the same pixels; images a second
by one thread and by two; and images so small that they cost nothing but the steps of the interpreter.
"""

import io
import json
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from machine import machine
from PIL import Image

from data.images import load_image

EVERY, REPEATS, LARGE, TINY = 8, 5, (4000, 3000), 8
SIZES = (150, 299)
PHONES = 6  # photographs that are upscaled


def main(folder: str) -> None:
    """Measure and write the JSON."""
    files = [path.read_bytes() for path in sorted(Path(folder).rglob("*.jpg"))[::EVERY]]
    phones = [upscaled(data) for data in files[:PHONES]]
    tiny = [upscaled(data, (TINY, TINY)) for data in files]
    result = {"machine": machine(), "load": os.getloadavg()[0], "images": len(files), "repeats": REPEATS}
    result["megapixels"] = LARGE[0] * LARGE[1] / 1e6
    ways = {"headstart": load_image, "tensorflow": by_tensorflow}
    result["cpu_ms"] = {
        f"photographs at {size} pixels": in_turns(files, {name: at(way, size) for name, way in ways.items()})
        for size in SIZES
    }
    for scale in ("full", "dct"):
        arms = {name: at(way, SIZES[0], decode_scale=scale) for name, way in ways.items()}
        result["cpu_ms"][f"12 megapixels at {SIZES[0]} pixels, {scale}"] = in_turns(phones, arms)
    result["steps_ms"] = in_turns(tiny, {"headstart": at(load_image, TINY + 1)})["headstart"]
    result["threads"] = {count: [pooled(files, count) for _ in range(REPEATS)] for count in (1, 2)}
    target = Path(__file__).parent / "results" / "decoding.json"
    target.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


def upscaled(data: bytes, size: tuple[int, int] = LARGE) -> bytes:
    """Return a JPEG of another size."""
    buffer = io.BytesIO()
    Image.open(io.BytesIO(data)).convert("RGB").resize(size, Image.Resampling.BICUBIC).save(buffer, "JPEG")
    return buffer.getvalue()


def by_tensorflow(data: bytes, size: tuple[int, int], decode_scale: str = "full"):
    """Decode and resize by TensorFlow alone; no EXIF, no other formats."""
    import tensorflow as tf

    ratio = 8 if decode_scale == "dct" else 1  # as it comes out for twelve megapixels
    pixels = tf.io.decode_jpeg(data, ratio=ratio) if ratio > 1 else tf.io.decode_image(data)
    return tf.image.resize(pixels, size).numpy()


def at(way: Callable, size: int, **options: str) -> Callable[[bytes], object]:
    """Return a way to decode to one size."""
    return lambda data: way(data, (size, size), **options)


def in_turns(files: list[bytes], ways: dict[str, Callable[[bytes], object]]) -> dict[str, list[float]]:
    """Return milliseconds of CPU an image, by way and turn; a first turn warms up."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(REPEATS + 1):
        for name, way in ways.items():
            started = time.process_time()
            for data in files:
                way(data)
            if turn:
                found[name].append(1e3 * (time.process_time() - started) / len(files))
    return found


def pooled(files: list[bytes], threads: int) -> float:
    """Return images a second with so many threads."""
    with ThreadPoolExecutor(threads) as pool:
        started = time.perf_counter()
        list(pool.map(at(load_image, SIZES[0]), files))
        return len(files) / (time.perf_counter() - started)


if __name__ == "__main__":
    main(sys.argv[1])
