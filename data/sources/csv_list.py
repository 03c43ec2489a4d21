"""Image files that a table lists: path,label[,split][,group]."""

import os
import posixpath
from dataclasses import replace
from pathlib import Path
from unicodedata import normalize

from data.errors import HeadstartError, NotFoundError, is_missing
from data.sources.folder import FileSource
from data.sources.labels import index_labels, label_warnings, look_alikes
from data.sources.layout import escaped
from data.sources.rows import unique_ids
from data.sources.source import Row
from data.sources.tree import IMAGE_SUFFIXES
from data.splits import split_name
from data.stores.files import absolute, are_there, folder_of
from data.stores.urls import below, is_url, shown
from data.tables.csv_text import TO_UTF8, Columns, Table, read_table, windows_text
from data.text import counted, printable, some_of

_SUFFIXES = sorted(IMAGE_SUFFIXES)
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
    path = str(path)
    beside = folder_of(path)
    root = beside if root is None else checked_root(root)
    names = {name.removesuffix("_column"): text for name, text in called.items()}
    options = {name: f"--{name}-column" for name in COLUMNS}
    table = read_table(path, Columns(COLUMNS, 1, 2, names, options))
    elsewhere = {} if absolute(root) == absolute(beside) else {"root": absolute(root)}
    return replace(listed(path, root, table), how={**elsewhere, **called})


def listed(path: str | Path, root: str | Path, table: Table) -> FileSource:
    """Return the images that a table lists.

    Parameters
    ----------
    path : str or Path
        Where the table was read.
    root : str or Path
    table : Table

    Raises
    ------
    HeadstartError
        As `open_csv` raises it.
    """
    where, root = shown(str(path)), str(root)
    if not table.records:
        raise HeadstartError(
            f"{where!r} lists no images", "lines path,label", "no lines", "add lines: path,label"
        )
    _refuse_unread_labels(where, table)
    records = table.records
    texts = [_in_unicode(where, fields) for _, fields in records]
    names, numbers = index_labels(text["label"] for text in texts)
    rows: list[Row] = []
    paths: dict[str, str] = {}
    ways: dict[str, str] = {}
    for (line, fields), text, label in zip(records, texts, numbers, strict=True):
        way, place = _existing(where, root, line, fields["path"], text["path"])
        split = split_name(text["split"], f"{where}, line {line}")
        row = Row(printable(way), label, split, printable(text["group"]) or None)
        rows.append(row)
        paths[row.id], ways[row.id] = place, way
    found = unique_ids(rows, where, [line for line, _ in records])
    _refuse_none_there(where, root, records, rows, paths)
    raw = {name for name, way in ways.items() if name != way.replace(os.sep, "/")}
    warnings = (*table.notes, *_foreign(where, records, texts, raw), *escaped(ways))
    warnings += tuple(label_warnings([text["label"] for text in texts]))
    warnings += tuple(look_alikes("groups", (text["group"] for text in texts)))
    if "label" not in table.present:
        warnings += (f"{where!r} has no column of labels: {counted(len(rows), 'image')} without a label",)
    sent = not any(map(is_url, [root, *paths.values()]))
    return FileSource(root, names, found, paths, "csv", absolute(str(path)), warnings, sendable=sent)


def _in_unicode(where: str, fields: dict[str, str]) -> dict[str, str]:
    """Return the fields of a line as text: the same dictionary where all of them are, as a rule."""
    texts = {name: windows_text(where, text) for name, text in fields.items()}
    return fields if texts == fields else texts


def _refuse_unread_labels(where: str, table: Table) -> None:
    """Raise if no column is that of labels, and another one may be."""
    if "label" not in table.present and table.other:
        raise HeadstartError(
            f"{where!r} lacks the column 'label'",
            "a column label, or one that is named",
            f"{', '.join(table.present)}; not read: {some_of(table.other, 5)}",
            "name the column: --label-column NAME; or, if images have no label, add an empty column label",
        )


def checked_root(root: str | Path) -> str:
    """Return a folder that was named as root, or raise that it is none; who reads in a store sees that."""
    root = str(root)
    if is_url(root) or os.path.isdir(root):
        return root
    missing = is_missing(root)
    raise (NotFoundError if missing else HeadstartError)(
        f"--root {root!r} is no folder",
        "the folder in which the paths of the CSV file begin",
        "a path that does not exist" if missing else "a file",
        "correct it, or leave it out: paths then begin in the folder of the CSV file",
    )


def _existing(where: str, root: str, line: int, raw: str, text: str) -> tuple[str, str]:
    """Return the path from the root to a listed file, in the spelling under which it is there, and its place.

    A name may be bytes of no encoding; it may come from a system with other forms of accents, or
    with backslashes between folders; it may lack the suffix, as ids of Kaggle's tables do.
    One that is not there stays as it is written, as does one in a store.
    """
    if not text or "\0" in text:
        raise HeadstartError(
            f"{where!r}, line {line} names no image",
            f"a file inside {shown(root)!r}",
            "an empty path" if not text else repr(text),
            "correct the line or remove it",
        )
    if is_url(text) or is_url(root):
        return (shown(text), text) if is_url(text) else (way := posixpath.normpath(text), way)
    accents = [normalize(form, text) for form in ("NFC", "NFD")]
    spellings = dict.fromkeys([raw, text, *accents, text.replace("\\", "/")])
    there = next((each for each in spellings if os.path.lexists(os.path.join(root, each))), None)
    return _way(root, there or _suffixed(where, root, line, text))


def _suffixed(where: str, root: str, line: int, text: str) -> str:
    """Return a path with the suffix under which the image is there, or as it is written; or raise for two."""
    if os.path.splitext(text)[1].lower() in IMAGE_SUFFIXES:
        return text
    names = [text + each for suffix in _SUFFIXES for each in (suffix, suffix.upper())]
    places = {os.path.join(root, name): name for name in names}
    found = {os.lstat(place).st_ino: name for place, name in places.items() if os.path.lexists(place)}
    if len(found) > 1:
        raise HeadstartError(
            f"{where!r}, line {line} may name several images",
            "one file of that name, or a name with its suffix",
            some_of(sorted(found.values())),
            "add the suffix to the line",
        )
    return next(iter(found.values()), text)


def _way(root: str, written: str) -> tuple[str, str]:
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


def _refuse_none_there(where: str, root: str, records: list, rows: list[Row], paths: dict[str, str]) -> None:
    if not any(are_there(below(root, paths[row.id]) for row in rows)):
        raise HeadstartError(
            f"none of the files is there that {where!r} lists",
            f"paths relative to {shown(root)!r}, with / between folders",
            f"line {records[0][0]}: {rows[0].id}",
            "correct the paths, or name the folder in which they begin: --root FOLDER",
        )


def _foreign(where: str, records: list, texts: list[dict], raw: set[str]) -> list[str]:
    """Name the encoding that was taken for text which is not in Unicode, with the first such text."""
    for (_, fields), text in zip(records, texts, strict=True):
        for name in COLUMNS:
            if text[name] != fields[name] and printable(fields[name]) not in raw:
                return [
                    f"{where!r} is not in Unicode; it was read as cp1252 (Western Windows), so names "
                    f"may be wrong: {text[name]!r}; if they are, save the file as UTF-8: {TO_UTF8}"
                ]
    return []
