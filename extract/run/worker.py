"""The parts of a run, from the bytes of images to a file each: the same here and on a cluster."""

import hashlib
import logging
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Protocol

import numpy as np

from data.errors import HeadstartError, is_there, unreadable
from data.images import ImageError
from data.output.disk import check_room
from data.sources.source import Row, title
from data.text import some_of
from extract.engines.engine import open_engine
from extract.engines.pipeline import compute_batches
from extract.engines.probe import check_probes
from extract.feature_file.part import GrowingPart, write_part
from extract.recipe import Probe, Recipe
from extract.run.plan import Part, bytes_needed

_log = logging.getLogger("headstart.run")
DIM = "values of 16-bit images use a sixteenth of their range"  # so begins what is said of them
_WRITING = 1  # parts that may wait for the disk while the engine computes the next


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
    ) -> "PartWorker":
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


@dataclass(eq=False)
class _Begun:
    """A part of which images are on their way, and what has come of them."""

    part: Part
    growing: GrowingPart
    waiting: int = 0
    is_read: bool = False
    written: Future[None] | None = None
    dim: set[bytes] = field(default_factory=set)

    def add(self, results: Sequence[tuple[bytes, list[np.ndarray] | ImageError]]) -> None:
        self.growing.add(results)
        self.waiting -= len(results)

    def computed(self) -> Computed:
        digests = zip(self.part.rows, self.part.digests, strict=True)
        names = [row.id for row, digest in digests if digest in self.dim]
        return Computed(len(self.growing.rows), tuple(names))


_Image = tuple[_Begun, bytes]  # its part and its digest


class _Parts:
    """Parts in their order from the first image that is read until the file is written."""

    def __init__(self) -> None:
        self._begun: deque[_Begun] = deque()

    def begin(self, part: Part, growing: GrowingPart) -> _Begun:
        self._begun.append(begun := _Begun(part, growing))
        return begun

    def take(self, batch: Iterable[tuple[_Image, list[np.ndarray] | ImageError]], writer: Executor) -> None:
        """Add results to their parts, and have those written that are whole."""
        for begun, results in groupby(batch, lambda result: result[0][0]):
            begun.add([(digest, result) for (_, digest), result in results])
        for begun in self._begun:
            if begun.is_read and not begun.waiting and not begun.written:
                begun.written = writer.submit(begun.growing.close, begun.part.name)

    def finished(self, most: int) -> Iterator[tuple[Part, Computed]]:
        """Yield what is written; at most some go on waiting for the disk."""
        while self._begun and (written := self._begun[0].written):
            if not written.done() and sum(each.written is not None for each in self._begun) <= most:
                return
            written.result()
            begun = self._begun.popleft()
            yield begun.part, begun.computed()

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Keep what is finished of each part if an error, Ctrl-C among them, ends the work."""
        try:
            yield
        except BaseException:
            with ExitStack() as stack:
                for begun in self._begun:
                    stack.enter_context(begun.growing)
                raise


def _note_dim(image: _Image) -> None:
    begun, digest = image
    begun.dim.add(digest)


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

    @property
    def probe(self) -> Probe:
        """The probe image's features, as this worker's engine computes them."""
        features = dict(zip(self._recipe.layers, self._probe, strict=True))
        return Probe("this machine", self._engine.describe(), features)

    def __call__(self, part: Part) -> Computed:
        """Write the file of one part and say what came of it."""
        [(_, computed)] = self.stream([part])
        return computed

    def stream(self, parts: Iterable[Part]) -> Generator[tuple[Part, Computed], None, None]:
        """Write the files of parts and yield each with what came of it, in their order.

        The engine goes on from part to part: the next is read and decoded while it computes the
        last images of this one, and a thread writes the file. An image that cannot be decoded is
        rejected, with its reason; one that changed or vanished since it was hashed is left out;
        where one cannot be read, those before it are computed first.
        """
        begun, errors = _Parts(), list[Exception]()
        images = self._images(parts, begun, errors)
        batches = compute_batches(self._engine, self._recipe, images, self._work.threads, _note_dim)
        with begun.kept(), ThreadPoolExecutor(1, "write") as writer, closing(batches):
            for batch in batches:
                begun.take(batch, writer)
                self._progress(len(batch))
                yield from begun.finished(_WRITING)
            begun.take([], writer)  # parts without an image
            yield from begun.finished(0)
            for error in errors:
                raise error

    def _images(
        self, parts: Iterable[Part], begun: _Parts, errors: list[Exception]
    ) -> Iterator[tuple[_Image, bytes]]:
        try:
            for part in parts:
                this = begun.begin(part, GrowingPart(self._write, self._work.whole))
                for digest, data in self._items(part):
                    this.waiting += 1
                    yield (this, digest), data
                this.is_read = True
        except (HeadstartError, OSError) as error:
            errors.append(error)

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
        elif isinstance(data, HeadstartError):
            raise data
        elif is_there(data):
            raise unreadable(title(source), {row.id: data.strerror or str(data)}, "file")


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
