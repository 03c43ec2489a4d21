"""Write aside, sync, rename once: a final name always means a complete file."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_aside(path: Path, size: int = 0) -> Iterator[Path]:
    """Yield a path beside `path`; at the end sync it and rename it over `path`.

    After an exception nothing new is left, and an existing file stays as it was.

    Parameters
    ----------
    path : Path
    size : int
        Bytes that the disk must have room for before the writing begins.
    """
    aside = path.with_name(f"{path.name}.{socket.gethostname()}-{os.getpid()}.tmp")
    try:
        if size:
            _try_room(aside, size)
        yield aside
        _sync(aside)
        os.replace(aside, path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    _sync(path.parent)


def _try_room(path: Path, size: int) -> None:
    """Raise OSError if so much cannot be written; HDF5 would end the process there."""
    with open(path, "wb") as file:
        os.posix_fallocate(file.fileno(), 0, size)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
