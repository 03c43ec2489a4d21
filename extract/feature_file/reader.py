"""A complete feature file, open for reading."""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import h5py
import numpy as np

from data.errors import HeadstartError, NotFoundError
from data.output.ours import kind_of_output
from data.split_rule import HASH, SplitRule
from data.text import one_line, printable, with_article
from data.texts import Texts
from extract.feature_file.contents import NO_DIGEST, Contents, Rejected, rows_by_split
from extract.feature_file.hdf5 import (
    DAMAGED,
    Store,
    as_json,
    check_objects,
)
from extract.feature_file.shards import INDEX_FORMAT, ShardedArray, Shards, located
from extract.recipe import EngineInfo, Recipe

FORMAT, FORMAT_VERSION = "headstart", 2
MIGRATIONS: dict[int, Callable[[dict], dict]] = {  # from a version's `stored_values` to the next one's
    1: lambda values: {
        **values,
        "split_rule": as_json(HASH.to_dict()),
        "rejected/split": np.full(len(values["rejected/id"]), -1, np.int8),
    }
}
COLUMNS = ("digests", "labels", "splits", "origins")
_NOT_ALWAYS = ("groups", "rejected/split")
_TEXTS = ("ids", "groups", "rejected/id", "rejected/reason")


class FeatureFile(Store):
    """A complete feature file, open for reading.

    Parameters
    ----------
    path : str or Path
        A file, or a folder of parts with an index.

    Attributes
    ----------
    shards : Shards or None
        Where the rows are, if the layout is sharded.
    contents : Contents
        Recipe, ids, labels, splits and so on.
    outputs : tuple of str
        Names of the feature data sets.
    probe : dict of str to ndarray
        The feature of `extract.engines.probe.probe_image` for each output.
    content_digest : str
        Of every data set and attribute.

    Raises
    ------
    HeadstartError
        If there is no such file, it is no feature file of a version that we read, or a part of
        it is missing.

    Examples
    --------
    >>> file = FeatureFile("photos.h5")  # doctest: +SKIP
    >>> file.features("avg_pool").shape  # doctest: +SKIP
    (2002, 2048)
    """

    remedy = "run `python -m extract repair {path}`"

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        with open_checked(self.path) as file:
            self.contents = read_contents(file)
            self.digests = self.contents.digests
            self.shards = read_shards(self.path, file, self.digests) if "shards" in file else None
            self._read(file)
            self.content_digest = file.attrs["content_digest"]
        if self.shards:
            self.shards.check_present()

    def _read(self, file: h5py.File) -> None:
        if not self.shards:
            super()._read(file)
            return
        self._read_columns(file)
        self.outputs = tuple(sorted(self.probe))
        dtype, rows = np.dtype(json.loads(file.attrs["recipe"])["dtype"]), len(self.digests)
        self._places = {name: ((rows, len(self.probe[name])), dtype, None) for name in self.outputs}

    def features(self, output: str) -> np.ndarray | ShardedArray:
        """Return the features of one output, read-only and mapped from the file or its parts.

        Returns
        -------
        ndarray of float32, shape (N, D), or ShardedArray
        """
        if not self.shards:
            return self._mapped(output)
        shape, dtype, _ = self._places[output]
        return ShardedArray(self.shards, output, shape, dtype)

    @property
    def recipe(self) -> Recipe:
        """The recipe that computed every row."""
        return self.contents.recipe

    def paths(self) -> list[Path]:
        """Return the files that it is made of."""
        return [located(self.path), *(self.shards.paths() if self.shards else ())]

    def in_parts(self, folder: Path, rows: np.ndarray) -> tuple[Sequence[str], np.ndarray, np.ndarray] | None:
        """Return our parts, which of them holds each row, and its number there, if the folder is theirs."""
        if not self.shards or self.path != folder:
            return None
        return self.shards.names, self.shards.part[rows], self.shards.row[rows]

    def engine(self, row: int) -> EngineInfo:
        """Return what computed a row."""
        return self.contents.engines[self.contents.origins[row]]

    def engines_at(self, rows: np.ndarray) -> tuple[Sequence[EngineInfo], np.ndarray]:
        """Return the engines of the file, and which of them computed each of some rows."""
        return self.contents.engines, self.contents.origins[rows]

    @property
    def engines(self) -> tuple[EngineInfo, ...]:
        """What computed its rows, each once."""
        return tuple(self.contents.engines[number] for number in np.unique(self.contents.origins))

    def summary(self) -> dict:
        """Return what `python -m extract info` shows, as JSON-ready values."""
        contents = self.contents
        by_split = rows_by_split(contents.labels, contents.splits, contents.class_names)
        return {
            "file": str(self.path),
            "rows": len(contents.ids),
            "rejected_rows": len(contents.rejected),
            "bytes": sum(path.stat().st_size for path in self.paths()),
            "layout": "sharded" if self.shards else "single",
            "source": contents.source,
            "recipe_key": contents.recipe.key,
            "recipe": json.loads(contents.recipe.to_json()),
            "weights": contents.weights,
            "engines": [engine.to_dict() for engine in contents.engines],
            "features": {name: list(self._places[name][0]) for name in self.outputs},
            "class_names": list(by_split["train"]),
            "split_rule": contents.split_rule.to_dict(),
            "rows_by_split": by_split,
            "rejected": [{"id": row.id, "reason": row.reason} for row in contents.rejected],
            "content_digest": self.content_digest,
        }

    @cached_property
    def rejected(self) -> dict[bytes, str]:
        """Reasons by digest, of images that cannot be decoded."""
        return {row.digest: row.reason for row in self.contents.rejected if row.digest != NO_DIGEST}


