"""Labelled rows: which split they are in, and whether a head can learn from them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self
from unicodedata import normalize

import numpy as np

from data.errors import HeadstartError, unknown_name
from data.sources.labels import check_labels, divided_groups, thin_classes
from data.splits import SPLIT_NAMES
from data.text import counted, some_of


@dataclass(frozen=True)
class LabelledRows:
    """Rows of one feature file, or of several that are joined, without their features.

    Attributes
    ----------
    y : ndarray of int32, shape (N,)
        Indices into `class_names`; -1 where unknown.
    ids : sequence of str
    digests : ndarray of uint8, shape (N, 32)
        Sha256 of the bytes of each image.
    splits : ndarray of int8, shape (N,)
        Indices into `data.splits.SPLIT_NAMES`.
    groups : tuple of str
        Empty, or one for each row.
    class_names : tuple of str
    path : str
    """

    y: np.ndarray = field(repr=False)
    ids: Sequence[str] = field(repr=False)
    digests: np.ndarray = field(repr=False)
    splits: np.ndarray = field(repr=False)
    groups: tuple[str, ...] = field(repr=False)
    class_names: tuple[str, ...]
    path: str

    def rows(self, *names: str) -> np.ndarray:
        """Return the indices of the labelled rows of some splits.

        Raises
        ------
        HeadstartError
            If a split is unknown.
        """
        for name in names:
            if name not in SPLIT_NAMES:
                raise unknown_name("split", name, SPLIT_NAMES)
        wanted = [SPLIT_NAMES.index(name) for name in names]
        return np.flatnonzero(np.isin(self.splits, wanted) & (self.y >= 0))

    def groups_of(self, rows: np.ndarray) -> list[str] | None:
        """Return the group of each row, its own id where it has none; None if no row has one."""
        return [self.groups[row] or self.ids[row] for row in rows] if self.groups else None

    def with_groups(self, groups: Mapping[bytes, str]) -> Self:
        """Return the same with groups by the digest of an image; those that have none keep their own."""
        own = self.groups or ("",) * len(self.ids)
        named = tuple(
            groups.get(image.tobytes(), group) for image, group in zip(self.digests, own, strict=True)
        )
        return replace(self, groups=named)

    def with_classes(self, names: Sequence[str], *splits: str) -> Self:
        """Return the same with labels that index `names`, which may be more than our classes.

        Raises
        ------
        HeadstartError
            If labelled rows of some splits are of none of them; in other splits they become unknown.
        """
        y = renumbered(self.y, self.class_names, names)
        odd = self.y[np.intersect1d(self.rows(*splits), np.flatnonzero(y < -1))]
        if len(odd):
            counts = [
                f"{self.class_names[k]} ({counted(int((odd == k).sum()), 'row')})" for k in np.unique(odd)
            ]
            raise HeadstartError(
                f"{self.path!r} has rows of classes that the head was not trained on",
                f"rows of {some_of(names, 10)}; of fewer is fine",
                some_of(counts, 10),
                "name them as the head does, take their rows out, or train a head that knows them",
            )
        return replace(self, y=np.maximum(y, -1), class_names=tuple(names))

    def warnings(self) -> list[str]:
        """Return what is odd about the labels, and what follows from it, as `data.sources.labels` says it."""
        told = check_labels(self.y, self.splits, self.digests, self.ids, self.class_names, self.groups)
        return [*told, *thin_classes(self.y, self.splits, self.class_names)]

    def unknown_warnings(self, names: Sequence[str]) -> list[str]:
        """Return which classes of labelled rows a head of these classes does not know, and what follows."""
        odd = [
            self.class_names[k] for k in np.unique(self.y[self.y >= 0]) if self.class_names[k] not in names
        ]
        if not odd:
            return []
        return [f"the head does not know {some_of(odd, 5)}: it takes such images for {some_of(names, 5)}"]

    def check_training(self) -> None:
        """Raise if no head can learn from the training rows.

        Raises
        ------
        HeadstartError
            If they hold fewer than two classes, or share a group with other splits.
        """
        self._refuse_divided_groups()
        y = self.y[self.rows("train")]
        found = [self.class_names[label] for label in np.unique(y)]
        if len(found) < 2:
            raise HeadstartError(
                f"{self.path!r} cannot train a head",
                "labelled training images of two classes or more",
                f"{counted(len(y), 'training image')} of {counted(len(found), 'class')}"
                + (f": {', '.join(found)}" if found else ""),
                self._more_training(),
            )

    def _more_training(self) -> str:
        """Return what to do where training rows are missing."""
        if len(np.unique(self.y[self.y >= 0])) < 2:
            return "extract more images, labelled with their classes"
        return (
            "rows of other splits have such labels: give training a share, in the source or by --fractions "
            "and another output of extract run, or extract more images"
        )

    def check_validation(self) -> None:
        """Raise if there are no labelled validation rows.

        Raises
        ------
        HeadstartError
        """
        if not len(self.rows("validation")):
            raise HeadstartError(
                f"{self.path!r} has no labelled validation rows",
                "one row or more, to choose or to compare by",
                f"{counted(len(self.rows('train')), 'training row')}, no validation rows",
                "give the source a folder validation, or more images; where FOLDER holds train alone, "
                "extract from FOLDER/train, whose images are dealt to splits",
            )

    def training_images(self) -> np.ndarray:
        """Return what tells the training images again: the first eight bytes of each digest.

        Returns
        -------
        ndarray of uint64, shape (M,)
            Sorted, each once.
        """
        return np.unique(short_digests(self.digests[self.rows("train")]))

    def refuse_seen(self, split: str, seen: np.ndarray) -> None:
        """Raise if labelled rows of a split hold images that training saw.

        Parameters
        ----------
        split : str
        seen : ndarray of uint64
            As `training_images` returns them.

        Raises
        ------
        HeadstartError
        """
        found = self._seen(split, seen)
        if len(found):
            raise HeadstartError(
                f"training saw images of the split {split!r} of {self.path!r}",
                "images that the head was not trained on, or the scores are too good",
                f"{counted(len(found), 'image')} of {len(self.rows(split))}, known by their bytes: "
                + some_of([self.ids[row] for row in found]),
                "take them out of one split; or leave them out: --unseen-only of evaluate and of sweep",
            )

    def without(self, split: str, seen: np.ndarray) -> Self:
        """Return the features without labels of those images of a split that training saw."""
        labels = self.y.copy()
        labels[self._seen(split, seen)] = -1
        return replace(self, y=labels)

    def _seen(self, split: str, seen: np.ndarray) -> np.ndarray:
        rows = self.rows(split)
        return rows[np.isin(short_digests(self.digests[rows]), seen)]

    def _refuse_divided_groups(self) -> None:
        if divided := divided_groups(self.groups, self.y, self.splits):
            raise HeadstartError(
                f"{self.path!r} has rows of one group in training and in another split",
                "each group in one split, or the scores are too good",
                f"{counted(len(divided), 'group')} in several: {some_of(divided)}",
                "correct the column split of the CSV file, or leave it out: extract run then keeps groups "
                "together, those of --groups too, and where its splits are stratified into a new file alone "
                "(-o OTHER.h5 --reuse FILE.h5); or leave rows of one split out with --corrections",
            )


def renumbered(y: np.ndarray, names: Sequence[str], wanted: Sequence[str]) -> np.ndarray:
    """Return labels as indices into other class names: -2 where those lack the name, -1 stays unknown.

    One name in two forms of Unicode is the same name, unless either list tells them apart.

    Examples
    --------
    >>> renumbered(np.array([0, 1, -1]), ["cat", "fox"], ["ant", "cat"]).tolist()
    [1, -2, -1]
    """
    forms: list[Sequence[str]] = [[normalize("NFC", name) for name in each] for each in (names, wanted)]
    if any(len(set(each)) < len(each) for each in forms):
        forms = [names, wanted]
    places = {name: index for index, name in enumerate(forms[1])}
    return np.array([*(places.get(name, -2) for name in forms[0]), -1], y.dtype)[y]


def short_digests(digests: np.ndarray) -> np.ndarray:
    """Return the first eight bytes of each digest as a number.

    Parameters
    ----------
    digests : ndarray of uint8, shape (N, 32)

    Examples
    --------
    >>> short_digests(np.array([[1] + [0] * 31], np.uint8)).tolist()
    [1]
    """
    return np.ascontiguousarray(digests[:, :8]).view("<u8")[:, 0]
