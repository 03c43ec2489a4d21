"""The sharded layout: parts stay in a folder, and an index says which row of which part each row is."""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data.errors import HeadstartError, unknown_name
from data.text import one_line
from extract.feature_file.contents import Contents
from extract.feature_file.digests import split_digests
from extract.feature_file.hdf5 import DAMAGED
from extract.feature_file.part import PartFile, write_part
from extract.feature_file.part_names import PART_ROWS, part_name
from extract.feature_file.places import Places, gathered
from extract.recipe import EngineInfo

LAYOUTS = ("single", "sharded")
INDEX, INDEX_FORMAT = "index.h5", "headstart index"
_OURS = re.compile(r"[0-9a-f]{24}\.h5(\..+\.tmp|\.damaged\d*)?|index\.h5(\..+\.tmp|\.damaged\d*)")
_OPEN = 256  # parts whose digests and checksums are kept at hand


def located(path: Path) -> Path:
    """Return the HDF5 file that describes a feature file: itself, or the index in its folder.

    Examples
    --------
    >>> located(Path("photos.h5")).name
    'photos.h5'
    """
    return path / INDEX if os.path.isfile(path / INDEX) else path


def part_paths(folder: Path) -> list[Path]:
    """Return the finished parts in a folder, by name."""
    return sorted(path for path in folder.glob("*.h5") if path.name != INDEX)


def chosen_layout(path: Path, wanted: str | None) -> str:
    """Return the layout of an output: that of what is there, or what is wanted, or ``single``.

    A folder counts as sharded where an index or nothing but parts of a run lie in it.

    Parameters
    ----------
    path : Path
    wanted : str or None
        An entry of `LAYOUTS`.

    Raises
    ------
    HeadstartError
        If the layout is unknown, or `path` has another one.

    Examples
    --------
    >>> chosen_layout(Path("new.h5"), None), chosen_layout(Path("new"), "sharded")
    ('single', 'sharded')
    """
    if wanted not in (None, *LAYOUTS):
        raise unknown_name("layout", wanted, LAYOUTS)
    found = _found_layout(path)
    if None not in (found, wanted) and found != wanted:
        raise HeadstartError(
            f"{str(path)!r} has another layout",
            f"the layout {wanted}, as asked for",
            f"the layout {found}",
            "leave --layout out, choose another output with -o, or turn shards into one file: "
            "python -m extract merge",
        )
    return wanted or found or "single"


def _found_layout(path: Path) -> str | None:
    if path.is_file():
        return "single"
    if not path.is_dir():
        return None
    begun = any(path.iterdir()) and is_parts_folder(path)
    return "sharded" if begun or located(path) != path else None


def is_parts_folder(path: Path) -> bool:
    """Tell whether nothing lies in a folder but what a sharded run puts there."""
    return all(_OURS.fullmatch(entry.name) for entry in path.iterdir())


