"""The table of `benchmarks/gpu.py`: figures in the order of what they are worth, until the time is up."""

import argparse
import io
import json
import os
import shutil
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import cycle, islice
from pathlib import Path

import numpy as np
from machine import machine
from PIL import Image

from data.images import load_image
from extract.backbones.keras_backend import use_backend
from extract.backbones.weights import load_backbone
from extract.engines.engine import Engine, available_threads, open_engine
from extract.engines.keras_engine import POLICIES, feature_model
from extract.engines.pipeline import compute_features
from extract.recipe import EngineInfo, Recipe

PRECISIONS = ("bfloat16", "float32")
BATCHES = {True: (128, 256, 512, 64, 32), False: (8, 32)}  # on a GPU or not; all arms take the first
PHOTO, PHOTOS = (375, 500), 64  # pixels, and how many
_GUESS = 15.0  # seconds of a step as none was taken before
_GRACE = 5.0  # after the deadline, for the step in hand


class NoEngine(Engine):
    """Computes nothing: what is left of a pipeline is reading and decoding."""

    def __init__(self, like: Engine) -> None:
        self.batch_size, self.ahead, self.process = like.batch_size, like.ahead, None

    def start(self, batch: np.ndarray) -> Callable[[], list[np.ndarray]]:
        return lambda: [batch[:, 0, 0]]

    def describe(self) -> EngineInfo:
        return EngineInfo("none", "0", "CPU")


@dataclass
class Table:
    """Figures so far, on disk after each; steps for which no time is left are named."""

    path: Path
    deadline: float
    head: dict
    figures: list[dict] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    longest: dict[str, float] = field(default_factory=dict)

    def add(self, arm: str, of: dict, work: Callable[[], float]) -> None:
        """Measure images per second, unless the time left is less than such a step took."""
        words, started = " ".join(map(str, [arm, *of.values()])), time.monotonic()
        if started + self.longest.get(arm, _GUESS) > self.deadline:
            self.left_out.append(words)
            return
        try:
            found: dict = {"images_per_second": round(work(), 2)}
        except Exception as error:  # of this figure; others are still worth their time
            found = {"error": f"{type(error).__name__}: {error}"[:300]}
        seconds = time.monotonic() - started
        self.longest[arm] = max(seconds, self.longest.get(arm, 0))
        self.figures.append({"arm": arm, **of, **found, "seconds": round(seconds, 1)})
        print(f"{words:<32}{next(iter(found.values())):>12}  {seconds:5.0f} s", flush=True)
        self.write()

    def write(self, finished: bool = False) -> None:
        """Write what is known; the process may end at any moment."""
        values = {**self.head, "finished": finished, "figures": self.figures, "left_out": self.left_out}
        aside = self.path.with_suffix(".part")
        aside.write_text(json.dumps(values, indent=1) + "\n")
        os.replace(aside, self.path)

    def end_in_time(self, cache: str) -> None:
        """Let the process end soon after the deadline, whatever it waits for then, and leave no cache."""

        def end() -> None:
            print(f"time is up; what was measured is in {self.path}", flush=True)
            shutil.rmtree(cache, ignore_errors=True)
            os._exit(0)

        timer = threading.Timer(max(0, self.deadline + _GRACE - time.monotonic()), end)
        timer.daemon = True
        timer.start()


