"""Parquet files: images as Hugging Face's datasets writes them, or tables of paths."""

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.errors import HeadstartError, missing_extra
from data.sources.csv_list import COLUMNS, checked_root, listed
from data.sources.labels import index_labels, label_warnings
from data.sources.source import Row, Source, unique_ids
from data.splits import split_name, split_of_shard
from data.tables.csv_text import Columns, Table
from data.text import counted, one_line, printable, some_of

if TYPE_CHECKING:  # an extra
    import pyarrow

_BATCH = 64  # rows in memory at once
_SHARD = re.compile(r"(.+?)-\d+-of-\d+$")  # as train-00000-of-00002


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
    rows : sequence of Row
    places : dict of str to (int, int, int)
        Of each id the number of its file, of a row group in it, and of a row in that.
    location : str
    how : mapping
        Options by which the same files are opened again, ready for JSON.
    warnings : tuple of str
    """

    files: tuple[str, ...]
    column: str
    class_names: tuple[str, ...]
    rows: Sequence[Row] = field(repr=False)
    places: Mapping[str, tuple[int, int, int]] = field(repr=False)
    location: str
    how: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def describe(self) -> dict:
        return {"kind": "parquet"}

    def read(self, rows: Iterable[Row]) -> Iterator[bytes | OSError]:
        """Yield the images; rows in the order of the files are read in one pass."""
        wanted: list[tuple[int, int, int]] = []
        for row in rows:
            place = self.places[row.id]
            if wanted and not (wanted[-1][:2] == place[:2] and wanted[-1][2] < place[2]):
                yield from self._read_group(wanted)
                wanted = []
            wanted.append(place)
        if wanted:
            yield from self._read_group(wanted)

    def portable(self) -> "ParquetSource":
        """Return the source with absolute paths."""
        return replace(self, files=tuple(map(os.path.abspath, self.files)))

    def address(self) -> dict[str, Any]:
        return {"text": self.location, **self.how}

    def _read_group(self, places: Sequence[tuple[int, int, int]]) -> Iterator[bytes | OSError]:
        """Yield images of one row group, whose rows ascend."""
        file, group, _ = places[0]
        left = [row for _, _, row in places]
        try:
            first = 0
            for batch in _opened(Path(self.files[file])).iter_batches(
                _BATCH, row_groups=[group], columns=[self.column]
            ):
                images = batch.column(0)
                while left and left[0] < first + len(images):
                    yield _bytes_of(images[left.pop(0) - first].as_py())
                first += len(images)
                if not left:
                    return
        except HeadstartError:
            raise
        except OSError as error:  # a file that is gone, or cut
            yield from (error for _ in left)


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
    path = Path(path)
    files = [path] if path.is_file() else sorted([*path.glob("*.parquet"), *path.glob("data/*.parquet")])
    names = {name.removesuffix("_column"): text for name, text in called.items()}
    schema = _opened(files[0]).schema_arrow
    image = _image_column(schema, names.get("path"))
    if image is None:
        return _table(path, files, root, names, called)
    if root is not None:
        raise HeadstartError(
            "--root has no meaning here", "a table of paths", f"images in {str(path)!r}", "leave --root out"
        )
    return _images(path, files, image, schema, names, called)


def _opened(path: Path) -> "pyarrow.parquet.ParquetFile":
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise missing_extra("Parquet files need pyarrow", "parquet", str(error)) from error
    try:
        return pyarrow.parquet.ParquetFile(path)
    except pyarrow.ArrowInvalid as error:
        raise HeadstartError(
            f"{str(path)!r} cannot be read as Parquet",
            "a whole Parquet file",
            one_line(error),
            "write or download it again",
        ) from error


def _image_column(schema: "pyarrow.Schema", named: str | None) -> str | None:
    """Return the column of images: the one that is named, else the first that can be one."""
    import pyarrow

    for each in schema:
        struct = pyarrow.types.is_struct(each.type) and "bytes" in [child.name for child in each.type]
        if (struct or pyarrow.types.is_binary(each.type)) and named in (None, each.name):
            return str(each.name)
    return None


def _bytes_of(value: object) -> bytes | OSError:
    data = value.get("bytes") if isinstance(value, dict) else value
    return data if isinstance(data, bytes) else OSError("the table holds no bytes of this image")


def _features(schema: "pyarrow.Schema") -> dict[str, dict]:
    """Return what Hugging Face's datasets says of the columns."""
    try:
        said = json.loads((schema.metadata or {})[b"huggingface"])
        return dict(said["info"]["features"])
    except (KeyError, ValueError, TypeError):
        return {}


