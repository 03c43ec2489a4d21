"""Parquet files: images as Hugging Face's datasets writes them, or tables of paths."""

import re
from bisect import bisect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.errors import HeadstartError
from data.parquet.file import (
    Columns,
    Images,
    Place,
    check_images,
    columns_of,
    features_of,
    image_column,
    opened,
)
from data.sources.csv_list import COLUMNS, checked_root, listed
from data.sources.labels import index_labels, label_warnings
from data.sources.naming import is_file, is_folder
from data.sources.rows import Rows, unique_ids
from data.sources.source import Row, Source, Stamp
from data.splits import split_name, split_of_shard
from data.stores.files import absolute, folder_of, names_in, portable, stamps
from data.stores.urls import below, shown
from data.tables.csv_text import Columns as Names
from data.tables.csv_text import Table
from data.text import counted, printable, some_of

if TYPE_CHECKING:  # an extra
    import pyarrow

_SHARD = re.compile(r"(.+?)-(\d+)-of-(\d+)$")  # as train-00000-of-00002


@dataclass(frozen=True)
class ParquetSource(Source):
    """Images in a column of Parquet files.

    Attributes
    ----------
    files : tuple of str
        In sorted order.
    column : str
        Of the images.
    class_names : tuple of str
    rows : Rows
    groups : tuple of (int, int, int)
        Of each row group the number of its first row, of its file, and of the group in it.
    location : str
    how : mapping
        Options by which the same files are opened again, ready for JSON.
    warnings : tuple of str
    """

    files: tuple[str, ...]
    column: str
    class_names: tuple[str, ...]
    rows: Rows = field(repr=False)
    groups: tuple[Place, ...] = field(repr=False)
    location: str
    how: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def describe(self) -> dict:
        return {"kind": "parquet"}

    def read(self, rows: Iterable[Row]) -> Iterator[bytes | OSError]:
        """Yield the images; rows in the order of the files are read in one pass."""
        return self._images(map(self._place, rows))

    def stamps(self) -> list[Stamp | None]:
        """Return of each image by what its file is known not to have changed."""
        of_files = stamps(self.files)
        ends = [*self._firsts[1:], len(self.rows)]
        found: list[Stamp | None] = []
        for (first, file, _), end in zip(self.groups, ends, strict=True):
            found += [of_files[file]] * (end - first)
        return found

    def portable(self) -> "ParquetSource":
        """Return the source with absolute paths."""
        return replace(self, files=tuple(map(portable, self.files)))

    def address(self) -> dict[str, Any]:
        return {"text": self.location, **self.how}

    def _place(self, row: Row) -> Place:
        number = self.rows.ids.index(row.id)
        first, file, group = self.groups[bisect(self._firsts, number) - 1]
        return file, group, number - first

    @cached_property
    def _firsts(self) -> list[int]:
        return [first for first, _, _ in self.groups]

    @cached_property
    def _images(self) -> Images:
        return Images(self.files, self.column)

    def __getstate__(self) -> dict:
        return {name: value for name, value in self.__dict__.items() if name[0] != "_"}  # of one process


def open_parquet(path: str | Path, root: str | Path | None = None, **called: str) -> Source:
    """Open Parquet files: one, or all of a folder, that hold images or list them.

    A column of images holds ``{"bytes": ..., "path": ...}``, or bytes alone. Labels are those of the column
    ``label``, or of the only column with names of classes, which Hugging Face's datasets keeps; the split
    is that of the file's name, as ``train-00000-of-00002.parquet``. A table without images lists paths, as a
    CSV file does.

    Parameters
    ----------
    path : str or Path
    root : str or Path, optional
        Where listed paths begin, by default the folder of the file.
    **called : str
        ``path_column`` (of images too), ``label_column``, ``split_column`` and ``group_column``.

    Raises
    ------
    HeadstartError
        If pyarrow is not installed, a file cannot be read, or there is neither a column of images nor one of
        paths.
    """
    path = str(path)
    files = _files_in(path) if is_folder(path) else [path]
    names = {name.removesuffix("_column"): text for name, text in called.items()}
    image = image_column(opened(files[0]).schema_arrow, names.get("path"))
    if image is None:
        return _table(path, files, root, names, called)
    if root is not None:
        raise HeadstartError(
            "--root has no meaning here", "a table of paths", f"images in {shown(path)!r}", "leave --root out"
        )
    for file in files:
        check_images(file, image)
    return _images(path, files, image, names, called)


