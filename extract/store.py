"""The feature file and its parts: all HDF5 of the features is here."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path

import h5py
import numpy as np

from data.errors import HeadstartError
from data.splits import SPLIT_NAMES
from extract.aside import written_aside
from extract.recipe import Recipe

FORMAT, FORMAT_VERSION = "headstart", 1
PART_FORMAT = "headstart part"
REASON_BYTES = 400
NO_DIGEST = bytes(32)  # of a row whose bytes could not be read
_BLOCK = 4096  # rows copied at once
_MOST_GROUPS = 16
_OVERHEAD = 65536  # bytes of headers and attributes of a small file
_ALIGNED = {"alignment_threshold": 1024, "alignment_interval": 4096}


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


class _Features:
    """Features by output in an open HDF5 file, mapped into memory where HDF5 allows it."""

    path: Path

    def _read(self, file: h5py.File) -> None:
        group = file["features"]
        self.outputs = tuple(sorted(group))
        self._places = {
            name: (group[name].shape, group[name].dtype, group[name].id.get_offset()) for name in group
        }
        self.digests = file["digests"][:]
        self.checksums = {name: file["checksums"][name][:] for name in group}
        self.probe = {name: file["probe"][name][:] for name in file["probe"]}

    def features(self, output: str) -> np.ndarray:
        """Return the features of one output, read-only and mapped from the file.

        Returns
        -------
        ndarray of float32, shape (N, D)
        """
        shape, dtype, offset = self._places[output]
        if offset is None:
            return np.empty(shape, dtype)
        return np.memmap(self.path, dtype=dtype, mode="r", offset=offset, shape=shape)


class FeatureFile(_Features):
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


class PartFile(_Features):
    """Features of some images by their digest; what a run keeps until it is complete."""

    def __init__(self, path: Path):
        self.path = path
        with h5py.File(path) as file:
            if file.attrs.get("format") != PART_FORMAT:
                raise OSError(f"{path} is not a part")
            self._read(file)
            self.recipe_key = file.attrs["recipe_key"]
            self._engine = json.loads(file.attrs["engine"])
            names, reasons = file["rejected/digest"][:], _texts(file["rejected/reason"])
            self.rejected = {name.tobytes(): reason for name, reason in zip(names, reasons, strict=True)}

    def engine(self, row: int) -> dict:
        """Return what computed a row: the same for all rows of a part."""
        return self._engine


def write_part(
    path: Path,
    recipe: Recipe,
    engine: dict,
    probe: Sequence[np.ndarray],
    rows: dict[bytes, Sequence[np.ndarray]],
    rejected: dict[bytes, str],
) -> None:
    """Write one part aside, sync it, and give it its name.

    Parameters
    ----------
    path : Path
    recipe : Recipe
    engine : dict
        What computed the rows.
    probe : sequence of ndarray of shape (D,)
        The feature of the probe image, one array for each layer of the recipe.
    rows : dict of bytes to sequence of ndarray of shape (D,)
        Features by digest, likewise.
    rejected : dict of bytes to str
        Reasons by digest.
    """
    size = sum(array.nbytes for layers in rows.values() for array in layers)
    with _created(path, size + 200 * (len(rows) + len(rejected))) as file:
        file.attrs.update(format=PART_FORMAT, recipe_key=recipe.key, engine=_json(engine))
        file["digests"] = _digest_array(list(rows))
        for number, name in enumerate(recipe.layers):
            features = [layers[number] for layers in rows.values()]
            block = np.array(features, recipe.dtype).reshape(-1, len(probe[number]))
            file[f"features/{name}"] = block
            file[f"checksums/{name}"] = row_checksums(block, _digest_array(list(rows)))
            file[f"probe/{name}"] = probe[number]
        file["rejected/digest"] = _digest_array(list(rejected))
        file["rejected/reason"] = _text_array(list(rejected.values()), REASON_BYTES)


def write_feature_file(path: Path, contents: Contents, rows: Sequence[tuple[_Features, int]]) -> None:
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
    with _created(path, row * len(rows)) as file:
        _write_contents(file, contents)
        for name in first.outputs:
            width = first.probe[name].shape[0]
            target = file.create_dataset(f"features/{name}", (len(rows), width), contents.recipe.dtype)
            sums = np.array([store.checksums[name][row] for store, row in rows])
            for start, block in _blocks(rows, name, width, contents.recipe.dtype):
                chosen = slice(start, start + len(block))
                target[chosen] = block
                wrong = (sums[chosen] != row_checksums(block, contents.digests[chosen])).any(axis=1)
                if wrong.any():
                    raise _damaged_row(contents, rows, start + int(wrong.argmax()))
            file[f"checksums/{name}"] = sums
            file[f"probe/{name}"] = first.probe[name]
        file.attrs["content_digest"] = content_digest(file)


@contextmanager
def _created(path: Path, size: int) -> Iterator[h5py.File]:
    """Open a new HDF5 file aside of `path`, where there is room for `size` bytes and a little more."""
    with written_aside(path, size + _OVERHEAD) as aside:
        try:
            with h5py.File(aside, "w", **_ALIGNED) as file:
                yield file
        except RuntimeError as error:  # so HDF5 says that it could not close a file
            raise OSError(str(error)) from error


def _damaged_row(contents: Contents, rows: Sequence[tuple[_Features, int]], row: int) -> HeadstartError:
    path = rows[row][0].path
    return HeadstartError(
        f"a row in {str(path)!r} is damaged",
        "the feature that was stored",
        f"another checksum for {contents.ids[row]}",
        f"run `python -m extract repair {path}`"
        if isinstance(rows[row][0], FeatureFile)
        else f"remove {path}: its images are then computed again",
    )


def row_checksums(block: np.ndarray, digests: np.ndarray) -> np.ndarray:
    """Return one blake2b digest of 16 bytes for each row, keyed by the digest of its image.

    So a row certifies that the feature belongs to the image, wherever it is moved.

    Parameters
    ----------
    block : ndarray of shape (N, D)
    digests : ndarray of uint8, shape (N, 32)

    Examples
    --------
    >>> row_checksums(np.zeros((3, 2), np.float32), np.zeros((3, 32), np.uint8)).shape
    (3, 16)
    """
    sums = [
        hashlib.blake2b(row, digest_size=16, key=digest).digest()
        for row, digest in zip(np.ascontiguousarray(block), np.ascontiguousarray(digests), strict=True)
    ]
    return np.frombuffer(b"".join(sums), np.uint8).reshape(-1, 16)


def split_digests(digests: np.ndarray) -> list[bytes]:
    """Return the rows of a digest array as bytes.

    Examples
    --------
    >>> split_digests(np.zeros((2, 32), np.uint8)) == [bytes(32)] * 2
    True
    """
    block = digests.tobytes()
    return [block[start : start + 32] for start in range(0, len(block), 32)]


def content_digest(file: h5py.File) -> str:
    """Return the sha256 over every data set and attribute, features through their checksums."""
    total = hashlib.sha256()
    for name, value in sorted(file.attrs.items()):
        if name != "content_digest":
            total.update(_json([name, str(value)]).encode())
    names = []
    file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
    for name in sorted(names):
        total.update(_json([name, file[name].dtype.str, list(file[name].shape)]).encode())
        if not name.startswith("features/"):
            total.update(file[name][()].tobytes())
    return total.hexdigest()


def _blocks(rows, output: str, width: int, dtype: str) -> Iterator[tuple[int, np.ndarray]]:
    """Gather the features of rows in blocks, from each store at once."""
    features = {id(store): store.features(output) for store, _ in rows}
    for start in range(0, len(rows), _BLOCK):
        chosen = rows[start : start + _BLOCK]
        block = np.empty((len(chosen), width), dtype)
        places: dict[int, list[tuple[int, int]]] = {}
        for number, (store, row) in enumerate(chosen):
            places.setdefault(id(store), []).append((number, row))
        for store, pairs in places.items():
            numbers, indices = np.array(pairs).T
            block[numbers] = features[store][indices]
        yield start, block


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
    except (OSError, KeyError, ValueError, RuntimeError, TypeError) as error:
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
    if found[1] != FORMAT_VERSION:
        raise HeadstartError(
            f"{str(path)!r} is of another version of the format",
            f"format version {FORMAT_VERSION}",
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
        source=_json(contents.source),
        weights=_json(contents.weights),
        class_names=_json(contents.class_names),
        split_names=_json(SPLIT_NAMES),
        source_rows=len(contents.ids) + len(contents.rejected),
        engines=_json(contents.engines),
    )
    file["ids"] = _text_array(contents.ids)
    for name in ("digests", "labels", "splits", "origins"):
        file[name] = getattr(contents, name)
    if contents.groups:
        file["groups"] = _text_array(contents.groups)
    file["rejected/id"] = _text_array([row.id for row in contents.rejected])
    file["rejected/digest"] = _digest_array([row.digest for row in contents.rejected])
    file["rejected/reason"] = _text_array([row.reason for row in contents.rejected], REASON_BYTES)


def _read_contents(file: h5py.File) -> Contents:
    rejected = zip(
        _texts(file["rejected/id"]), file["rejected/digest"][:], _texts(file["rejected/reason"]), strict=True
    )
    return Contents(
        recipe=Recipe.from_json(file.attrs["recipe"]),
        source=json.loads(file.attrs["source"]),
        weights=json.loads(file.attrs["weights"]),
        class_names=tuple(json.loads(file.attrs["class_names"])),
        engines=tuple(json.loads(file.attrs["engines"])),
        ids=tuple(_texts(file["ids"])),
        groups=tuple(_texts(file["groups"])) if "groups" in file else (),
        rejected=tuple(Rejected(name, digest.tobytes(), reason) for name, digest, reason in rejected),
        **{name: file[name][:] for name in ("digests", "labels", "splits", "origins")},
    )


def _counts(labels: np.ndarray, names: Sequence[str]) -> dict[str, int]:
    """Count labels by name; -1, the unknown ones, belong to the last name."""
    labels = np.where(labels < 0, len(names) - 1, labels)
    return dict(zip(names, np.bincount(labels, minlength=len(names)).tolist(), strict=True))


def _json(value) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _digest_array(digests: Sequence[bytes]) -> np.ndarray:
    return np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 32)


def _text_array(texts: Sequence[str], longest: int | None = None) -> np.ndarray:
    """Return fixed-length UTF-8, cut between characters where `longest` bytes are too few."""
    encoded = [text.encode()[:longest].decode(errors="ignore").encode() for text in texts]
    width = max([1, *map(len, encoded)])
    return np.array(encoded, h5py.string_dtype("utf-8", width))


def _texts(dataset: h5py.Dataset) -> list[str]:
    return [text.decode() for text in dataset[:]]
