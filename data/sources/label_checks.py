"""What follows from the labels of rows: classes that no head can learn, images with two labels."""

from collections.abc import Sequence

import numpy as np

from data.sources.source import look_alikes
from data.splits import SPLIT_NAMES
from data.text import counted, some_of


def check_labels(
    y: np.ndarray,
    splits: np.ndarray,
    digests: np.ndarray,
    ids: Sequence[str],
    class_names: Sequence[str],
) -> list[str]:
    """Return warnings about the labels of rows, each with what follows from it.

    Parameters
    ----------
    y : ndarray of int, shape (N,)
        Indices into `class_names`; -1 where unknown.
    splits : ndarray of int, shape (N,)
        Indices into `data.splits.SPLIT_NAMES`.
    digests : ndarray of uint8, shape (N, 32)
        Sha256 of the bytes of each image.
    ids : sequence of N str
    class_names : sequence of str

    Examples
    --------
    >>> digests = np.zeros((2, 32), np.uint8)
    >>> check_labels(np.array([0, 1]), np.zeros(2, int), digests, ["a.png", "b.png"], ["cat", "dog"])
    ['1 image has several labels: a.png (cat) = b.png (dog); no head is right about all of them']
    """
    return [
        *look_alikes("classes", class_names),
        *_untrained(y, splits, class_names),
        *_contradictions(y, digests, ids, class_names),
    ]


def _untrained(y: np.ndarray, splits: np.ndarray, class_names: Sequence[str]) -> list[str]:
    """Name the classes that have rows, and none to train on; where nothing is to train on, none is missed."""
    training = splits == SPLIT_NAMES.index("train")
    missed = np.setdiff1d(y[y >= 0], y[training])
    if not len(missed) or not (y[training] >= 0).any():
        return []
    names = some_of([class_names[label] for label in missed], 10)
    classes = "1 class has" if len(missed) == 1 else f"{len(missed)} classes have"
    rows = counted(int(np.isin(y, missed).sum()), "row")
    return [f"{classes} no training row: {names}; a head never predicts them, so their {rows} count as wrong"]


def _contradictions(
    y: np.ndarray, digests: np.ndarray, ids: Sequence[str], class_names: Sequence[str]
) -> list[str]:
    """Name equal images that have different labels."""
    rows = np.flatnonzero(y >= 0)
    images = np.ascontiguousarray(digests[rows]).view("V32")[:, 0]
    _, image = np.unique(images, return_inverse=True)
    rows, image = rows[np.argsort(image, kind="stable")], np.sort(image)
    starts = np.flatnonzero(np.diff(image, prepend=-1))
    if not len(starts):
        return []
    lowest, highest = (extreme.reduceat(y[rows], starts) for extreme in (np.minimum, np.maximum))
    odd = np.flatnonzero(lowest < highest)
    if not len(odd):
        return []
    ends = [*starts[1:], len(rows)]
    groups = sorted(rows[starts[number] : ends[number]].tolist() for number in odd)
    shown = [" = ".join(f"{ids[row]} ({class_names[y[row]]})" for row in group) for group in groups[:4]]
    told = "1 image has" if len(odd) == 1 else f"{len(odd)} images have"
    return [f"{told} several labels: {some_of(shown)}; no head is right about all of them"]