def _images(
    path: Path,
    files: Sequence[Path],
    image: str,
    schema: "pyarrow.Schema",
    names: Mapping[str, str],
    called: Mapping[str, str],
) -> ParquetSource:
    features = _features(schema)
    labels = _label_column(features, schema, names.get("label"))
    columns = {name: names.get(name, name) for name in ("split", "group")}
    found = [
        (place, values)
        for number, file in enumerate(files)
        for place, values in _values(number, file, image, [labels, *columns.values()])
    ]
    given: Sequence[str] = (features.get(labels or "", {})).get("names") or ()
    class_names, numbers, notes = _labels([values.get(labels or "") for _, values in found], given)
    inner = [values.get(image) for _, values in found]
    whole = all(inner) and len(set(inner)) == len(inner)
    rows, places = [], {}
    for count, ((place, values), label) in enumerate(zip(found, numbers, strict=True)):
        split = values.get(columns["split"]) or split_of_shard(files[place[0]].stem, _SHARD)
        row = Row(
            printable(str(inner[count])) if whole else f"{count:08d}",
            label,
            split_name(str(split or ""), str(files[place[0]])),
            str(values.get(columns["group"]) or "") or None,
        )
        rows.append(row)
        places[row.id] = place
    if labels is None:
        notes = [*notes, f"no column of labels: {counted(len(rows), 'image')} without a label"]
    return ParquetSource(
        tuple(map(str, files)),
        image,
        class_names,
        unique_ids(rows, str(path)),
        places,
        os.path.abspath(path),
        dict(called),
        tuple(notes),
    )


def _values(
    number: int, file: Path, image: str, wanted: Sequence[str | None]
) -> Iterator[tuple[tuple[int, int, int], dict[str, Any]]]:
    """Yield the place of each row of a file, and its fields but for the images' bytes."""
    opened = _opened(file)
    there = [name for name in dict.fromkeys(wanted) if name in opened.schema_arrow.names]
    struct = f"{image}.path" in [opened.schema.column(k).path for k in range(len(opened.schema))]
    for group in range(opened.num_row_groups):
        table = opened.read_row_group(group, columns=[*there, *([f"{image}.path"] if struct else [])])
        for row, values in enumerate(table.to_pylist()):
            if struct:
                values[image] = (values[image] or {}).get("path")
            yield (number, group, row), values


def _label_column(features: Mapping[str, dict], schema: "pyarrow.Schema", named: str | None) -> str | None:
    """Return the column of labels: named, called ``label``, or the only one with names of classes."""
    if named is not None and named not in schema.names:
        raise HeadstartError(
            f"there is no column {named!r}",
            "a column of labels",
            some_of(schema.names, 8),
            "correct --label-column",
        )
    if named or "label" in schema.names:
        return named or "label"
    classes = [name for name, each in features.items() if (each or {}).get("_type") == "ClassLabel"]
    return classes[0] if len(classes) == 1 else None


def _labels(labels: Sequence[object], given: Sequence[str]) -> tuple[tuple[str, ...], list[int], list[str]]:
    if given:
        known = range(len(given))
        numbers = [label if isinstance(label, int) and label in known else -1 for label in labels]
        return tuple(given), numbers, label_warnings([label for label in labels if label is not None], True)
    names, numbers = index_labels(labels)
    return names, numbers, label_warnings([label for label in labels if label is not None])


def _table(
    path: Path,
    files: Sequence[Path],
    root: str | Path | None,
    names: Mapping[str, str],
    called: Mapping[str, str],
) -> Source:
    columns = Columns(COLUMNS, 1, 2, names)
    table = _opened(files[0]).read()
    there = {name.strip().lower(): name for name in table.column_names}
    missing = [name for name in columns.wanted if name not in there]
    if missing or len(files) > 1:
        raise HeadstartError(
            f"{str(path)!r} holds no column of images, and none of paths",
            'a column of {"bytes", "path"} or of bytes, or a table with a column path',
            some_of(table.column_names, 8),
            "name the column: --path-column NAME",
        )
    records = []
    for number, values in enumerate(table.to_pylist(), 1):
        texts = {
            name: "" if (value := values.get(there.get(columns.called[name], ""))) is None else str(value)
            for name in COLUMNS
        }
        records.append((number, texts))
    present = tuple(name for name in COLUMNS if columns.called[name] in there)
    other = tuple(printable(name) for low, name in there.items() if low not in columns.called.values())
    notes = [f"{str(path)!r}: columns that are not read: {some_of(other, 5)}"] if other else []
    start = path.parent if root is None else checked_root(Path(root))
    elsewhere = {} if root is None else {"root": os.path.abspath(root)}
    found = listed(path, start, Table(records, present, other, notes))
    return replace(found, how={**elsewhere, **called})
