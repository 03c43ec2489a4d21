"""Where results go: written aside and renamed, through links, over nothing that is not ours."""

import errno
import os
import re
import shutil
import socket
import stat
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from data.errors import HeadstartError, NotAllowedError
from data.output.ours import kind_of_output
from data.text import one_line, some_of, with_article

_FULL = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk is full: the quota of this user is used up",
    errno.EFBIG: "the disk is full: no file may be so large here",
}
_LEAST_ROOM = 100_000  # bytes: with less, whatever went wrong, the disk is full
_FULL_WORDS = re.compile(r"no space left|errno = 28\b|disk quota exceeded|file too large", re.IGNORECASE)


def cache_folder() -> Path:
    """Return our cache: ``$HEADSTART_CACHE``, ``$XDG_CACHE_HOME/headstart`` or ``~/.cache/headstart``."""
    if own := os.environ.get("HEADSTART_CACHE"):
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "headstart"


def target_of(path: Path) -> Path:
    """Return where a path leads, through links, also where the last one dangles.

    What lies beside an output, as a lock does, lies beside the file that is written, so that
    two links to it are one output.

    Examples
    --------
    >>> target_of(Path("photos.h5"))
    PosixPath('photos.h5')
    """
    through = path.is_symlink() or not path.parent.exists()  # a link above that dangles, perhaps
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


def check_file(path: Path, kind: str, option: str = "-o") -> None:
    """Raise if a file of a kind cannot be written there, or would replace what is none of that kind.

    Parameters
    ----------
    path : Path
    kind : str
        As `data.output.ours.kind_of_output` names it.
    option : str
        By which the user chooses another path.

    Raises
    ------
    HeadstartError
    """
    check_parent(path, option)
    if path.is_file() and not os.access(path, os.W_OK):
        raise _cannot(path, f"{str(path)!r}, which may not be written", option)
    if not os.path.exists(path) or (path.is_file() and not path.stat().st_size):
        return
    found = kind_of_output(path)
    if found != kind or not path.is_file():
        raise HeadstartError(
            f"{str(path)!r} exists and is no {kind} that Headstart wrote",
            f"the name of a new file, or of {with_article(kind)}, which is replaced",
            "a folder" if path.is_dir() else with_article(found) if found else "a file of another origin",
            f"choose another {option}, or move it away",
        )


def check_folder(folder: Path, kind: str, option: str = "-o") -> None:
    """Raise if a folder of a kind cannot be written there: it is new, empty or of that kind.

    Raises
    ------
    HeadstartError
    """
    held = "a file"
    if folder.is_dir():
        names = sorted(os.listdir(folder)) if os.access(folder, os.R_OK) else ["what cannot be listed"]
        held = "" if not names or kind_of_output(folder) == kind else f"a folder with {some_of(names)}"
        if not os.access(folder, os.W_OK):
            raise _cannot(folder, f"{str(folder)!r}, which may not be written", option)
    if os.path.exists(folder) and held:
        raise HeadstartError(
            f"{str(folder)!r} cannot take {with_article(kind)}",
            f"a new folder, an empty one, or one that holds {with_article(kind)}, which is replaced",
            held,
            f"choose another folder with {option}",
        )
    check_parent(folder, option)


def check_names(folder: Path, kind: str, strange: Sequence[str]) -> None:
    """Raise if strangers' files have the names of what is written into a folder.

    Parameters
    ----------
    folder : Path
    kind : str
        Of what is written.
    strange : sequence of str
        Names of these files.

    Raises
    ------
    HeadstartError
    """
    if strange:
        raise HeadstartError(
            f"{str(folder)!r} holds files that {with_article(kind)} would replace, and that none wrote",
            f"a new folder, or one with the files of an earlier {kind}, which are replaced",
            some_of(strange),
            "move them away, or choose another folder with -o",
        )


def check_parent(path: Path, option: str = "-o") -> None:
    """Raise if there is no folder for a path, and none can be made; nothing is written.

    Raises
    ------
    HeadstartError
    """
    target = target_of(path)
    if target.exists() and not (target.is_file() or target.is_dir()):
        raise _cannot(path, "a pipe or a device", option)
    above = next((each for each in target.absolute().parents if os.path.lexists(each)), target)
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        what = "which may not be written" if above.is_dir() else "which is no folder"
        raise _cannot(path, f"{str(above)!r}, {what}", option)


def _cannot(path: Path, received: str, option: str) -> NotAllowedError:
    return NotAllowedError(
        f"{str(path)!r} cannot be written",
        "a path in a folder that may be written, or that can be made",
        received,
        f"choose another {option}, or allow the writing",
    )


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
    return _told_as(lambda error: unwritten(path, error, todo))


@contextmanager
def in_cache() -> Iterator[None]:
    """Say that it is our cache which cannot be read or written, not the output; also a decorator.

    Raises
    ------
    HeadstartError
    """
    with _told_as(_cache_unusable):
        yield


@contextmanager
def _told_as(make: Callable[[OSError], HeadstartError]) -> Iterator[None]:
    """Make an error of the system one of the user; what is one of the user already passes."""
    try:
        yield
    except HeadstartError:
        raise
    except OSError as error:
        raise make(error) from error


def _cache_unusable(error: OSError) -> HeadstartError:
    kind = NotAllowedError if isinstance(error, PermissionError) else HeadstartError
    return kind(
        f"the cache {str(cache_folder())!r} cannot be used",
        "a folder with room, that may be read and written",
        why(error),
        "mend that, or name another folder: export HEADSTART_CACHE=FOLDER",
    )


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
