"""One run at a time on one output; a lock ends with the process that holds it."""

import fcntl
import json
import logging
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from data.errors import HeadstartError

_log = logging.getLogger("headstart.output")


@contextmanager
def locked(
    path: Path,
    *,
    wait: bool = True,
    say: Callable[[str], None] = _log.info,
    beside: Path | None = None,
) -> Iterator[None]:
    """Hold the lock ``<path>.lock`` that keeps other runs away from `path`.

    The operating system lets go of it when its process ends, however it ends, so the file
    alone means nothing. It says who holds the lock.

    Parameters
    ----------
    path : Path
        The output; missing folders above it are made.
    wait : bool
        Wait for another run to end, or raise at once.
    say : callable
        Told whom we wait for.
    beside : Path, optional
        What the lock file is named after instead of the output, where that would be in the way.

    Raises
    ------
    HeadstartError
        If another run holds the lock and `wait` is false.
    """
    name = _lock_file(beside or path)
    name.parent.mkdir(parents=True, exist_ok=True)
    handle = _acquire(name, path, wait, say)
    try:
        yield
    finally:
        name.unlink(missing_ok=True)
        fcntl.flock(handle, fcntl.LOCK_UN)  # closing is not enough where a fork has the handle too
        os.close(handle)


def clear_abandoned(path: Path) -> None:
    """Remove the lock file that a killed run left, if no run holds it."""
    if _lock_file(path).exists():
        with suppress(HeadstartError, OSError), locked(path, wait=False):
            pass


def _lock_file(path: Path) -> Path:
    return path.with_name(path.name + ".lock")


def _acquire(name: Path, path: Path, wait: bool, say: Callable[[str], None]) -> int:
    while True:
        handle = os.open(name, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _check_ours(handle, name)
            _lock(handle, path, wait, say)
            if _is_at(handle, name):
                os.ftruncate(handle, 0)
                with suppress(OSError):  # on a full disk the lock holds without these words
                    os.write(handle, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode())
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # the run before us removed the file that we waited for: take the new one


def _lock(handle: int, path: Path, wait: bool, say: Callable[[str], None]) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return
    except BlockingIOError:
        holder = _holder(handle)
    if not wait:
        raise HeadstartError(
            f"another run is writing {str(path)!r}",
            "one run at a time on one output",
            holder,
            "wait for it, leave --no-wait out to wait here, or choose another output with -o",
        )
    say(f"waiting for {holder}, which is writing {path}")
    fcntl.flock(handle, fcntl.LOCK_EX)


def _check_ours(handle: int, name: Path) -> None:
    """Raise if the file is no lock of ours: what it holds would be lost."""
    text = os.pread(handle, 1000, 0)
    if text and not text.startswith(b'{"pid": '):
        raise HeadstartError(
            f"{str(name)!r} exists and is no lock that Headstart wrote",
            "no file of that name while the output is written",
            "a file of another origin",
            "choose another output with -o, or move it away",
        )


def _holder(handle: int) -> str:
    try:
        values = json.loads(os.pread(handle, 1000, 0))
        return f"process {values['pid']} on {values['host']}"
    except (ValueError, KeyError, TypeError):
        return "another process"


def _is_at(handle: int, name: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.stat(name))
    except FileNotFoundError:
        return False
