"""The text of CSV files as programs write them: encodings, delimiters, blanks, words to Excel."""

import codecs
import csv
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from data.errors import HeadstartError
from data.names import visible
from data.text import printable, some_of

TO_UTF8 = "as 'CSV UTF-8' of a spreadsheet, or by iconv -f ENCODING -t UTF-8 (SHIFT_JIS, GBK, CP1251, ...)"
_DELIMITERS = ",;\t"
_SHOWN = 200  # signs of a first line that is no header
_EXCEL = re.compile(r"sep=(.)[\r\n]+", re.IGNORECASE)
_MARKS = {  # the first bytes say how a text is encoded; those of UTF-32 begin as those of UTF-16
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def read_table(
    path: Path, columns: Sequence[str], needed: int
) -> tuple[list[tuple[int, dict[str, str]]], list[str]]:
    """Read the lines of a CSV file below the names of its columns; lines without any text are left out.

    Parameters
    ----------
    path : Path
    columns : sequence of str
        That are read; the names of the file may be in capitals, with blanks around.
    needed : int
        So many of them, the first ones, must be there.

    Returns
    -------
    list of (int, dict of str to str)
        The number of each line and its fields, without blanks around; bytes that are not of the
        encoding are surrogates, as in `os.fsdecode`.
    list of str
        What the user should know: the encoding where it is not UTF-8, and columns that are not read.

    Raises
    ------
    HeadstartError
        If it cannot be read so, or a line ends before the needed columns or has fields beyond the
        last one.
    """
    form = _form(columns, needed)
    text, encoding = _decoded(path, form)
    lines, names = _rows(path, text, columns[:needed], form)
    for line, fields in lines:
        _check_fields(path, line, names, fields, columns[:needed])
    found = [(line, dict(zip(names, fields, strict=False))) for line, fields in lines]
    records = [(line, {name: fields.get(name, "").strip() for name in columns}) for line, fields in found]
    other = [printable(name) for name in names if name and name not in columns]
    notes = [] if encoding.startswith("utf-8") else [f"{str(path)!r} was read as {encoding}"]
    notes += [f"{str(path)!r}: columns that are not read: {some_of(other, 5)}"] if other else []
    return records, notes


def _form(columns: Sequence[str], needed: int) -> str:
    """Return how lines look, for messages: columns that may be missing stand in brackets."""
    return ",".join(columns[:needed]) + "".join(f"[,{name}]" for name in columns[needed:])


def _decoded(path: Path, form: str) -> tuple[str, str]:
    """Return the text of a file and its encoding: that of its mark, else UTF-8, other bytes as surrogates."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _refused(path, form, "cannot be read", str(error.strerror or error), "mend that") from error
    encoding = next((name for mark, name in _MARKS.items() if data.startswith(mark)), "utf-8")
    if encoding == "utf-8" and b"\0" in data[:4]:
        raise wrong_encoding(path, "bytes of 0, as UTF-16 without its mark has them")
    try:
        errors = "surrogateescape" if encoding.startswith("utf-8") else "strict"
        return data.decode(encoding, errors), encoding
    except UnicodeDecodeError as error:
        raise wrong_encoding(path, str(error)) from error


def windows_text(path: Path, field: str) -> str:
    """Return a field whose bytes are not UTF-8 as text in Windows' code page 1252.

    Raises
    ------
    HeadstartError
        If it is in neither.

    Examples
    --------
    >>> windows_text(Path("list.csv"), "caf\\udce9")
    'café'
    """
    raw = field.encode("utf-8", "surrogateescape")
    try:
        return field if field.isascii() or field == printable(field) else raw.decode("cp1252")
    except UnicodeDecodeError as error:
        raise wrong_encoding(path, f"the bytes {raw!r}") from error


def wrong_encoding(path: Path, received: str) -> HeadstartError:
    """Make the error for text in an unknown encoding."""
    expected = "UTF-8; UTF-16 or UTF-32 with a byte order mark; or Windows' code page 1252"
    return HeadstartError(
        f"{str(path)!r} has another encoding than we read",
        expected,
        received,
        f"save the file as UTF-8: {TO_UTF8}",
    )


def _rows(
    path: Path, text: str, needed: Sequence[str], form: str
) -> tuple[list[tuple[int, list[str]]], list[str]]:
    """Return the numbered lines below the names of the columns, and these names in lower case.

    Excel's ``sep=;`` in a line of its own says the delimiter; without it, it is the one by which the
    first line has the needed columns.
    """
    told = _EXCEL.match(text)
    body = text[told.end() :] if told else text
    broken: list[HeadstartError] = []
    delimiters = told[1] if told else _DELIMITERS
    for delimiter in delimiters:
        lines = _numbered(path, form, body, delimiter, above=1 if told else 0)
        try:
            names = [name.strip().lower() for name in next(lines, (0, []))[1]]
        except HeadstartError as error:
            broken.append(error)  # quotes of another delimiter, maybe
            continue
        if set(needed) <= set(names):
            _refuse_twice(path, form, names)
            return [(line, fields) for line, fields in lines if any(map(str.strip, fields))], names
    if len(broken) == len(delimiters):
        raise broken[0]
    first = body.strip().splitlines()[0][:_SHOWN] if body.strip() else ""
    missing = next((name for name in needed if name not in first.lower()), needed[0])
    raise HeadstartError(
        f"{str(path)!r} lacks the column {missing!r}",
        f"a first line {form}",
        visible(printable(first)) or "an empty file",
        "add the line with the names of the columns, between commas",
    )


def _numbered(
    path: Path, form: str, text: str, delimiter: str, above: int
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
            raise _refused(path, form, happened, str(error), todo) from error
        yield above + reader.line_num, fields


def _refuse_twice(path: Path, form: str, names: list[str]) -> None:
    twice = [name for name in dict.fromkeys(names) if name and names.count(name) > 1]
    if twice:
        happened = f"names the column {twice[0]!r} twice"
        raise _refused(path, form, happened, ",".join(names), "remove one of them")


def _check_fields(path: Path, line: int, names: list[str], fields: list[str], needed: Sequence[str]) -> None:
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
    raise HeadstartError(f"{str(path)!r}, line {line} {happened}", expected, received, todo)


def _refused(path: Path, form: str, happened: str, received: str, todo: str) -> HeadstartError:
    return HeadstartError(f"{str(path)!r} {happened}", f"lines {form}", printable(received), todo)
