"""Image files listed in a CSV file: path,label[,split][,group]."""

import os
from pathlib import Path
from unicodedata import normalize

from data.errors import HeadstartError, NotFoundError, is_missing
from data.sources.folder import FileSource
from data.sources.labels import index_labels, label_warnings, look_alikes
from data.sources.layout import escaped
from data.sources.source import Row, unique_ids
from data.splits import split_name
from data.tables.csv_text import TO_UTF8, read_table, windows_text
from data.text import printable

COLUMNS = ("path", "label", "split", "group")


def open_csv(path: str | Path, root: str | Path | None = None) -> FileSource:
    """Open the images that a CSV file lists.

    Paths are relative to the root, or absolute, and may not leave it. An empty label means unknown,
    an empty split means assigned by the image's hash. A listed file that is not there is a row that
    cannot be read. Text that is not in Unicode is read as Windows' code page 1252.

    Parameters
    ----------
    path : str or Path
    root : str or Path, optional
        By default the CSV file's folder.

    Raises
    ------
    HeadstartError
        If a column is missing, a line has other fields, a listed path leaves the root, or none of the
        files is there; the line is named. If the root is no folder.
    """
    path = Path(path)
    root = path.parent if root is None else _checked_root(Path(root))
    records, notes = read_table(path, COLUMNS, needed=2)
    if not records:
        raise HeadstartError(
            f"{str(path)!r} lists no images", "lines path,label", "no lines", "add lines: path,label"
        )
    texts = [{name: windows_text(path, text) for name, text in fields.items()} for _, fields in records]
    names, numbers = index_labels(text["label"] for text in texts)
    rows: list[Row] = []
    paths: dict[str, str] = {}
    for (line, fields), text, label in zip(records, texts, numbers, strict=True):
        relative = _existing(path, root, line, fields["path"], text["path"])
        split = split_name(text["split"], f"{path}, line {line}")
        row = Row(printable(relative), label, split, printable(text["group"]) or None)
        rows.append(row)
        paths[row.id] = relative
    unique_ids(rows, str(path), [line for line, _ in records])
    _refuse_none_there(path, root, records, rows, paths)
    raw = {name for name, relative in paths.items() if name != relative.replace(os.sep, "/")}
    warnings = (*notes, *_foreign(path, records, texts, raw), *escaped(paths))
    warnings += tuple(label_warnings([text["label"] for text in texts]))
    warnings += tuple(look_alikes("groups", (text["group"] for text in texts)))
    return FileSource(root, names, rows, paths, "csv", os.path.abspath(path), warnings, sendable=True)


def _checked_root(root: Path) -> Path:
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


def _existing(table: Path, root: Path, line: int, raw: str, text: str) -> str:
    """Return the relative path of a listed file, in the spelling under which it is there.

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
    return _inside(table, root, line, next(there, text))


def _inside(table: Path, root: Path, line: int, written: str) -> str:
    """Return a path relative to the root, or raise if it leaves that."""
    ways = [os.path.normpath(written)]
    if os.path.isabs(written):
        folder, name = os.path.split(written)  # the image itself may be a link to elsewhere
        straight = os.path.join(os.path.realpath(folder), name)
        ways = [
            os.path.relpath(written, os.path.abspath(root)),
            os.path.relpath(straight, os.path.realpath(root)),
        ]
    inside = [way for way in ways if way.split(os.sep)[0] != os.pardir]
    if not inside:
        raise HeadstartError(
            f"{str(table)!r}, line {line}: the path leaves the folder {str(root)!r}",
            f"a path inside {str(root)!r}",
            printable(written),
            "name a folder above all images with --root, or move the CSV file there",
        )
    return inside[0]


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
