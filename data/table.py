"""Image files listed in a CSV file: path,label[,split][,group]."""

import csv
import os
from pathlib import Path

from data.errors import HeadstartError
from data.folder import FileSource, escaped, printable
from data.source import Row, index_labels, unique_ids
from data.splits import split_name

COLUMNS = ("path", "label", "split", "group")


def open_csv(path: Path) -> FileSource:
    """Open the images that a CSV file lists.

    Paths are relative to the CSV file's folder and may not leave it. An empty label means
    unknown, an empty split means assigned by the image's hash.

    Raises
    ------
    HeadstartError
        If a column is missing, or a listed path leaves the folder or does not exist; the line
        is named.
    """
    records = _records(path)
    names, labels = index_labels(record["label"] for _, record in records)
    rows, paths = [], {}
    for (line, record), label in zip(records, labels, strict=True):
        relative = _checked_path(path, line, record["path"])
        split = split_name(record["split"], f"{path}, line {line}")
        row = Row(printable(relative), label, split, printable(record["group"]) or None)
        rows.append(row)
        paths[row.id] = relative
    location, warnings = os.path.abspath(path), tuple(escaped(paths))
    return FileSource(path.parent, names, unique_ids(rows, str(path)), paths, "csv", location, warnings)


def _records(path: Path) -> list[tuple[int, dict]]:
    try:
        with open(path, newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            reader = csv.DictReader(file)
            columns = reader.fieldnames or []
            records = [(reader.line_num, record) for record in reader]
    except csv.Error as error:
        raise HeadstartError(
            f"{str(path)!r} cannot be read as CSV",
            "lines path,label[,split][,group]",
            str(error),
            "mend the file",
        ) from error
    missing = [name for name in COLUMNS[:2] if name not in columns]
    if missing:
        raise HeadstartError(
            f"{str(path)!r} lacks the column {missing[0]!r}",
            "a first line path,label[,split][,group]",
            printable(",".join(columns)) or "an empty file",
            "add the line with the names of the columns",
        )
    if not records:
        raise HeadstartError(
            f"{str(path)!r} lists no images", "a line for each image", "no lines", "add lines: path,label"
        )
    return [(line, {key: (record.get(key) or "").strip() for key in COLUMNS}) for line, record in records]


def _checked_path(table: Path, line: int, text: str) -> str:
    relative = os.path.normpath(text)
    if os.path.isabs(relative) or relative.split(os.sep)[0] == "..":
        raise HeadstartError(
            f"{str(table)!r}, line {line}: the path leaves the folder of the CSV file",
            f"a path inside {str(table.parent)!r}",
            printable(text),
            "move the images below the CSV file, or the CSV file above them",
        )
    if not text or not os.path.isfile(table.parent / relative):
        raise HeadstartError(
            f"{str(table)!r}, line {line}: there is no such image",
            f"a file inside {str(table.parent)!r}",
            printable(text) or "an empty path",
            "correct the line or remove it",
        )
    return relative
