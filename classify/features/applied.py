"""What corrections of labels did to the rows of feature files: how many, in which split."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from data.names import shortened, table_lines
from data.splits import SPLIT_NAMES
from data.text import counted, some_of

KINDS = {"relabelled": "relabelled", "labelled": "newly labelled", "left_out": "left out"}
_NAMED, _CELLS = 3, 40  # names that a message shows, each of so many cells


@dataclass(frozen=True)
class Applied:
    """What corrections did to the rows of feature files.

    Attributes
    ----------
    file : str
        Name of the file of corrections, without its folder.
    digest : str
        Of what it says, as `classify.features.corrections.Corrections.digest`.
    entries : int
        Images that it names.
    rows : mapping of str to ndarray of int
        Rows that are ``relabelled``, ``labelled``, as they had no label, and ``left_out``.
    counts : mapping of str to dict
        How many these are, by split.
    unchanged : int
        Rows that were so already.
    absent : tuple of str
        Names of images that are in no row.
    emptied : tuple of str
        Classes, of whose rows none is left.
    bare : tuple of str
        Splits, of whose labelled rows none is left.
    """

    file: str
    digest: str
    entries: int
    rows: Mapping[str, np.ndarray] = field(repr=False, compare=False)
    counts: Mapping[str, dict[str, int]]
    unchanged: int
    absent: tuple[str, ...] = field(repr=False)
    emptied: tuple[str, ...] = ()
    bare: tuple[str, ...] = ()

    def changed(self, split: str) -> int:
        """Return how many rows of a split have another label than before, or none."""
        return sum(by_split.get(split, 0) for by_split in self.counts.values())

    def to_dict(self) -> dict:
        """Return what a bundle keeps of it, ready for JSON.

        Examples
        --------
        >>> Applied("a.csv", "0a", 2, {}, {"relabelled": {"train": 1}}, 0, ("b.jpg",)).to_dict()
        {'file': 'a.csv', 'digest': '0a', 'entries': 2, 'relabelled': {'train': 1}, 'unchanged': 0, \
'absent': 1}
        """
        named = {"file": self.file, "digest": self.digest, "entries": self.entries}
        return {**named, **self.counts, "unchanged": self.unchanged, "absent": len(self.absent)}

    def warnings(self) -> list[str]:
        """Return what the user should know: nothing listed, images that are not there, test rows."""
        found = [] if self.entries else [f"{self.file!r} lists no corrections: every label stays"]
        if self.absent:
            names = some_of([shortened(name, _CELLS) for name in self.absent], _NAMED)
            count = f"{len(self.absent)} of {counted(self.entries, 'corrected image')}"
            found.append(f"{self.file!r}: {count} {_are(len(self.absent))} not there: {names}")
        for lost, what in ((self.emptied, "image of {}"), (self.bare, "{} row")):
            if lost:
                found.append(f"{self.file!r} leaves no labelled {what.format(some_of(lost, _NAMED))}")
        if (moved := self.changed("test")) and "test" not in self.bare:
            found.append(
                f"{self.file!r} changes {counted(moved, 'test row')}: scores on them compare with none of "
                "before; python -m classify evaluate --corrections gives both"
            )
        return found


def applied_lines(values: dict) -> list[str]:
    """Lay out what `Applied.to_dict` returns for people.

    Examples
    --------
    >>> counts = {"relabelled": {"train": 2, "test": 1}, "labelled": {}, "left_out": {"train": 1}}
    >>> values = {"file": "a.csv", "entries": 4, **counts, "unchanged": 1, "absent": 0}
    >>> print("\\n".join(applied_lines(values)))
    corrections of a.csv: 4 images; 1 row as it was
    corrected rows  train  validation  test
    relabelled          2           0     1
    left out            1           0     0
    """
    unchanged, absent = values["unchanged"], values["absent"]
    kept = f"{counted(unchanged, 'row')} as {'it was' if unchanged == 1 else 'they were'}"
    notes = [kept] if unchanged else []
    notes += [f"{absent} not there"] if absent else []
    images = counted(values["entries"], "image")
    head = "; ".join([f"corrections of {shortened(values['file'])}: {images}", *notes])
    changed = [(words, values[kind]) for kind, words in KINDS.items() if values[kind]]
    rows = [(words, *(str(counts.get(split, 0)) for split in SPLIT_NAMES)) for words, counts in changed]
    return [head, *(table_lines(("corrected rows", *SPLIT_NAMES), rows, SPLIT_NAMES) if rows else ())]


def others_warning(name: str, trained: dict | None, given: Applied | None) -> list[str]:
    """Return a warning if a bundle that was trained with corrections is judged without them, or with others.

    Parameters
    ----------
    name : str
        Of the bundle.
    trained : dict or None
        As `Applied.to_dict` returned it.
    given : Applied or None
    """
    if trained is None or (given is not None and given.digest == trained["digest"]):
        return []
    return [
        f"{name!r} was trained with the corrections {trained['file']!r} ({trained['digest'][:16]}), and is "
        f"judged {'without' if given is None else 'with others'}: --corrections FILE.csv"
    ]


def _are(number: int) -> str:
    return "is" if number == 1 else "are"
