"""A folder that is replaced as a whole: at each moment the old one or the new one, with all foreign files."""

import ctypes
import errno
import os
import shutil
import stat
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from data.errors import HeadstartError
from data.output.atomic import sync, take_mode, target_of
from data.output.checks import check_folder
from data.output.disk import writing
from data.output.lock import locked

_HERE, _EXCHANGE = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of Linux
_CANNOT = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP)  # a file system, or a kernel, that has no exchange


@contextmanager
def swapped(folder: Path, ours: Callable[[], Collection[str]]) -> Iterator[Path]:
    """Yield a new folder; at the end it takes the place of `folder`.

    Another process that swaps it is waited for, which is told: the one that ends last is what stays.

    Whatever else lies in the old one is in the new one before that, as hard links, which cost no
    room and keep a file one file for whoever has it open; as copies where there are no hard links.
    After an exception the old folder is as it was. A link to a folder is written through.

    Parameters
    ----------
    folder : Path
        It need not exist.
    ours : callable
        Called once nobody else writes there; returns the files in it that are replaced, and so not carried
        over: names, or paths below it with ``/``.

    Raises
    ------
    HeadstartError
        If another file has the name of one that is new.
    """
    folder = target_of(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = _beside(folder, "new")
    with locked(folder, beside=_beside(folder, "swap")):
        _bring_back(folder)
        replaced = ours()
        _discard(new)  # of a process that was killed
        new.mkdir()
        try:
            take_mode(new, folder)
            yield new
            _finish(new, folder)
            if folder.is_dir():
                _carry(folder, new, replaced)
                sync(new)
            _exchange(new, folder)
            if new.is_dir():
                _carry(new, folder, replaced, late=True)  # what was saved there in the meantime
        finally:
            _discard(new)
    sync(folder.parent)


def recover(folder: Path) -> None:
    """Bring back a folder whose exchange a kill cut in two, on a file system that has none in one step."""
    folder = target_of(folder)
    if not folder.exists() and _beside(folder, "old").is_dir():
        try:
            with locked(folder, beside=_beside(folder, "swap")):
                _bring_back(folder)
        except HeadstartError:
            raise
        except OSError:  # whoever reads it says what is missing
            return


def check_swap(folder: Path, kind: str, option: str = "-o") -> None:
    """Raise if a folder of a kind cannot be swapped for the one that is there, with what else lies in it.

    Raises
    ------
    HeadstartError
    """
    recover(folder)
    check_folder(folder, kind, option)
    with writing(folder, f"or choose another folder with {option}"):
        check_carried(target_of(folder))


def check_carried(folder: Path) -> None:
    """Raise OSError if what lies in a folder cannot be carried into a new one."""
    if os.path.ismount(folder):
        raise OSError(errno.EBUSY, "a disk is mounted there, so it cannot be swapped", str(folder))

    def fail(error: OSError) -> None:
        raise error

    if not folder.is_dir():
        return
    device = folder.stat().st_dev
    for place, _, _ in os.walk(folder, onerror=fail):
        if os.stat(place).st_dev != device:
            raise OSError(errno.EXDEV, "a disk is mounted in it, which cannot be carried over", place)


def _beside(folder: Path, what: str) -> Path:
    return folder.with_name(f".{folder.name}.headstart-{what}")


def _bring_back(folder: Path) -> None:
    old = _beside(folder, "old")
    if old.is_dir() and not folder.exists():
        os.rename(old, folder)
    _discard(old)  # there where a kill came after the new folder had its name


def _finish(new: Path, old: Path) -> None:
    """Give new files the modes of those that they replace, and have the disk hold them."""
    for place, _, names in os.walk(new, topdown=False):
        for path in (Path(place, name) for name in names):
            take_mode(path, old / path.relative_to(new))
            sync(path)
        sync(Path(place))


def _carry(old: Path, new: Path, ours: Collection[str], late: bool = False, below: str = "") -> None:
    """Bring what is in a folder into another one; only where it is `late` may it be there already."""
    with os.scandir(old) as entries:
        for entry in entries:
            target = new / entry.name
            if below + entry.name in ours:
                continue
            if entry.is_dir(follow_symlinks=False):
                target.mkdir(exist_ok=True)
                _carry(Path(entry.path), target, ours, late, f"{below}{entry.name}/")
                take_mode(target, Path(entry.path))
                shutil.copystat(entry.path, target)
            elif not _is_same(entry.path, target):
                if os.path.lexists(target) and not late:
                    raise _taken(entry.path)
                _link(entry.path, target)


def _taken(path: str) -> HeadstartError:
    return HeadstartError(
        f"{path!r} is in the way of what is written",
        "no file of that name, or one of an earlier output, which is replaced",
        "a file of another origin, that came there in the meantime",
        "move it away, and run again; or choose another folder with -o",
    )


def _is_same(path: str, other: Path) -> bool:
    try:
        found = os.lstat(other)
    except FileNotFoundError:
        return False
    wanted = os.lstat(path)
    return os.path.samestat(found, wanted) or (
        (found.st_size, found.st_mtime_ns) == (wanted.st_size, wanted.st_mtime_ns)
    )


def _link(path: str, target: Path) -> None:
    target.unlink(missing_ok=True)
    try:
        os.link(path, target, follow_symlinks=False)
    except OSError:
        if not stat.S_ISREG(os.lstat(path).st_mode) and not os.path.islink(path):
            raise
        shutil.copy2(path, target, follow_symlinks=False)


def _exchange(new: Path, folder: Path) -> None:
    """Put a new folder in the place of an old one, which is then at the path of the new one."""
    if not folder.exists():
        os.rename(new, folder)
        return
    if _exchanged(new, folder):
        return
    old = _beside(folder, "old")
    os.rename(folder, old)
    try:
        os.rename(new, folder)
    except BaseException:
        if not folder.exists():
            os.rename(old, folder)
        raise
    os.rename(old, new)


def _discard(folder: Path) -> None:
    for place, _, _ in os.walk(folder):
        with suppress(OSError):
            os.chmod(place, 0o700)  # what lies in a folder that may not be written goes too
    shutil.rmtree(folder, ignore_errors=True)


def _exchanged(one: Path, two: Path) -> bool:
    """Exchange two paths in one step; false where the system cannot."""
    function = _renameat2()
    if function is None:
        return False
    if function(_HERE, os.fsencode(one), _HERE, os.fsencode(two), _EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in _CANNOT:
        return False
    raise OSError(code, os.strerror(code), str(two))


@cache
def _renameat2() -> "ctypes._NamedFuncPointer | None":
    """Return the C library's function, or None where it has none."""
    function = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if function is not None:
        function.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
    return function
