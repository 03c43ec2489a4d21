"""What a run has to do: a pure decision over digests, which touches nothing."""

from collections import Counter
from collections.abc import Container, Sequence
from dataclasses import dataclass

from data.sources.source import Row
from extract.feature_file.part_names import PART_ROWS, part_name

_BYTES_A_ROW = 300  # of id, digest, label, checksums: generous
KINDS = ("present", "rejected", "unreadable", "duplicates", "added", "replaced")  # every row is of one


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
    parts : tuple of Part
    """

    rows: int
    present: int
    rejected: int
    unreadable: int
    duplicates: int
    added: int
    replaced: int
    parts: tuple[Part, ...]

    @property
    def missing(self) -> int:
        """Different images that the backbone has to see."""
        return sum(len(part.rows) for part in self.parts)

    def written(self, layout: str, leaving: int) -> int:
        """Return how many rows are written: to parts, to a single file, and beside it those that leave."""
        return self.missing + leaving + (self.rows if layout == "single" else 0)


def plan(
    scan: Scan,
    known: Container[bytes],
    rejected: Container[bytes] = (),
    names: Container[str] = (),
    part_rows: int | None = None,
) -> Plan:
    """Decide what to compute: each image whose bytes are not known, once.

    Parameters
    ----------
    scan : Scan
    known : container of bytes
        Digests whose feature is at hand.
    rejected : container of bytes
        Digests of images that cannot be decoded.
    names : container of str
        Ids that the present file has, which tell replaced images from added ones.
    part_rows : int, optional
        Images in a part; `PART_ROWS` by default.

    Examples
    --------
    >>> rows = [Row("a.jpg", 0), Row("copy of a.jpg", 0), Row("b.jpg", 1)]
    >>> decided = plan(Scan(rows, [b"A", b"A", b"B"], {}), known={b"B"})
    >>> decided.present, decided.duplicates, decided.missing, [row.id for row in decided.parts[0].rows]
    (1, 1, 1, ['a.jpg'])
    """
    missing: dict[bytes, Row] = {}
    counts: Counter[str] = Counter()
    for row, digest in zip(scan.rows, scan.digests, strict=True):
        kind = _kind(row, digest, known, rejected, names, missing)
        counts[kind] += 1
        if digest and kind in ("added", "replaced"):
            missing[digest] = row
    items, part_rows = list(missing.items()), part_rows or PART_ROWS
    parts = tuple(
        Part(tuple(row for _, row in chosen), tuple(digest for digest, _ in chosen))
        for chosen in (items[start : start + part_rows] for start in range(0, len(items), part_rows))
    )
    return Plan(rows=len(scan.rows), parts=parts, **{kind: counts[kind] for kind in KINDS})


def _kind(
    row: Row,
    digest: bytes | None,
    known: Container[bytes],
    rejected: Container[bytes],
    names: Container[str],
    missing: Container[bytes],
) -> str:
    if digest is None:
        return "unreadable"
    if digest in known:
        return "present"
    if digest in rejected:
        return "rejected"
    if digest in missing:
        return "duplicates"
    return "replaced" if row.id in names else "added"