class Shards:
    """Where the rows of a sharded feature file are.

    Parameters
    ----------
    folder : Path
    names : sequence of str
        File names of the parts.
    part, row : ndarray of uint32, shape (N,)
        Index into `names`, and row in that part.
    digests : ndarray of uint8, shape (N, 32)
        Of the images, which each part has to confirm.
    """

    def __init__(
        self, folder: Path, names: Sequence[str], part: np.ndarray, row: np.ndarray, digests: np.ndarray
    ) -> None:
        self.folder, self.names, self.part, self.row, self._digests = folder, tuple(names), part, row, digests
        self._opened: dict[int, PartFile] = {}

    def paths(self) -> list[Path]:
        """Return the parts' files."""
        return [self.folder / name for name in self.names]

    def check_present(self) -> None:
        """Raise if a part is missing.

        Raises
        ------
        HeadstartError
        """
        there = {path.name for path in part_paths(self.folder)}
        for number, name in enumerate(self.names):
            if name not in there:
                raise self._error(number, "no such file")

    def by_part(self, numbers: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """Yield each part that rows lie in, with their places in `numbers`.

        Parameters
        ----------
        numbers : ndarray of int, shape (n,)
        """
        parts = self.part[numbers]
        order = np.argsort(parts, kind="stable")
        starts = np.flatnonzero(np.diff(parts[order], prepend=-1))
        for places in np.split(order, starts[1:]) if len(order) else ():
            yield int(parts[places[0]]), places

    def read(self, part: int, numbers: np.ndarray, output: str) -> np.ndarray:
        """Return the features of rows that lie in one part.

        Parameters
        ----------
        part : int
        numbers : ndarray of int, shape (n,)
        output : str

        Returns
        -------
        ndarray of shape (n, D)

        Raises
        ------
        HeadstartError
            If the part is missing or damaged, or holds other images.
        """
        return self.opened(part, numbers).features(output)[self.row[numbers]]

    def opened(self, part: int, numbers: np.ndarray) -> PartFile:
        """Return a part, once it confirms the images of the rows that lie in it.

        Raises
        ------
        HeadstartError
            As `read` raises it.
        """
        try:
            opened, rows = self._open(part), self.row[numbers]
        except DAMAGED as error:
            raise self._error(part, one_line(error)) from error
        known = opened.digests
        if rows.max() >= len(known) or (known[rows] != self._digests[numbers]).any():
            raise self._error(part, "a part of other images")
        return opened

    def _open(self, part: int) -> PartFile:
        if part not in self._opened:
            if len(self._opened) >= _OPEN:
                self._opened.pop(next(iter(self._opened)))
            self._opened[part] = PartFile(self.folder / self.names[part])
        return self._opened[part]

    def _error(self, part: int, received: str) -> HeadstartError:
        return HeadstartError(
            f"a part of {str(self.folder)!r} is missing or damaged",
            f"the part {self.names[part]} as it was written",
            received,
            f"bring it back, or run `python -m extract repair {self.folder}`",
        )


class ShardedArray:
    """Features that lie in parts; rows are read when they are asked for.

    It takes what an array takes to choose rows: a number, a slice, numbers or a mask; and
    `numpy.asarray` reads all of it into memory.

    Attributes
    ----------
    shape : tuple of int
        (N, D).
    dtype : dtype
    """

    ndim = 2

    def __init__(self, shards: Shards, output: str, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self._shards, self._output, self.shape, self.dtype = shards, output, shape, dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> np.ndarray:
        numbers = self._numbers(rows)
        block = np.empty((numbers.size, self.shape[1]), self.dtype)
        for part, places in self._shards.by_part(numbers.ravel()):
            block[places] = self._shards.read(part, numbers.ravel()[places], self._output)
        return block.reshape(*numbers.shape, self.shape[1])

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype)

    def _numbers(self, rows: Any) -> np.ndarray:
        if isinstance(rows, slice):
            return np.arange(*rows.indices(len(self)))
        numbers = np.asarray(rows, None if np.size(rows) else int)
        if numbers.dtype == bool and numbers.shape == self.shape[:1]:
            return np.flatnonzero(numbers)
        if isinstance(rows, tuple) or numbers.dtype.kind not in "iu":
            raise IndexError("rows are chosen by a number, a slice, numbers or a mask of all rows")
        wrapped = np.where(numbers < 0, numbers + len(self), numbers)
        if ((wrapped < 0) | (wrapped >= len(self))).any():
            raise IndexError(f"a row out of {len(self)}")
        return wrapped


def placed(folder: Path, contents: Contents, rows: Places) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Find the part in `folder` that holds each row; rows that lie elsewhere are copied into parts.

    Parameters
    ----------
    folder : Path
    contents : Contents
    rows : Places

    Returns
    -------
    names, part, row
        As `Shards` takes them.

    Raises
    ------
    HeadstartError
        If a row that is copied is damaged, or a part holds another image than the row.
    """
    index: dict[str, int] = {}
    part, row_of_part = np.empty(len(rows), np.int64), np.empty(len(rows), np.uint32)
    elsewhere = []
    for store, numbers, of_store in rows.by_store():
        found = store.in_parts(folder, of_store)
        if found is None:
            elsewhere.append(numbers)
            continue
        names, parts, row_of_part[numbers] = found
        used, inverse = np.unique(parts, return_inverse=True)
        part[numbers] = np.array([index.setdefault(names[each], len(index)) for each in used])[inverse]
    for same in _by_engine(rows, np.sort(np.concatenate([np.empty(0, np.int64), *elsewhere]))):
        for start in range(0, len(same), PART_ROWS):
            numbers = same[start : start + PART_ROWS]
            name, row_of_part[numbers] = _copied(folder, contents, rows, numbers)
            part[numbers] = index.setdefault(name, len(index))
    ordered = sorted(index)
    ranks = np.empty(len(index), np.uint32)
    ranks[[index[name] for name in ordered]] = np.arange(len(index))
    _check_images(Shards(folder, ordered, ranks[part], row_of_part, contents.digests))
    return ordered, ranks[part], row_of_part


def _by_engine(rows: Places, numbers: np.ndarray) -> list[np.ndarray]:
    """Return the numbers of rows that one engine computed, engine by engine."""
    found: dict[EngineInfo, list[np.ndarray]] = {}
    for store, places, of_store in rows[numbers].by_store():
        engines, origins = store.engines_at(of_store)
        for each in np.unique(origins):
            found.setdefault(engines[each], []).append(numbers[places[origins == each]])
    return [np.sort(np.concatenate(each)) for each in found.values()]


def _check_images(shards: Shards) -> None:
    for number, places in shards.by_part(np.arange(len(shards.row))):
        shards.opened(number, places)


def _copied(folder: Path, contents: Contents, rows: Places, numbers: np.ndarray) -> tuple[str, list[int]]:
    """Write rows of one engine as a part, and return its name and where each is; duplicates are one row."""
    chosen, some = rows[numbers], contents.at(numbers)
    store, row = chosen[0]
    layers = contents.recipe.layers
    blocks = [np.concatenate([block for _, block, _ in gathered(chosen, name, some)]) for name in layers]
    digests = split_digests(some.digests)
    kept = {digest: [block[number] for block in blocks] for number, digest in enumerate(digests)}
    name, order = part_name(kept), {digest: row for row, digest in enumerate(kept)}
    probe = [store.probe[layer] for layer in layers]
    write_part(folder / name, contents.recipe, store.engine(row), probe, kept, {})
    return name, [order[digest] for digest in digests]
