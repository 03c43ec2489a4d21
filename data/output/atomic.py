"""Files and folders are written aside, synced and renamed: the old one or the new one, never half of one."""

import errno
import os
import re
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def target_of(path: Path) -> Path:
    """Return where a path leads, through links, also where the last one dangles.

    What lies beside an output, as a lock does, lies beside the file that is written, so that
    two links to it are one output.

    Examples
    --------
    >>> target_of(Path("photos.h5"))
    PosixPath('photos.h5')
    """
    through = os.path.islink(path) or not os.path.exists(path.parent)  # a link above that dangles, perhaps
    return Path(os.path.realpath(path)) if through else path


@contextmanager
def written_aside(path: Path, size: int = 0) -> Iterator[Path]:
    """Yield a path beside `path`; at the end sync it and rename it over `path`.

    Missing folders are made, a link is written through, and a file that is replaced leaves its
    mode. After an exception nothing new is left, and an existing file stays as it was.

    Parameters
    ----------
    path : Path
    size : int
        Bytes that the disk must have room for before the writing begins.
    """
    path = target_of(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and not (path.is_file() and os.access(path, os.W_OK)):
        raise PermissionError(errno.EACCES, "no file that may be written", str(path))
    aside = path.with_name(f"{path.name}.{socket.gethostname()}-{os.getpid()}.tmp")
    try:
        with open(aside, "wb") as file:
            take_mode(aside, path)  # before the content: a private file is private all the time
            if size:
                os.posix_fallocate(file.fileno(), 0, size)  # HDF5 would end the process on a full disk
        yield aside
        sync(aside)
        os.replace(aside, path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    sync(path.parent)


def half_written(path: Path, idle: float = 0) -> list[Path]:
    """Return what processes that were killed while they wrote `path` left beside it.

    Parameters
    ----------
    path : Path
        Its name may be a pattern of `Path.glob`.
    idle : float
        Seconds since the last write; without a lock a file of less may be another process's.
    """
    ending = re.compile(r".+\.([^/]*-)?\d+\.tmp")
    latest = time.time() - idle
    found = [half for half in path.parent.glob(f"{path.name}.*.tmp") if ending.fullmatch(half.name)]
    return [half for half in found if not idle or half.stat().st_mtime < latest]


def take_mode(new: Path, old: Path) -> None:
    """Give a new file or folder the mode of the one that it replaces, and its owner where we may."""
    try:
        known = os.stat(old)
    except FileNotFoundError:
        return
    with suppress(PermissionError):
        os.chmod(new, stat.S_IMODE(known.st_mode))
        os.chown(new, known.st_uid, known.st_gid)


def sync(path: Path) -> None:
    """Have the disk hold what was written to a file, or the names in a folder."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
