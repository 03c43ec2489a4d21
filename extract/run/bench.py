"""How near is extraction to the machine's limit, and what would Keras' own pipeline take?"""

import io
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from PIL import Image

from data.errors import HeadstartError, moved_keywords
from data.images import ImageError
from data.npy import is_npy, npy_array
from data.sources.source import Row, Source, as_source
from data.text import some_of
from extract.backbones.keras_backend import import_failure
from extract.backbones.kinds import kind_of
from extract.backbones.weights import load_backbone
from extract.engines.engine import Engine, available_threads, open_engine
from extract.engines.file_graph import gflop
from extract.engines.keras_engine import feature_model
from extract.engines.limit import matrix_product
from extract.engines.pipeline import compute_features, decode, decode_ahead, engine_speed
from extract.recipe import EngineInfo, Recipe, checked_recipe
from extract.run.options import PLACES, Options
from extract.run.worker import bytes_of

if TYPE_CHECKING:
    pass

Name = TypeVar("Name")
_KERAS_READS = ("BMP", "GIF", "JPEG", "PNG")
_IN_MEMORY = 128  # files at once
STEPS = ("engine", "decode", "read")  # of the pipeline
ARMS = ("matrix_product", *STEPS, "pipeline", "keras")
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
        Of one image: two operations for each multiplication and addition of the backbone up to the deepest
        layer of the recipe.
    limit : str
        Whose matrix product, in which arithmetic.
    images_per_second : dict of str to list of float
        By arm: ``matrix_product`` (what it would allow), ``engine`` (pixels in memory), ``decode``
        (bytes in memory, no backbone), ``read`` (bytes from the source, mostly out of the system's
        memory, as each arm reads them again), ``pipeline`` (all three), ``keras``
        (`image_dataset_from_directory`, which needs TensorFlow, and `Model.predict`; left out where
        it cannot be imported).
    medians, ratios : dict of str to float
        By arm; ratios are medians over that of ``keras``, if there is one.
    pipeline_over_engine : float
    bottleneck : str
        The slowest of ``engine``, ``decode`` and ``read``.
    rejections : tuple of (str, str)
        Id and reason of each image that was left out, since it cannot be read or decoded.
    """

    engine: EngineInfo
    threads: int
    batch_size: int
    images: int
    repeats: int
    gflop: float
    limit: str
    images_per_second: dict[str, list[float]]
    medians: dict[str, float]
    ratios: dict[str, float]
    pipeline_over_engine: float
    bottleneck: str
    rejections: tuple[tuple[str, str], ...] = ()

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
    """Measure the limit, the engine, decoding, reading, the pipeline and Keras' own, in turns.

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
    return benches(as_source(source), [checked_recipe(recipe)], options, images, repeats)[0]


def benches(
    source: Source, recipes: Sequence[Recipe], options: Options, images: int, repeats: int
) -> list[Bench]:
    """Do what `bench` does for several recipes, all arms in turns.

    They have the backbone and the pixels of the first; reading, decoding and Keras' own are
    measured once for all.
    """
    first, threads = recipes[0], options.threads or available_threads()
    rows, pixels, rejections = _decodable(source, first, images)
    gflops = list(map(gflop, recipes))
    opened = [_opened(options, recipe, threads) for recipe in recipes]
    limits = [matrix_product(recipe, threads) for recipe in recipes]

    def arms(
        engine: Engine, recipe: Recipe, product: Callable[[], float], gflop: float
    ) -> dict[str, Callable[[], float]]:
        return {
            "matrix_product": lambda: product() / gflop,
            "engine": lambda: engine_speed(engine, pixels),
            "pipeline": lambda: _speed(len(rows), lambda: _pipeline(source, rows, engine, recipe, threads)),
        }

    with tempfile.TemporaryDirectory() as folder:
        shared = {
            "read": lambda: _speed(len(rows), lambda: _read_alone(source, rows)),
            "decode": lambda: _decode_alone(source, rows, opened[0], first, threads),
        }
        if kind_of(first.backbone).graph == "keras" and not import_failure("tensorflow"):
            shared["keras"] = _keras_arm(source, rows, first, Path(folder))
        of_all = {("", name): arm for name, arm in shared.items()}
        for recipe, engine, (_, product), each in zip(recipes, opened, limits, gflops, strict=True):
            of_all |= {(recipe.key, name): arm for name, arm in arms(engine, recipe, product, each).items()}
        speeds = in_turns(of_all, repeats)
    return [
        _bench(
            {name: speeds[key, name] for name in ARMS for key in ("", recipe.key) if (key, name) in speeds},
            engine=engine.describe(),
            threads=threads,
            batch_size=engine.batch_size,
            images=len(rows),
            repeats=repeats,
            gflop=gflop,
            limit=limit,
            rejections=rejections,
        )
        for recipe, engine, (limit, _), gflop in zip(recipes, opened, limits, gflops, strict=True)
    ]