def stored_digest(path: Path) -> str:
    """Return the content digest of a feature file, of which nothing else is read."""
    with open_checked(path) as file:
        return file.attrs["content_digest"]


def read_shards(folder: Path, file: h5py.File, digests: np.ndarray) -> Shards:
    """Return where the rows of a sharded feature file are, from its open index."""
    names = [name.decode() for name in file["shards/names"][:]]
    part, row = file["shards/part"][:], file["shards/row"][:]
    if len(part) and part.max() >= len(names):
        raise OSError("an index of parts that it does not name")
    return Shards(folder, names, part, row, digests)


@contextmanager
def open_checked(path: Path) -> Iterator[h5py.File]:
    """Open a feature file whose structure is safe to read.

    Raises
    ------
    HeadstartError
        If it is none, of another version, or refers to data outside itself.
    """
    if not os.path.isfile(located(path)):
        raise NotFoundError(
            f"there is no feature file {printable(str(path))!r}",
            "a file that `python -m extract run` wrote",
            _what(path),
            "check the path, or make it: python -m extract run SOURCE -o FILE.h5",
        )
    try:
        with h5py.File(located(path)) as file:
            _check_format(path, file)
            check_objects(file)
            yield file
    except HeadstartError:
        raise
    except DAMAGED as error:
        raise HeadstartError(
            f"{str(path)!r} is not a feature file, or is damaged",
            "a file that `python -m extract run` wrote",
            one_line(error),
            "name another file, or move this one away and extract again",
        ) from error


def _what(path: Path) -> str:
    return (
        with_article(kind_of_output(path) or "folder")
        if os.path.isdir(path)
        else "a path that does not exist"
    )


def _check_format(path: Path, file: h5py.File) -> None:
    found = (file.attrs.get("format"), file.attrs.get("format_version"))
    if found[0] != (INDEX_FORMAT if path.is_dir() else FORMAT):
        raise OSError(f"an HDF5 file with the format {found[0]!r}")
    if found[1] not in range(1, FORMAT_VERSION + 1):
        raise HeadstartError(
            f"{str(path)!r} is of another version of the format",
            f"format version {FORMAT_VERSION} or earlier",
            f"format version {found[1]}",
            "install the version of Headstart that wrote it",
        )


def stored_values(file: h5py.File) -> dict:
    """Return every attribute and every data set but features, checksums and probe, by name."""
    values = dict(file.attrs)
    for name in (*COLUMNS, *_TEXTS, "rejected/digest", "rejected/split"):
        if name in file or name not in _NOT_ALWAYS:
            values[name] = file[name][:]
    return values


def read_contents(file: h5py.File) -> Contents:
    """Return what an open file says of its rows, whichever version wrote it."""
    values = stored_values(file)
    for version in range(int(values["format_version"]), FORMAT_VERSION):
        values = MIGRATIONS[version](values)
    texts = {name: Texts.padded(values[name]) if name in values else Texts() for name in _TEXTS}
    shared: dict[str, str] = {}
    digests = [digest.tobytes() for digest in values["rejected/digest"]]
    splits = values["rejected/split"].tolist()
    rejected = zip(texts["rejected/id"], digests, texts["rejected/reason"], splits, strict=True)
    return Contents(
        recipe=Recipe.from_json(values["recipe"]),
        source=json.loads(values["source"]),
        weights=json.loads(values["weights"]),
        class_names=tuple(json.loads(values["class_names"])),
        engines=tuple(map(EngineInfo.from_dict, json.loads(values["engines"]))),
        ids=texts["ids"],
        groups=tuple(shared.setdefault(name, name) for name in texts["groups"]),
        rejected=tuple(Rejected(*row) for row in rejected),
        split_rule=_rule(values["split_rule"]),
        **{name: values[name] for name in COLUMNS},
    )


def read_rule(file: h5py.File) -> SplitRule:
    """Return the rule of splits of an open file, whichever version wrote it."""
    text = file.attrs.get("split_rule")
    return HASH if text is None else _rule(text)


def _rule(text: str) -> SplitRule:
    try:
        return SplitRule.from_dict(json.loads(text))
    except HeadstartError as error:
        raise OSError(f"{error.happened}: {error.received}") from None
