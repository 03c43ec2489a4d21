"""Which rows leave a feature file, may they, and which move? Pure decisions over names and digests."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from data.errors import HeadstartError
from data.names import UNKNOWN
from data.splits import SPLIT_NAMES
from data.text import counted, some_of
from data.texts import Texts
from extract.feature_file.digests import DigestIndex, digest_array, split_digests

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


class Named(Protocol):
    """Rows of a file by name, present or coming."""

    @property
    def ids(self) -> Texts:
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


def leaving(present: Named | None, staying: Named, spare: np.ndarray) -> Leaving:
    """Decide which rows leave: those whose image no row of the source holds any more.

    A row that is renamed, moved or labelled anew stays. Of equal images as many stay as there
    are rows for them.

    Parameters
    ----------
    present : Named or None
        The rows of the present file; None where there is none.
    staying : Named
        The rows that will have a feature.
    spare : ndarray of uint8, shape (N, 32)
        Digests of finished parts.

    Examples
    --------
    >>> A, B, C, D = (letter * 32 for letter in (b"A", b"B", b"C", b"D"))
    >>> present = ComingRows.of([("a.jpg", A, "cat"), ("b.jpg", B, "cat"), ("c.jpg", C, "dog")])
    >>> staying = ComingRows.of([("moved/a.jpg", A, "cat"), ("b.jpg", D, "cat")])
    >>> found = leaving(present, staying, np.empty((0, 32), np.uint8))
    >>> found.dropped, found.replaced, found.classes, found.answer
    ((2,), (1,), ('dog',), 'most')
    """
    if present is None:
        present = ComingRows.of([])
    rows = len(present.ids)
    place = present.ids.find_all(staying.ids)
    same = place >= 0
    same[same] = (present.digests[place[same]] == staying.digests[same]).all(axis=1)
    stays, named = np.zeros(rows, bool), np.zeros(rows, bool)
    stays[place[same]], named[place[place >= 0]] = True, True
    others = np.flatnonzero(~stays)
    free = staying.digests[~same]  # under new names
    gone = others[_beyond(present.digests[others], free)]
    unused = split_digests(
        spare[~(DigestIndex(staying.digests).holds(spare) | DigestIndex(present.digests).holds(spare))]
    )
    return Leaving(
        rows,
        tuple(gone[~named[gone]].tolist()),
        tuple(gone[named[gone]].tolist()),
        tuple(sorted(set(unused))),
        _emptied(present, staying, gone),
    )


def _beyond(digests: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Tell of each image whether those before it that are equal take all the free ones."""
    first = DigestIndex(digests).find(digests)
    order = np.argsort(first, kind="stable")
    starts = np.maximum.accumulate(np.where(np.diff(first[order], prepend=-1), np.arange(len(order)), 0))
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order)) - starts
    index = DigestIndex(free)
    counts = np.append(
        np.bincount(index.find(free), minlength=len(free)), 0
    )  # the last is of those not there
    return rank >= counts[index.find(digests)]


def _emptied(present: Named, staying: Named, gone: np.ndarray) -> tuple[str, ...]:
    """Return the classes of which every row is gone, and that no row has any more."""
    before, left = (Counter(present.labels[rows].tolist()) for rows in (slice(None), gone))
    after = {staying.class_names[label] for label in np.unique(staying.labels[staying.labels >= 0])}
    names = {present.class_names[label] for label in left if label >= 0 and left[label] == before[label]}
    return tuple(sorted(names - after))


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


class Standing(Named, Protocol):
    """What is known of the rows of a file, present or coming, as `Contents` has it."""

    @property
    def splits(self) -> np.ndarray:
        """Indices into `SPLIT_NAMES`."""

    @property
    def groups(self) -> Sequence[str]:
        """Empty where no row has one."""


@dataclass(frozen=True)
class ComingRows:
    """Rows that a file will have, before anything is computed: a `Standing`."""

    ids: Texts
    digests: np.ndarray
    labels: np.ndarray
    class_names: Sequence[str]
    splits: np.ndarray = field(default_factory=lambda: np.empty(0, np.int8))
    groups: Sequence[str] = ()

    @classmethod
    def of(cls, rows: Iterable[tuple[str, bytes, str]]) -> "ComingRows":
        """Make them of names, digests and classes, which are empty where they are unknown."""
        given = list(rows)
        names = list(dict.fromkeys(name for *_, name in given if name))
        index = {name: number for number, name in enumerate(names)} | {"": -1}
        digests = digest_array([digest for _, digest, _ in given])
        labels = np.array([index[name] for *_, name in given], np.int32)
        return cls(Texts(name for name, *_ in given), digests, labels, names)


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
