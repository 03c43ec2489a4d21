"""Groups of images in a CSV file, by the bytes of each image: digest,group."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from data.errors import HeadstartError, NotFoundError, is_missing
from data.names import shortened
from data.output.csv_file import cell_value
from data.output.ours import GROUPS, kind_of_output
from data.sources.csv_text import read_table, windows_text
from data.text import counted, printable, with_article

_DIGEST = re.compile("[0-9a-f]{64}")
_FORM = ",".join(GROUPS)
_TABLES = {None, "list of groups"}


@dataclass(frozen=True)
class Groups:
    """Groups by the bytes of images; `read_groups` makes them.

    Attributes
    ----------
    path : Path
    of : mapping of bytes to str
        By the 32 bytes of each digest.
    notes : tuple of str
        What the user should know of the file: its encoding, columns that are not read.
    """

    path: Path
    of: Mapping[bytes, str] = field(repr=False)
    notes: tuple[str, ...] = ()

    def check(self, digests: Iterable[bytes]) -> None:
        """Raise if none of some images is in a group.

        Raises
        ------
        HeadstartError
        """
        if not any(digest in self.of for digest in digests):
            raise HeadstartError(
                f"{str(self.path)!r} names none of the images",
                "a list of groups of these images, known by the sha256 of their bytes",
                counted(len(self.of), "image") + " in it",
                "name the list that belongs to them; python -m classify audit --groups-out writes one",
            )


def read_groups(path: str | Path) -> Groups:
    """Read a list of groups: a CSV with the columns digest and group, and others that are not read.

    Lines without a group are left out: such an image keeps the group that it has.

    Raises
    ------
    HeadstartError
        If there is no such file, it is another kind of file, a column is missing, a digest is none, or
        one image is in two groups.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile("w", suffix=".csv") as file:
    ...     print("digest,group", "0a" * 32 + ",patient 7", sep="\\n", file=file, flush=True)
    ...     list(read_groups(file.name).of.values())
    ['patient 7']
    """
    path = Path(path)
    _refuse_others(path)
    records, notes = read_table(path, GROUPS, needed=len(GROUPS))
    lines: dict[bytes, int] = {}
    found: dict[bytes, str] = {}
    for line, fields in records:
        digest, group = (cell_value(windows_text(path, fields[name])) for name in GROUPS)
        if not _DIGEST.fullmatch(digest.lower()):
            raise HeadstartError(
                f"{str(path)!r}, line {line} names no image",
                "the sha256 of the image's bytes: 64 digits and letters from a to f",
                shortened(digest) or "an empty digest",
                "copy it from what audit wrote, as text",
            )
        image, name = bytes.fromhex(digest), printable(group)
        if name and found.setdefault(image, name) != name:
            raise HeadstartError(
                f"{str(path)!r} puts one image into two groups",
                "each image once, or in one group throughout",
                f"lines {lines[image]} and {line}: {shortened(found[image])} and {shortened(name)}",
                "keep the right line, or give both groups one name",
            )
        lines.setdefault(image, line)
    return Groups(path, found, tuple(notes))


def _refuse_others(path: Path) -> None:
    """Raise if there is no file, or something of ours that is no list of groups."""
    if is_missing(path):
        raise NotFoundError(
            f"there is no list of groups {str(path)!r}",
            f"a CSV file {_FORM}",
            "a path that does not exist",
            "check the path; python -m classify audit --groups-out writes one",
        )
    kind = "folder" if path.is_dir() else kind_of_output(path)
    if kind not in _TABLES:
        raise HeadstartError(
            f"{str(path)!r} is no list of groups",
            f"a CSV file {_FORM}",
            with_article(kind or "file"),
            "name the CSV file; audit --groups-out writes one",
        )
