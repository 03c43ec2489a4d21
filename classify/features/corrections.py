"""Corrections of labels: a CSV of digests, so that they survive renames, applied to rows."""

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from itertools import count
from pathlib import Path

import numpy as np

from classify.features.applied import Applied
from classify.features.matrix import FeatureMatrix
from classify.features.rows import renumbered, short_digests
from data.errors import HeadstartError
from data.names import shortened
from data.output.atomic import written_aside
from data.output.checks import check_file
from data.output.csv_file import csv_text
from data.output.disk import writing
from data.output.ours import CORRECTIONS
from data.splits import SPLIT_NAMES
from data.tables.digest_table import DigestTable, read_by_digest
from data.text import counted, printable, some_of

LEFT_OUT = -1  # the label of rows that are left out, as of those that have none
_FILE = DigestTable(
    "file of corrections",
    CORRECTIONS,
    frozenset(
        f"list of {each}" for each in ("corrections", "mistakes", "suggestions", "findings", "predictions")
    ),
    "python -m classify audit writes one to start from",
)
_FEW, _CELLS = 10, 40  # names of classes that are all listed; cells of an id in a message


@dataclass(frozen=True)
class Correction:
    """One image of a file of corrections.

    Attributes
    ----------
    digest : str
        Sha256 of the image's bytes, in hexadecimal.
    id : str
        For people: rows are known by the digest alone.
    label : str
        Name of a class; empty: the image is left out.
    line : int
        Of the file.
    """

    digest: str
    id: str
    label: str
    line: int


@dataclass(frozen=True)
class Corrections:
    """Labels by the bytes of images; `read_corrections` makes them.

    Attributes
    ----------
    path : Path
    entries : mapping of bytes to Correction
        By the 32 bytes of each digest.
    notes : tuple of str
        What the user should know of the file: its encoding, columns that are not read.
    """

    path: Path
    entries: Mapping[bytes, Correction] = field(repr=False)
    notes: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """Sha256 of digests and labels, sorted by digest, in hexadecimal.

        Another delimiter, order or column, as programs write them, leaves it as it is.
        """
        lines = sorted(f"{each.digest},{each.label}\n" for each in self.entries.values())
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def labels(self, class_names: Sequence[str]) -> dict[bytes, int]:
        """Return the labels as indices into names of classes, by digest; -1 where an image is left out.

        Raises
        ------
        HeadstartError
            If a label is none of the classes.
        """
        names = sorted({each.label for each in self.entries.values()} - {""})
        bare = [name.strip() for name in class_names]  # as cells are read
        wanted = bare if len(set(bare)) == len(bare) else class_names
        known = dict(zip(names, renumbered(np.arange(len(names)), names, wanted).tolist(), strict=True))
        known[""] = LEFT_OUT
        unknown = [each for each in self.entries.values() if known[each.label] < LEFT_OUT]
        if unknown:
            raise self._unknown(unknown, class_names)
        return {digest: known[each.label] for digest, each in self.entries.items()}

    def apply(self, features: FeatureMatrix) -> tuple[FeatureMatrix, Applied]:
        """Return features with corrected labels, and what was changed.

        Every row of a corrected image gets the label; one that is left out has none from then on.
        No feature is read.

        Parameters
        ----------
        features : FeatureMatrix

        Returns
        -------
        features : FeatureMatrix
            Has in `corrections` what was applied, which a bundle records that is made of it.
        applied : Applied

        Raises
        ------
        HeadstartError
            If a label is none of the features' classes.

        Examples
        --------
        >>> features = load_features("photos.h5")  # doctest: +SKIP
        >>> features, applied = read_corrections("corrections.csv").apply(features)  # doctest: +SKIP
        """
        y, applied = self.change(features.y, features.digests, features.splits, features.class_names)
        return replace(features, y=y, corrections=applied), applied

    def change(
        self, y: np.ndarray, digests: np.ndarray, splits: np.ndarray, class_names: Sequence[str]
    ) -> tuple[np.ndarray, Applied]:
        """Return corrected labels of rows, and what was changed, as `apply` does.

        Parameters
        ----------
        y : ndarray of int, shape (N,)
            Indices into `class_names`; -1 where unknown.
        digests : ndarray of uint8, shape (N, 32)
        splits : ndarray of int, shape (N,)
            Indices into `data.splits.SPLIT_NAMES`.
        class_names : sequence of str
        """
        labels = self.labels(class_names)
        found = _rows_of(digests, labels)
        images = [digests[row].tobytes() for row in found]
        before, after = y[found], np.array([labels[image] for image in images], y.dtype)
        corrected = y.copy()
        corrected[found] = after
        changed = {
            "relabelled": (before >= 0) & (after >= 0) & (before != after),
            "labelled": (before < 0) & (after >= 0),
            "left_out": (before >= 0) & (after < 0),
        }
        rows = {kind: found[chosen] for kind, chosen in changed.items()}
        absent = (self.entries[image] for image in labels.keys() - set(images))
        applied = Applied(
            file=printable(self.path.name),
            digest=self.digest,
            entries=len(self.entries),
            rows=rows,
            counts={kind: _by_split(splits[places]) for kind, places in rows.items()},
            unchanged=int((before == after).sum()),
            absent=tuple(each.id or each.digest for each in sorted(absent, key=lambda each: each.line)),
            emptied=tuple(class_names[label] for label in np.setdiff1d(y[y >= 0], corrected)),
            bare=tuple(SPLIT_NAMES[split] for split in np.setdiff1d(splits[y >= 0], splits[corrected >= 0])),
        )
        return corrected, applied

    def _unknown(self, entries: list[Correction], class_names: Sequence[str]) -> HeadstartError:
        labels = list(dict.fromkeys(each.label for each in entries))
        first = f"{shortened(labels[0])!r} (line {entries[0].line})"
        names = [shortened(name) for name in class_names]
        near = get_close_matches(labels[0], names) if len(names) > _FEW else []
        return HeadstartError(
            f"{str(self.path)!r} gives labels that are none of the features' classes",
            f"an empty label, or one of {counted(len(class_names), 'class')}"
            + (f", the nearest: {some_of(near)}" if near else f": {some_of(names, _FEW)}"),
            f"{counted(len(entries), 'image')} of {some_of([first, *map(shortened, labels[1:])])}",
            "correct the labels, as the features write them; for a new class, label at least one image so in "
            "the source, and run python -m extract run again: it computes nothing that the file has",
        )


