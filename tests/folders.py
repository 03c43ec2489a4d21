"""What lies on a disk, for tests of outputs."""

import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event


def below(folder: Path) -> dict[str, str]:
    """Return the text of every file below a folder, and where every link points to."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            found[name] = f"-> {os.readlink(path)}"
        elif path.is_file():
            found[name] = path.read_text(errors="replace")
        else:
            found[name] = "folder"
    return found


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@contextmanager
def waiting_told() -> Iterator[Event]:
    """Yield what is set once somebody says that another process is waited for."""
    told, handler = Event(), logging.Handler()
    handler.emit = lambda record: record.getMessage().startswith("waiting for process") and told.set()
    logger = logging.getLogger("headstart")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield told
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
