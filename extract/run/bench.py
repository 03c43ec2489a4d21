"""How near is extraction to the machine's limit, and what would Keras' own pipeline take?"""

import io
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from data.errors import HeadstartError, moved_keywords
from data.images import ImageError
from data.sources.arrays import npy_bytes
from data.sources.source import Row, Source, as_source
from extract.backbones.build import flops
from extract.backbones.keras_backend import is_installed
from extract.backbones.weights import load_backbone
from extract.engines.engine import Engine, available_threads, open_engine
from extract.engines.keras_engine import feature_model
from extract.engines.pipeline import compute_features, decode, decode_ahead
from extract.recipe import EngineInfo, Recipe, checked_recipe
from extract.run.options import PLACES, Options
from extract.run.worker import bytes_of

if TYPE_CHECKING:
    import keras

_KERAS_READS = ("BMP", "GIF", "JPEG", "PNG")
_SIDE = 2048  # of the square matrices
_USUAL = Options()


@dataclass(frozen=True)
class Bench:
    """Images per second, each arm measured in turns with the others.

    Attributes
    ----------
    engine : EngineInfo
        What computed, with its version.
    threads, batch_size, images, repeats : int
    gflop : float
        Of one image: two operations for each multiplication and addition of the backbone.
    images_per_second : dict of str to list of float
        By arm: ``matrix_product`` (what the machine's float32 matrix product would allow),
        ``engine`` (pixels in memory), ``decode`` (no backbone), ``pipeline`` (both, from the
        source's bytes), ``keras`` (`image_dataset_from_directory`, which needs TensorFlow, and
        `Model.predict`; left out where it is not installed).
    medians, ratios : dict of str to float
        By arm; ratios are medians over that of ``keras``, if there is one.
    pipeline_over_engine : float
    """

    engine: EngineInfo
    threads: int
    batch_size: int
    images: int
    repeats: int
    gflop: float
    images_per_second: dict[str, list[float]]
    medians: dict[str, float]
    ratios: dict[str, float]
    pipeline_over_engine: float

    def to_dict(self) -> dict:
        """Return the figures as JSON-ready values."""
        return {**asdict(self), "engine": self.engine.to_dict()}


@moved_keywords(PLACES)
def bench(
    source: Source | str | Path,
    recipe: Recipe,
    options: Options = _USUAL,
    *,
    images: int = 256,
    repeats: int = 5,
) -> Bench:
    """Measure the limit, the engine, decoding, the pipeline and Keras' own, in turns.

    Parameters
    ----------
    source : Source, str or Path
    recipe : Recipe
    options : Options
        Of which engine, threads and batch size count.
    images : int
        Each arm takes so many of the source's images, spread evenly.
    repeats : int

    Raises
    ------
    HeadstartError
        If the source has no image that can be decoded.
    """
    source, recipe = as_source(source), checked_recipe(recipe)
    threads = options.threads or available_threads()
    opened = open_engine(options.engine, recipe, threads)
    opened.batch_size = options.batch_size or opened.batch_size
    rows, pixels = _decodable(source, recipe, images)
    with tempfile.TemporaryDirectory() as folder:
        backbone = load_backbone(recipe.backbone, recipe.image_size, recipe.weights)
        gflop = flops(backbone) / 1e9
        arms = {
            "matrix_product": lambda: _matrix_product() / gflop,
            "engine": lambda: _speed(len(rows), lambda: _engine_alone(opened, pixels)),
            "decode": lambda: _speed(len(rows), lambda: _decode_alone(source, rows, opened, recipe, threads)),
            "pipeline": lambda: _speed(len(rows), lambda: _pipeline(source, rows, opened, recipe, threads)),
        }
        if is_installed("tensorflow"):
            arms["keras"] = _keras_arm(source, rows, recipe, backbone, Path(folder))
        speeds = in_turns(arms, repeats)
    medians = {name: median(values) for name, values in speeds.items()}
    return Bench(
        engine=opened.describe(),
        threads=threads,
        batch_size=opened.batch_size,
        images=len(rows),
        repeats=repeats,
        gflop=gflop,
        images_per_second=speeds,
        medians=medians,
        ratios={name: value / medians["keras"] for name, value in medians.items() if "keras" in medians},
        pipeline_over_engine=medians["pipeline"] / medians["engine"],
    )