def read_corrections(path: str | Path) -> Corrections:
    """Read a file of corrections: a CSV with the columns digest, id and label, and others that are not read.

    Encodings and delimiters are those that spreadsheets write, as for a CSV of images.

    Raises
    ------
    HeadstartError
        If there is no such file, it is another kind of file, a column is missing, a digest is none, or
        one image has two labels.
    """
    path = Path(path)
    lines, notes = read_by_digest(path, _FILE)
    entries: dict[bytes, Correction] = {}
    for line in lines:
        found = Correction(line.digest, line.texts["id"], line.texts["label"], line.number)
        known = entries.setdefault(line.image, found)
        if known.label != found.label:
            raise _two_labels(path, known, found)
    return Corrections(path, entries, tuple(notes))


def corrections_csv(entries: Iterable[tuple[str, str, str | None]]) -> str:
    """Lay out corrections as CSV, for people to fill in and for `read_corrections`.

    Parameters
    ----------
    entries : iterable of (str, str, str or None)
        Digest in hexadecimal, id and label of each image; without a label it is left out.

    Examples
    --------
    >>> print(corrections_csv([("0a" * 32, "cat/1.jpg", "dog"), ("0b" * 32, "=1.jpg", None)]), end="")
    digest,id,label
    0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a,cat/1.jpg,dog
    0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b,'=1.jpg,
    """
    return csv_text(CORRECTIONS, entries)


def write_corrections(
    path: Path, entries: Iterable[tuple[str, str, str]], earlier: Corrections | None = None
) -> Path | None:
    """Write digest, id and label of images as a file that ``--corrections`` takes.

    A file that is there and says something else may be somebody's work: a copy of it stays beside it.

    Parameters
    ----------
    path : Path
    entries : iterable of (str, str, str)
        As `corrections_csv` takes them.
    earlier : Corrections, optional
        Their lines come first, and none of `entries` about their images.

    Returns
    -------
    Path or None
        The copy.

    Raises
    ------
    HeadstartError
        If the file cannot be written, or is there and no list of corrections.
    """
    check_file(path, "list of corrections", "--corrections-out")
    before = [(each.digest, each.id, each.label) for each in earlier.entries.values()] if earlier else []
    decided = {digest for digest, *_ in before}
    text = corrections_csv([*before, *(each for each in entries if each[0] not in decided)])
    with writing(path, "or choose another --corrections-out"):
        copy = _copied(path, text.encode())
        with written_aside(path) as aside:
            aside.write_text(text, "utf-8")
    return copy


def _copied(path: Path, new: bytes) -> Path | None:
    """Copy a file that says something else than what takes its place, under the first free name."""
    old = path.read_bytes() if path.is_file() else b""
    if old in (b"", new):
        return None
    names = (path.with_name(f"{path.stem}-{number}{path.suffix}") for number in count(1))
    copy = next(each for each in names if not os.path.lexists(each))
    copy.write_bytes(old)
    return copy


def _rows_of(digests: np.ndarray, wanted: Mapping[bytes, int]) -> np.ndarray:
    """Return the rows of some images; the first eight bytes leave few to look at."""
    if not wanted:
        return np.empty(0, int)
    short = short_digests(np.frombuffer(b"".join(wanted), np.uint8).reshape(-1, 32))
    near = np.flatnonzero(np.isin(short_digests(digests), short))
    return near[[digests[row].tobytes() in wanted for row in near]]


def _by_split(splits: np.ndarray) -> dict[str, int]:
    counts = np.bincount(splits, minlength=len(SPLIT_NAMES)).tolist()
    return {name: number for name, number in zip(SPLIT_NAMES, counts, strict=True) if number}


def _two_labels(path: Path, one: Correction, other: Correction) -> HeadstartError:
    labels = " and ".join(repr(shortened(each.label)) if each.label else "none" for each in (one, other))
    return HeadstartError(
        f"{str(path)!r} gives one image two labels",
        "each image once, or with one label throughout",
        f"lines {one.line} and {other.line}, {shortened(one.id or one.digest, _CELLS)}: {labels}",
        "keep the right line",
    )
