"""From encoded bytes to features, and one part of a run: the same here and on a cluster."""

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from data.images import ImageError, load_image
from data.source import Source
from extract.engines import Engine, open_engine
from extract.parity import check_probes
from extract.part import write_part
from extract.plan import Part
from extract.recipe import Recipe

BATCH_SIZE = 32
_BATCHES_AHEAD = 2  # decoded while the backbone runs


def compute_features(
    engine: Engine, recipe: Recipe, items: Iterable[tuple[object, bytes]], batch_size: int = BATCH_SIZE
) -> Iterator[tuple[object, list[np.ndarray] | ImageError]]:
    """Decode images a few batches ahead in threads, and run the backbone over the batches.

    Parameters
    ----------
    engine : Engine
    recipe : Recipe
    items : iterable of (key, bytes)
        Encoded images under keys of any kind.
    batch_size : int
        Images that the backbone sees at once.

    Yields
    ------
    key, features
        One array (D,) for each layer of the recipe, or the error of an image that cannot be
        decoded. Features keep their order, batch by batch; errors come as they are met.
    """
    keys, batch = [], []
    for key, image in _decode_ahead(recipe, items, _BATCHES_AHEAD * batch_size):
        if isinstance(image, ImageError):
            yield key, image
            continue
        keys.append(key)
        batch.append(image)
        if len(batch) == batch_size:
            yield from _run(engine, keys, batch)
            keys, batch = [], []
    if batch:
        yield from _run(engine, keys, batch)


class PartWorker:
    """Compute parts of one source by one recipe; opening the engine is the slow step.

    Parameters
    ----------
    source : Source
    recipe : Recipe
    folder : Path
        Where part files go.
    batch_size : int
        Images that the backbone sees at once.
    probes : list of (str, dict, dict)
        Name, engine and probe of the stores beside which the new rows will stand; if they do
        not fit, nothing is computed.
    progress : callable, optional
        Called for each image that is done.
    """

    def __init__(
        self,
        source: Source,
        recipe: Recipe,
        folder: Path,
        batch_size: int = BATCH_SIZE,
        probes: Sequence[tuple[str, dict, dict]] = (),
        progress: Callable[[], None] | None = None,
    ):
        self._source, self._recipe, self._folder = source, recipe, folder
        self._batch_size, self._progress = batch_size, progress or (lambda: None)
        self._engine = open_engine("keras", recipe)
        self._probe = check_probes(self._engine, recipe, probes)

    def __call__(self, part: Part) -> int:
        """Write the part's file and return the number of images that got a feature.

        An image that cannot be decoded is rejected, with its reason; one that changed or
        vanished since it was hashed is left out.
        """
        done, rejected = {}, {}
        for digest, result in compute_features(
            self._engine, self._recipe, self._items(part), self._batch_size
        ):
            if isinstance(result, ImageError):
                rejected[digest] = str(result)
            else:
                done[digest] = result
            self._progress()
        path = self._folder / part.name
        write_part(path, self._recipe, self._engine.describe(), self._probe, done, rejected)
        return len(done)

    def _items(self, part: Part) -> Iterator[tuple[bytes, bytes]]:
        for digest, data in zip(part.digests, self._source.read(part.rows), strict=True):
            if not isinstance(data, OSError) and hashlib.sha256(data).digest() == digest:
                yield digest, data


def _run(engine: Engine, keys: list, batch: list[np.ndarray]) -> Iterator[tuple[object, list[np.ndarray]]]:
    layers = engine(np.stack(batch))
    for number, key in enumerate(keys):
        yield key, [rows[number] for rows in layers]


def _decode_ahead(recipe: Recipe, items, ahead: int) -> Iterator[tuple[object, np.ndarray | ImageError]]:
    waiting: deque[tuple[object, Future]] = deque()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for key, data in items:
            waiting.append((key, pool.submit(_load, recipe, data)))
            if len(waiting) > ahead:
                key, future = waiting.popleft()
                yield key, future.result()
        for key, future in waiting:
            yield key, future.result()


def _load(recipe: Recipe, data: bytes) -> np.ndarray | ImageError:
    try:
        return load_image(
            data,
            recipe.image_size,
            exif_orientation=recipe.exif_orientation,
            alpha_background=recipe.alpha_background,
            pixel_limit=recipe.pixel_limit,
        )
    except ImageError as error:
        return error
