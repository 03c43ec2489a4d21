"""From encoded bytes to features, and one part of a run: the same here and on a cluster."""

import hashlib
import logging
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np

from data.errors import is_there, unreadable
from data.images import ImageError, is_dim, load_image
from data.output.disk import check_room
from data.sources.source import Row, title
from data.text import some_of
from extract.engines.engine import Engine, available_threads, open_engine
from extract.engines.probe import check_probes
from extract.feature_file.part import GrowingPart, write_part
from extract.recipe import Probe, Recipe
from extract.run.plan import Part, bytes_needed

Key = TypeVar("Key")
_log = logging.getLogger("headstart.run")
DIM = "values of 16-bit images use a sixteenth of their range"  # so begins what is said of them
_AHEAD = 3  # batches decoded, and waiting for the engine


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
) -> Iterator[list[tuple[Key, list[np.ndarray] | ImageError]]]:
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


class Reads(Protocol):
    """What gives the bytes of rows, as a `data.sources.source.Source` does."""

    def read(self, rows: Iterable[Row]) -> Iterator[bytes | OSError]:
        """Yield the encoded bytes of rows, or why there are none, in their order."""


@dataclass(frozen=True)
class Work:
    """What the workers of a run compute, and how; called, it makes one, here or on a node of a cluster.

    Attributes
    ----------
    worker : type
        `PartWorker`, or what does as it does.
    recipe : Recipe
    folder : Path
        Where part files go.
    engine : str
        As `extract.engines.engine.open_engine` takes it.
    batch_size, threads : int, optional
        Images that the backbone sees at once, and threads of the CPU; by default what suits
        the engine and the machine.
    probes : sequence of Probe
        Of the stores beside which the new rows will stand; if they do not fit, nothing is computed.
    whole : bool
        Keep no row of a part before it is whole: shards stay, so each has the rows of its plan.
    rows : int
        That parts and file will hold: where the disk has no room for them, nothing is computed.
    """

    worker: "type[PartWorker]"
    recipe: Recipe
    folder: Path
    engine: str = "auto"
    batch_size: int | None = None
    threads: int | None = None
    probes: Sequence[Probe] = ()
    whole: bool = False
    rows: int = 0

    def __call__(
        self, *, source: Reads, progress: Callable[[int], None], threads: int | None = None
    ) -> Callable[[Part], "Computed"]:
        """Make a worker, which opens its engine.

        Parameters
        ----------
        source : Source
        progress : callable
            Called with a number of images, when they are done.
        threads : int, optional
            In the place of its own.
        """
        return self.worker(replace(self, threads=threads or self.threads), source, progress)


@dataclass(frozen=True)
class Computed:
    """What came of a part: how many images got a feature, and the ids of those that are dim to `is_dim`."""

    images: int
    dim: tuple[str, ...] = ()


class PartWorker:
    """Compute parts of one source by one recipe; opening the engine is the slow step.

    Parameters
    ----------
    work : Work
    source : Source
    progress : callable
        Called with a number of images, when they are done.
    """

    def __init__(self, work: Work, source: Reads, progress: Callable[[int], None]) -> None:
        self._work, self._recipe, self._source, self._progress = work, work.recipe, source, progress
        self._engine = open_engine(work.engine, work.recipe, work.threads)
        self._engine.batch_size = work.batch_size or self._engine.batch_size
        self._probe = check_probes(self._engine, work.recipe, work.probes)
        check_room(work.folder, bytes_needed(work.rows, sum(map(len, self._probe))))

    def __call__(self, part: Part) -> Computed:
        """Write the part's file and say what came of it.

        An image that cannot be decoded is rejected, with its reason; one that changed or
        vanished since it was hashed is left out.
        """
        dim: set[bytes] = set()
        batches = compute_batches(self._engine, self._recipe, self._items(part), self._work.threads, dim.add)
        with GrowingPart(self._write, self._work.whole) as growing:
            for batch in batches:
                growing.add(batch)
                self._progress(len(batch))
            growing.close(part.name)
        names = [row.id for row, digest in zip(part.rows, part.digests, strict=True) if digest in dim]
        return Computed(len(growing.rows), tuple(names))

    def _write(self, name: str, rows: dict[bytes, Sequence[np.ndarray]], rejected: dict[bytes, str]) -> Path:
        path = self._work.folder / name
        write_part(path, self._recipe, self._engine.describe(), self._probe, rows, rejected)
        return path

    def _items(self, part: Part) -> Iterator[tuple[bytes, bytes]]:
        digests = dict(zip(part.rows, part.digests, strict=True))
        for row, data in bytes_of(self._source, part.rows):
            if hashlib.sha256(data).digest() == digests[row]:
                yield digests[row], data


def bytes_of(source: Reads, rows: Sequence[Row]) -> Iterator[tuple[Row, bytes]]:
    """Yield rows with their bytes; those that are not there any more are left out.

    Raises
    ------
    HeadstartError
        If an image exists but cannot be read.
    """
    for row, data in zip(rows, source.read(rows), strict=True):
        if isinstance(data, bytes):
            yield row, data
        elif is_there(data):
            raise unreadable(title(source), {row.id: data.strerror or str(data)}, "file")


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
    waiting: deque[tuple[Key, Future[np.ndarray | ImageError]]] = deque()
    pool = ThreadPoolExecutor(threads, "decode", _stand_back)
    try:
        for key, data in items:
            waiting.append((key, pool.submit(decode, recipe, data, dim and partial(dim, key))))
            if len(waiting) > _AHEAD * engine.batch_size:
                key, future = waiting.popleft()
                yield key, future.result()
        for key, future in waiting:
            yield key, future.result()
    finally:
        pool.shutdown(cancel_futures=True)  # who is interrupted does not wait for those in the queue


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


def dim_warning(names: Sequence[str]) -> str:
    """Say that images of 16 bits are nearly black to a backbone.

    Examples
    --------
    >>> dim_warning(["a.png", "b.png"]).removeprefix(DIM)
    ', as those of 12 bits do, and look nearly black: a.png, b.png; scale them to 0..65535'
    """
    return f"{DIM}, as those of 12 bits do, and look nearly black: {some_of(names)}; scale them to 0..65535"


def warn_of_dim(names: Sequence[str]) -> None:
    """Tell the user of `dim_warning` now, as the work may take long."""
    _log.warning("warning: %s", dim_warning(names))
