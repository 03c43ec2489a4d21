"""The rows of a source as columns: a million of them take little more than the letters of their names."""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, overload

import numpy as np

from data.columns import Columns
from data.errors import HeadstartError
from data.sources.source import Row
from data.splits import SPLIT_NAMES
from data.texts import Texts


class Rows(Columns[Row]):
    """Rows of a source; each `Row` is made when it is asked for.

    Parameters
    ----------
    rows : iterable of Row

    Attributes
    ----------
    ids : Texts
    labels : ndarray of int32, shape (N,)
    splits : ndarray of int8, shape (N,)
        Indices into `data.splits.SPLIT_NAMES`; -1 where the source does not say.
    groups : ndarray of int32, shape (N,)
        Indices into `group_names`; -1 for none.
    group_names : list of str

    Raises
    ------
    HeadstartError
        If a row has a split of another name, or an id that is no text.

    Examples
    --------
    >>> rows = Rows([Row("a.jpg", 0), Row("b.jpg", 1, "test")])
    >>> rows[1], rows.labels.tolist()
    (Row(id='b.jpg', label=1, split='test', group=None), [0, 1])
    """

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        labels, splits, groups = array("i"), array("b"), array("i")
        names: dict[str, int] = {}

        def ids() -> Iterator[str]:
            for row in rows:
                labels.append(row.label)
                splits.append(_SPLITS[row.split] if row.split in _SPLITS else _refuse_split(row))
                groups.append(names.setdefault(row.group, len(names)) if row.group else -1)
                yield row.id if row.id.isascii() else _text(row)

        self.ids = Texts(ids())
        self.labels, self.groups = (np.array(column, np.int32) for column in (labels, groups))
        self.splits = np.array(splits, np.int8)
        self.group_names = list(names)

    @classmethod
    def of(cls, rows: Iterable[Row]) -> "Rows":
        """Return rows as they are, or as columns."""
        return rows if isinstance(rows, cls) else cls(rows)

    @classmethod
    def columns(
        cls,
        ids: Texts,
        labels: np.ndarray,
        splits: np.ndarray,
        groups: np.ndarray | None = None,
        group_names: Sequence[str] = (),
    ) -> "Rows":
        """Make rows of columns, as the attributes have them."""
        made = cls()
        made.ids, made.labels, made.splits = ids, labels.astype(np.int32), splits.astype(np.int8)
        made.groups = np.full(len(ids), -1, np.int32) if groups is None else groups.astype(np.int32)
        made.group_names = list(group_names)
        return made

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, number: int) -> Row: ...
    @overload
    def __getitem__(self, number: slice) -> "Rows": ...
    def __getitem__(self, number: Any) -> Any:
        if isinstance(number, slice):
            return self.at(np.arange(len(self))[number])
        return self._row(self.ids[number], self.labels[number], self.splits[number], self.groups[number])

    def __iter__(self) -> Iterator[Row]:
        return map(self._row, self.ids, self.labels, self.splits, self.groups)

    def _row(self, name: str, label: int, split: int, group: int) -> Row:
        named = self.group_names[group] if group >= 0 else None
        return Row(name, int(label), SPLIT_NAMES[split] if split >= 0 else None, named)

    def at(self, numbers: np.ndarray) -> "Rows":
        """Return some of the rows.

        Parameters
        ----------
        numbers : ndarray of int, shape (n,)
        """
        columns = (self.labels[numbers], self.splits[numbers], self.groups[numbers])
        return Rows.columns(self.ids.at(numbers), *columns, self.group_names)

    def named(self, ids: Texts) -> "Rows":
        """Return the same rows with other ids."""
        return Rows.columns(ids, self.labels, self.splits, self.groups, self.group_names)

    def grouped(self, groups: np.ndarray, group_names: Sequence[str]) -> "Rows":
        """Return the same rows in other groups."""
        return Rows.columns(self.ids, self.labels, self.splits, groups, group_names)

    def group(self, number: int) -> str | None:
        """Return the group of a row."""
        return self.group_names[self.groups[number]] if self.groups[number] >= 0 else None


def unique_ids(rows: Iterable[Row], where: str, lines: Sequence[int] = ()) -> Rows:
    """Return rows as columns, or raise if two of them share an id, with the lines that they stand in.

    Examples
    --------
    >>> unique_ids([Row("a.jpg", 0)], "list.csv")
    Rows(1)
    """
    found = Rows.of(rows)
    twice = found.ids.twice()
    if twice is None:
        return found
    first, second = twice
    count = f"{len(found)} rows, {len(set(found.ids))} different"
    raise HeadstartError(
        f"{where} holds {found.ids[first]!r} twice",
        "each image once",
        f"lines {lines[first]} and {lines[second]}; {count}" if lines else count,
        "remove the second one; an image has one label and one split",
    )


_SPLITS = {None: -1, "": -1} | {name: number for number, name in enumerate(SPLIT_NAMES)}


def _refuse_split(row: Row) -> int:
    raise HeadstartError(
        f"the row {row.id!r} has an unknown split",
        f"{', '.join(SPLIT_NAMES)} or None",
        repr(row.split),
        "name it so in your source; data.splits.split_name reads other common names",
    )


def _text(row: Row) -> str:
    """Return the id of a row, or raise if no file could hold it."""
    try:
        row.id.encode()
    except UnicodeEncodeError as error:
        raise HeadstartError(
            f"the id {row.id!r} is no text", "an id in Unicode", str(error), "escape it in your source"
        ) from error
    return row.id
