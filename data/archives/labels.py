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
from data.sources.labels import index_labels, label_warnings
from data.sources.layout import Layout
from data.sources.rows import Rows
from data.sources.tree import IMAGE_SUFFIXES
from data.splits import SPLIT_NAMES, split_name, split_of_shard
from data.stores.urls import shown
from data.text import counted, some_of
from data.texts import Texts

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

    Attributes
    ----------
    labels : list
        One for each image that was added, None where there is none.
    found : int
        Beside how many images there is a file that may say a label.
    other_fields : set of str
        Of JSON without a label.
    """

    def __init__(self, files: Sequence[str]) -> None:
        self.labels: list[object] = []
        self.found = 0
        self.other_fields: set[str] = set()
        self._readers = Readers(files)
        self._known: dict[object, object] = {}

    def add(self, images: Members, sides: Members) -> None:
        """Read the labels of the images of one archive."""
        of_each = [_candidates(_key(name), sides) for name in images.names]
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
        return self._of_json(text) if name.lower().endswith(".json") else text

    def _of_json(self, text: str) -> object:
        try:
            values = json.loads(text)
        except ValueError:
            return None
        if not isinstance(values, dict):
            return values if isinstance(values, str | int) else None
        label = next((values[name] for name in _IN_JSON if isinstance(values.get(name), str | int)), None)
        if not any(name in values for name in _IN_JSON):
            self.other_fields |= values.keys()
        return label

    def warnings(self) -> list[str]:
        """Return a line that names the fields of JSON in which no label was found."""
        if not self.other_fields:
            return []
        wanted = f"{', '.join(_IN_JSON[:-1])} or {_IN_JSON[-1]}"
        return [f"JSON beside images without {wanted}: it has {some_of(sorted(self.other_fields), 5)}"]


def parts_of_samples(names: Texts) -> np.ndarray:
    """Tell which images belong to another one of their sample, as ``1.seg.png`` to ``1.jpg``.

    Examples
    --------
    >>> parts_of_samples(Texts(["1.jpg", "1.seg.png", "2.v2.jpg"])).tolist()
    [False, True, False]
    """

    def is_part(name: str) -> bool:
        key = _key(name)
        is_short = name.count(".", len(key)) < 2
        return not is_short and any(names.find(key + suffix) >= 0 for suffix in sorted(IMAGE_SUFFIXES))

    return np.fromiter(map(is_part, names), bool, len(names))


def parts_told(names: Texts, whole: int) -> list[str]:
    """Return a line that says how many images are parts of samples."""
    if len(names) == whole:
        return []
    first = names[int(parts_of_samples(names).argmax())]
    return [f"{counted(len(names) - whole, 'image')} beside another one of the sample, as {first}, left out"]


def _candidates(key: str, sides: Members) -> list[Member]:
    """Return the files that may say the label of a sample, the first one before others."""
    numbers = (sides.names.find(key + each) for suffix in SIDES for each in (suffix, suffix.upper()))
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
    notes += label_warnings([label for label in labels if label is not None])
    return replace(places, name="labels beside images", class_names=names, rows=found, warnings=notes)


def _key(name: str) -> str:
    """Return what files of one sample share: the name up to the first dot behind its folders."""
    folder, _, last = name.rpartition("/")
    return (folder + "/" if folder else "") + last.split(".")[0]