def _files_in(folder: str) -> list[str]:
    names = list(names_in(folder))
    inner = below(folder, "data")
    places = [below(folder, name) for name in names]
    places += [below(inner, name) for name in names_in(inner)] if "data" in names and is_folder(inner) else []
    of_parquet = is_file(".parquet")
    return sorted(each for each in places if of_parquet(each) and Path(shown(each)).name[0] != ".")


def _images(
    path: str, files: Sequence[str], image: str, names: Mapping[str, str], called: Mapping[str, str]
) -> ParquetSource:
    schemas = [opened(file).schema_arrow for file in files]
    _check_named(names, schemas)
    labels, given = _label_column(schemas, names.get("label"))
    others = [names.get(name, name) for name in ("split", "group")]
    tables = [columns_of(file, [labels, *others], image) for file in files]
    class_names, numbers, notes = _labels([label for table in tables for label in table.of(labels)], given)
    if not numbers:
        raise HeadstartError(
            f"{shown(path)!r} holds no rows",
            "images",
            "an empty table",
            "write it again, or name another one",
        )
    if labels is None:
        notes = [*notes, f"no column of labels: {counted(len(numbers), 'image')} without a label"]
        notes += _other_labels(schemas)
    notes = [*notes, *_missing_shards(files), *_other_images(schemas, image)]
    ids = _ids(path, files, [table.of(image) for table in tables])
    places = zip(_splits_and_groups(files, tables, *others), ids, numbers, strict=True)
    rows = (Row(name, label, split, group) for (split, group), name, label in places)
    return ParquetSource(
        tuple(files),
        image,
        class_names,
        unique_ids(rows, shown(path)),
        tuple(_row_groups(tables)),
        absolute(path),
        dict(called),
        tuple(notes),
    )


def _splits_and_groups(
    files: Sequence[str], tables: Sequence[Columns], split_column: str, group_column: str
) -> Iterator[tuple[str | None, str | None]]:
    """Yield those of each row; a split that a row does not name is that of its file."""
    for file, table in zip(files, tables, strict=True):
        named = split_of_shard(Path(shown(file)).stem, _SHARD)
        for split, group in zip(table.of(split_column), table.of(group_column), strict=True):
            here = None if group in (None, "") else printable(str(group))
            yield split_name(str(split or named), shown(file)), here


def _row_groups(tables: Sequence[Columns]) -> Iterator[Place]:
    first = 0
    for file, table in enumerate(tables):
        for group, count in enumerate(table.groups):
            yield first, file, group
            first += count


def _ids(path: str, files: Sequence[str], inner: Sequence[Sequence[object]]) -> list[str]:
    """Return the paths in the tables if all are there and differ, else the number of each row in its file."""
    names = [name for column in inner for name in column]
    if all(names) and len(set(names)) == len(names):
        return [printable(str(name)) for name in names]
    tops = ["" if file == path else printable(f"{_below(shown(file), shown(path))}/") for file in files]
    counts = [len(column) for column in inner]
    return [f"{top}{row:08d}" for top, count in zip(tops, counts, strict=True) for row in range(count)]


def _below(file: str, folder: str) -> str:
    return Path(file).relative_to(folder).as_posix()


def _check_named(names: Mapping[str, str], schemas: "Sequence[pyarrow.Schema]") -> None:
    there = list(dict.fromkeys(name for schema in schemas for name in schema.names))
    for what, name in names.items():
        if name not in there:
            raise HeadstartError(
                f"there is no column {name!r}",
                f"a column of {what}s",
                some_of(there, 8),
                f"correct --{what}-column",
            )


def _label_column(
    schemas: "Sequence[pyarrow.Schema]", named: str | None
) -> tuple[str | None, tuple[str, ...]]:
    """Return the column of labels, and the names of classes that its numbers stand for, if it has such.

    The column is named, called ``label``, or the only one with names of classes.
    """
    features: dict[str, dict] = {}
    for schema in schemas:
        features |= features_of(schema)
    classes = [name for name, each in features.items() if each.get("_type") == "ClassLabel"]
    there = any("label" in schema.names for schema in schemas)
    column = named or ("label" if there else classes[0] if len(classes) == 1 else None)
    if column is None:
        return None, ()
    given = [tuple(each.get("names") or ()) for each in (features_of(s).get(column) for s in schemas) if each]
    if len(set(given)) > 1:
        raise HeadstartError(
            f"the files disagree about the classes of {column!r}",
            "one list of classes in all files",
            "; ".join(some_of(each, 4) for each in dict.fromkeys(given)),
            "extract each file by itself",
        )
    return column, given[0] if given else ()


