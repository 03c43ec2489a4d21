"""What feature files and parts have in common: features by output, checksums by row, text in HDF5."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

from extract.aside import written_aside

REASON_BYTES = 400
DAMAGED = (OSError, KeyError, ValueError, RuntimeError, TypeError)  # what h5py raises on damaged files
_OVERHEAD = 65536  # bytes of headers and attributes of a small file
_ALIGNED = {"alignment_threshold": 1024, "alignment_interval": 4096}


class Features:
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

    def dtype(self, output: str) -> np.dtype:
        """Return the type of the features of one output."""
        return self._places[output][1]

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


@contextmanager
def created(path: Path, size: int) -> Iterator[h5py.File]:
    """Open a new HDF5 file aside of `path`, where there is room for `size` bytes and a little more."""
    with written_aside(path, size + _OVERHEAD) as aside:
        try:
            with h5py.File(aside, "w", **_ALIGNED) as file:
                yield file
        except RuntimeError as error:  # so HDF5 says that it could not close a file
            raise OSError(str(error)) from error


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


def as_json(value) -> str:
    """Return canonical JSON: sorted keys, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def digest_array(digests: Sequence[bytes]) -> np.ndarray:
    """Return digests as uint8 (N, 32), the inverse of `split_digests`."""
    return np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 32)


def text_array(texts: Sequence[str], longest: int | None = None) -> np.ndarray:
    """Return fixed-length UTF-8, cut between characters where `longest` bytes are too few."""
    encoded = [text.encode()[:longest].decode(errors="ignore").encode() for text in texts]
    width = max([1, *map(len, encoded)])
    return np.array(encoded, h5py.string_dtype("utf-8", width))
