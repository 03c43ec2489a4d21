"""Lists zip files, their names in whatever encoding they are."""

import zipfile
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from data.archives.contents import MOST_PACKED, Member, Members, checked
from data.errors import HeadstartError
from data.text import counted

_UTF8 = 0x800  # flag: the name is in UTF-8
_UNICODE_PATH = 0x7075  # Info-ZIP's field with the name in UTF-8


def files_of_zip(number: int, file: str, handle: BinaryIO, warnings: list[str]) -> Members:
    """List the files of a zip file; a warning is added where the encoding of names is not known."""
    with zipfile.ZipFile(handle) as archive:
        infos = archive.infolist()
    guessed: list[str] = []
    names = [_name(info, guessed) for info in infos]
    if not any("/" in name for name in names):  # as old programs of Windows write them
        names = [name.replace("\\", "/") for name in names]
    if guessed:
        warnings.append(
            f"{counted(len(guessed), 'name')} in {file!r} in an unknown encoding, read as code page 437, the "
            f"first: {guessed[0]}; where it is wrong, pack the images again with names in UTF-8"
        )
    return Members(_files(number, file, infos, names))


def _files(number: int, file: str, infos: list[zipfile.ZipInfo], names: list[str]) -> Iterator[Member]:
    for each, name in zip(infos, names, strict=True):
        if name.endswith("/"):
            continue
        if each.flag_bits & 1:
            raise HeadstartError(
                f"{file!r} is encrypted", "an archive without a password", name, "unpack it first"
            )
        packed = each.file_size > MOST_PACKED * max(each.compress_size, 1000)
        yield checked(file, Member(number, name, each.header_offset, each.file_size), packed)


def _name(info: zipfile.ZipInfo, guessed: list[str]) -> str:
    """Return the name of a file: by the flag of UTF-8, Info-ZIP's field, or its bytes; else a guess."""
    if info.flag_bits & _UTF8 or info.filename.isascii():
        return info.filename
    raw = info.orig_filename.encode("cp437")
    for text in (_unicode_path(info.extra, raw), raw):
        try:
            if text:
                return text.decode("utf-8")
        except UnicodeDecodeError:
            continue
    guessed.append(info.filename)
    return info.filename


def _unicode_path(extra: bytes, raw: bytes) -> bytes:
    """Return the name that Info-ZIP's field holds; empty where there is none, or it is of another name."""
    while len(extra) >= 4:
        kind, size = (int.from_bytes(extra[at : at + 2], "little") for at in (0, 2))
        value, extra = extra[4 : 4 + size], extra[4 + size :]
        if kind == _UNICODE_PATH and value[1:5] == zlib.crc32(raw).to_bytes(4, "little"):
            return value[5:]
    return b""
