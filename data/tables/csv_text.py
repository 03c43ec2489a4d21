"""The text of CSV files as programs write them: encodings, delimiters, blanks, words to Excel."""

import codecs
import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from data.errors import HeadstartError
from data.names import visible
from data.stores.files import read
from data.stores.urls import is_url, shown
from data.text import printable, some_of

TO_UTF8 = "as 'CSV UTF-8' of a spreadsheet, or by iconv -f ENCODING -t UTF-8 (SHIFT_JIS, GBK, CP1251, ...)"
_DELIMITERS = ",;\t|"  # others, of the first line, come after these
_PLAIN = "\"'_-./\\"  # in names
_SHOWN = 200  # signs of a first line that is no header
_EXCEL = re.compile(r"sep=(.)[\r\n]+", re.IGNORECASE)
_MARKS = {  # the first bytes say how a text is encoded; those of UTF-32 begin as those of UTF-16
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


@dataclass(frozen=True)
class Columns:
    """Which columns of a table are read.

    Attributes
    ----------
    names : sequence of str
        What they are to us.
    needed : int
        So many of them, the first ones, must be there, and so must those in `called`.
    filled : int
        No line ends before so many of them, the first ones, as far as they are there.
    called : mapping of str to str
        How the table calls them, where that is not by our name; in capitals, and with blanks around, too.
    options : mapping of str to str
        By which option a user says how one is called, for messages.
    """

    names: Sequence[str]
    needed: int
    filled: int
    called: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        lower = {name: text.strip().lower() for name, text in self.called.items()}
        object.__setattr__(self, "called", {name: name for name in self.names} | lower)

    @property
    def wanted(self) -> list[str]:
        """How the table calls those that must be there."""
        given = [name for name in self.names if self.called[name] != name]
        return [self.called[name] for name in dict.fromkeys([*self.names[: self.needed], *given])]

    @property
    def form(self) -> str:
        """How lines look, for messages: columns that may be missing stand in brackets."""
        wanted = self.wanted
        others = [self.called[name] for name in self.names if self.called[name] not in wanted]
        return ",".join(wanted) + "".join(f"[,{name}]" for name in others)

    @property
    def advice(self) -> str:
        """What to do where one is missing."""
        options = " and ".join(self.options[name] for name in self.names[:2] if name in self.options)
        line = "add the line with the names of the columns, between commas"
        return f"say how the columns are called, with {options}, or {line}" if options else line


@dataclass(frozen=True)
class Table:
    """What a table says.

    Attributes
    ----------
    records : list of (int, dict of str to str)
        The number of each line and its fields by our names, without blanks around; bytes that are not of
        the encoding are surrogates, as in `os.fsdecode`.
    present : tuple of str
        Those of our names that the table has.
    other : tuple of str
        Its columns that are not read.
    notes : list of str
        What the user should know: the encoding where it is not UTF-8, and columns that are not read.
    """

    records: list[tuple[int, dict[str, str]]] = field(repr=False)
    present: tuple[str, ...]
    other: tuple[str, ...]
    notes: list[str]


def read_table(path: str | Path, columns: Columns) -> Table:
    """Read the lines of a CSV file below the names of its columns; lines without any text are left out.

    Parameters
    ----------
    path : str or Path
        Or the address of one in an object store.
    columns : Columns

    Raises
    ------
    HeadstartError
        If it cannot be read so, or a line ends before the needed columns or has fields beyond the
        last one.
    """
    where = shown(str(path))
    text, encoding = _decoded(where, _bytes_of(str(path), where, columns.form), columns.form)
    lines, names = _rows(where, text, columns)
    called = columns.called
    filled = [called[name] for name in columns.names[: columns.filled] if called[name] in names]
    for line, fields in lines:
        _check_fields(where, line, names, fields, filled)
    found = ((line, dict(zip(names, fields, strict=False))) for line, fields in lines)
    records = [
        (line, {name: fields.get(called[name], "").strip() for name in columns.names})
        for line, fields in found
    ]
    other = tuple(printable(name) for name in names if name and name not in called.values())
    notes = [] if encoding.startswith("utf-8") else [f"{where!r} was read as {encoding}"]
    notes += [f"{where!r}: columns that are not read: {some_of(other, 5)}"] if other else []
    return Table(records, tuple(name for name in columns.names if called[name] in names), other, notes)


def _bytes_of(path: str, where: str, form: str) -> bytes:
    [data] = read([path])
    if isinstance(data, HeadstartError):
        raise data
    if isinstance(data, OSError):
        todo = "check the address" if is_url(path) else "mend that"
        raise _refused(where, form, "cannot be read", str(data.strerror or data), todo) from data
    return data


def _decoded(where: str, data: bytes, form: str) -> tuple[str, str]:
    """Return the text of a file and its encoding: that of its mark, else UTF-8, other bytes as surrogates."""
    encoding = next((name for mark, name in _MARKS.items() if data.startswith(mark)), "utf-8")
    if encoding == "utf-8" and b"\0" in data[:4]:
        raise wrong_encoding(where, "bytes of 0, as UTF-16 without its mark has them")
    try:
        errors = "surrogateescape" if encoding.startswith("utf-8") else "strict"
        return data.decode(encoding, errors), encoding
    except UnicodeDecodeError as error:
        raise wrong_encoding(where, str(error)) from error


def windows_text(where: str, field: str) -> str:
    """Return a field whose bytes are not UTF-8 as text in Windows' code page 1252.

    Raises
    ------
    HeadstartError
        If it is in neither.

    Examples
    --------
    >>> windows_text("list.csv", "caf\\udce9")
    'café'
    """
    raw = field.encode("utf-8", "surrogateescape")
    try:
        return field if field.isascii() or field == printable(field) else raw.decode("cp1252")
    except UnicodeDecodeError as error:
        raise wrong_encoding(where, f"the bytes {raw!r}") from error


def wrong_encoding(where: str, received: str) -> HeadstartError:
    """Make the error for text in an unknown encoding."""
    expected = "UTF-8; UTF-16 or UTF-32 with a byte order mark; or Windows' code page 1252"
    return HeadstartError(
        f"{where!r} has another encoding than we read",
        expected,
        received,
        f"save the file as UTF-8: {TO_UTF8}",
    )


def _rows(where: str, text: str, columns: Columns) -> tuple[list[tuple[int, list[str]]], list[str]]:
    """Return the numbered lines below the names of the columns, and these names in lower case.

    Excel's ``sep=;`` in a line of its own says the delimiter; without it, it is the one by which the
    first line has the needed columns.
    """
    needed, form = columns.wanted, columns.form
    told = _EXCEL.match(text)
    body = text[told.end() :] if told else text
    broken: list[HeadstartError] = []
    delimiters = told[1] if told else _delimiters(body)
    for delimiter in delimiters:
        lines = _numbered(where, form, body, delimiter, above=1 if told else 0)
        try:
            names = [name.strip().lower() for name in next(lines, (0, []))[1]]
        except HeadstartError as error:
            broken.append(error)  # quotes of another delimiter, maybe
            continue
        if set(needed) <= set(names):
            _refuse_twice(where, form, names)
            return [(line, fields) for line, fields in lines if any(map(str.strip, fields))], names
    if len(broken) == len(delimiters):
        raise broken[0]
    first = body.strip().splitlines()[0][:_SHOWN] if body.strip() else ""
    missing = next((name for name in needed if name not in first.lower()), needed[0])
    raise HeadstartError(
        f"{where!r} lacks the column {missing!r}",
        f"a first line {form}",
        visible(printable(first)) or "an empty file",
        columns.advice,
    )


def _delimiters(text: str) -> str:
    """Return the usual delimiters, and those signs of the first line that are not usual in names."""
    first = next(iter(text.strip().splitlines()), "")[:_SHOWN]
    odd = [sign for sign in dict.fromkeys(first) if not sign.isalnum() and sign not in _DELIMITERS + _PLAIN]
    return _DELIMITERS + "".join(sorted(odd, key=lambda sign: sign == " "))


def _numbered(
    where: str, form: str, text: str, delimiter: str, above: int
) -> Iterator[tuple[int, list[str]]]:
    """Yield the fields of each row with the number of its last line, of which some are above the text."""
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True
    )
    while True:
        first = above + reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            todo = "mend the line; a double quote that opens there needs another one that closes it"
            happened = f"cannot be read as CSV from line {first} on"
            raise _refused(where, form, happened, str(error), todo) from error
        yield above + reader.line_num, fields


