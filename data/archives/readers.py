"""Files of archives, one after the other or in any order."""

import os
import struct
import zipfile
import zlib
from bisect import bisect
from collections import deque
from collections.abc import Iterable, Iterator, Sequence

from data.archives.contents import Member
from data.errors import HeadstartError
from data.stores.files import Span, opened, read
from data.stores.urls import is_url
from data.text import one_line

_HEADER = 30  # bytes before the name of a member in a zip file
_MOST_NAMES = 2 * 0xFFFF  # bytes of that name, and of what programs add to it
_UNREADABLE = (OSError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError)


class Readers:
    """Opened archives, a few at once, whose members are read in any order; those in stores are read ahead."""

    _MOST_OPEN = 16

    def __init__(self, files: Sequence[str]) -> None:
        self._files = files
        self._opened: dict[int, _Tar | _Zip] = {}

    def read(self, members: Iterable[Member]) -> Iterator[bytes | OSError]:
        """Yield the bytes of members, or why they cannot be read, in their order."""
        asked: deque[Member] = deque()

        def spans() -> Iterator[Span]:
            for member in members:
                asked.append(member)
                yield self._of(member).span(member)

        if not any(map(is_url, self._files)):
            yield from (_tried(self._of(member), member) for member in members)
            return
        for data in read(spans()):
            member = asked.popleft()
            yield data if isinstance(data, OSError) else _tried(self._of(member), member, data)

    def _of(self, member: Member) -> "_Tar | _Zip":
        number = member.archive
        if number not in self._opened:
            while len(self._opened) >= self._MOST_OPEN:
                self._opened.pop(next(iter(self._opened))).close()
            self._opened[number] = _reader(self._files[number])
        return self._opened[number]


def _reader(file: str) -> "_Tar | _Zip":
    with opened(file) as handle:
        is_zip = zipfile.is_zipfile(handle)
    return _Zip(file) if is_zip else _Tar(file)


def _tried(reader: "_Tar | _Zip", member: Member, data: bytes | None = None) -> bytes | OSError:
    """Return the bytes of a member, from what its span holds, where that has been read."""
    try:
        return reader.unpacked(member, reader.packed(member) if data is None else data)
    except HeadstartError:
        raise
    except _UNREADABLE as error:
        return error if isinstance(error, OSError) else OSError(one_line(error))


class _Archive:
    """What reads the members of one archive; a member's span holds its bytes as they lie there."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.file = opened(path)

    def span(self, member: Member) -> Span:
        """Return where the bytes of a member lie."""
        return Span(self.path, member.offset, member.size)

    def packed(self, member: Member) -> bytes:
        """Return what lies there, on a disk."""
        _, start, size = self.span(member)
        return os.pread(self.file.fileno(), size, start)

    def close(self) -> None:
        self.file.close()


class _Tar(_Archive):
    def unpacked(self, member: Member, data: bytes) -> bytes:
        if len(data) < member.size:
            raise EOFError(f"the archive ends within {member.name}")
        return data


class _Zip(_Archive):
    """Reads stored and deflated members by their place, without the Python that `zipfile` runs for each."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._contents = zipfile.ZipFile(self.file)
        self._infos = {info.header_offset: info for info in self._contents.infolist()}
        self._starts = sorted([*self._infos, self._contents.start_dir])

    def span(self, member: Member) -> Span:
        """Return where header and bytes of a member lie: no further than the next one begins."""
        info = self._infos[member.offset]
        end = self._starts[min(bisect(self._starts, info.header_offset), len(self._starts) - 1)]
        most = _HEADER + _MOST_NAMES + info.compress_size
        return Span(self.path, info.header_offset, max(0, min(end - info.header_offset, most)))

    def unpacked(self, member: Member, data: bytes) -> bytes:
        info = self._infos[member.offset]
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            with self._contents.open(info) as file:
                return file.read(member.size)  # no more than the table of contents says
        if len(data) < _HEADER or not data.startswith(b"PK\3\4"):
            raise zipfile.BadZipFile(f"the archive holds no {member.name} where its table of contents says")
        start = _HEADER + sum(struct.unpack_from("<HH", data, 26))  # name, and what programs add to it
        found = data[start : start + info.compress_size]
        if info.compress_type == zipfile.ZIP_DEFLATED:
            found = zlib.decompressobj(-zlib.MAX_WBITS).decompress(found, member.size)
        if len(found) != member.size or zlib.crc32(found) != info.CRC:
            raise zipfile.BadZipFile(f"{member.name} is not what the table of contents says")
        return found

    def close(self) -> None:
        self._contents.close()
        super().close()