@dataclass
class Case:
    """A size and a precision, and what is measured of them."""

    backbone: str
    size: int
    precision: str
    photos: list[bytes]
    seconds: float

    @cached_property
    def recipe(self) -> Recipe:
        return Recipe.for_backbone(
            self.backbone, weights="none", image_size=self.size, precision=self.precision
        )

    @cached_property
    def engine(self) -> Engine:
        return open_engine("keras", self.recipe)

    @cached_property
    def decoded(self) -> np.ndarray:
        return np.stack([load_image(photo, self.recipe.image_size) for photo in self.photos])

    def pixels(self, batch: int) -> np.ndarray:
        """Return a batch of decoded photographs."""
        return self.decoded[np.arange(batch) % len(self.decoded)]

    def all_arms(self, table: Table, batch: int) -> None:
        """Measure the engine, with pixels on the device too, decoding, the pipeline and Keras' predict."""
        of = {"size": self.size, "precision": self.precision, "batch": batch}
        self.engine_alone(table, batch)
        if table.head["engine"]["jax"]:
            table.add("on_device", of, lambda: self._on_device(batch))
        if self.precision == PRECISIONS[0]:
            table.add("decode", {"size": self.size}, lambda: self._pipeline(NoEngine(self.engine)))
        table.add("pipeline", of, lambda: self._pipeline(self.engine))
        table.add("keras_predict", of, lambda: self._keras_predict(batch))

    def engine_alone(self, table: Table, batch: int) -> None:
        """Measure the engine on pixels in memory."""
        of = {"size": self.size, "precision": self.precision, "batch": batch}
        table.add("engine", of, lambda: self._engine_alone(batch))

    def _engine_alone(self, batch: int) -> float:
        self.engine.batch_size = batch
        speed = self._rate(batch, self.engine.start, self.pixels(batch))
        if self.engine.batch_size < batch:
            raise MemoryError(f"too little for {batch} images at once")
        return speed

    def _rate(self, batch: int, start: Callable[..., Callable[[], list]], pixels: object) -> float:
        """Return the images per second of a batch over and over, the compilation apart."""
        start(pixels)()
        waiting: deque[Callable[[], list]] = deque()
        began, done = time.monotonic(), 0
        while time.monotonic() < began + self.seconds:
            waiting.append(start(pixels))
            if len(waiting) > self.engine.ahead:
                waiting.popleft()()
                done += batch
        for finish in waiting:
            finish()
            done += batch
        return done / (time.monotonic() - began)

    def _on_device(self, batch: int) -> float:
        import jax

        runtime = self.engine._runtime
        pixels = jax.device_put(self.pixels(batch))

        def start(pixels: "jax.Array") -> Callable[[], list[np.ndarray]]:
            started = runtime.start(pixels)
            return lambda: runtime.fetch(started)

        return self._rate(batch, start, pixels)

    def _pipeline(self, engine: Engine) -> float:
        """Compute photographs from their bytes on, for so long."""
        list(compute_features(engine, self.recipe, islice(self._items(), 4 * engine.batch_size)))
        started, done = time.monotonic(), 0
        for _ in compute_features(engine, self.recipe, self._items(started + self.seconds)):
            done += 1
        return done / (time.monotonic() - started)

    def _items(self, until: float = float("inf")) -> Iterator[tuple[int, bytes]]:
        for number, photo in enumerate(cycle(self.photos)):
            if time.monotonic() > until:
                return
            yield number, photo

    def _keras_predict(self, batch: int) -> float:
        """Predict arrays in memory as Keras itself does."""
        policy = POLICIES[self.precision]
        backbone = load_backbone(self.backbone, self.recipe.image_size, self.recipe.weights, policy)
        model, pixels = feature_model(self.recipe, backbone), self.pixels(8 * batch)
        model.predict(pixels[: 2 * batch], batch_size=batch, verbose=0)
        started, done = time.monotonic(), 0
        while time.monotonic() < started + self.seconds:
            model.predict(pixels, batch_size=batch, verbose=0)
            done += len(pixels)
        return done / (time.monotonic() - started)


def drawn_photos() -> list[bytes]:
    """Return JPEG files of the size and detail of photographs: noise at several scales."""
    height, width = PHOTO
    photos = []
    for seed in range(PHOTOS):
        generator, image = np.random.default_rng(seed), np.zeros((height, width, 3))
        for cell, weight in ((100, 90), (25, 50), (6, 25), (1, 8)):
            noise = generator.normal(0, weight, (-(-height // cell), -(-width // cell), 3))
            image += noise.repeat(cell, 0).repeat(cell, 1)[:height, :width]
        stream = io.BytesIO()
        Image.fromarray(np.clip(image + 128, 0, 255).astype(np.uint8)).save(stream, "JPEG", quality=85)
        photos.append(stream.getvalue())
    return photos


def measure_all(given: argparse.Namespace, decoder: str) -> None:
    """Measure what the time allows."""
    deadline = time.monotonic() + 60 * given.minutes - _GRACE
    cache = tempfile.mkdtemp(prefix="headstart-gpu-")
    os.environ["HEADSTART_CACHE"] = cache  # for random weights
    use_backend(given.keras_backend)
    photos = drawn_photos()
    kinds = [(size, name) for name in PRECISIONS for size in given.sizes]
    cases = [Case(given.backbone, size, name, photos, given.seconds) for size, name in kinds]
    info = cases[0].engine.describe()
    is_gpu = info.device != "CPU"
    head = {
        "machine": machine(),
        "engine": {"device": info.device, "keras": info.version, "jax": "", **dict(info.others)},
        "is_gpu": is_gpu,
        "backbone": given.backbone,
        "photos": {"pixels": PHOTO, "bytes": round(sum(map(len, photos)) / PHOTOS), "decoder": decoder},
        "threads": available_threads(),
        "seconds_each": given.seconds,
    }
    table = Table(given.output, deadline, head)
    table.write()
    table.end_in_time(cache)
    first, *others = BATCHES[is_gpu]
    for case in cases:
        case.all_arms(table, first)
    for batch in others:
        for case in cases:
            case.engine_alone(table, batch)
    table.write(finished=True)
    shutil.rmtree(cache, ignore_errors=True)
    print(f"wrote {given.output}")
