"""The feature file: what it holds, how it is written and read."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path

import h5py
import numpy as np

from data.errors import HeadstartError
from data.splits import SPLIT_NAMES
from extract.layout import (
    DAMAGED,
    REASON_BYTES,
    Features,
    as_json,
    created,
    digest_array,
    row_checksums,
    text_array,
)
from extract.recipe import Recipe

FORMAT, FORMAT_VERSION = "headstart", 1
MIGRATIONS: dict[int, Callable[[dict], dict]] = {}  # from a version's `stored_values` to the next one's
NO_DIGEST = bytes(32)  # of a row whose bytes could not be read
_BLOCK = 4096  # rows copied at once
_MOST_GROUPS = 16
_COLUMNS = ("digests", "labels", "splits", "origins")
_TEXTS = ("ids", "groups", "rejected/id", "rejected/reason")


@dataclass(frozen=True)
class Rejected:
    """A row of the source that has no feature: its id, the sha256 of its bytes, the reason."""

    id: str
    digest: bytes
    reason: str


@dataclass(frozen=True)
class Contents:
    """Everything in a feature file but the features and what follows from them.

    Attributes
    ----------
    recipe : Recipe
    source : dict
        What `Source.describe` says.
    weights : dict
        Name and origin of the weights.
    class_names : tuple of str
    engines : tuple of dict
        What computed the rows; `origins` are indices into it.
    ids : tuple of str
        Sorted by their UTF-8 bytes.
    digests : ndarray of uint8, shape (N, 32)
        Sha256 of the encoded bytes of each image.
    labels : ndarray of int32, shape (N,)
        Indices into `class_names`, -1 where unknown.
    splits : ndarray of int8, shape (N,)
        Indices into `data.splits.SPLIT_NAMES`.
    origins : ndarray of uint8, shape (N,)
    groups : tuple of str
        Empty, or one for each row.
    rejected : tuple of Rejected
    """

    recipe: Recipe
    source: dict
    weights: dict
    class_names: tuple[str, ...]
    engines: tuple[dict, ...]
    ids: tuple[str, ...] = field(repr=False)
    digests: np.ndarray = field(repr=False)
    labels: np.ndarray = field(repr=False)
    splits: np.ndarray = field(repr=False)
    origins: np.ndarray = field(repr=False)
    groups: tuple[str, ...] = ()
    rejected: tuple[Rejected, ...] = ()

    def same_as(self, other: "Contents") -> bool:
        """Tell whether writing `other` would change nothing."""
        pairs = ((getattr(self, item.name), getattr(other, item.name)) for item in fields(self))
        return all(
            np.array_equal(one, two) if isinstance(one, np.ndarray) else one == two for one, two in pairs
        )


class FeatureFile(Features):
    """A complete feature file, open for reading.

    Parameters
    ----------
    path : str or Path

    Attributes
    ----------
    contents : Contents
        Recipe, ids, labels, splits and so on.
    outputs : tuple of str
        Names of the feature data sets.
    probe : dict of str to ndarray
        The feature of `extract.engines.probe_image` for each output.
    content_digest : str
        Of every data set and attribute.

    Raises
    ------
    HeadstartError
        If there is no such file, or it is no feature file of a version that we read.

    Examples
    --------
    >>> file = FeatureFile("photos.h5")  # doctest: +SKIP
    >>> file.features("avg_pool").shape  # doctest: +SKIP
    (2002, 2048)
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        with open_checked(self.path) as file:
            self._read(file)
            self.content_digest = file.attrs["content_digest"]
            self.contents = _read_contents(file)

    @property
    def recipe(self) -> Recipe:
        """The recipe that computed every row."""
        return self.contents.recipe

    def engine(self, row: int) -> dict:
        """Return what computed a row."""
        return self.contents.engines[self.contents.origins[row]]

    def summary(self) -> dict:
        """Return what `python -m extract info` shows, as JSON-ready values."""
        contents = self.contents
        names = (*contents.class_names, *(("unknown",) if (contents.labels < 0).any() else ()))
        return {
            "file": str(self.path),
            "rows": len(contents.ids),
            "rejected_rows": len(contents.rejected),
            "bytes": self.path.stat().st_size,
            "source": contents.source,
            "recipe_key": contents.recipe.key,
            "recipe": json.loads(contents.recipe.to_json()),
            "weights": contents.weights,
            "engines": list(contents.engines),
            "features": {name: list(self._places[name][0]) for name in self.outputs},
            "class_names": list(names),
            "rows_by_split": {
                split: _counts(contents.labels[contents.splits == number], names)
                for number, split in enumerate(SPLIT_NAMES)
            },
            "rejected": [{"id": row.id, "reason": row.reason} for row in contents.rejected],
            "content_digest": self.content_digest,
        }

    @cached_property
    def rejected(self) -> dict[bytes, str]:
        """Reasons by digest, of images that cannot be decoded."""
        return {row.digest: row.reason for row in self.contents.rejected if row.digest != NO_DIGEST}


