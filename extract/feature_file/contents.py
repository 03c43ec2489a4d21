"""What a feature file says of its rows: everything but the features themselves."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property

import numpy as np

from data.names import UNKNOWN
from data.split_rule import HASH, SplitRule
from data.splits import SPLIT_NAMES
from data.texts import Texts
from extract.recipe import EngineInfo, Recipe

NO_DIGEST = bytes(32)  # of a row whose bytes could not be read


@dataclass(frozen=True)
class Rejected:
    """A row of the source that has no feature.

    Attributes
    ----------
    id : str
    digest : bytes
        Sha256 of its bytes.
    reason : str
    split : int
        Index into `data.splits.SPLIT_NAMES` of one that had a feature, and has its split again as soon
        as it has one; -1 for none.
    """

    id: str
    digest: bytes
    reason: str
    split: int = -1


@dataclass(frozen=True)
class Contents:
    """Everything in a feature file but the features and what follows from them.

    Attributes
    ----------
    recipe : Recipe
    source : dict
        What `Source.describe` says.
    weights : dict
        Name and origin of the weights.
    class_names : tuple of str
    engines : tuple of EngineInfo
        What computed the rows; `origins` are indices into it.
    ids : Texts
        Sorted by their UTF-8 bytes.
    digests : ndarray of uint8, shape (N, 32)
        Sha256 of the encoded bytes of each image.
    labels : ndarray of int32, shape (N,)
        Indices into `class_names`, -1 where unknown.
    splits : ndarray of int8, shape (N,)
        Indices into `data.splits.SPLIT_NAMES`.
    origins : ndarray of uint8, shape (N,)
    groups : tuple of str
        Empty, or one for each row.
    rejected : tuple of Rejected
    split_rule : SplitRule
        How rows whose source names no split got theirs, and new ones will.
    """

    recipe: Recipe
    source: dict
    weights: dict
    class_names: tuple[str, ...]
    engines: tuple[EngineInfo, ...]
    ids: Texts = field(repr=False)
    digests: np.ndarray = field(repr=False)
    labels: np.ndarray = field(repr=False)
    splits: np.ndarray = field(repr=False)
    origins: np.ndarray = field(repr=False)
    groups: tuple[str, ...] = ()
    rejected: tuple[Rejected, ...] = ()
    split_rule: SplitRule = HASH

    def __post_init__(self) -> None:
        object.__setattr__(self, "ids", Texts.of(self.ids))

    def same_as(self, other: "Contents") -> bool:
        """Tell whether writing `other` would change nothing."""
        pairs = ((getattr(self, item.name), getattr(other, item.name)) for item in fields(self))
        return all(
            np.array_equal(one, two) if isinstance(one, np.ndarray) else one == two for one, two in pairs
        )

    def classes(self) -> list[str]:
        """Return the name of each row's class, empty where it is unknown."""
        names = [*self.class_names, ""]  # the last one stands for -1
        return [names[label] for label in self.labels]

    def split_of(self, name: str) -> int:
        """Return the index of the split that a row has, or had before it was rejected; -1 of other names."""
        number = self.ids.find(name)
        return int(self.splits[number]) if number >= 0 else self._had.get(name, -1)

    @cached_property
    def _had(self) -> dict[str, int]:
        return {row.id: row.split for row in self.rejected}

    def at(self, rows: np.ndarray) -> "Contents":
        """Return the same with some of the rows only.

        Parameters
        ----------
        rows : ndarray of int, shape (n,)
        """
        return replace(
            self,
            ids=self.ids.at(rows),
            groups=tuple(self.groups[row] for row in rows) if self.groups else (),
            **{name: getattr(self, name)[rows] for name in ("digests", "labels", "splits", "origins")},
        )


def rows_by_split(
    labels: np.ndarray, splits: np.ndarray, class_names: Sequence[str]
) -> dict[str, dict[str, int]]:
    """Count the rows of each class in each split; those without a label are a class of their own.

    Parameters
    ----------
    labels : ndarray of int, shape (N,)
        Indices into `class_names`, -1 where unknown.
    splits : ndarray of int, shape (N,)
        Indices into `data.splits.SPLIT_NAMES`.
    class_names : sequence of str

    Examples
    --------
    >>> rows_by_split(np.array([0, 0, 1]), np.array([0, 2, 0]), ["cat", "dog"])["train"]
    {'cat': 1, 'dog': 1}
    """
    names = [*class_names, *([UNKNOWN] if (labels < 0).any() else [])]
    numbers = np.where(labels < 0, len(names) - 1, labels)
    places = range(len(SPLIT_NAMES))
    counts = [np.bincount(numbers[splits == place], minlength=len(names)).tolist() for place in places]
    return {split: dict(zip(names, counts[place], strict=True)) for place, split in enumerate(SPLIT_NAMES)}
