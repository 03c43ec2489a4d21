"""What runs on a node of a Ray cluster: an actor with an engine, which computes one part at a time."""

import hashlib
import os
import platform
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from data import __version__
from data.errors import HeadstartError
from data.sources.source import Row, Source
from data.text import with_type
from extract.backbones.keras_backend import use_backend
from extract.engines.engine import makers
from extract.recipe import Probe
from extract.run.plan import Part
from extract.run.worker import Computed, Work


@dataclass(frozen=True)
class Task:
    """What a replica gets before its first part.

    `sample` tells whether it sees the source; `backend` is that of Keras, None for the node's own.
    """

    make: Work
    source: Source | None
    marker: Path
    sample: Part
    threads: int
    backend: str | None = None


@dataclass(frozen=True)
class Place:
    """The node of a replica, by address and id, and the versions that would compute there."""

    node: str
    versions: dict[str, str]


@dataclass(frozen=True)
class Opened:
    """A replica that is ready.

    `sees` tells whether its node reads the source by itself; `probe` is what its engine computes.
    """

    sees: bool
    probe: Probe


class _Sent:
    """A source whose bytes come with each part."""

    data: Sequence[bytes | OSError] = ()

    def read(self, rows: Iterable[Row]) -> Iterator[bytes | OSError]:
        return iter(self.data)


class Replica:
    """The actor: it opens an engine, then computes one part after the other.

    Errors are returned, not raised, so that what Ray raises is the loss of the actor and nothing
    else.
    """

    def place(self) -> Place:
        """Return where this runs."""
        import ray

        node = ray.get_runtime_context().get_node_id()[:6]
        return Place(f"{ray.util.get_node_ip_address()} ({node})", versions())

    def open(self, task: Task) -> Opened | Exception:
        """Open the engine, and compute the probe image."""
        try:
            if not task.marker.is_file() or not os.access(task.marker.parent, os.W_OK):
                return HeadstartError(
                    "does not see the output, or may not write it",
                    f"the folder {str(task.marker.parent)!r} shared by all nodes",
                    "no such folder, or another one of that name",
                    "put the output (-o) into a folder that every node mounts at the same path",
                )
            use_backend(task.backend)
            source = task.source if _sees(task) else None
            self._source = source or _Sent()
            self._work = task.make(source=self._source, progress=lambda images: None, threads=task.threads)
            return Opened(source is not None, self._work.probe)
        except Exception as error:
            return _sendable(error)

    def compute(self, part: Part, data: list[bytes | OSError]) -> Computed | Exception:
        """Write a part and return what came of it."""
        try:
            if isinstance(self._source, _Sent):
                self._source.data = data
            return self._work(part)
        except Exception as error:
            return _sendable(error)


def versions() -> dict[str, str]:
    """Return the versions that must be the same on every node."""
    names = sorted({"numpy", "pillow", *makers()})
    return {"headstart": __version__, "python": platform.python_version()} | {
        name: _version(name) for name in names
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _sees(task: Task) -> bool:
    """Tell whether this node reads the bytes that were hashed; a folder must be there."""
    if task.source is None:
        return False
    rows, digests = task.sample.rows[:1], task.sample.digests[:1]
    try:
        data = list(task.source.read(rows))
    except HeadstartError:
        raise
    except OSError:
        data = []
    for each in data:
        if isinstance(each, HeadstartError):
            raise each
    found = [hashlib.sha256(each).digest() for each in data if isinstance(each, bytes)]
    if tuple(found) == digests or task.source.sendable:
        return tuple(found) == digests
    raise HeadstartError(
        "does not see the source",
        f"the image {rows[0].id!r} as this run hashed it",
        "no such file, or another one",
        "put the source into an object store or a folder that every node mounts at the same path, or list it "
        "in a CSV file: then its bytes are sent",
    )


def _sendable(error: Exception) -> Exception:
    """Return an error that every process can read."""
    return error if isinstance(error, HeadstartError) else RuntimeError(with_type(error))
