"""Image files that a table lists: path,label[,split][,group]."""

import os
from dataclasses import replace
from pathlib import Path
from unicodedata import normalize

from data.errors import HeadstartError, NotFoundError, is_missing
from data.sources.folder import FileSource
from data.sources.labels import index_labels, label_warnings, look_alikes
from data.sources.layout import escaped
from data.sources.rows import unique_ids
from data.sources.source import Row
from data.splits import split_name
from data.tables.csv_text import TO_UTF8, Columns, Table, read_table, windows_text
from data.text import counted, printable, some_of

COLUMNS = ("path", "label", "split", "group")


def open_csv(path: str | Path, root: str | Path | None = None, **called: str) -> FileSource:
    """Open the images that a CSV file lists.

    Paths are relative to the root, or absolute; a row's id is its path from there. An empty label means
    unknown, an empty split means assigned by the image's hash. A listed file that is not there is a row
    that cannot be read. Text that is not in Unicode is read as Windows' code page 1252.

    Parameters
    ----------
    path : str or Path
    root : str or Path, optional
        By default the CSV file's folder.
    **called : str
        ``path_column``, ``label_column``, ``split_column`` and ``group_column``: how the columns are
        called, by default ``path``, ``label``, ``split`` and ``group``.

    Raises
    ------
    HeadstartError
        If a column is missing, a line has other fields, or none of the files is there; the line is named.
        If the root is no folder.
    """
    path = Path(path)
    root = path.parent if root is None else checked_root(Path(root))
    names = {name.removesuffix("_column"): text for name, text in called.items()}
    options = {name: f"--{name}-column" for name in COLUMNS}
    table = read_table(path, Columns(COLUMNS, 1, 2, names, options))
    elsewhere = (
        {} if os.path.abspath(root) == os.path.abspath(path.parent) else {"root": os.path.abspath(root)}
    )
    return replace(listed(path, root, table), how={**elsewhere, **called})


def listed(path: Path, root: Path, table: Table) -> FileSource:
    """Return the images that a table lists.

    Parameters
    ----------
    path : Path
        Where the table was read.
    root : Path
    table : Table

    Raises
    ------
    HeadstartError
        As `open_csv` raises it.
    """
    if not table.records:
        raise HeadstartError(
            f"{str(path)!r} lists no images", "lines path,label", "no lines", "add lines: path,label"
        )
    _refuse_unread_labels(path, table)
    records = table.records
    texts = [{name: windows_text(path, text) for name, text in fields.items()} for _, fields in records]
    names, numbers = index_labels(text["label"] for text in texts)
    rows: list[Row] = []
    paths: dict[str, str] = {}
    ways: dict[str, str] = {}
    for (line, fields), text, label in zip(records, texts, numbers, strict=True):
        way, place = _existing(path, root, line, fields["path"], text["path"])
        split = split_name(text["split"], f"{path}, line {line}")
        row = Row(printable(way), label, split, printable(text["group"]) or None)
        rows.append(row)
        paths[row.id], ways[row.id] = place, way
    found = unique_ids(rows, str(path), [line for line, _ in records])
    _refuse_none_there(path, root, records, rows, paths)
    raw = {name for name, way in ways.items() if name != way.replace(os.sep, "/")}
    warnings = (*table.notes, *_foreign(path, records, texts, raw), *escaped(ways))
    warnings += tuple(label_warnings([text["label"] for text in texts]))
    warnings += tuple(look_alikes("groups", (text["group"] for text in texts)))
    if "label" not in table.present:
        warnings += (f"{str(path)!r} has no column of labels: {counted(len(rows), 'image')} without a label",)
    return FileSource(root, names, found, paths, "csv", os.path.abspath(path), warnings, sendable=True)


def _refuse_unread_labels(path: Path, table: Table) -> None:
    """Raise if no column is that of labels, and another one may be."""
    if "label" not in table.present and table.other:
        raise HeadstartError(
            f"{str(path)!r} lacks the column 'label'",
            "a column label, or one that is named",
            f"{', '.join(table.present)}; not read: {some_of(table.other, 5)}",
            "name the column: --label-column NAME; or, if images have no label, add an empty column label",
        )


def checked_root(root: Path) -> Path:
    """Return a folder that was named as root, or raise that it is none."""
    if root.is_dir():
        return root
    missing = is_missing(root)
    raise (NotFoundError if missing else HeadstartError)(
        f"--root {str(root)!r} is no folder",
        "the folder in which the paths of the CSV file begin",
        "a path that does not exist" if missing else "a file",
        "correct it, or leave it out: paths then begin in the folder of the CSV file",
    )


def _existing(table: Path, root: Path, line: int, raw: str, text: str) -> tuple[str, str]:
    """Return the path from the root to a listed file, in the spelling under which it is there, and its place.

    A name may be bytes of no encoding; it may come from a system with other forms of accents, or
    with backslashes between folders. One that is not there stays as it is written.
    """
    if not text or "\0" in text:
        raise HeadstartError(
            f"{str(table)!r}, line {line} names no image",
            f"a file inside {str(root)!r}",
            "an empty path" if not text else repr(text),
            "correct the line or remove it",
        )
    accents = [normalize(form, text) for form in ("NFC", "NFD")]
    spellings = dict.fromkeys([raw, text, *accents, text.replace("\\", "/")])
    there = (each for each in spellings if os.path.lexists(os.path.join(root, each)))
    return _way(root, next(there, text))


def _way(root: Path, written: str) -> tuple[str, str]:
    """Return the path from the root to a file, and the path that opens it from there."""
    if not os.path.isabs(written):
        return os.path.normpath(written), os.path.normpath(written)
    folder, name = os.path.split(written)  # the image itself may be a link to elsewhere
    straight = os.path.join(os.path.realpath(folder), name)
    ways = [
        os.path.relpath(written, os.path.abspath(root)),
        os.path.relpath(straight, os.path.realpath(root)),
    ]
    inside = next((way for way in ways if way.split(os.sep)[0] != os.pardir), None)
    return (inside, inside) if inside else (ways[0], os.path.normpath(written))


def _refuse_none_there(
    table: Path, root: Path, records: list, rows: list[Row], paths: dict[str, str]
) -> None:
    if not any(os.path.lexists(root / paths[row.id]) for row in rows):
        raise HeadstartError(
            f"none of the files is there that {str(table)!r} lists",
            f"paths relative to {str(root)!r}, with / between folders",
            f"line {records[0][0]}: {rows[0].id}",
            "correct the paths, or name the folder in which they begin: --root FOLDER",
        )


def _foreign(table: Path, records: list, texts: list[dict], raw: set[str]) -> list[str]:
    """Name the encoding that was taken for text which is not in Unicode, with the first such text."""
    for (_, fields), text in zip(records, texts, strict=True):
        for name in COLUMNS:
            if text[name] != fields[name] and printable(fields[name]) not in raw:
                return [
                    f"{str(table)!r} is not in Unicode; it was read as cp1252 (Western Windows), so names "
                    f"may be wrong: {text[name]!r}; if they are, save the file as UTF-8: {TO_UTF8}"
                ]
    return []