def _opened(options: Options, recipe: Recipe, threads: int) -> Engine:
    engine = open_engine(options.engine, recipe, threads)
    engine.batch_size = options.batch_size or engine.batch_size
    return engine


def _bench(speeds: dict[str, list[float]], **known: Any) -> Bench:
    medians = {name: median(values) for name, values in speeds.items()}
    return Bench(
        images_per_second=speeds,
        medians=medians,
        ratios={name: value / medians["keras"] for name, value in medians.items() if "keras" in medians},
        pipeline_over_engine=medians["pipeline"] / medians["engine"],
        bottleneck=min(STEPS, key=medians.__getitem__),
        **known,
    )


def in_turns(arms: dict[Name, Callable[[], float]], repeats: int) -> dict[Name, list[float]]:
    """Run each arm once to warm up, then all of them one after the other, several times.

    Examples
    --------
    >>> in_turns({"one": lambda: 1.0, "two": lambda: 2.0}, 3)
    {'one': [1.0, 1.0, 1.0], 'two': [2.0, 2.0, 2.0]}
    """
    for arm in arms.values():
        arm()
    speeds: dict[Name, list[float]] = {name: [] for name in arms}
    for _ in range(repeats):
        for name, arm in arms.items():
            speeds[name].append(arm())
    return speeds


def _decodable(
    source: Source, recipe: Recipe, images: int
) -> tuple[list[Row], np.ndarray, tuple[tuple[str, str], ...]]:
    """Return rows that can be decoded, spread evenly over the source, their pixels, and what is left out."""
    spread = np.unique(np.linspace(0, len(source.rows) - 1, images).astype(int))
    chosen = [source.rows[number] for number in spread]
    decoded = {row.id: (row, decode(recipe, data)) for row, data in bytes_of(source, chosen)}
    good = [(row, image) for row, image in decoded.values() if not isinstance(image, ImageError)]
    bad = [(row.id, str(image)) for row, image in decoded.values() if isinstance(image, ImageError)]
    bad += [(row.id, "it is not there any more") for row in chosen if row.id not in decoded]
    if not good:
        raise HeadstartError(
            "nothing can be measured",
            "images that can be decoded",
            f"none in the source: {some_of([f'{name}: {reason}' for name, reason in bad])}",
            "name another one",
        )
    return [row for row, _ in good], np.stack([image for _, image in good]), tuple(bad)


def _speed(images: int, work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return images / (time.perf_counter() - started)


def _read_alone(source: Source, rows: Sequence[Row]) -> None:
    deque(bytes_of(source, rows), maxlen=0)


def _decode_alone(source: Source, rows: Sequence[Row], engine: Engine, recipe: Recipe, threads: int) -> float:
    """Return images/s; bytes are read before, and so many at once as memory surely has."""
    seconds = 0.0
    for start in range(0, len(rows), _IN_MEMORY):
        items = list(bytes_of(source, rows[start : start + _IN_MEMORY]))
        started = time.perf_counter()
        deque(decode_ahead(engine, recipe, items, threads), maxlen=0)
        seconds += time.perf_counter() - started
    return len(rows) / seconds


def _pipeline(source: Source, rows: Sequence[Row], engine: Engine, recipe: Recipe, threads: int) -> None:
    deque(compute_features(engine, recipe, bytes_of(source, rows), threads), maxlen=0)


def _keras_arm(source: Source, rows: Sequence[Row], recipe: Recipe, folder: Path) -> Callable[[], float]:
    """Write the images into a folder as Keras wants it, and return what measures its own pipeline."""
    import keras
    import tensorflow as tf

    (folder / "images").mkdir()
    for number, (_, data) in enumerate(bytes_of(source, rows)):
        suffix, data = _file_for_keras(data)
        (folder / "images" / f"{number:06d}.{suffix}").write_bytes(data)
    dataset = keras.utils.image_dataset_from_directory(
        folder, image_size=recipe.image_size, shuffle=False, labels=None, verbose=False
    )
    options = tf.data.Options()
    options.autotune.enabled = False  # with it, a pass now and then ends up to twice as late
    backbone = load_backbone(recipe.backbone, recipe.image_size, recipe.weights)
    dataset, model = dataset.with_options(options), feature_model(recipe, backbone)
    return lambda: _speed(len(rows), lambda: model.predict(dataset, verbose=0))


def _file_for_keras(data: bytes) -> tuple[str, bytes]:
    """Return suffix and bytes; what Keras does not read, it gets as PNG."""
    if is_npy(data):
        image = Image.fromarray(npy_array(data).astype(np.uint8).squeeze())
    else:
        image = Image.open(io.BytesIO(data))
        if image.format in _KERAS_READS:
            return image.format.lower(), data
    stream = io.BytesIO()
    image.convert("RGB").save(stream, "PNG")
    return "png", stream.getvalue()
