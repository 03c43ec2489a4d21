"""Files on a disk and in object stores: read ahead, stamps, bytes by offset, names in a folder."""

import io
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import BinaryIO, NamedTuple, TypeVar, cast

from data.errors import HeadstartError, NotFoundError
from data.stores.remote import RemoteFile, ahead, fetched, listed, stamped, started, wait, walked
from data.stores.stamp import Stamp
from data.stores.urls import Url, is_url, shown

T = TypeVar("T")
_WORTH_A_LISTING = 20  # files of one folder
_BLOCK = 1 << 20  # bytes that are asked for at once, at least


class Span(NamedTuple):
    """Bytes within a file."""

    file: str
    start: int
    size: int


def absolute(place: str) -> str:
    """Return a place as it is from any folder; an address without what may be secret in it."""
    return shown(place) if is_url(place) else os.path.abspath(place)


def portable(place: str) -> str:
    """Return a place as it is from any folder, by which it can be read."""
    return place if is_url(place) else os.path.abspath(place)


def read(files: Iterable[str | Span]) -> Iterator[bytes | OSError]:
    """Yield the bytes of files, or why they cannot be read, in their order; those of stores are read ahead.

    Examples
    --------
    >>> [isinstance(each, OSError) for each in read(["no such file"])]
    [True]
    """
    for file, request in ahead(files, _begun):
        yield _from_disk(file) if request is None else request.result()


def _begun(file: str | Span) -> "Future[bytes | OSError] | None":
    place, start, size = file if isinstance(file, Span) else (file, None, None)
    return started(fetched(Url.of(place), start, size)) if is_url(place) else None


def _from_disk(file: str | Span) -> bytes | OSError:
    place, start, size = file if isinstance(file, Span) else (file, 0, -1)
    try:
        with open(place, "rb") as handle:
            handle.seek(start)
            return handle.read(size)
    except HeadstartError:
        raise
    except OSError as error:
        return error


def stamps(files: Sequence[str]) -> list[Stamp | None]:
    """Return the stamps of files, None where there is none.

    Where many are asked for of one folder of a store, it is listed.

    Raises
    ------
    HeadstartError
        If a store does not answer, or does not let us read.
    """
    in_stores = (file.rpartition("/")[0] for file in files if is_url(file) and not Url.of(file).is_web)
    many = [folder for folder, count in Counter(in_stores).items() if count >= _WORTH_A_LISTING]
    known: dict[str, Stamp | None] = {}
    for folder, listing in ahead(many, lambda folder: started(listed(Url.of(folder)))):
        entries = _unless_gone(listing.result()) or []
        known.update({f"{folder}/{entry.path}": entry.stamp for entry in entries})
    unlisted = set(many)

    def begun(file: str) -> "Future[Stamp | OSError | None] | None":
        asked = is_url(file) and file.rpartition("/")[0] not in unlisted
        return started(stamped(Url.of(file))) if asked else None

    return [
        _unless_gone(request.result()) if request else known[file] if file in known else _stamp_on_disk(file)
        for file, request in ahead(files, begun)
    ]


def _unless_gone(found: T | OSError) -> T | None:
    """Return what a store answers, None where there is nothing, or raise why it does not answer."""
    if isinstance(found, HeadstartError):
        raise found
    return None if isinstance(found, OSError) else found


def are_there(files: Iterable[str]) -> Iterator[bool]:
    """Yield of each file whether there is one; links to nothing are there, as what they stand for was.

    Raises
    ------
    HeadstartError
        As `stamps` raises it.
    """
    for file, request in ahead(files, lambda file: started(stamped(Url.of(file))) if is_url(file) else None):
        found = request.result() if request else None
        if isinstance(found, HeadstartError):
            raise found
        yield os.path.lexists(file) if request is None else not isinstance(found, OSError)


def _stamp_on_disk(file: str) -> Stamp | None:
    try:
        found = os.stat(file)
    except OSError:
        return None
    return Stamp(found.st_size, found.st_mtime_ns)


def opened(file: str) -> BinaryIO:
    """Open a file to read it by parts.

    Raises
    ------
    OSError
    """
    if not is_url(file):
        return open(file, "rb")
    with _told(file):
        return cast(BinaryIO, io.BufferedReader(RemoteFile(Url.of(file)), _BLOCK))


def paths_below(root: str, enter: Callable[[str], bool]) -> Iterator[tuple[str, bool]]:
    """Yield the paths of what lies in a store below a folder, and whether they are folders.

    Parameters
    ----------
    root : str
        An address.
    enter : callable
        Tells of the path of a folder whether it is read too.

    Raises
    ------
    HeadstartError
        If there is no such folder, or it cannot be listed.
    """
    with _told(root):
        for entry in walked(Url.of(root), enter):
            yield entry.path, entry.is_folder


@contextmanager
def _told(place: str) -> Iterator[None]:
    """Say in our words that there is nothing at an address."""
    try:
        yield
    except HeadstartError:
        raise
    except FileNotFoundError as error:
        raise NotFoundError(
            f"there is nothing at {shown(place)!r}",
            "an object of a store, or a folder of objects",
            error.strerror or "no object",
            "check the address",
        ) from error


def names_in(folder: str) -> Iterator[str]:
    """Yield the names in a folder.

    Raises
    ------
    OSError
    """
    if is_url(folder):
        yield from (entry.path for entry in wait(listed(Url.of(folder))) if entry.path)
        return
    with os.scandir(folder) as listing:
        yield from (entry.name for entry in listing)


def folder_of(file: str) -> str:
    """Return the folder that a file lies in.

    Examples
    --------
    >>> folder_of("s3://bucket/lists/list.csv"), folder_of("list.csv")
    ('s3://bucket/lists', '')
    """
    return Url.of(file).above().text if is_url(file) else os.path.dirname(file)