def _refuse_twice(where: str, form: str, names: list[str]) -> None:
    twice = [name for name in dict.fromkeys(names) if name and names.count(name) > 1]
    if twice:
        happened = f"names the column {twice[0]!r} twice"
        raise _refused(where, form, happened, ",".join(names), "remove one of them")


def _check_fields(where: str, line: int, names: list[str], fields: list[str], needed: Sequence[str]) -> None:
    """Raise if a line has fields beyond the last column, or ends before a needed one."""
    if any(map(str.strip, fields[len(names) :])):
        happened, todo = "has more fields than columns", "put text with a comma in it between double quotes"
    elif len(fields) <= max(map(names.index, needed)):
        happened, todo = (
            "ends before the last needed column",
            "complete it; an empty cell needs its delimiter too",
        )
    else:
        return
    received = f"{len(fields)}: {some_of([repr(printable(field)) for field in fields], 6)}"
    expected = f"{len(names)} fields, or fewer where they are empty: {','.join(map(printable, names))}"
    raise HeadstartError(f"{where!r}, line {line} {happened}", expected, received, todo)


def _refused(where: str, form: str, happened: str, received: str, todo: str) -> HeadstartError:
    return HeadstartError(f"{where!r} {happened}", f"lines {form}", printable(received), todo)
