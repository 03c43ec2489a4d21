"""What archives hold: their files by name, place and size, none of which leads out or is a bomb."""

import os
import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any, overload

import numpy as np

from data.errors import HeadstartError, NotFoundError
from data.sources.naming import BRACES, is_folder
from data.sources.tree import IMAGE_SUFFIXES, SYSTEM_FOLDERS, role
from data.stores.files import are_there, names_in
from data.stores.urls import below, shown
from data.text import counted, some_of
from data.texts import Texts

MOST_PACKED = 200  # times: images are packed already
_MOST = 2**31  # bytes of one image: no camera makes such
_NUMBERED = re.compile(r"(.*?)(\d+)(\.\w+)")  # names of shards
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


class Members(Sequence[Member]):
    """Files in archives as columns; each `Member` is made when it is asked for.

    Parameters
    ----------
    members : iterable of Member

    Attributes
    ----------
    names : Texts

    Examples
    --------
    >>> Members([Member(0, "a.jpg", 512, 30)])[0]
    Member(archive=0, name='a.jpg', offset=512, size=30)
    """

    def __init__(self, members: Iterable[Member] = ()) -> None:
        self._archives, self._offsets, self._sizes = array("i"), array("q"), array("q")

        def names() -> Iterator[str]:
            for each in members:
                self._archives.append(each.archive)
                self._offsets.append(each.offset)
                self._sizes.append(each.size)
                yield each.name

        self.names = Texts(names())

    def __len__(self) -> int:
        return len(self._archives)

    @overload
    def __getitem__(self, number: int) -> Member: ...
    @overload
    def __getitem__(self, number: slice) -> "Members": ...
    def __getitem__(self, number: Any) -> Any:
        if isinstance(number, slice):
            return Members(self[each] for each in range(len(self))[number])
        archive, offset = self._archives[number], self._offsets[number]
        return Member(archive, self.names[number], offset, self._sizes[number])

    @property
    def archives(self) -> np.ndarray:
        """The number of each one's archive."""
        return np.array(self._archives, np.int32)

    def at(self, numbers: np.ndarray) -> "Members":
        """Return some of them.

        Parameters
        ----------
        numbers : ndarray of int, shape (n,)
        """
        some = Members()
        for name in ("_archives", "_offsets", "_sizes"):
            column = getattr(self, name)
            getattr(some, name).frombytes(np.array(column)[numbers].tobytes())
        some.names = self.names.at(numbers)
        return some

    def extend(self, others: "Members") -> None:
        """Add others behind these."""
        for name in ("_archives", "_offsets", "_sizes"):
            getattr(self, name).extend(getattr(others, name))
        self.names.extend(others.names)

    def last_of_each(self) -> "Members":
        """Return the last one of each name, as tar files hold one again where it was changed."""
        if self.names.twice() is None:
            return self
        return Members({each.name: each for each in self}.values())


def files_of(text: str) -> list[str]:
    """Return the archives that a text names: one, a range in braces, or those of a folder.

    Raises
    ------
    NotFoundError
        If some of a range are not there.
    """
    if is_folder(text):
        tars = (name for name in names_in(text) if name[0] != "." and name.lower().endswith(".tar"))
        return sorted(below(text, name) for name in tars)
    match = None if os.path.isfile(text) else BRACES.search(text)
    if match is None:
        return [text]
    first, last = match[1], match[2]
    names = [
        text[: match.start()] + f"{number:0{len(first)}d}" + text[match.end() :]
        for number in range(int(first), int(last) + 1)
    ]
    missing = [shown(name) for name, there in zip(names, are_there(names), strict=True) if not there]
    if missing or not names:
        raise NotFoundError(
            f"{shown(text)!r} names archives that are not there",
            f"{counted(len(names), 'file')}, from {first} to {last}",
            f"missing: {some_of(missing)}" if missing else "an empty range",
            "correct the range in braces",
        )
    return names


def missing_shards(files: Sequence[str]) -> list[str]:
    """Return a warning where numbers in the names of archives leave gaps, as after a download that failed.

    Examples
    --------
    >>> missing_shards(["train-000.tar", "train-001.tar", "train-003.tar"])
    ['1 file missing, by the numbers of others: train-002.tar']
    """
    known: dict[tuple[str, int, str], set[int]] = {}
    for file in files:
        if match := _NUMBERED.fullmatch(PurePosixPath(shown(file)).name):
            known.setdefault((match[1], len(match[2]), match[3]), set()).add(int(match[2]))
    gone = [
        f"{before}{number:0{digits}d}{behind}"
        for (before, digits, behind), there in known.items()
        if max(there) - min(there) < 2 * len(there)  # else the numbers count something else, as days
        for number in range(min(there), max(there))
        if number not in there
    ]
    return (
        [f"{counted(len(gone), 'file')} missing, by the numbers of others: {some_of(gone)}"] if gone else []
    )


def checked(file: str, member: Member, packed: bool = False) -> Member:
    """Return a member, named as in a folder; raise if its name leads out of the archive or it is too large.

    Parameters
    ----------
    file : str
        The archive, for messages.
    member : Member
    packed : bool
        Whether it unpacks to far more than images do.
    """
    name = member.name
    parts = PurePosixPath(name.replace("\\", "/")).parts if ".." in name else ()
    if ".." in parts or name[:1] in ("/", "\\") or _DRIVE.match(name):
        raise HeadstartError(
            f"{file!r} holds a name that leads out of it",
            "names of files inside the archive",
            repr(member.name),
            "do not trust this archive; if you made it, write it again from inside its folder",
        )
    if (packed or member.size > _MOST) and suffix_of(name) in IMAGE_SUFFIXES:
        raise HeadstartError(
            f"{file!r} holds an image that unpacks to far more than it takes",
            f"images below {_MOST // 2**30} GB that pack to no less than 1/{MOST_PACKED} of their size",
            f"{member.name!r} of {member.size} bytes",
            "do not trust this archive, or leave the image out of it",
        )
    if name[:2] == "./" or "//" in name or "/./" in name:
        return replace(member, name="/".join(part for part in name.split("/") if part not in ("", ".")))
    return member


def is_seen(name: str) -> bool:
    """Tell whether no part of a name is hidden or of the system, as ``__MACOSX`` is.

    Examples
    --------
    >>> is_seen("photos/cat/1.jpg"), is_seen("__MACOSX/cat/._1.jpg")
    (True, False)
    """
    folder, _, last = name.rpartition("/")
    return _is_seen(folder) and last[:1] != "." and last.lower() not in SYSTEM_FOLDERS


@lru_cache
def _is_seen(folder: str) -> bool:
    return all(role(part) not in ("hidden", "system") for part in PurePosixPath(folder).parts)


def suffix_of(name: str) -> str:
    """Return the suffix of a name in lower case, with its dot."""
    return name[dot:].lower() if (dot := name.rfind(".")) > name.rfind("/") + 1 else ""
