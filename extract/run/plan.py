"""What a run has to do: a pure decision over digests, which touches nothing."""

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np

from data.sources.rows import Rows
from data.sources.source import Row
from extract.feature_file.digests import DigestIndex, Digests, each_digest
from extract.feature_file.part_names import PART_ROWS, part_name

_BYTES_A_ROW = 300  # of id, digest, label, checksums: generous
KINDS = ("present", "rejected", "unreadable", "duplicates", "added", "replaced")  # every row is of one


@dataclass(frozen=True)
class Scan:
    """What a source holds now.

    Attributes
    ----------
    rows : Rows, or sequence of Row
    digests : Digests, or sequence of bytes or None
        Sha256 of each row's bytes; None where they could not be read.
    unreadable : dict of str to str
        Reasons by id, for the rows without a digest.
    """

    rows: Rows
    digests: Digests
    unreadable: dict[str, str]

    def __post_init__(self) -> None:
        object.__setattr__(self, "rows", Rows.of(self.rows))
        object.__setattr__(self, "digests", Digests.of(self.digests))

    def at(self, numbers: np.ndarray) -> "Scan":
        """Return what there is of some rows.

        Parameters
        ----------
        numbers : ndarray of int, shape (n,)
        """
        digests = Digests(self.digests.array[numbers], self.digests.known[numbers])
        return Scan(self.rows.at(numbers), digests, self.unreadable)


def bytes_needed(rows: int, width: int) -> int:
    """Return what so many rows take on disk, in parts and in the file.

    Examples
    --------
    >>> bytes_needed(rows=1000, width=2048)
    8492000
    """
    return rows * (4 * width + _BYTES_A_ROW)


@dataclass(frozen=True)
class Part:
    """Rows to be computed and written together; any finished part is kept whatever comes.

    Attributes
    ----------
    rows : tuple of Row
        One for each different image, in the source's order.
    digests : tuple of bytes
    """

    rows: tuple[Row, ...]
    digests: tuple[bytes, ...]

    @property
    def name(self) -> str:
        """File name, from the digests alone."""
        return part_name(self.digests)


class Parts(Sequence[Part]):
    """The parts that some rows of a scan make; each is made when it is asked for.

    Parameters
    ----------
    scan : Scan
    numbers : ndarray of int, shape (n,)
        Of the rows, one for each different image.
    part_rows : int
        Images in a part.
    """

    def __init__(self, scan: Scan, numbers: np.ndarray, part_rows: int) -> None:
        self._scan, self.numbers, self._part_rows = scan, numbers, part_rows

    def __len__(self) -> int:
        return -(-len(self.numbers) // self._part_rows)

    @overload
    def __getitem__(self, number: int) -> Part: ...
    @overload
    def __getitem__(self, number: slice) -> list[Part]: ...
    def __getitem__(self, number: Any) -> Any:
        if isinstance(number, slice):
            return [self[each] for each in range(len(self))[number]]
        start = range(len(self))[number] * self._part_rows
        chosen = self.numbers[start : start + self._part_rows]
        digests = each_digest(self._scan.digests.array[chosen])
        return Part(tuple(self._scan.rows.at(chosen)), tuple(digests))


@dataclass(frozen=True)
class Plan:
    """The answer: how many rows are known, and which parts the missing images make.

    Attributes
    ----------
    rows : int
        Of the source.
    present : int
        Rows whose feature is known.
    rejected : int
        Rows whose image is known to be broken.
    unreadable : int
        Rows whose bytes could not be read.
    duplicates : int
        Rows with the bytes of another missing row: computed once.
    added, replaced : int
        Why the others are missing: a new name, or a known name with other bytes.
    parts : Parts
    """

    rows: int
    present: int
    rejected: int
    unreadable: int
    duplicates: int
    added: int
    replaced: int
    parts: Parts

    @property
    def missing(self) -> int:
        """Different images that the backbone has to see."""
        return len(self.parts.numbers)

    def written(self, layout: str, leaving: int) -> int:
        """Return how many rows are written: to parts, to a single file, and beside it those that leave."""
        return self.missing + leaving + (self.rows if layout == "single" else 0)


def plan(
    scan: Scan,
    known: Iterable[bytes] | DigestIndex,
    rejected: Iterable[bytes] | DigestIndex = (),
    names: Container[str] = (),
    part_rows: int | None = None,
) -> Plan:
    """Decide what to compute: each image whose bytes are not known, once.

    Parameters
    ----------
    scan : Scan
    known : DigestIndex, or iterable of bytes
        Digests whose feature is at hand.
    rejected : DigestIndex, or iterable of bytes
        Digests of images that cannot be decoded.
    names : container of str
        Ids that the present file has, which tell replaced images from added ones.
    part_rows : int, optional
        Images in a part; `PART_ROWS` by default.

    Examples
    --------
    >>> rows = [Row("a.jpg", 0), Row("copy of a.jpg", 0), Row("b.jpg", 1)]
    >>> decided = plan(Scan(rows, [b"A" * 32, b"A" * 32, b"B" * 32], {}), known={b"B" * 32})
    >>> decided.present, decided.duplicates, decided.missing, [row.id for row in decided.parts[0].rows]
    (1, 1, 1, ['a.jpg'])
    """
    there = np.flatnonzero(scan.digests.known)
    digests = scan.digests.array[there]
    present = DigestIndex.of(known).holds(digests)
    broken = ~present & DigestIndex.of(rejected).holds(digests)
    left = ~present & ~broken
    missing, digests = there[left], digests[left]
    first = DigestIndex(digests).find(digests) == np.arange(len(digests))
    replaced = sum(scan.rows.ids[number] in names for number in missing[first].tolist()) if names else 0
    return Plan(
        rows=len(scan.rows),
        present=int(present.sum()),
        rejected=int(broken.sum()),
        unreadable=len(scan.rows) - len(there),
        duplicates=int((~first).sum()),
        added=int(first.sum()) - replaced,
        replaced=replaced,
        parts=Parts(scan, missing[first], part_rows or PART_ROWS),
    )
