"""Which rows of a source are the sample: seeded, stratified, and every beginning of it is so too."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from classify.scores.folds import linked
from data.errors import HeadstartError, UsageError
from data.sources.source import Row, Source, title
from data.splits import split_of
from data.text import counted, some_of
from extract.run.plan import Scan

FOLDS = 5
FEWEST = 20  # images from which a sample is drawn
_FEWEST_FIRST = 100  # rows of a round before the last one


@dataclass(frozen=True)
class Sample:
    """Labelled training and validation rows of a source, in the order in which they are taken.

    Attributes
    ----------
    rows : tuple of Row
    digests : tuple of bytes
    rounds : tuple of int
        How many of the rows each round takes, growing; the last one takes all.
    left_out : tuple of str
        Classes that have too few images for folds.
    """

    rows: tuple[Row, ...]
    digests: tuple[bytes, ...]
    rounds: tuple[int, ...]
    left_out: tuple[str, ...] = ()

    @property
    def classes(self) -> int:
        """How many classes the rows have."""
        return len({row.label for row in self.rows})


def draw_sample(source: Source, scan: Scan, rows: int, seed: int = 0) -> Sample:
    """Draw the sample of a source; test rows stay out of it, as they choose nothing.

    Parameters
    ----------
    source : Source
        Names its classes.
    scan : Scan
        Its rows and the digests of their images.
    rows : int
        At most so many.
    seed : int

    Raises
    ------
    HeadstartError
        If there are fewer than `FEWEST` labelled rows, or fewer than two classes with enough of them.
    UsageError
        If so few rows do not hold the classes.
    """
    pairs = zip(scan.rows, scan.digests, strict=True)
    known = [
        (row, digest)
        for row, digest in pairs
        if digest and row.label >= 0 and split_of(row, digest) != "test"
    ]
    units = Counter(dict(_units_by_class(known)))
    kept = {label for label, count in units.items() if count >= FOLDS}
    if len(known) < FEWEST or len(kept) < 2:
        raise _too_few(source, len(known), units)
    known = [(row, digest) for row, digest in known if row.label in kept]
    if rows < FOLDS * len(kept):
        raise UsageError(
            f"{rows} rows are too few for {counted(len(kept), 'class')}",
            f"{FOLDS} rows of each class or more, for {FOLDS} folds",
            f"--rows {rows}",
            f"choose --rows {FOLDS * len(kept)} or more",
        )
    order = sampling_order([row.label for row, _ in known], [digest for _, digest in known], seed)[:rows]
    left_out = sorted(source.class_names[label] for label in units.keys() - kept)
    return Sample(
        tuple(known[place][0] for place in order),
        tuple(known[place][1] for place in order),
        rounds_of(len(order), len(kept)),
        tuple(left_out),
    )


def sampling_order(labels: Sequence[int], digests: Sequence[bytes], seed: int) -> list[int]:
    """Return the places of rows in an order of which every beginning is stratified.

    A row's place in its class comes from its image and the seed, so that a source which grows, or is
    listed in another order, keeps most of its sample. The first `FOLDS` rows of a rare class come as
    early as if all classes were of one size.

    Examples
    --------
    >>> digests = [bytes([number]) for number in range(9)]
    >>> order = sampling_order([0, 0, 0, 0, 0, 0, 1, 1, 1], digests, seed=0)
    >>> [[0, 0, 0, 0, 0, 0, 1, 1, 1][place] for place in order]
    [0, 1, 0, 1, 0, 1, 0, 0, 0]
    """
    drawn = [hashlib.sha256(str(seed).encode() + b" " + digest).digest() for digest in digests]
    sizes = Counter(labels)
    even = len(sizes) / len(labels)
    positions = np.empty(len(labels))
    taken: Counter[int] = Counter()
    for place in sorted(range(len(labels)), key=lambda place: (drawn[place], place)):
        label = labels[place]
        rank = taken[label] + 0.5
        share = 1 / sizes[label]
        positions[place] = rank * (min(share, even) if rank < FOLDS else share)
        taken[label] += 1
    return sorted(range(len(labels)), key=lambda place: (positions[place], drawn[place], place))


def rounds_of(rows: int, classes: int) -> tuple[int, ...]:
    """Return how many rows are taken in each round: a quarter, half and all, where these are enough.

    Examples
    --------
    >>> rounds_of(600, 2), rounds_of(200, 2), rounds_of(600, 60)
    ((150, 300, 600), (100, 200), (600,))
    """
    least = max(_FEWEST_FIRST, 2 * FOLDS * classes)
    return (*(part for part in (rows // 4, rows // 2) if part >= least), rows)


def _units_by_class(known: Sequence[tuple[Row, bytes]]) -> list[tuple[int, int]]:
    """Return of each label how many images it has, those that belong together counted as one."""
    if not known:
        return []
    copies = np.unique([digest.hex() for _, digest in known], return_inverse=True)[1]
    numbers = linked([row.group or "" for row, _ in known], copies)
    pairs = {(row.label, int(number)) for (row, _), number in zip(known, numbers, strict=True)}
    return list(Counter(label for label, _ in pairs).items())


def _too_few(source: Source, rows: int, units: Counter[int]) -> HeadstartError:
    found = [f"{source.class_names[label]} {count}" for label, count in sorted(units.items())]
    several = f" of {counted(len(found), 'class')}: {some_of(found, 5)}" if found else ""
    return HeadstartError(
        f"{title(source)} has too few images to compare recipes",
        f"{FEWEST} labelled training and validation images or more, {FOLDS} different ones in each of two "
        "classes (test rows choose nothing)",
        f"{counted(rows, 'image')}{several}",
        "add images, or take the default: python -m extract run",
    )
