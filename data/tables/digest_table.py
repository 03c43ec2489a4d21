"""CSV files that say something of images known by the sha256 of their bytes: one reader for all kinds."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from data.errors import HeadstartError, NotFoundError, is_missing
from data.names import shortened
from data.output.csv_file import cell_value
from data.output.ours import kind_of_output
from data.tables.csv_text import Columns, read_table, windows_text
from data.text import with_article

_DIGEST = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class DigestTable:
    """A kind of such files.

    Attributes
    ----------
    noun : str
        What people call one: ``list of groups``.
    columns : tuple of str
        That are read and must be there; the first is ``digest``.
    ours : frozenset of str
        Kinds of `data.output.ours.kind_of_output` that are read; what else is ours is refused by its kind.
    written_by : str
        A command, and what it does about them.
    """

    noun: str
    columns: tuple[str, ...]
    ours: frozenset[str]
    written_by: str


@dataclass(frozen=True)
class DigestLine:
    """What one line says of an image.

    Attributes
    ----------
    number : int
        Of the line in its file.
    digest : str
        Sha256 of the image's bytes, in hexadecimal and lower case.
    texts : dict of str to str
        By the other columns, without the apostrophe that keeps a spreadsheet from running a cell.
    """

    number: int
    digest: str
    texts: dict[str, str]

    @property
    def image(self) -> bytes:
        """The 32 bytes of the digest."""
        return bytes.fromhex(self.digest)


def read_by_digest(path: Path, kind: DigestTable) -> tuple[list[DigestLine], list[str]]:
    """Read a CSV file of one line or more for an image, and columns that are not read.

    Encodings and delimiters are those that spreadsheets write, as for a CSV of images.

    Parameters
    ----------
    path : Path
    kind : DigestTable

    Returns
    -------
    list of DigestLine
    list of str
        What the user should know of the file: its encoding, columns that are not read.

    Raises
    ------
    HeadstartError
        If there is no such file, it is another kind of file, a column is missing or a digest is none.
    """
    _refuse_others(path, kind)
    table = read_table(path, Columns(kind.columns, len(kind.columns), len(kind.columns)))
    records, notes = table.records, table.notes
    return list(_lines(path, records)), notes


def _lines(path: Path, records: list[tuple[int, dict[str, str]]]) -> Iterator[DigestLine]:
    for number, fields in records:
        texts = {name: cell_value(windows_text(str(path), text)) for name, text in fields.items()}
        digest = texts.pop("digest").lower()
        if not _DIGEST.fullmatch(digest):
            raise HeadstartError(
                f"{str(path)!r}, line {number} names no image",
                "the sha256 of the image's bytes: 64 digits and letters from a to f",
                shortened(digest) or "an empty digest",
                "copy it from what evaluate --errors or audit wrote, as text",
            )
        yield DigestLine(number, digest, texts)


def _refuse_others(path: Path, kind: DigestTable) -> None:
    """Raise if there is no file, or something of ours of another kind."""
    form = f"a CSV file {','.join(kind.columns)}"
    if is_missing(path):
        raise NotFoundError(
            f"there is no {kind.noun} {str(path)!r}",
            form,
            "a path that does not exist",
            f"check the path; {kind.written_by}",
        )
    found = kind_of_output(path) or ("folder" if path.is_dir() else None)
    if found and found not in kind.ours:
        raise HeadstartError(
            f"{str(path)!r} is no {kind.noun}",
            form,
            with_article(found),
            f"name the CSV file; {kind.written_by}",
        )
