"""Groups of images in a CSV file, by the bytes of each image: digest,group."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from data.errors import HeadstartError
from data.names import shortened
from data.output.ours import GROUPS
from data.tables.digest_table import DigestTable, read_by_digest
from data.text import counted, printable

_LIST = DigestTable(
    "list of groups",
    GROUPS,
    frozenset({"list of groups"}),
    "python -m classify audit --groups-out writes one",
)


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
    listed, notes = read_by_digest(path, _LIST)
    lines: dict[bytes, int] = {}
    found: dict[bytes, str] = {}
    for line in listed:
        image, name = line.image, printable(line.texts["group"])
        if name and found.setdefault(image, name) != name:
            raise HeadstartError(
                f"{str(path)!r} puts one image into two groups",
                "each image once, or in one group throughout",
                f"lines {lines[image]} and {line.number}: {shortened(found[image])} and {shortened(name)}",
                "keep the right line, or give both groups one name",
            )
        lines.setdefault(image, line.number)
    return Groups(path, found, tuple(notes))
