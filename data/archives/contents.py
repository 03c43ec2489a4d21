"""What archives hold: their files by name, place and size, none of which leads out or is a bomb."""

import os
import re
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from data.errors import HeadstartError, NotFoundError
from data.sources.source import BRACES
from data.sources.tree import IMAGE_SUFFIXES, role
from data.text import counted, one_line, some_of

_MOST = 2**31  # bytes of one image: no camera makes such
_MOST_PACKED = 200  # times: images are packed already
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")  # of Windows


@dataclass(frozen=True, slots=True)
class Member:
    """A file in an archive.

    Attributes
    ----------
    archive : int
        Its number.
    name : str
    offset : int
        Of its bytes in a tar file; of a zip file, that of its header.
    size : int
        Bytes.
    """

    archive: int
    name: str
    offset: int
    size: int


def files_of(text: str) -> list[str]:
    """Return the archives that a text names: one, a range in braces, or those of a folder.

    Raises
    ------
    NotFoundError
        If some of a range are not there.
    """
    if os.path.isdir(text):
        return sorted(os.path.join(text, name) for name in os.listdir(text) if not name.startswith("."))
    match = None if os.path.isfile(text) else BRACES.search(text)
    if match is None:
        return [text]
    first, last = match[1], match[2]
    names = [
        text[: match.start()] + f"{number:0{len(first)}d}" + text[match.end() :]
        for number in range(int(first), int(last) + 1)
    ]
    missing = [name for name in names if not os.path.isfile(name)]
    if missing or not names:
        raise NotFoundError(
            f"{text!r} names archives that are not there",
            f"{counted(len(names), 'file')}, from {first} to {last}",
            f"missing: {some_of(missing)}" if missing else "an empty range",
            "correct the range in braces",
        )
    return names


def members_of(number: int, file: str) -> Iterator[Member]:
    """Yield the files of an archive.

    Parameters
    ----------
    number : int
        Of the archive.
    file : str

    Raises
    ------
    HeadstartError
        If it cannot be read, is packed as a whole or encrypted, or holds names that lead out of it or images
        that unpack to far more than images do.
    """
    try:
        if zipfile.is_zipfile(file):
            yield from _of_zip(number, file)
        else:
            yield from _of_tar(number, file)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
        raise HeadstartError(
            f"{file!r} cannot be read as an archive",
            "a whole zip or tar file",
            one_line(error),
            "write or download it again",
        ) from error


def _of_tar(number: int, file: str) -> Iterator[Member]:
    with open(file, "rb") as handle:
        if handle.read(6).startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ")):
            raise HeadstartError(
                f"{file!r} is packed as a whole, so that no image in it can be read by itself",
                "a tar file that is not packed, or a zip file",
                "gzip, bzip2 or xz",
                f"unpack that, which keeps the tar file: gunzip, bunzip2 or unxz {file}",
            )
    with tarfile.open(file, "r:") as tar:
        while (each := tar.next()) is not None:
            tar.members.clear()  # type: ignore[attr-defined]  # a million would take a gigabyte
            if each.isreg():
                yield _checked(file, Member(number, each.name, each.offset_data, each.size))


def _of_zip(number: int, file: str) -> Iterator[Member]:
    with zipfile.ZipFile(file) as archive:
        for each in archive.infolist():
            if each.is_dir():
                continue
            if each.flag_bits & 1:
                raise HeadstartError(
                    f"{file!r} is encrypted",
                    "an archive without a password",
                    each.filename,
                    "unpack it first",
                )
            packed = each.file_size > _MOST_PACKED * max(each.compress_size, 1000)
            yield _checked(file, Member(number, each.filename, each.header_offset, each.file_size), packed)


def _checked(file: str, member: Member, packed: bool = False) -> Member:
    """Return a member, or raise if its name leads out of the archive or it is too large."""
    parts = PurePosixPath(member.name.replace("\\", "/")).parts
    if ".." in parts or member.name.startswith(("/", "\\")) or _DRIVE.match(member.name):
        raise HeadstartError(
            f"{file!r} holds a name that leads out of it",
            "names of files inside the archive",
            repr(member.name),
            "do not trust this archive; if you made it, write it again from inside its folder",
        )
    if suffix_of(member.name) in IMAGE_SUFFIXES and (packed or member.size > _MOST):
        raise HeadstartError(
            f"{file!r} holds an image that unpacks to far more than it takes",
            f"images below {_MOST // 2**30} GB that pack to no less than 1/{_MOST_PACKED} of their size",
            f"{member.name!r} of {member.size} bytes",
            "do not trust this archive, or leave the image out of it",
        )
    return member


def is_seen(name: str) -> bool:
    """Tell whether no part of a name is hidden or of the system, as ``__MACOSX`` is.

    Examples
    --------
    >>> is_seen("photos/cat/1.jpg"), is_seen("__MACOSX/cat/._1.jpg")
    (True, False)
    """
    return all(role(part) not in ("hidden", "system") for part in PurePosixPath(name).parts)


def suffix_of(name: str) -> str:
    """Return the suffix of a name in lower case, with its dot."""
    return os.path.splitext(name)[1].lower()
