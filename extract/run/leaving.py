"""Which rows leave a feature file, may they, and which move? Pure decisions over names and digests."""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from data.errors import HeadstartError
from data.names import UNKNOWN
from data.splits import SPLIT_NAMES
from data.text import counted, some_of

ANSWERS = {  # of `Leaving.answer`; where there are words, a run asks first
    "nothing": "",
    "some": "",
    "classes": "a whole class",
    "most": "more than half of the rows",
    "all": "every row",
}
_NO_GROUP = "no group"


@dataclass(frozen=True)
class Leaving:
    """What a run would take out of a feature file.

    Attributes
    ----------
    rows : int
        Of the present file.
    dropped : tuple of int
        Rows of the present file whose image is gone under every name, or has no feature any more.
    replaced : tuple of int
        Rows whose name now stands for another image.
    spare : tuple of bytes
        Digests of images that only finished parts hold, and that the source has not.
    classes : tuple of str
        Those of which every row goes, and that no row has any more.
    """

    rows: int
    dropped: tuple[int, ...] = ()
    replaced: tuple[int, ...] = ()
    spare: tuple[bytes, ...] = ()
    classes: tuple[str, ...] = ()

    @property
    def answer(self) -> str:
        """An entry of `ANSWERS`; images of parts that were never in a file forbid nothing."""
        gone = len(self.dropped) + len(self.replaced)
        if not gone:
            return "some" if self.spare else "nothing"
        if 2 * gone > self.rows:
            return "all" if gone == self.rows else "most"
        return "classes" if self.classes else "some"

    @property
    def lost(self) -> int:
        """Rows that were known and are in no row's place: those dropped, and those of parts."""
        return len(self.dropped) + len(self.spare)

    @property
    def kept(self) -> int:
        """Rows that `extract.run.before` keeps, at most."""
        return self.lost + len(self.replaced)

    @property
    def refusal(self) -> str:
        """What may not leave without being asked for; empty where all may."""
        words = ANSWERS[self.answer]
        return f"{words} (all of {some_of(self.classes, 5)})" if words and self.classes else words


def leaving(
    present: Sequence[tuple[str, bytes, str]],
    staying: Sequence[tuple[str, bytes, str]],
    spare: Collection[bytes] = (),
) -> Leaving:
    """Decide which rows leave: those whose image no row of the source holds any more.

    A row that is renamed, moved or labelled anew stays. Of equal images as many stay as there
    are rows for them.

    Parameters
    ----------
    present : sequence of (id, digest, class)
        The rows of the present file; the class is empty where it is unknown.
    staying : sequence of (id, digest, class)
        The rows that will have a feature.
    spare : collection of bytes
        Digests of finished parts.

    Examples
    --------
    >>> present = [("a.jpg", b"A", "cat"), ("b.jpg", b"B", "cat"), ("c.jpg", b"C", "dog")]
    >>> found = leaving(present, [("moved/a.jpg", b"A", "cat"), ("b.jpg", b"new", "cat")])
    >>> found.dropped, found.replaced, found.classes, found.answer
    ((2,), (1,), ('dog',), 'most')
    """
    stay, were = ({name: digest for name, digest, _ in rows} for rows in (staying, present))
    free = Counter(digest for name, digest in stay.items() if were.get(name) != digest)  # under new names
    dropped: list[int] = []
    replaced: list[int] = []
    for number in [number for number, row in enumerate(present) if stay.get(row[0]) != row[1]]:
        name, digest, _ = present[number]
        if free[digest] > 0:
            free[digest] -= 1
        else:
            (replaced if name in stay else dropped).append(number)
    gone = Counter(present[number][2] for number in [*dropped, *replaced])
    before, after = (Counter(label for *_, label in rows if label in gone) for rows in (present, staying))
    classes = sorted(name for name, rows in gone.items() if name and rows == before[name] and not after[name])
    unused = sorted(set(spare).difference(stay.values(), were.values()))
    return Leaving(len(present), tuple(dropped), tuple(replaced), tuple(unused), tuple(classes))


