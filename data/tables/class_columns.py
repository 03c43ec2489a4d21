"""Tables with a column for each class, beside images and in folders of splits, as Roboflow exports them."""

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from data.errors import HeadstartError
from data.splits import is_split
from data.text import printable

CLASSES_CSV = "_classes.csv"
_EXPECTED = "columns filename and one for each class, which hold 0 or 1"


@dataclass(frozen=True)
class ClassLine:
    """What a line of such a table says.

    Attributes
    ----------
    number : int
    name : str
        Of an image beside the table.
    label : str
        Its class, empty where none has a 1.
    among : tuple of str
        All classes of the table.
    """

    number: int
    name: str
    label: str
    among: tuple[str, ...]


def class_tables_in(folder: str) -> list[str]:
    """Return the folders of splits that hold such a table; empty text is the folder itself.

    Examples
    --------
    >>> class_tables_in("nowhere")
    []
    """
    try:
        splits = sorted(name for name in os.listdir(folder) if is_split(name))
    except HeadstartError:
        raise
    except OSError:  # whoever opens it says so
        return []
    return [name for name in ("", *splits) if os.path.isfile(os.path.join(folder, name, CLASSES_CSV))]


def read_class_table(path: Path) -> Iterator[ClassLine]:
    """Yield the lines of a table.

    Parameters
    ----------
    path : Path

    Raises
    ------
    HeadstartError
        If it has other columns or values, or gives an image several classes; the line is named.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, skipinitialspace=True)
            names = [name.strip() for name in next(reader, [])]
            if names[:1] != ["filename"] or len(names) < 2:
                raise _refused(f"{str(path)!r} has other columns", _EXPECTED, ",".join(names))
            for fields in filter(None, reader):
                yield _line(f"{str(path)!r}, line {reader.line_num}", reader.line_num, names, fields)
    except (UnicodeDecodeError, csv.Error) as error:
        raise _refused(f"{str(path)!r} cannot be read", _EXPECTED, str(error)) from error


def _line(where: str, number: int, names: list[str], fields: list[str]) -> ClassLine:
    values = [field.strip() for field in fields]
    if len(values) != len(names) or not values[0] or not set(values[1:]) <= {"0", "1"}:
        raise _refused(f"{where} is no line of classes", _EXPECTED, ",".join(fields))
    found = [name for name, value in zip(names[1:], values[1:], strict=True) if value == "1"]
    if len(found) > 1:
        raise _refused(f"{where} gives an image several classes", "one class an image", ", ".join(found))
    return ClassLine(number, values[0], "".join(found), tuple(names[1:]))


def _refused(happened: str, expected: str, received: str) -> HeadstartError:
    todo = "export it as folders of classes, or list one label an image in a table path,label"
    return HeadstartError(happened, expected, printable(received) or "an empty file", todo)
