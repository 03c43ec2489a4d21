"""From encoded bytes to features: threads decode ahead of the engine."""

import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import chain, islice
from typing import TypeVar

import numpy as np

from data.images import ImageError, is_dim, load_image
from extract.engines.engine import Engine, available_threads
from extract.recipe import Recipe

Key = TypeVar("Key")
_AHEAD = 3  # batches decoded, and waiting for the engine
_CHUNK = 4  # images that a thread is handed at once: to hand over each alone is a tenth of its time


def compute_features(
    engine: Engine,
    recipe: Recipe,
    items: Iterable[tuple[Key, bytes]],
    threads: int | None = None,
    dim: Callable[[Key], None] | None = None,
) -> Iterator[tuple[Key, list[np.ndarray] | ImageError]]:
    """Decode images in threads while the engine runs over batches of those before them.

    Parameters
    ----------
    engine : Engine
    recipe : Recipe
    items : iterable of (key, bytes)
        Encoded images under keys of any kind.
    threads : int, optional
        That decode; by default as many as this process may use.
    dim : callable, optional
        Called, in any thread, with the key of an image of which `data.images.is_dim` holds.

    Yields
    ------
    key, features
        One array (D,) for each layer of the recipe, or the error of an image that cannot be
        decoded. Features keep their order, batch by batch; errors come as they are met.
    """
    return chain.from_iterable(compute_batches(engine, recipe, items, threads, dim))


def compute_batches(
    engine: Engine,
    recipe: Recipe,
    items: Iterable[tuple[Key, bytes]],
    threads: int | None = None,
    dim: Callable[[Key], None] | None = None,
) -> Generator[list[tuple[Key, list[np.ndarray] | ImageError]], None, None]:
    """Do what `compute_features` does, and yield in one list what is finished at once."""
    engine.check_process()
    started: deque[tuple[list[Key], Callable[[], list[np.ndarray]]]] = deque()
    keys: list[Key] = []
    batch: list[np.ndarray] = []
    for key, image in decode_ahead(engine, recipe, items, threads or available_threads(), dim):
        if isinstance(image, ImageError):
            yield [(key, image)]
            continue
        keys.append(key)
        batch.append(image)
        if len(batch) >= engine.batch_size:
            started.append((keys, engine.start(np.stack(batch))))
            keys, batch = [], []
            if len(started) > engine.ahead:
                yield list(_finished(*started.popleft()))
    if batch:
        started.append((keys, engine.start(np.stack(batch))))
    for keys, finish in started:
        yield list(_finished(keys, finish))


def _finished(
    keys: list[Key], finish: Callable[[], list[np.ndarray]]
) -> Iterator[tuple[Key, list[np.ndarray] | ImageError]]:
    layers = finish()
    for number, key in enumerate(keys):
        yield key, [rows[number] for rows in layers]


def decode_ahead(
    engine: Engine,
    recipe: Recipe,
    items: Iterable[tuple[Key, bytes]],
    threads: int,
    dim: Callable[[Key], None] | None = None,
) -> Iterator[tuple[Key, np.ndarray | ImageError]]:
    """Decode images in threads, a few of the engine's batches ahead of the one who takes them."""
    waiting: deque[Future[list[tuple[Key, np.ndarray | ImageError]]]] = deque()
    pool = ThreadPoolExecutor(threads, "decode", _stand_back)
    remaining, ahead = iter(items), max(2 * threads, _AHEAD * engine.batch_size // _CHUNK)
    try:
        while chunk := list(islice(remaining, _CHUNK)):
            waiting.append(pool.submit(_decoded, recipe, chunk, dim))
            if len(waiting) > ahead:
                yield from waiting.popleft().result()
        for future in waiting:
            yield from future.result()
    finally:
        pool.shutdown(cancel_futures=True)  # who is interrupted does not wait for those in the queue


def _decoded(
    recipe: Recipe, chunk: list[tuple[Key, bytes]], dim: Callable[[Key], None] | None
) -> list[tuple[Key, np.ndarray | ImageError]]:
    return [(key, decode(recipe, data, dim and partial(dim, key))) for key, data in chunk]


def _stand_back() -> None:
    """Let the engine's threads go before this one, where the system has priorities of threads."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)


def decode(recipe: Recipe, data: bytes, dim: Callable[[], None] | None = None) -> np.ndarray | ImageError:
    """Return the pixels that a recipe's backbone sees, or the error of what cannot be decoded."""
    try:
        image = load_image(data, recipe.image_size, **recipe.decoding)
    except ImageError as error:
        return error
    if dim and is_dim(data, image):
        dim()
    return image


def engine_speed(engine: Engine, pixels: np.ndarray) -> float:
    """Return images a second of an engine alone, which runs once over decoded images.

    Parameters
    ----------
    engine : Engine
    pixels : ndarray of float32, shape (N, height, width, 3)
    """
    begun = time.perf_counter()
    started: deque[Callable[[], list[np.ndarray]]] = deque()
    for first in range(0, len(pixels), engine.batch_size):
        started.append(engine.start(pixels[first : first + engine.batch_size]))
        if len(started) > engine.ahead:
            started.popleft()()
    for finish in started:
        finish()
    return len(pixels) / (time.perf_counter() - begun)
