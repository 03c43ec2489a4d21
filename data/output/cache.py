"""The cache of this user: where it is, and what is said when it cannot be used."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from data.errors import HeadstartError, NotAllowedError
from data.output.disk import told_as, why


def cache_folder() -> Path:
    """Return our cache: ``$HEADSTART_CACHE``, ``$XDG_CACHE_HOME/headstart`` or ``~/.cache/headstart``."""
    if own := os.environ.get("HEADSTART_CACHE"):
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "headstart"


@contextmanager
def in_cache() -> Iterator[None]:
    """Say that it is our cache which cannot be read or written, not the output; also a decorator.

    Raises
    ------
    HeadstartError
    """
    with told_as(_cache_unusable):
        yield


@in_cache()
def check_cache() -> None:
    """Raise if our cache cannot be written, before long work whose result will be kept there.

    Raises
    ------
    HeadstartError
    """
    folder = cache_folder()
    if not folder.exists():
        folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass


def _cache_unusable(error: OSError) -> HeadstartError:
    kind = NotAllowedError if isinstance(error, PermissionError) else HeadstartError
    return kind(
        f"the cache {str(cache_folder())!r} cannot be used",
        "a folder with room, that may be read and written",
        why(error),
        "mend that, or name another folder: export HEADSTART_CACHE=FOLDER",
    )
