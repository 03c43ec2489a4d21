"""Write aside, sync, rename once: a final name always means a complete file."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Yield a path beside `path`; at the end sync it and rename it over `path`.

    After an exception nothing new is left, and an existing file stays as it was.
    """
    aside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        yield aside
        _sync(aside)
        os.replace(aside, path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    _sync(path.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