def write_feature_file(path: Path, contents: Contents, rows: Sequence[tuple[Features, int]]) -> None:
    """Write a complete feature file aside, sync it, and give it its name.

    Parameters
    ----------
    path : Path
    contents : Contents
    rows : sequence of (FeatureFile or PartFile, int)
        Where the features of each row are.

    Raises
    ------
    HeadstartError
        If a row is not what was stored, so that damage is never given a new checksum.
    """
    first = rows[0][0]
    row = sum(probe.nbytes for probe in first.probe.values()) + 200
    with created(path, row * len(rows)) as file:
        _write_contents(file, contents)
        for name in first.outputs:
            shape = (len(rows), len(first.probe[name]))
            target = file.create_dataset(f"features/{name}", shape, contents.recipe.dtype)
            sums = np.empty((len(rows), 16), np.uint8)
            for chosen, block, stored in _blocks(rows, name):
                wrong = (stored != row_checksums(block, contents.digests[chosen])).any(axis=1)
                if wrong.any():
                    raise _damaged_row(contents, rows, chosen.start + int(wrong.argmax()))
                target[chosen], sums[chosen] = block, stored
            file[f"checksums/{name}"] = sums
            file[f"probe/{name}"] = first.probe[name]
        file.attrs["content_digest"] = content_digest(file)


def _damaged_row(contents: Contents, rows: Sequence[tuple[Features, int]], row: int) -> HeadstartError:
    path = rows[row][0].path
    return HeadstartError(
        f"a row in {str(path)!r} is damaged",
        "the feature that was stored",
        f"another checksum for {contents.ids[row]}",
        f"run `python -m extract repair {path}`"
        if isinstance(rows[row][0], FeatureFile)
        else f"remove {path}: its images are then computed again",
    )


def content_digest(file: h5py.File) -> str:
    """Return the sha256 over every data set and attribute, features through their checksums."""
    total = hashlib.sha256()
    for name, value in sorted(file.attrs.items()):
        if name != "content_digest":
            total.update(as_json([name, str(value)]).encode())
    names = []
    file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
    for name in sorted(names):
        total.update(as_json([name, file[name].dtype.str, list(file[name].shape)]).encode())
        if not name.startswith("features/"):
            total.update(file[name][()].tobytes())
    return total.hexdigest()


def _blocks(
    rows: Sequence[tuple[Features, int]], output: str
) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """Gather features and checksums of rows in blocks, from each store at once."""
    width, features = len(rows[0][0].probe[output]), {}
    for start in range(0, len(rows), _BLOCK):
        chosen = rows[start : start + _BLOCK]
        places: dict[Features, list[tuple[int, int]]] = {}
        for number, (store, row) in enumerate(chosen):
            places.setdefault(store, []).append((number, row))
        block = np.empty((len(chosen), width), rows[0][0].dtype(output))
        sums = np.empty((len(chosen), 16), np.uint8)
        for store, pairs in places.items():
            numbers, indices = np.array(pairs).T
            if store not in features:
                features[store] = store.features(output)
            block[numbers] = features[store][indices]
            sums[numbers] = store.checksums[output][indices]
        yield slice(start, start + len(chosen)), block, sums


