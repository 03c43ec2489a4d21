"""Rows as CSV, of which a spreadsheet runs nothing."""

import csv
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from data.output.atomic import written_aside
from data.output.disk import writing

_FORMULA = re.compile(
    r"'*[=+\-@\t\r]"
)  # so begins what a spreadsheet takes for a formula, or what `cell` made
_END = "\r\n"
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return rows as CSV with a header; None is an empty cell.

    Examples
    --------
    >>> print(csv_text(["id", "label"], [("=A1.jpg", "cat")]), end="")
    id,label
    '=A1.jpg,cat
    """
    lines = _Lines()
    writer = csv.writer(lines, lineterminator=_END)
    writer.writerow(columns)
    writer.writerows(map(cell, row) for row in rows)
    return "".join(lines)


class _Lines(list):
    """Lines that end as lines do here, written so that each sign that ends a line somewhere is quoted."""

    def write(self, line: str) -> None:
        self.append(line.removesuffix(_END) + "\n")


def write_csv(path: Path, text: str, option: str) -> None:
    """Write a CSV, whole or not at all, to where an option of a command says.

    Raises
    ------
    HeadstartError
        If the file cannot be written.
    """
    with writing(path, f"or choose another {option}"), written_aside(path) as aside:
        aside.write_text(text, "utf-8")


def cell(value: object) -> object:
    """Return a value as it stands in a cell: what a spreadsheet would run gets an apostrophe before it.

    Examples
    --------
    >>> cell("=1+1"), cell("-1"), cell("a=b"), cell(-0.5)
    ("'=1+1", '-1', 'a=b', -0.5)
    """
    runs = isinstance(value, str) and _FORMULA.match(value) and not _NUMBER.fullmatch(value)
    return f"'{value}" if runs else value


def cell_value(text: str) -> str:
    """Return what `cell` made a cell of.

    Examples
    --------
    >>> cell_value(cell("=1+1")), cell_value("'quoted'"), cell_value(cell("'=x"))
    ('=1+1', "'quoted'", "'=x")
    """
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text