def in_turns(arms: dict[str, Callable[[], float]], repeats: int) -> dict[str, list[float]]:
    """Run each arm once to warm up, then all of them one after the other, several times.

    Examples
    --------
    >>> in_turns({"one": lambda: 1.0, "two": lambda: 2.0}, 3)
    {'one': [1.0, 1.0, 1.0], 'two': [2.0, 2.0, 2.0]}
    """
    for arm in arms.values():
        arm()
    speeds: dict[str, list[float]] = {name: [] for name in arms}
    for _ in range(repeats):
        for name, arm in arms.items():
            speeds[name].append(arm())
    return speeds


def _decodable(source: Source, recipe: Recipe, images: int) -> tuple[list[Row], np.ndarray]:
    """Return rows that can be decoded, spread evenly over the source, and their pixels."""
    spread = np.unique(np.linspace(0, len(source.rows) - 1, images).astype(int))
    decoded = [
        (row, decode(recipe, data)) for row, data in bytes_of(source, [source.rows[k] for k in spread])
    ]
    rows = [row for row, image in decoded if not isinstance(image, ImageError)]
    pixels = [image for _, image in decoded if not isinstance(image, ImageError)]
    if not rows:
        raise HeadstartError(
            "nothing can be measured", "images that can be decoded", "none in the source", "name another one"
        )
    return rows, np.stack(pixels)


def _speed(images: int, work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return images / (time.perf_counter() - started)


def _matrix_product() -> float:
    """Return GFLOP/s of numpy's float32 matrix product."""
    one = np.ones((_SIDE, _SIDE), np.float32)
    started, repeats = time.perf_counter(), 10
    for _ in range(repeats):
        one @ one
    return repeats * 2 * _SIDE**3 / (time.perf_counter() - started) / 1e9


def _engine_alone(engine: Engine, pixels: np.ndarray) -> None:
    started: deque[Callable] = deque()
    for first in range(0, len(pixels), engine.batch_size):
        started.append(engine.start(pixels[first : first + engine.batch_size]))
        if len(started) > engine.ahead:
            started.popleft()()
    for finish in started:
        finish()


def _decode_alone(source: Source, rows: Sequence[Row], engine: Engine, recipe: Recipe, threads: int) -> None:
    deque(decode_ahead(engine, recipe, bytes_of(source, rows), threads), maxlen=0)


def _pipeline(source: Source, rows: Sequence[Row], engine: Engine, recipe: Recipe, threads: int) -> None:
    deque(compute_features(engine, recipe, bytes_of(source, rows), threads), maxlen=0)


def _keras_arm(
    source: Source, rows: Sequence[Row], recipe: Recipe, backbone: "keras.Model", folder: Path
) -> Callable[[], float]:
    """Write the images into a folder as Keras wants it, and return what measures its own pipeline."""
    import keras

    (folder / "images").mkdir()
    for number, (_, data) in enumerate(bytes_of(source, rows)):
        suffix, data = _file_for_keras(data)
        (folder / "images" / f"{number:06d}.{suffix}").write_bytes(data)
    dataset = keras.utils.image_dataset_from_directory(
        folder, image_size=recipe.image_size, shuffle=False, labels=None, verbose=False
    )
    model = feature_model(recipe, backbone)
    return lambda: _speed(len(rows), lambda: model.predict(dataset, verbose=0))


def _file_for_keras(data: bytes) -> tuple[str, bytes]:
    """Return suffix and bytes; what Keras does not read, it gets as PNG."""
    if data.startswith(npy_bytes(np.zeros(1))[:6]):
        image = Image.fromarray(np.load(io.BytesIO(data)).astype(np.uint8).squeeze())
    else:
        image = Image.open(io.BytesIO(data))
        if image.format in _KERAS_READS:
            return image.format.lower(), data
    stream = io.BytesIO()
    image.convert("RGB").save(stream, "PNG")
    return "png", stream.getvalue()