@contextmanager
def open_checked(path: Path) -> Iterator[h5py.File]:
    """Open a feature file whose structure is safe to read.

    Raises
    ------
    HeadstartError
        If it is none, of another version, or refers to data outside itself.
    """
    if not path.is_file():
        raise HeadstartError(
            f"there is no feature file {str(path)!r}",
            "a file that `python -m extract run` wrote",
            "a folder" if path.is_dir() else "a path that does not exist",
            "check the path, or make it: python -m extract run SOURCE -o " + path.name,
        )
    try:
        with h5py.File(path) as file:
            _check_format(path, file)
            _check_objects(file)
            yield file
    except HeadstartError:
        raise
    except DAMAGED as error:
        raise HeadstartError(
            f"{str(path)!r} is not a feature file, or is damaged",
            "a file that `python -m extract run` wrote",
            " ".join(str(error).split())[:200],
            "name another file; `python -m extract run` makes one",
        ) from error


def _check_format(path: Path, file: h5py.File) -> None:
    found = (file.attrs.get("format"), file.attrs.get("format_version"))
    if found[0] != FORMAT:
        raise OSError(f"an HDF5 file with the format {found[0]!r}")
    if found[1] not in range(1, FORMAT_VERSION + 1):
        raise HeadstartError(
            f"{str(path)!r} is of another version of the format",
            f"format version {FORMAT_VERSION} or earlier",
            f"format version {found[1]}",
            "install the version of Headstart that wrote it",
        )


def _check_objects(file: h5py.File) -> None:
    """Refuse what a file from a stranger could make a reader open, or allocate."""
    size = file.id.get_filesize()
    groups = [file]
    while groups:
        group = groups.pop()
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise OSError(f"{name} is a link to another place")
            item = group[name]
            if isinstance(item, h5py.Group):
                if len(groups) > _MOST_GROUPS:
                    raise OSError("more groups than a feature file has")
                groups.append(item)
            elif not isinstance(item, h5py.Dataset):
                raise OSError(f"{name} is no data set")
            elif item.is_virtual or item.external or item.chunks or item.nbytes > size:
                raise OSError(f"{name} is not contiguous data inside the file")


def _write_contents(file: h5py.File, contents: Contents) -> None:
    file.attrs.update(
        format=FORMAT,
        format_version=FORMAT_VERSION,
        recipe=contents.recipe.to_json(),
        recipe_key=contents.recipe.key,
        source=as_json(contents.source),
        weights=as_json(contents.weights),
        class_names=as_json(contents.class_names),
        split_names=as_json(SPLIT_NAMES),
        source_rows=len(contents.ids) + len(contents.rejected),
        engines=as_json(contents.engines),
    )
    file["ids"] = text_array(contents.ids)
    for name in _COLUMNS:
        file[name] = getattr(contents, name)
    if contents.groups:
        file["groups"] = text_array(contents.groups)
    file["rejected/id"] = text_array([row.id for row in contents.rejected])
    file["rejected/digest"] = digest_array([row.digest for row in contents.rejected])
    file["rejected/reason"] = text_array([row.reason for row in contents.rejected], REASON_BYTES)


def stored_values(file: h5py.File) -> dict:
    """Return every attribute and every data set but features, checksums and probe, by name."""
    values = dict(file.attrs)
    for name in (*_COLUMNS, *_TEXTS, "rejected/digest"):
        if name in file or name != "groups":
            values[name] = file[name][:]
    return values


def _read_contents(file: h5py.File) -> Contents:
    values = stored_values(file)
    for version in range(int(values["format_version"]), FORMAT_VERSION):
        values = MIGRATIONS[version](values)
    texts = {name: [text.decode() for text in values.get(name, ())] for name in _TEXTS}
    rejected = zip(texts["rejected/id"], values["rejected/digest"], texts["rejected/reason"], strict=True)
    return Contents(
        recipe=Recipe.from_json(values["recipe"]),
        source=json.loads(values["source"]),
        weights=json.loads(values["weights"]),
        class_names=tuple(json.loads(values["class_names"])),
        engines=tuple(json.loads(values["engines"])),
        ids=tuple(texts["ids"]),
        groups=tuple(texts["groups"]),
        rejected=tuple(Rejected(name, digest.tobytes(), reason) for name, digest, reason in rejected),
        **{name: values[name] for name in _COLUMNS},
    )


def _counts(labels: np.ndarray, names: Sequence[str]) -> dict[str, int]:
    """Count labels by name; -1, the unknown ones, belong to the last name."""
    labels = np.where(labels < 0, len(names) - 1, labels)
    return dict(zip(names, np.bincount(labels, minlength=len(names)).tolist(), strict=True))
