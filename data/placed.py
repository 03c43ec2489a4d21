"""Images by their folders: which split and class each lies in, as columns."""

import os
from array import array
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from data.texts import Texts


@dataclass(frozen=True)
class Placed:
    """Images with their splits and classes, as columns.

    Attributes
    ----------
    images : Texts
        All paths.
    numbers : ndarray of int64, shape (N,)
        Of those paths that are taken.
    splits, classes : ndarray of int32, shape (N,)
        Indices into `split_names` and `class_names`, both in ascending order; a class of -1 is none.
    loose : list of str
        Paths of images that are passed over, as others are in folders of classes.
    has_splits : bool
        Whether the first level holds splits.
    """

    images: Texts
    numbers: np.ndarray
    splits: np.ndarray
    classes: np.ndarray
    split_names: list[str]
    class_names: list[str]
    loose: list[str]
    has_splits: bool

    def paths(self) -> Iterator[str]:
        """Yield the paths that are taken."""
        return self.images.some(self.numbers)

    @cached_property
    def by_path(self) -> np.ndarray:
        """The places of images in the order of their paths."""
        return self.images.at(self.numbers).order()


def placed(images: Texts, kept: np.ndarray, splits: bool, anywhere: bool) -> Placed:
    """Find split and class of images; in no class folder they are loose, or none of their split is in one.

    Parameters
    ----------
    images : Texts
        Paths.
    kept : ndarray of int64
        The numbers of those that count.
    splits : bool
        Whether the first level holds splits.
    anywhere : bool
        Whether images in no folder of a class are taken, too.

    Examples
    --------
    >>> found = placed(Texts(["cat/1.jpg", "2.jpg"]), np.arange(2), splits=False, anywhere=False)
    >>> found.class_names, list(found.paths()), found.loose
    (['cat'], ['cat/1.jpg'], ['2.jpg'])
    """
    level = 1 if splits else 0
    of_split, of_class = array("i"), array("i")
    split_names: dict[str, int] = {}
    class_names: dict[str, int] = {}
    for path in images.some(kept):
        parts = path.split(os.sep, level + 1)
        split = parts[0] if splits and len(parts) > 1 else ""
        of_split.append(split_names.setdefault(split, len(split_names)))
        inside = len(parts) > level + 1
        of_class.append(class_names.setdefault(parts[level], len(class_names)) if inside else -1)
    split_codes, class_codes = (np.array(codes, np.int32) for codes in (of_split, of_class))
    bare = class_codes < 0
    labelled = np.empty(0, int) if anywhere else np.unique(split_codes[~bare])
    nowhere = split_codes == split_names.get("", -1) if splits else np.zeros(len(kept), bool)
    loose = bare & (np.isin(split_codes, labelled) | nowhere)
    splits_ordered, split_ranks = _ranked(split_names)
    classes_ordered, class_ranks = _ranked(class_names)
    return Placed(
        images,
        kept[~loose],
        split_ranks[split_codes[~loose]],
        class_ranks[class_codes[~loose]],
        splits_ordered,
        classes_ordered,
        [images[number] for number in kept[loose].tolist()],
        splits,
    )


def _ranked(names: Mapping[str, int]) -> tuple[list[str], np.ndarray]:
    """Return names in ascending order, and the place of each there by its number; of -1 it is -1."""
    ordered = sorted(names)
    ranks = np.full(len(names) + 1, -1, np.int32)
    ranks[[names[name] for name in ordered]] = np.arange(len(names))
    return ordered, ranks


def once(paths: Texts, role: Callable[[str], str]) -> Texts:
    """Return paths without their first folder where each holds one of its name, as Kaggle's archives have it.

    Parameters
    ----------
    paths : Texts
    role : callable
        Tells of a folder's name whether it is ``split``.

    Examples
    --------
    >>> list(once(Texts(["train/train/cat/1.jpg"]), lambda name: "split"))
    ['train/cat/1.jpg']
    """

    def is_twice(path: str) -> bool:
        first, *inner = path.split(os.sep, 3)
        return len(inner) == 3 and first == inner[0] and role(first) == "split"

    return Texts(path.partition(os.sep)[2] for path in paths) if all(map(is_twice, paths)) else paths
