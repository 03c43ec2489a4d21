"""A backbone of numpy over arrays takes the place of the real one, so that a run takes a second."""

import signal
import time
from types import SimpleNamespace

import numpy as np

import extract.feature_file.part
import extract.run.compare
import extract.run.plan
from data.npy import npy_pixels
from data.sources.arrays import from_arrays
from extract import Recipe
from extract.engines import pipeline
from extract.engines.engine import Engine
from extract.recipe import EngineInfo
from extract.run import worker

IMAGES, PART = 128, 16
RECIPE = Recipe("mobilenet", weights="00" * 32, image_size=(32, 32))


class NumpyEngine(Engine):
    """Features that are the pixels; appends a byte for each image to a file, if given one."""

    def __init__(self, counter: str | None = None, pause: float = 0):
        self._counter, self._pause = counter, pause
        self.batch_size, self.ahead = PART, 0

    def start(self, batch):
        features = self._features(batch)
        return lambda: [features]

    def _features(self, batch):
        time.sleep(self._pause * len(batch))
        if self._counter and len(batch) > 1:  # one image alone is the probe
            with open(self._counter, "ab") as file:
                file.write(b"." * len(batch))
        return np.ascontiguousarray(batch[:, :8, :8].reshape(len(batch), -1))

    def describe(self):
        return EngineInfo("numpy", np.__version__, "CPU")


class TimedEngine(NumpyEngine):
    """Each image takes half a second of the clock by which parts are kept; at one a signal comes."""

    def __init__(self, last: int, sign: int):
        super().__init__()
        self._images, self._last, self._sign = 0, last, sign
        extract.feature_file.part.time = SimpleNamespace(monotonic=lambda: self._images / 2)

    def _features(self, batch):
        if len(batch) > 1:
            self._images += len(batch)
        if self._images >= self._last:
            signal.raise_signal(self._sign)
        return super()._features(batch)


def load_array(data, size, **_):
    return np.resize(npy_pixels(data), (*size, 3))


def arrays(count: int = IMAGES, first: int = 0):
    generator = np.random.default_rng(first)
    return from_arrays(
        generator.integers(0, 256, (count, 8, 8, 3), dtype=np.uint8), ["cat", "dog"] * (count // 2)
    )


def use_numpy(counter: str | None = None, pause: float = 0, engine: Engine | None = None) -> None:
    """Put the numpy backbone in the place of the real one, in this process."""
    engine = engine or NumpyEngine(counter, pause)
    worker.open_engine = extract.run.compare.open_engine = lambda *args, **how: engine
    pipeline.load_image = load_array
    extract.run.plan.PART_ROWS = PART
