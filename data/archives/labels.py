"""Labels that stand beside images in tar files, as WebDataset writes them."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from data.archives.contents import Member
from data.archives.readers import Readers
from data.sources.labels import index_labels, label_warnings
from data.sources.layout import Layout
from data.sources.source import Row
from data.splits import split_name, split_of_shard
from data.text import counted

SIDES = (".cls", ".json", ".txt")  # what stands beside an image, the first says the label
_IN_JSON = ("label", "cls", "class", "class_name")
_LARGEST_SIDE = 1_000_000  # bytes
_SHARD = re.compile(r"(.+?)[-_.]\d+$")  # as train-000012


@dataclass(frozen=True)
class Sides:
    """Files beside images that say their labels."""

    files: Sequence[str]
    members: Mapping[str, Member]

    def beside(self, images: Sequence[str]) -> bool:
        """Tell whether there are such, by the first image."""
        return any(_key(name) + suffix in self.members for name in images[:1] for suffix in SIDES)

    def layout(self, places: Layout, text: str) -> Layout:
        """Return what they say.

        Parameters
        ----------
        places : Layout
            What the paths of the images say: which are taken, and their groups.
        text : str
            The source, for messages.
        """
        readers = Readers(self.files)
        names, numbers = index_labels(labels := [self._label(row.id, readers) for row in places.rows])
        rows = []
        for row, number in zip(places.rows, numbers, strict=True):
            split = split_of_shard(Path(self.files[self.members[row.id].archive]).stem, _SHARD)
            rows.append(Row(row.id, number, split_name(split, text), row.group))
        unknown = sum(number < 0 for number in numbers)
        notes = [f"{counted(unknown, 'image')} without a label beside"] if unknown else []
        notes += label_warnings([label for label in labels if label is not None])
        return Layout("labels beside images", names, rows, places.paths, notes, places.examples)

    def _label(self, name: str, readers: Readers) -> object:
        for suffix in SIDES:
            member = self.members.get(_key(name) + suffix)
            if member is not None and member.size < _LARGEST_SIDE:
                text = readers[member.archive](member).decode("utf-8", "replace").strip()
                label = _of_json(text) if suffix == ".json" else text
                if label not in (None, ""):
                    return label
        return None


def _of_json(text: str) -> object:
    try:
        values = json.loads(text)
    except ValueError:
        return None
    if not isinstance(values, dict):
        return values if isinstance(values, str | int) else None
    return next((values[name] for name in _IN_JSON if isinstance(values.get(name), str | int)), None)


def _key(name: str) -> str:
    """Return what files of one sample share: the name up to the first dot behind its folders."""
    folder, _, last = name.rpartition("/")
    return (folder + "/" if folder else "") + last.split(".")[0]
