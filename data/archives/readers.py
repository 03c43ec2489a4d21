"""Files of archives, one after the other or in any order."""

import os
import zipfile
from collections.abc import Sequence

from data.archives.contents import Member


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
    def __init__(self, path: str) -> None:
        self._file = zipfile.ZipFile(path)

    def __call__(self, member: Member) -> bytes:
        with self._file.open(member.name) as file:
            return file.read(member.size)  # no more than the table of contents says

    def close(self) -> None:
        self._file.close()
