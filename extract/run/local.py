"""The parts of a run in this process, in their order; what else runs them has the same form."""

from collections.abc import Callable, Generator, Sequence
from typing import Protocol

from data.sources.source import Source
from extract.run.plan import Part
from extract.run.worker import Computed, Work


class Map(Protocol):
    """What runs the parts of a run, as `local_map` and `extract.cluster.driver.ray_map` do."""

    def __call__(
        self,
        make: Work,
        parts: Sequence[Part],
        replicas: int | None = None,
        *,
        source: Source,
        progress: Callable[[int], None],
    ) -> Generator[tuple[Part, Computed | Exception], None, None]:
        """Yield each part with what came of it, or with why nothing did, in any order."""


def local_map(
    make: Work,
    parts: Sequence[Part],
    replicas: int | None = None,
    *,
    source: Source,
    progress: Callable[[int], None],
) -> Generator[tuple[Part, Computed | Exception], None, None]:
    """Compute parts in this process, without a gap between them; an error ends the run.

    Parameters
    ----------
    make : Work
        ``make(source=..., progress=...)`` makes the `extract.run.worker.PartWorker`.
    parts : sequence of Part
    replicas : int, optional
        Workers at once; here always one.
    source : Source
    progress : callable
        Called with a number of images, when they are done.
    """
    yield from make(source=source, progress=progress).stream(parts)