def _labels(labels: Sequence[object], given: Sequence[str]) -> tuple[tuple[str, ...], list[int], list[str]]:
    if given:
        known = range(len(given))
        numbers = [label if isinstance(label, int) and label in known else -1 for label in labels]
        notes = label_warnings([label for label in labels if label is not None], True)
        above = sum(isinstance(label, int) and label >= len(given) for label in labels)
        if above:
            notes.append(f"{counted(above, 'image')} without a label: the names of classes end before theirs")
        return tuple(given), numbers, notes
    names, numbers = index_labels(labels)
    return names, numbers, label_warnings([label for label in labels if label is not None])


def _table(
    path: str,
    files: Sequence[str],
    root: str | Path | None,
    names: Mapping[str, str],
    called: Mapping[str, str],
) -> Source:
    columns = Names(COLUMNS, 1, 2, names)
    file = opened(files[0])
    there = {name.strip().lower(): name for name in file.schema_arrow.names}
    missing = [name for name in columns.wanted if name not in there]
    if missing or len(files) > 1:
        raise HeadstartError(
            f"{shown(path)!r} holds no column of images" + (", and none of paths" if missing else ""),
            'a column of {"bytes", "path"} or of bytes, or one table with a column path',
            f"columns {some_of(list(there.values()), 8)}" + f" in {len(files)} files" * (len(files) > 1),
            "name the column: --path-column NAME" if missing else "name one file",
        )
    present = tuple(name for name in COLUMNS if columns.called[name] in there)
    read = {name: there[columns.called[name]] for name in present}
    table = columns_of(files[0], read.values())
    texts = {
        name: ["" if each is None else str(each) for each in table.of(read.get(name))] for name in COLUMNS
    }
    lines = zip(*(texts[name] for name in COLUMNS), strict=True)
    records = [(number, dict(zip(COLUMNS, line, strict=True))) for number, line in enumerate(lines, 1)]
    other = tuple(printable(name) for name in there.values() if name not in read.values())
    notes = [f"{shown(path)!r}: columns that are not read: {some_of(other, 5)}"] if other else []
    start = folder_of(files[0]) if root is None else checked_root(root)
    elsewhere = {} if root is None else {"root": absolute(str(root))}
    found = listed(path, start, Table(records, present, other, notes))
    return replace(found, how={**elsewhere, **called})


def _missing_shards(files: Sequence[str]) -> list[str]:
    """Return a warning where names say that there are more shards than these."""
    known: dict[tuple[str, int], set[int]] = {}
    for file in files:
        if match := _SHARD.match(Path(shown(file)).stem):
            known.setdefault((match[1], int(match[3])), set()).add(int(match[2]))
    gone = [
        f"{name}-{number:05d}-of-{count:05d}.parquet"
        for (name, count), there in known.items()
        for number in range(count)
        if number not in there
    ]
    return [f"{counted(len(gone), 'file')} missing, by the names of others: {some_of(gone)}"] if gone else []


def _other_labels(schemas: "Sequence[pyarrow.Schema]") -> list[str]:
    """Return a line that names the columns which may be labels, where none was taken."""
    features = {name: each for schema in schemas for name, each in features_of(schema).items()}
    single = [name for name, each in features.items() if each.get("_type") == "ClassLabel"]
    lists = [name for name, each in features.items() if "ClassLabel" in str(each.get("feature"))]
    lines = [f"columns that may be it: {some_of(single, 8)}; name one: --label-column NAME"] if single else []
    return lines + ([f"columns of several labels an image, not read: {some_of(lists)}"] if lists else [])


def _other_images(schemas: "Sequence[pyarrow.Schema]", image: str) -> list[str]:
    features = {name: each for schema in schemas for name, each in features_of(schema).items()}
    said = [name for name, each in features.items() if each.get("_type") == "Image"]
    held = [name for schema in schemas for name in schema.names if image_column(schema, name)]
    others = [name for name in dict.fromkeys([*said, *held]) if name != image]
    if not others:
        return []
    return [f"images are those of {image!r}; --path-column names another column: {some_of(others, 8)}"]


def _text(value: object) -> str:
    return "" if value is None else str(value)