def check_leaving(found: Leaving, path: Path, source: str, kept: Callable[[], str] = str) -> None:
    """Raise if more would leave a file than may without being asked for.

    Parameters
    ----------
    found : Leaving
    path : Path
        The feature file.
    source : str
        What the run reads, in words.
    kept : callable
        Says what of the run's work is kept.

    Raises
    ------
    HeadstartError
    """
    if not found.refusal:
        return
    words = kept()
    numbers = f"{source}, with which {len(found.dropped)} of {counted(found.rows, 'row')} would be dropped"
    replaced = f" and {len(found.replaced)} replaced by other images" if found.replaced else ""
    raise HeadstartError(
        f"{found.refusal} would leave {str(path)!r}, which stays as it is",
        "a source that still has half of the rows, and some of each class",
        numbers + replaced,
        "look whether that is the right source, and whole; choose another output with -o; or let the rows go "
        f"with --allow-drop, which keeps them in {before_path(path)}" + (f"; {words}" if words else ""),
    )


def before_path(path: Path) -> Path:
    """Return where rows that leave a feature file are kept.

    Examples
    --------
    >>> before_path(Path("photos.h5")).name
    'photos.h5.before'
    """
    return path.with_name(path.name + ".before")


class Standing(Protocol):
    """What is known of the rows of a file, present or coming, as `Contents` has it."""

    @property
    def ids(self) -> Sequence[str]:
        """Names."""

    @property
    def digests(self) -> np.ndarray:
        """Of images, uint8 of shape (N, 32)."""

    @property
    def labels(self) -> np.ndarray:
        """Indices into `class_names`; -1 where unknown."""

    @property
    def class_names(self) -> Sequence[str]:
        """Names of classes."""

    @property
    def splits(self) -> np.ndarray:
        """Indices into `SPLIT_NAMES`."""

    @property
    def groups(self) -> Sequence[str]:
        """Empty where no row has one."""


@dataclass(frozen=True)
class ComingRows:
    """Rows that a file will have, before anything is computed: a `Standing`."""

    ids: Sequence[str]
    digests: np.ndarray
    labels: np.ndarray
    class_names: Sequence[str]
    splits: np.ndarray
    groups: Sequence[str]


@dataclass(frozen=True)
class Moved:
    """Images that the present file and the coming one hold, and that stand elsewhere in the coming one.

    Attributes
    ----------
    counts : dict of str to int
        How many have another ``label``, ``split`` and ``group``.
    lines : tuple of str
        One for each that there is, with some of them named.
    """

    counts: dict[str, int]
    lines: tuple[str, ...] = ()


def moved(present: Standing | None, coming: Standing) -> Moved:
    """Tell which images have another label, split or group in the coming file than in the present one.

    Images that either holds twice are passed over.

    Parameters
    ----------
    present : Standing or None
        None where there is no file yet.
    coming : Standing
    """
    if present is None:
        return Moved(dict.fromkeys(_MOVES, 0))
    one, two = _common(present.digests, coming.digests)
    counts, lines = {}, []
    for noun, texts in _MOVES.items():
        before, after = texts(present)[one], texts(coming)[two]
        places = np.flatnonzero(before != after)
        counts[noun] = len(places)
        if len(places):
            shown = [f"{coming.ids[two[place]]} ({after[place]}, was {before[place]})" for place in places]
            images = "1 image has" if len(places) == 1 else f"{len(places)} images have"
            lines.append(f"{images} another {noun} than in the file before: {some_of(shown, 4)}")
    return Moved(counts, tuple(lines))


def _group_names(rows: Standing) -> np.ndarray:
    return np.array([group or _NO_GROUP for group in rows.groups] or [_NO_GROUP] * len(rows.ids), dtype=str)


_MOVES: dict[str, Callable[[Standing], np.ndarray]] = {
    "label": lambda rows: np.array([*rows.class_names, UNKNOWN])[rows.labels],
    "split": lambda rows: np.array(SPLIT_NAMES)[rows.splits],
    "group": _group_names,
}


def _common(one: np.ndarray, two: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of images that are in both once."""
    images = [np.ascontiguousarray(each).view("V32")[:, 0] for each in (one, two)]
    found = [np.unique(each, return_index=True, return_counts=True) for each in images]
    once = [(values[counts == 1], firsts[counts == 1]) for values, firsts, counts in found]
    _, left, right = np.intersect1d(once[0][0], once[1][0], assume_unique=True, return_indices=True)
    return once[0][1][left], once[1][1][right]
