"""Labels that stand beside images in tar files, as WebDataset writes them."""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np

from data.archives.contents import Member, Members
from data.archives.readers import Readers
from data.archives.samples import key_of
from data.sources.labels import index_labels, label_warnings
from data.sources.layout import Layout
from data.sources.rows import Rows
from data.splits import SPLIT_NAMES, split_name, split_of_shard
from data.stores.urls import shown
from data.text import counted, some_of

SIDES = (".cls", ".json", ".txt")  # what stands beside an image, the first says the label
_IN_JSON = ("label", "cls", "class", "class_name")
_LARGEST_SIDE = 1_000_000  # bytes
SHARD = re.compile(r"(.+?)[-_.]\d+$")  # as train-000012


class Beside:
    """The labels of images that files beside them say, archive by archive.

    Parameters
    ----------
    files : sequence of str
        The archives.
    reads : bool
        Whether labels are wanted, or how many there are alone.

    Attributes
    ----------
    labels : list
        One for each image that was added, None where there is none.
    found : int
        Beside how many images there is a file that may say a label.
    """

    def __init__(self, files: Sequence[str], reads: bool = True) -> None:
        self.labels: list[object] = []
        self.found = 0
        self._reads = reads
        self._readers = Readers(files)
        self._known: dict[object, object] = {}
        self._fields: set[str] = set()  # of JSON without a label
        self._odd: dict[str, list[str]] = {}  # files beside that say none, by what is wrong

    def add(self, images: Members, sides: Members) -> None:
        """Read the labels of the images of one archive."""
        of_each = [_candidates(name, sides) for name in images.names]
        if not self._reads:
            self.found += sum(map(bool, of_each))
            return
        read = self._readers.read(chain.from_iterable(of_each))
        for candidates in of_each:
            self.found += bool(candidates)
            said = [self._said(member.name, data) for member, data in zip(candidates, read, strict=False)]
            label = next((each for each in said if each not in (None, "")), None)
            self.labels.append(self._known.setdefault((type(label), label), label))

    def _said(self, name: str, data: bytes | OSError) -> object:
        if isinstance(data, OSError):
            raise data
        text = data.decode("utf-8", "replace").strip()
        return self._of_json(name, text) if name.lower().endswith(".json") else text

    def _of_json(self, name: str, text: str) -> object:
        try:
            values = json.loads(text)
        except ValueError:
            self._odd.setdefault("is no JSON", []).append(name)
            return None
        if not isinstance(values, dict):
            return values if isinstance(values, str | int) else None
        said = {field: values[field] for field in _IN_JSON if field in values}
        label = next((each for each in said.values() if isinstance(each, str | int)), None)
        for field, value in said.items():
            if label is None and value is not None:
                kind = "a list" if isinstance(value, list) else "no text and no whole number"
                self._odd.setdefault(f"has {kind} as its {field}", []).append(name)
        self._fields |= values.keys() if not said else set()
        return label

    def warnings(self) -> list[str]:
        """Return lines about files beside in which no label was found."""
        lines = [
            f"{counted(len(names), 'file')} beside, as {names[0]}, without a label: it {reason}"
            for reason, names in self._odd.items()
        ]
        if self._fields and None in self.labels:
            wanted = f"{', '.join(_IN_JSON[:-1])} or {_IN_JSON[-1]}"
            lines.append(f"JSON beside images without {wanted}: it has {some_of(sorted(self._fields), 5)}")
        return lines


def _candidates(name: str, sides: Members) -> list[Member]:
    """Return the files that may say the label of an image, the first one before others."""
    keys = dict.fromkeys([key_of(name), name.rpartition(".")[0]])
    endings = [each for suffix in SIDES for each in (suffix, suffix.upper())]
    numbers = (sides.names.find(key + ending) for key in keys for ending in endings)
    found = (sides[number] for number in numbers if number >= 0)
    return [member for member in found if member.size < _LARGEST_SIDE]


def labelled(
    places: Layout, labels: Sequence[object], archives: np.ndarray, files: Sequence[str], text: str
) -> Layout:
    """Return the layout of labels that stand beside images.

    Parameters
    ----------
    places : Layout
        What the paths of the images say: which are taken, and their groups.
    labels : sequence
        Of each row.
    archives : ndarray of int, shape (N,)
        The number of each row's archive, of which the name may say the split.
    files : sequence of str
        The archives.
    text : str
        The source, for messages.
    """
    names, numbers = index_labels(labels)
    shards = [split_name(split_of_shard(Path(shown(file)).stem, SHARD), text) for file in files]
    splits = np.array([SPLIT_NAMES.index(split) if split else -1 for split in shards], np.int8)
    rows = places.rows
    found = Rows.columns(rows.ids, np.array(numbers), splits[archives], rows.groups, rows.group_names)
    unknown = int((found.labels < 0).sum())
    notes = [f"{counted(unknown, 'image')} without a label beside"] if unknown else []
    if len(places.class_names) > 1:
        notes.append(
            f"labels are those beside the images; folders say no class: {some_of(places.class_names)}"
        )
    notes += label_warnings([label for label in labels if label is not None])
    return replace(places, name="labels beside images", class_names=names, rows=found, warnings=notes)
