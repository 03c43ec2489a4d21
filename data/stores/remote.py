"""Objects of a store, listed and fetched, with a few more attempts where that fails."""

import asyncio
import html
import io
import random
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import unquote

from data.errors import HeadstartError
from data.stores.answers import body_of, stamp_of
from data.stores.faults import StoreError, fault_of
from data.stores.filesystems import AHEAD, filesystem, is_anonymous
from data.stores.stamp import Stamp
from data.stores.urls import Url

if TYPE_CHECKING:  # an extra
    from fsspec.asyn import AsyncFileSystem

T = TypeVar("T")
R = TypeVar("R")
_MOST_HELD = 256_000_000  # bytes that have come and wait
NO_NAMES = ("", ".", "..")  # as parts of keys, which no path on a disk can have
_FIRST_WAIT, _LONGEST_WAIT = 0.1, 5.0  # seconds, before another attempt


class Entry(NamedTuple):
    """What lies in a folder of a store: its path from there, what is known of it, None for a folder.

    Keys with ``//`` in them make a folder of no name, which has no path of its own: it is not entered.
    """

    path: str
    stamp: Stamp | None
    is_folder: bool


def wait(coroutine: Coroutine[Any, Any, T | OSError]) -> T:
    """Return what comes of a request, or raise its error."""
    return result_of(started(coroutine))


def result_of(request: "Future[T | OSError]") -> T:
    """Return what has come of a request, or raise its error."""
    found = request.result()
    if isinstance(found, OSError):
        raise found
    return found


def started(coroutine: Coroutine[Any, Any, T]) -> "Future[T]":
    """Begin a request, beside this thread."""
    from fsspec.asyn import get_loop

    return asyncio.run_coroutine_threadsafe(coroutine, get_loop())


async def attempted(
    url: Url, request: "Callable[[AsyncFileSystem], Awaitable[T]]", files: "AsyncFileSystem"
) -> T | OSError:
    """Return what comes of a request, or why it failed after a few attempts, each after a longer wait."""
    made = 0
    while True:
        try:
            return await request(files)
        except HeadstartError:
            raise
        except Exception as error:  # there is no common kind of fsspec, aiohttp, botocore and others
            fault = fault_of(error)
        made += 1
        if made >= fault.attempts:
            return fault.error(url, made, is_anonymous(url, files))
        await asyncio.sleep(min(_LONGEST_WAIT, _FIRST_WAIT * 2**made) * random.uniform(0.5, 1))


async def fetched(url: Url, start: int | None = None, size: int | None = None) -> bytes | OSError:
    """Return the bytes of an object, or so many of them from a place on."""
    end = None if start is None or size is None else start + size

    found = await attempted(url, lambda files: body_of(files, url, start, end), filesystem(url))
    if size is None or isinstance(found, OSError) or len(found) == size:
        return found
    return StoreError(
        f"{str(url)!r} cannot be read by parts",
        f"{size} bytes from byte {start} on",
        f"{len(found)} bytes: the server does not answer requests for a range, or the object has changed",
        "take another server, or download it",
    )


async def stamped(url: Url) -> Stamp | OSError | None:
    """Return the stamp of an object, None where the store gives it none that counts."""

    async def request(files: "AsyncFileSystem") -> Stamp | None:
        return stamp_of(await files._info(url.full))

    return await attempted(url, request, filesystem(url))


async def listed(folder: Url) -> list[Entry] | OSError:
    """Return what lies in a folder; on a page of the web, links that lead elsewhere are none of it."""
    asked = folder.as_folder if folder.is_web else folder.full

    async def request(files: "AsyncFileSystem") -> list[Entry]:
        found = await files._ls(asked, detail=True)
        return [entry for info in found if (entry := _entry(folder, info)) is not None]

    return await attempted(folder, request, filesystem(folder))


def walked(root: Url, enter: Callable[[str], bool]) -> Iterator[Entry]:
    """Yield all that lies below a folder, level by level, paths from there.

    Parameters
    ----------
    root : Url
    enter : callable
        Tells of the path of a folder whether it is listed too.

    Raises
    ------
    OSError
        If a folder cannot be listed.
    """
    level = [""]
    while level:
        below: list[str] = []
        for path, listing in ahead(level, lambda path: started(listed(root.below(path)))):
            for entry in result_of(listing):
                inner = entry._replace(path=f"{path}/{entry.path}" if path else entry.path)
                yield inner
                if entry.is_folder and entry.path not in NO_NAMES and enter(inner.path):
                    below.append(inner.path)
        level = below


def ahead(items: Iterable[T], begin: Callable[[T], R]) -> Generator[tuple[T, R], None, None]:
    """Yield items with the requests that were begun for them, some ahead of the one who takes them.

    Their order is kept. Fewer are begun ahead while what has come and waits is large.

    Parameters
    ----------
    items : iterable
    begin : callable
        Returns the future of a request; or None, where nothing has to be asked for.
    """
    coming = iter(items)
    waiting: deque[tuple[T, R]] = deque()
    try:
        while True:
            while len(waiting) < AHEAD and (not waiting or _held(waiting) < _MOST_HELD):
                try:
                    item = next(coming)
                except StopIteration:
                    break
                request = begin(item)
                if request is None and not waiting:
                    yield item, request
                else:
                    waiting.append((item, request))
            if not waiting:
                return
            yield waiting.popleft()
    finally:
        for _, request in waiting:
            if isinstance(request, Future):
                request.cancel()


def _held(waiting: Iterable[tuple[object, object]]) -> int:
    """Return how many bytes have come, and were not yet taken."""
    done = (each.result() for _, each in waiting if isinstance(each, Future) and each.done())
    return sum(len(data) for data in done if isinstance(data, bytes))


def _entry(folder: Url, info: dict[str, Any]) -> Entry | None:
    name: str = info["name"]
    starts = [folder.as_folder + "/", replace(folder, query="").as_folder] if folder.is_web else []
    starts.append(f"{folder.host}/{folder.path}/" if folder.path else f"{folder.host}/")
    inner = next((name[len(start) :] for start in starts if name.startswith(start)), "")
    if folder.is_web:
        inner = inner.removeprefix("./")
        inner = "" if set(inner) & set("?#") else unquote(html.unescape(inner))
    is_folder = info["type"] == "directory"
    inner = inner.removesuffix("/") if is_folder else inner
    if "/" in inner or (inner in NO_NAMES and (folder.is_web or not is_folder)):
        return None
    return Entry(inner, None if is_folder else stamp_of(info), is_folder)


class RemoteFile(io.RawIOBase):
    """An object as a file, read by ranges; `opened` puts a buffer before it."""

    def __init__(self, url: Url) -> None:
        super().__init__()
        self._url, self._place = url, 0
        info = wait(attempted(url, lambda files: files._info(url.full), filesystem(url)))
        if not isinstance(info.get("size"), int):
            raise StoreError(
                f"{str(url)!r} cannot be read by parts",
                "a server that says how large it is",
                "no Content-Length",
                "take another server, or download it",
            )
        self._size: int = info["size"]

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._place = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        return self._place

    def tell(self) -> int:
        return self._place

    def readinto(self, buffer: Any) -> int:
        size = min(len(buffer), self._size - self._place)
        if size <= 0:
            return 0
        buffer[:size] = wait(fetched(self._url, self._place, size))
        self._place += size
        return size
