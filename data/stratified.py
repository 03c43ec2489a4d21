"""Splits dealt class by class in fractions: images and groups whole, and nothing that has a split moved."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from data.split_rule import SplitRule
from data.splits import SPLIT_NAMES

_DIGITS = 9  # after which sums of fractions are equal


@dataclass(frozen=True)
class ToDeal:
    """Rows that are to have splits, a value for each in every field.

    Attributes
    ----------
    labels : sequence of int
        Classes; -1, where the label is unknown, is dealt like one more class.
    digests : sequence of bytes
        Sha256 of the bytes of each image; rows of equal images are dealt together.
    groups : sequence of str or None
        Rows of one group are dealt together; empty or None for none.
    own : sequence of str or None
        The split that the source names.
    stored : sequence of str or None
        The split that the row has in the feature file.
    """

    labels: Sequence[int]
    digests: Sequence[bytes]
    groups: Sequence[str | None]
    own: Sequence[str | None]
    stored: Sequence[str | None]


def stratified(rows: ToDeal, rule: SplitRule) -> list[str]:
    """Return the split of each row: its own, else the stored one, else a dealt one.

    What is to be dealt are images, and groups as wholes. One that holds rows with a split takes
    the most frequent of these. The others are dealt the largest first, then by the sha256 of seed
    and image, each to the split that lacks most of its share of the class; shares are fractions
    of the rows of a class whose split is not the source's own. What does not come out even goes
    first to splits in which the class has no row yet (train, then of validation and test the one
    that is emptier), then by the largest remainder. So without groups and equal images each class
    has, in each split, its share rounded up or down, and a row in every split from six rows on
    (at 0.8,0.1,0.1); one of one row trains, one of two to five has one row outside training.

    The splits depend on neither the order nor the names of the rows. With groups this is the
    greedy rule of Sechidis et al., "On the stratification of multi-label data", 2011.

    Parameters
    ----------
    rows : ToDeal
    rule : SplitRule

    Returns
    -------
    list of str

    Examples
    --------
    >>> images = [bytes([number]) for number in range(10)]
    >>> none = [None] * 10
    >>> splits = stratified(ToDeal([0] * 10, images, none, none, none), SplitRule("stratified"))
    >>> sorted(splits)
    ['test', 'train', 'train', 'train', 'train', 'train', 'train', 'train', 'train', 'validation']
    """
    splits = [own or stored for own, stored in zip(rows.own, rows.stored, strict=True)]
    if None in splits:
        _deal(rows, rule, splits)
    return [split or "train" for split in splits]


def _deal(rows: ToDeal, rule: SplitRule, splits: list[str | None]) -> None:
    """Fill in the splits that are None."""
    free = []
    for unit in _units(rows):
        fixed = Counter(split for row in unit if (split := splits[row]))
        if not fixed:
            free.append(unit)
            continue
        most = max(SPLIT_NAMES, key=lambda name: fixed[name])
        for row in unit:
            splits[row] = splits[row] or most
    pairs = zip(rows.labels, rows.own, strict=True)
    shares = _Shares(rule.fractions, Counter(label for label, own in pairs if not own))
    for row, split in enumerate(splits):
        if split and not rows.own[row]:
            shares.add(split, {rows.labels[row]: 1})
    for unit in sorted(free, key=lambda unit: _order(rows, shares, unit, rule.seed)):
        classes = Counter(rows.labels[row] for row in unit)
        split = shares.choose(classes)
        shares.add(split, classes)
        for row in unit:
            splits[row] = split


def _units(rows: ToDeal) -> list[list[int]]:
    """Return the numbers of rows that must stay together: by equal images, by groups, and by both in turn."""
    above = list(range(len(rows.digests)))

    def top(row: int) -> int:
        while above[row] != row:
            above[row] = above[above[row]]
            row = above[row]
        return row

    first: dict[bytes | str, int] = {}
    for row, (digest, group) in enumerate(zip(rows.digests, rows.groups, strict=True)):
        for key in (digest, group) if group else (digest,):
            above[top(row)] = top(first.setdefault(key, row))
    units = defaultdict(list)
    for row in range(len(above)):
        units[top(row)].append(row)
    return list(units.values())


def _order(rows: ToDeal, shares: "_Shares", unit: list[int], seed: int) -> tuple[int, int, int, bytes]:
    """Return where a unit stands: large ones first, then those of the smallest class, then by chance."""
    image = min(rows.digests[row] for row in unit)
    size, label = min((shares.totals[rows.labels[row]], rows.labels[row]) for row in unit)
    return -len(unit), size, label, hashlib.sha256(b"%d:" % seed + image).digest()


class _Shares:
    """How many rows each class has in each split, and how many it should have."""

    def __init__(self, fractions: Sequence[float], totals: Mapping[int, int]) -> None:
        self.totals = totals
        self._fractions = dict(zip(SPLIT_NAMES, fractions, strict=True))
        self._wanted = [name for name in ("train", "test", "validation") if self._fractions[name]]
        self._have: dict[str, Counter[int]] = {name: Counter() for name in SPLIT_NAMES}
        self._rows: Counter[str] = Counter()

    def add(self, split: str, classes: Mapping[int, int]) -> None:
        """Count rows into a split."""
        self._have[split].update(classes)
        self._rows[split] += sum(classes.values())

    def choose(self, classes: Mapping[int, int]) -> str:
        """Return the split for so many rows of some classes."""
        due = {name: self._due(name, classes) for name in self._wanted}
        if max(due.values()) >= 1:
            return max(due, key=lambda name: (due[name], -self._filled(name)))

        def preferred(name: str) -> tuple[bool, bool, float, float]:
            bare = any(not self._have[name][label] for label in classes)
            filled = -self._filled(name)
            return (True, name == "train", filled, 0) if bare else (False, False, due[name], filled)

        return max((name for name in due if due[name] > 0), key=preferred)

    def _due(self, name: str, classes: Mapping[int, int]) -> float:
        """Return how often a split lacks such rows: each class weighs as much, however many rows it has."""
        fraction, have = self._fractions[name], self._have[name]
        lacks = sum(
            rows / self.totals[label] * (fraction * self.totals[label] - have[label])
            for label, rows in classes.items()
        )
        return round(lacks / sum(rows**2 / self.totals[label] for label, rows in classes.items()), _DIGITS)

    def _filled(self, name: str) -> float:
        return self._rows[name] / self._fractions[name]
