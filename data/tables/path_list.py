"""Paths that a file or standard input names, one a line or with null bytes between them."""

import codecs
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from data.errors import HeadstartError, NotFoundError, is_missing
from data.text import one_line, printable

STDIN = Path("-")
_LONGEST = 4096  # bytes of a path
_BINARY = rb"[\x01-\x08\x0e-\x1a\x1c-\x1f]"  # control characters but white space and escape


def expanded(paths: Sequence[Path]) -> list[Path]:
    """Return paths, and in the place of ``-`` those that standard input names.

    Examples
    --------
    >>> [str(path) for path in expanded([Path("a.png"), Path("b.png")])]
    ['a.png', 'b.png']
    """
    return [path for each in paths for path in (_of_stdin() if each == STDIN else [each])]


def paths_in(path: Path) -> list[Path]:
    """Return the paths that a file names.

    Raises
    ------
    HeadstartError
        If the file cannot be read, or names none.
    """
    if is_missing(path):
        raise NotFoundError(
            f"there is no list {printable(str(path))!r}",
            "a text file with a path a line",
            "a path that does not exist",
            "check the path",
        )
    try:
        found = path.read_bytes()
    except OSError as error:
        raise HeadstartError(
            f"the list {printable(str(path))!r} cannot be read",
            "a text file with a path a line",
            one_line(error.strerror or error),
            "name another file, or allow this user to read it",
        ) from error
    return _paths(found, repr(printable(str(path))))


def _of_stdin() -> list[Path]:
    return _paths(sys.stdin.buffer.read(), "standard input")


def _paths(found: bytes, origin: str) -> list[Path]:
    names = list(_names(found))
    if re.search(_BINARY, found):
        raise HeadstartError(
            f"{origin} is no list of paths",
            "a path a line, or paths with a null byte after each, as `find -print0` writes them",
            "bytes that no text has",
            "name a text file; images and feature files are named without --list",
        )
    if not names or max(map(len, names)) > _LONGEST:
        raise HeadstartError(
            f"{origin} names no paths",
            "a path a line, or paths with a null byte after each, as `find -print0` writes them",
            f"a line of {max(map(len, names)):,} bytes" if names else "nothing",
            "check what was given",
        )
    return [Path(os.fsdecode(name)) for name in names]


def _names(found: bytes) -> Iterator[bytes]:
    """Yield what stands in the lines, or between null bytes where there are any."""
    found = found.removeprefix(codecs.BOM_UTF8)
    null = b"\0" in found
    for name in found.split(b"\0" if null else b"\n"):
        bare = name if null else name.removesuffix(b"\r")
        if bare:
            yield bare
