"""What feature files and parts have in common: features by output, checksums by row, text in HDF5."""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import h5py
import numpy as np

from data.errors import HeadstartError
from data.output.atomic import written_aside
from data.texts import Texts
from extract.recipe import EngineInfo, Probe

REASON_BYTES = 400
DAMAGED = (OSError, KeyError, ValueError, RuntimeError, TypeError)  # what h5py raises on damaged files
_MOST_GROUPS = 16
_OVERHEAD = 65536  # bytes of headers and attributes of a small file
_ALIGNED = {"alignment_threshold": 1024, "alignment_interval": 4096}


class RowBlock(Protocol):
    """Features of shape (N, D), in memory or on disk, of which rows are chosen as of an array."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Return (N, D)."""

    @property
    def dtype(self) -> np.dtype:
        """Return the type of each value."""

    def __len__(self) -> int:
        """Return N."""

    def __getitem__(self, rows: Any, /) -> Any:
        """Return the features of some rows: a number, a slice, numbers or a mask."""


class Store(ABC):
    """Features of images by output in HDF5, mapped into memory where HDF5 allows it.

    Attributes
    ----------
    path : Path
    remedy : str
        What helps where a row is damaged.
    outputs : tuple of str
        Names of the feature data sets.
    digests : ndarray of uint8, shape (N, 32)
        Of the images.
    checksums : dict of str to ndarray of uint8, shape (N, 16)
        Of the rows of each output, as `row_checksums` makes them.
    probe : dict of str to ndarray of shape (D,)
        The feature of `extract.engines.probe.probe_image` for each output.
    """

    path: Path
    remedy: str
    outputs: tuple[str, ...]
    digests: np.ndarray
    checksums: dict[str, np.ndarray]
    probe: dict[str, np.ndarray]
    _places: dict[str, tuple[tuple[int, ...], np.dtype, int | None]]  # shape, type and offset by output

    @abstractmethod
    def engine(self, row: int) -> EngineInfo:
        """Return what computed a row."""

    @property
    @abstractmethod
    def engines(self) -> tuple[EngineInfo, ...]:
        """What computed its rows, each once."""

    def probe_of(self) -> Probe:
        """Return the probe with its place and the engine of the first row."""
        return Probe(str(self.path), self.engine(0), self.probe)

    @abstractmethod
    def engines_at(self, rows: np.ndarray) -> tuple[Sequence[EngineInfo], np.ndarray]:
        """Return engines, and which of them computed each of some rows."""

    def in_parts(self, folder: Path, rows: np.ndarray) -> tuple[Sequence[str], np.ndarray, np.ndarray] | None:
        """Return names of parts in a folder, which of them holds each of some rows, and its number there.

        None if the rows are elsewhere.
        """
        return None

    @property
    @abstractmethod
    def rejected(self) -> Mapping[bytes, str]:
        """Reasons by digest, of images that cannot be decoded."""

    def paths(self) -> list[Path]:
        """Return the files that it is made of."""
        return [self.path]

    def damaged(self, name: str) -> HeadstartError:
        """Make the error for a row whose feature is not the one that was stored."""
        return HeadstartError(
            f"a row in {str(self.path)!r} is damaged",
            "the feature that was stored",
            f"another checksum for {name}",
            self.remedy.format(path=self.path),
        )

    def _read(self, file: h5py.File) -> None:
        group = file["features"]
        self.outputs = tuple(sorted(group))
        self._places = {
            name: (group[name].shape, group[name].dtype, group[name].id.get_offset()) for name in group
        }
        self._read_columns(file)

    def _read_columns(self, file: h5py.File) -> None:
        self.checksums = {name: file["checksums"][name][:] for name in file["checksums"]}
        self.probe = {name: file["probe"][name][:] for name in file["probe"]}

    def dtype(self, output: str) -> np.dtype:
        """Return the type of the features of one output."""
        return self._places[output][1]

    def features(self, output: str) -> RowBlock:
        """Return the features of one output, read-only and mapped from the file.

        Returns
        -------
        ndarray of float32, shape (N, D)
        """
        return self._mapped(output)

    def _mapped(self, output: str) -> np.ndarray:
        shape, dtype, offset = self._places[output]
        if offset is None:
            return np.empty(shape, dtype)
        return np.memmap(self.path, dtype=dtype, mode="r", offset=offset, shape=shape)


@contextmanager
def created(path: Path, size: int) -> Iterator[h5py.File]:
    """Open a new HDF5 file aside of `path`, where there is room for `size` bytes and a little more."""
    with written_aside(path, size + _OVERHEAD) as aside:
        try:
            with h5py.File(aside, "w", **_ALIGNED) as file:
                yield file
        except RuntimeError as error:  # so HDF5 says that it could not close a file
            raise OSError(str(error)) from error


def check_objects(file: h5py.File) -> None:
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
                raise OSError(f"{name} is not a data set")
            elif item.is_virtual or item.external or item.chunks or item.nbytes > size:
                raise OSError(f"{name} is not contiguous data inside the file")


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


def as_json(value: object) -> str:
    """Return canonical JSON: sorted keys, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def text_array(texts: Iterable[str], longest: int | None = None) -> np.ndarray:
    """Return fixed-length UTF-8, cut between characters where `longest` bytes are too few."""
    if longest is not None:
        texts = (text.encode()[:longest].decode(errors="ignore") for text in texts)
    wide = Texts.of(texts).wide()
    return wide.astype(h5py.string_dtype("utf-8", wide.itemsize))
