"""Parquet files as they lie on disk: opened, their columns, and their images one after the other."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.errors import HeadstartError, missing_extra
from data.stores.files import opened as open_file
from data.stores.urls import is_url, shown
from data.text import one_line, some_of

if TYPE_CHECKING:  # an extra
    import pyarrow
    import pyarrow.parquet

_BATCH = 8  # images in memory at once
_BUFFER = 1 << 20  # bytes: a row group is read in such pieces, not as a whole
_MOST_OPEN = 16

Place = tuple[int, int, int]  # numbers of a file, of a row group in it, of a row in that


def opened(path: str | Path) -> "pyarrow.parquet.ParquetFile":
    """Open a Parquet file.

    Raises
    ------
    HeadstartError
        If pyarrow is not installed, or the file cannot be read as Parquet.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise missing_extra("Parquet files need pyarrow", "parquet", str(error)) from error
    try:
        place = open_file(str(path)) if is_url(str(path)) else path
        return pyarrow.parquet.ParquetFile(place, buffer_size=_BUFFER)
    except HeadstartError:
        raise
    except (pyarrow.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # of the system, not of the content
            raise
        raise _damaged(path, error) from error


def _damaged(path: str | Path, error: Exception) -> HeadstartError:
    return HeadstartError(
        f"{shown(str(path))!r} cannot be read as Parquet",
        "a whole Parquet file",
        one_line(error),
        "write or download it again",
    )


def features_of(schema: "pyarrow.Schema") -> dict[str, dict]:
    """Return what Hugging Face's datasets says of the columns."""
    try:
        said = json.loads((schema.metadata or {})[b"huggingface"])
        return {name: each for name, each in said["info"]["features"].items() if isinstance(each, dict)}
    except (KeyError, ValueError, TypeError, AttributeError):
        return {}


_IMAGES = ("image", "img", "jpg", "jpeg", "png", "picture", "photo")  # usual names


def image_column(schema: "pyarrow.Schema", named: str | None) -> str | None:
    """Return the column of images: the one that is named, or one that can hold images.

    Of several, that which datasets calls one of images comes first, then ``{"bytes", "path"}``, then bytes,
    and of those one with a usual name.
    """
    images = {name for name, each in features_of(schema).items() if each.get("_type") == "Image"}
    found = []
    for each in schema:
        struct = _is_struct(each.type)
        if (struct or _is_binary(each.type)) and named in (None, each.name):
            found.append((each.name not in images, not struct, each.name not in _IMAGES, str(each.name)))
    return min(found, key=lambda each: each[:3])[3] if found else None


def _is_struct(kind: "pyarrow.DataType") -> bool:
    import pyarrow

    return pyarrow.types.is_struct(kind) and "bytes" in [child.name for child in kind]


def _is_binary(kind: "pyarrow.DataType") -> bool:
    import pyarrow

    tests = (pyarrow.types.is_binary, pyarrow.types.is_large_binary, pyarrow.types.is_binary_view)
    return any(test(kind) for test in tests)


def check_images(file: str | Path, image: str) -> None:
    """Raise if a file has no such column of images, or nothing in it.

    Raises
    ------
    HeadstartError
    """
    table = opened(file)
    schema = table.schema_arrow
    if image not in schema.names or image_column(schema, image) is None:
        raise HeadstartError(
            f"{shown(str(file))!r} holds no column of images {image!r}, as other files do",
            "files of one table, all with the same columns",
            some_of(schema.names, 8),
            "name a file, or move those apart that belong to another table",
        )
    kind = schema.field(image).type
    leaf = f"{image}.bytes" if _is_struct(kind) else image
    empty = [_is_empty(group, leaf) for group in _groups(table)]
    if (empty and all(empty)) or (_is_struct(kind) and str(kind.field("bytes").type) == "null"):
        raise HeadstartError(
            f"{shown(str(file))!r} holds no image",
            f"the bytes of each image in the column {image!r}",
            "a column without any bytes" + (", of paths alone" if leaf != image else ""),
            "write it again with the images in it, as Dataset.to_parquet of Hugging Face's datasets does",
        )


def _groups(table: "pyarrow.parquet.ParquetFile") -> Iterator["pyarrow.parquet.RowGroupMetaData"]:
    yield from (table.metadata.row_group(number) for number in range(table.num_row_groups))


def _is_empty(group: "pyarrow.parquet.RowGroupMetaData", leaf: str) -> bool:
    """Tell whether a column's statistics say that a row group holds no value of it."""
    for number in range(group.num_columns):
        column = group.column(number)
        if column.path_in_schema == leaf:
            said = column.statistics if column.is_stats_set else None
            return said is not None and said.has_null_count and said.null_count == column.num_values
    return False


@dataclass(frozen=True)
class Columns:
    """Columns of a file but for the images.

    Attributes
    ----------
    groups : tuple of int
        Rows of each row group.
    values : dict of str to list
        By the name of the column; of the images their paths, where these are kept.
    """

    groups: tuple[int, ...]
    values: Mapping[str, list[Any]]

    def __len__(self) -> int:
        return sum(self.groups)

    def of(self, name: str | None) -> list[Any]:
        """Return a column, None of each row where there is none."""
        found = self.values.get(name or "")
        return [None] * len(self) if found is None else found


def columns_of(file: str | Path, names: Iterable[str | None], image: str | None = None) -> Columns:
    """Read columns of a file, and the paths of its images.

    Parameters
    ----------
    file : str or Path
    names : iterable of str or None
        Those that are not there are left out.
    image : str, optional
        The column of images.

    Raises
    ------
    HeadstartError
        If the file is damaged.
    """
    import pyarrow

    table = opened(file)
    groups = tuple(group.num_rows for group in _groups(table))
    there = set(table.schema_arrow.names) & set(names) - {image}
    struct = f"{image}.path" in [table.schema.column(k).path for k in range(len(table.schema))]
    try:
        found = table.read(columns=[*there, *([f"{image}.path"] if struct else [])])
    except HeadstartError:
        raise
    except (pyarrow.ArrowException, OSError) as error:
        raise _damaged(file, error) from error
    values = {name: found.column(name).to_pylist() for name in there}
    if image is not None and struct:
        values[image] = found.flatten().column(f"{image}.path").to_pylist()
    return Columns(groups, values)


class Images:
    """Images of Parquet files by their places; each file stays open where it was read last.

    Images in their order are read in one pass so, also where they are asked for one by one. Threads may
    share it.

    Parameters
    ----------
    files : sequence of str
    column : str
        Of the images.
    """

    def __init__(self, files: Sequence[str], column: str) -> None:
        self._files, self._column = files, column
        self._at_rest: dict[int, _Reading] = {}

    def __call__(self, places: Iterable[Place]) -> Iterator[bytes | OSError]:
        """Yield the images at places, or the error of each that cannot be read."""
        for file, same in groupby(places, key=lambda place: place[0]):
            reading = self._at_rest.pop(file, None) or _Reading(self._files[file], self._column)
            try:
                yield from (reading.image(group, row) for _, group, row in same)
            finally:
                if not reading.broken:  # what is mended may be tried again
                    self._at_rest[file] = reading
                for oldest in list(self._at_rest)[:-_MOST_OPEN]:
                    self._at_rest.pop(oldest, None)


class _Reading:
    """A file that is read, and where in it."""

    def __init__(self, path: str, column: str) -> None:
        self._path, self._column = path, column
        self._table: pyarrow.parquet.ParquetFile | None = None
        self._group = self._first = -1
        self._values: Sequence[Any] = ()
        self._batches: Iterator[pyarrow.RecordBatch] = iter(())
        self.broken: OSError | None = None

    def image(self, group: int, row: int) -> bytes | OSError:
        """Return the image of a row; what stands before it in its group is passed over."""
        import pyarrow

        if group != self._group or row < self._first:
            self._group, self._first, self._values, self.broken = group, 0, (), None
            self._batches = self._of_group(group)
        try:
            while not self.broken and row >= self._first + len(self._values):
                self._first += len(self._values)
                self._values = next(self._batches).column(0)
        except StopIteration:
            self.broken = OSError("the file holds fewer rows than it did")
        except HeadstartError as error:
            self.broken = error if isinstance(error, OSError) else OSError(one_line(error))
        except (pyarrow.ArrowException, OSError) as error:
            self.broken = error if isinstance(error, OSError) else OSError(one_line(error))
        return self.broken or _bytes_of(self._values[row - self._first].as_py())

    def _of_group(self, group: int) -> "Iterator[pyarrow.RecordBatch]":
        self._table = self._table or opened(self._path)
        struct = _is_struct(self._table.schema_arrow.field(self._column).type)
        leaf = f"{self._column}.bytes" if struct else self._column
        yield from self._table.iter_batches(_BATCH, row_groups=[group], columns=[leaf], use_threads=False)


def _bytes_of(value: object) -> bytes | OSError:
    data = value.get("bytes") if isinstance(value, dict) else value
    return data if isinstance(data, bytes) else OSError("the table holds no bytes of this image")
