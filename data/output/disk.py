"""Room on a disk, and why something could not be written, in one message."""

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from data.errors import HeadstartError, NotAllowedError
from data.output.atomic import target_of
from data.text import one_line

_FULL = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk is full: the quota of this user is used up",
    errno.EFBIG: "the disk is full: no file may be so large here",
}
_LEAST_ROOM = 100_000  # bytes: with less, whatever went wrong, the disk is full
_FULL_WORDS = re.compile(r"no space left|errno = 28\b|disk quota exceeded|file too large", re.IGNORECASE)


def free_room(path: Path) -> int:
    """Return the free bytes of the disk that a path, which need not exist, lies on."""
    target = target_of(path).absolute()
    return shutil.disk_usage(next(each for each in (target, *target.parents) if each.is_dir())).free


def check_room(path: Path, size: float) -> None:
    """Raise OSError if the disk of a path has less room than so many bytes."""
    free = free_room(path)
    if free < size:
        room = f"{size / 1e6:.1f} MB are needed, and {free / 1e6:.1f} MB are free"
        raise OSError(errno.ENOSPC, room, str(path))


def try_room(folder: Path, size: int) -> None:
    """Raise OSError if a file of so many bytes cannot be written into a folder; quotas and limits count.

    Where a library writes, this is asked first: HDF5 ends the process on a full disk, and
    converters of models speak of something else.
    """
    with tempfile.TemporaryFile(dir=folder) as file:
        os.posix_fallocate(file.fileno(), 0, max(1, size))


@contextmanager
def full_told(folder: Path) -> Iterator[None]:
    """Turn whatever a library raises into OSError where the disk of a folder turns out to be full."""
    try:
        yield
    except (HeadstartError, OSError):
        raise
    except Exception as error:
        if free_room(folder) < _LEAST_ROOM or _FULL_WORDS.search(str(error)):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder)) from error
        raise


def writing(path: Path, todo: str) -> AbstractContextManager[None]:
    """Turn what stops the writing of a path into the one message for it.

    Parameters
    ----------
    path : Path
    todo : str
        What the user can do once the cause is mended.

    Raises
    ------
    HeadstartError
    """
    return told_as(lambda error: unwritten(path, error, todo))


@contextmanager
def told_as(make: Callable[[OSError], HeadstartError]) -> Iterator[None]:
    """Make an error of the system one of the user; what is one of the user already passes."""
    try:
        yield
    except HeadstartError:
        raise
    except OSError as error:
        raise make(error) from error


def unwritten(path: Path, error: Exception, todo: str) -> HeadstartError:
    """Make the error for an output that could not be written."""
    kind = NotAllowedError if isinstance(error, PermissionError) else HeadstartError
    return kind(
        f"{str(path)!r} could not be written",
        "a disk with room, and a folder that may be written",
        why(error),
        f"mend that, {todo}",
    )


def why(error: Exception) -> str:
    """Say in one line what stopped the writing; that the disk is full in these words.

    Examples
    --------
    >>> why(OSError(28, "No space left on device"))
    'the disk is full ([Errno 28] No space left on device)'
    >>> why(RuntimeError("unable to flush (errno = 28)")), why(OSError("odd"))
    ('the disk is full (unable to flush (errno = 28))', 'odd')
    """
    told = one_line(error)
    code = error.errno if isinstance(error, OSError) else None
    full = _FULL.get(code or 0) or (_FULL_WORDS.search(told) and _FULL[errno.ENOSPC])
    return f"{full} ({told})" if full else told
