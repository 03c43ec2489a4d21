"""Where the features of images are: in which row of which store."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, overload

import numpy as np

from extract.feature_file.contents import Contents
from extract.feature_file.digests import DigestIndex, digest_array
from extract.feature_file.hdf5 import RowBlock, Store, row_checksums

BLOCK = 4096  # rows copied at once


class Places(Sequence[tuple[Store, int]]):
    """Rows of stores, as columns.

    Parameters
    ----------
    stores : sequence of Store
    store, row : ndarray of int, shape (N,)
        Index into `stores`, and row in that one.
    """

    def __init__(self, stores: Sequence[Store], store: np.ndarray, row: np.ndarray) -> None:
        self.stores, self.store, self.row = tuple(stores), store, row

    @classmethod
    def of(cls, pairs: "Iterable[tuple[Store, int]]") -> "Places":
        """Return places as they are, or as columns."""
        if isinstance(pairs, cls):
            return pairs
        given = list(pairs)
        numbers = {id(store): (number, store) for number, (store, _) in enumerate(given)}
        index = {name: place for place, name in enumerate(numbers)}
        store = np.array([index[id(store)] for store, _ in given], np.int32)
        return cls([store for _, store in numbers.values()], store, np.array([row for _, row in given], int))

    @classmethod
    def whole(cls, store: Store) -> "Places":
        """Return the places of all rows of a store."""
        rows = np.arange(len(store.digests))
        return cls([store], np.zeros(len(rows), np.int32), rows)

    def __len__(self) -> int:
        return len(self.row)

    @overload
    def __getitem__(self, number: int) -> tuple[Store, int]: ...
    @overload
    def __getitem__(self, number: slice | np.ndarray) -> "Places": ...
    def __getitem__(self, number: Any) -> Any:
        if isinstance(number, slice | np.ndarray):
            return Places(self.stores, self.store[number], self.row[number])
        return self.stores[self.store[number]], int(self.row[number])

    def by_store(self) -> Iterator[tuple[Store, np.ndarray, np.ndarray]]:
        """Yield each store that has some, with their numbers, which ascend, and their rows in it."""
        order = np.argsort(self.store, kind="stable")
        starts = np.flatnonzero(np.diff(self.store[order], prepend=-1))
        for numbers in np.split(order, starts[1:]) if len(order) else ():
            yield self.stores[self.store[numbers[0]]], numbers, self.row[numbers]


class KnownFeatures:
    """The features of several stores by digest; of equal images, those of the first store that has one.

    Parameters
    ----------
    stores : sequence of Store

    Attributes
    ----------
    index : DigestIndex
        Of the digests of all stores, one after the other.
    """

    def __init__(self, stores: Sequence[Store]) -> None:
        self.stores = tuple(stores)
        blocks = [store.digests for store in self.stores] or [np.empty((0, 32), np.uint8)]
        self.index = DigestIndex(blocks[0] if len(blocks) == 1 else np.concatenate(blocks))
        self._starts = np.cumsum([0, *map(len, blocks)])

    def __contains__(self, digest: object) -> bool:
        return digest in self.index

    def __getitem__(self, digest: bytes) -> tuple[Store, int]:
        numbers = self.index.find(digest_array([digest]))
        if numbers[0] < 0:
            raise KeyError(digest)
        return self.places(numbers)[0]

    def places(self, numbers: np.ndarray) -> Places:
        """Return the places of rows that `index` found."""
        store = np.searchsorted(self._starts, numbers, side="right") - 1
        return Places(self.stores, store.astype(np.int32), numbers - self._starts[store])


def gathered(rows: Places, output: str, contents: Contents) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """Gather features and checksums of rows in blocks, from each store at once.

    Parameters
    ----------
    rows : Places
    output : str
    contents : Contents
        Ids and digests of the rows.

    Yields
    ------
    chosen, block, checksums : slice, ndarray of shape (n, D), ndarray of uint8, shape (n, 16)

    Raises
    ------
    HeadstartError
        If a row is not what was stored, so that damage is never given a new checksum.
    """
    features: dict[Store, RowBlock] = {}
    for start in range(0, len(rows), BLOCK):
        chosen = slice(start, start + BLOCK)
        block, stored = _gather(rows[chosen], output, features)
        wrong = (stored != row_checksums(block, contents.digests[chosen])).any(axis=1)
        if wrong.any():
            row = start + int(wrong.argmax())
            raise rows[row][0].damaged(contents.ids[row])
        yield slice(start, start + len(block)), block, stored


def _gather(rows: Places, output: str, features: dict[Store, RowBlock]) -> tuple[np.ndarray, np.ndarray]:
    first = rows[0][0]
    block = np.empty((len(rows), len(first.probe[output])), first.dtype(output))
    sums = np.empty((len(rows), 16), np.uint8)
    for store, numbers, indices in rows.by_store():
        if store not in features:
            features[store] = store.features(output)
        block[numbers] = features[store][indices]
        sums[numbers] = store.checksums[output][indices]
    return block, sums
