"""Digests of images as columns: 32 bytes each, and found by bisection."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, overload

import numpy as np

from data.columns import Columns

_WIDTH = 32


class Digests(Columns[bytes | None]):
    """Digests of rows, some of which may be unknown; each is made when it is asked for.

    Parameters
    ----------
    array : ndarray of uint8, shape (N, 32)
    known : ndarray of bool, shape (N,)
        Where False, the digest is None.

    Examples
    --------
    >>> digests = Digests.of([b"A" * 32, None])
    >>> digests[0][:2], digests[1], digests.known.tolist()
    (b'AA', None, [True, False])
    """

    def __init__(self, array: np.ndarray, known: np.ndarray) -> None:
        self.array, self.known = array, known

    @classmethod
    def of(cls, digests: Iterable[bytes | None]) -> "Digests":
        """Return digests as they are, or as columns."""
        if isinstance(digests, cls):
            return digests
        given = list(digests)
        return cls(
            digest_array([digest or bytes(_WIDTH) for digest in given]),
            np.array([digest is not None for digest in given], bool),
        )

    @classmethod
    def unknown(cls, rows: int) -> "Digests":
        """Return so many, none of which is known."""
        return cls(np.zeros((rows, _WIDTH), np.uint8), np.zeros(rows, bool))

    def __len__(self) -> int:
        return len(self.known)

    @overload
    def __getitem__(self, number: int) -> bytes | None: ...
    @overload
    def __getitem__(self, number: slice) -> "Digests": ...
    def __getitem__(self, number: Any) -> Any:
        if isinstance(number, slice):
            return Digests(self.array[number], self.known[number])
        return self.array[number].tobytes() if self.known[number] else None

    def set(self, number: int, digest: bytes) -> None:
        """Make one known."""
        self.array[number], self.known[number] = np.frombuffer(digest, np.uint8), True


class DigestIndex:
    """Digests that are searched by bisection: what a set does, in 12 bytes for each.

    Parameters
    ----------
    digests : ndarray of uint8, shape (N, 32)
        Not copied.

    Examples
    --------
    >>> index = DigestIndex(digest_array([b"B" * 32, b"A" * 32, b"B" * 32]))
    >>> index.find(digest_array([b"A" * 32, b"B" * 32, b"C" * 32])).tolist(), b"A" * 32 in index
    ([1, 0, -1], True)
    """

    def __init__(self, digests: np.ndarray) -> None:
        self.digests = digests
        words = _words(digests)
        order = np.argsort(words, kind="stable")
        self._words, self._order = words[order], order.astype(np.int32 if len(order) < 2**31 else np.int64)

    @classmethod
    def of(cls, digests: "Iterable[bytes] | DigestIndex") -> "DigestIndex":
        """Return an index as it is, or that of some digests."""
        return digests if isinstance(digests, cls) else cls(digest_array(list(digests)))  # type: ignore[arg-type]

    def __len__(self) -> int:
        return len(self.digests)

    def __contains__(self, digest: object) -> bool:
        return isinstance(digest, bytes) and bool(self.find(digest_array([digest]))[0] >= 0)

    def find(self, wanted: np.ndarray) -> np.ndarray:
        """Return the number of the first digest that equals each; -1 where there is none.

        Parameters
        ----------
        wanted : ndarray of uint8, shape (M, 32)

        Returns
        -------
        ndarray of int64, shape (M,)
        """
        found, words = np.full(len(wanted), -1, np.int64), _words(wanted)
        places = np.searchsorted(self._words, words)
        left = np.arange(len(wanted))
        while len(left):  # once, but for digests that begin with the same eight bytes
            left = left[places[left] < len(self)]
            left = left[self._words[places[left]] == words[left]]
            rows = self._order[places[left]]
            same = (self.digests[rows] == wanted[left]).all(axis=1)
            found[left[same]] = rows[same]
            left = left[~same]
            places[left] += 1
        return found

    def holds(self, wanted: np.ndarray) -> np.ndarray:
        """Tell of each of some digests whether it is there: bool of shape (M,)."""
        return self.find(wanted) >= 0


def _words(digests: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(digests[:, :8]).view(np.uint64)[:, 0]


def split_digests(digests: np.ndarray) -> list[bytes]:
    """Return the rows of a digest array as bytes.

    Examples
    --------
    >>> split_digests(np.zeros((2, 32), np.uint8)) == [bytes(32)] * 2
    True
    """
    return list(each_digest(digests))


def each_digest(digests: np.ndarray) -> Iterator[bytes]:
    """Yield the rows of a digest array as bytes."""
    return (digest.tobytes() for digest in digests)


def digest_array(digests: Sequence[bytes]) -> np.ndarray:
    """Return digests as uint8 (N, 32), the inverse of `split_digests`."""
    return np.frombuffer(b"".join(digests), np.uint8).reshape(-1, _WIDTH)
