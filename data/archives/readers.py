"""Files of archives, one after the other or in any order."""

import os
import struct
import zipfile
import zlib
from collections.abc import Sequence

from data.archives.contents import Member

_HEADER = 30  # bytes before the name of a member in a zip file


class Readers:
    """Opened archives, a few at once: what reads a member, by the number of its archive."""

    _MOST_OPEN = 16

    def __init__(self, files: Sequence[str]) -> None:
        self._files = files
        self._opened: dict[int, _Tar | _Zip] = {}

    def __getitem__(self, number: int) -> "_Tar | _Zip":
        if number not in self._opened:
            while len(self._opened) >= self._MOST_OPEN:
                self._opened.pop(next(iter(self._opened))).close()
            kind = _Zip if zipfile.is_zipfile(self._files[number]) else _Tar
            self._opened[number] = kind(self._files[number])
        return self._opened[number]


class _Tar:
    def __init__(self, path: str) -> None:
        self._file = open(path, "rb")  # noqa: SIM115  (closed by `close`)

    def __call__(self, member: Member) -> bytes:
        data = os.pread(self._file.fileno(), member.size, member.offset)
        if len(data) < member.size:
            raise EOFError(f"the archive ends within {member.name}")
        return data

    def close(self) -> None:
        self._file.close()


class _Zip:
    """Reads stored and deflated members by their place, without the Python that `zipfile` runs for each."""

    def __init__(self, path: str) -> None:
        self._file = zipfile.ZipFile(path)

    def __call__(self, member: Member) -> bytes:
        info = self._file.getinfo(member.name)
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or self._file.fp is None:
            with self._file.open(info) as file:
                return file.read(member.size)  # no more than the table of contents says
        handle = self._file.fp.fileno()
        head = os.pread(handle, _HEADER, info.header_offset)
        if len(head) < _HEADER or not head.startswith(b"PK\3\4"):
            raise zipfile.BadZipFile(f"the archive holds no {member.name} where its table of contents says")
        names = sum(struct.unpack_from("<HH", head, 26))  # the member's name, and what programs add to it
        packed = os.pread(handle, info.compress_size, info.header_offset + len(head) + names)
        data = packed
        if info.compress_type == zipfile.ZIP_DEFLATED:
            data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, member.size)
        if len(data) != member.size or zlib.crc32(data) != info.CRC:
            raise zipfile.BadZipFile(f"{member.name} is not what the table of contents says")
        return data

    def close(self) -> None:
        self._file.close()
