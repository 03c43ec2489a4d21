"""What a run has to do: a pure decision over digests, which touches nothing."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from data.source import Row

PART_ROWS = 512


@dataclass(frozen=True)
class Scan:
    """What a source holds now.

    Attributes
    ----------
    rows : sequence of Row
    digests : sequence of bytes or None
        Sha256 of each row's bytes; None where they could not be read.
    unreadable : dict of str to str
        Reasons by id, for the rows without a digest.
    """

    rows: Sequence[Row]
    digests: Sequence[bytes | None]
    unreadable: dict[str, str]


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
        return hashlib.sha256(b"".join(sorted(self.digests))).hexdigest()[:24] + ".h5"


@dataclass(frozen=True)
class Plan:
    """The answer: how many rows are known, and which parts the missing images make.

    Attributes
    ----------
    known : int
        Rows whose feature, or whose rejection, is known.
    unreadable : int
    parts : tuple of Part
    """

    known: int
    unreadable: int
    parts: tuple[Part, ...]

    @property
    def missing(self) -> int:
        """Different images that the backbone has to see."""
        return sum(len(part.rows) for part in self.parts)


def plan(scan: Scan, known: Collection[bytes], part_rows: int = PART_ROWS) -> Plan:
    """Decide what to compute: each image whose bytes are not known, once.

    Parameters
    ----------
    scan : Scan
    known : collection of bytes
        Digests whose feature or rejection is at hand.
    part_rows : int
        Images in a part.

    Examples
    --------
    >>> rows = [Row("a.jpg", 0), Row("copy of a.jpg", 0), Row("b.jpg", 1)]
    >>> decided = plan(Scan(rows, [b"A", b"A", b"B"], {}), known={b"B"})
    >>> decided.known, decided.missing, [row.id for row in decided.parts[0].rows]
    (1, 1, ['a.jpg'])
    """
    missing: dict[bytes, Row] = {}
    count = 0
    for row, digest in zip(scan.rows, scan.digests, strict=True):
        if digest in known:
            count += 1
        elif digest is not None:
            missing.setdefault(digest, row)
    items = list(missing.items())
    parts = tuple(
        Part(tuple(row for _, row in chosen), tuple(digest for digest, _ in chosen))
        for chosen in (items[start : start + part_rows] for start in range(0, len(items), part_rows))
    )
    return Plan(count, len(scan.unreadable), parts)
