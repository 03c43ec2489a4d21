"""Images in archives, read in place: zip files and tar files, of folders or as WebDataset's shards."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np

from data.archives.contents import Members, files_of, is_seen, missing_shards, suffix_of
from data.archives.labels import SHARD, SIDES, Beside, labelled
from data.archives.listing import files_in
from data.archives.readers import Readers
from data.archives.samples import parts_of_samples, parts_told
from data.errors import HeadstartError
from data.sources.layout import Layout, Reading, layout_of
from data.sources.options import SourceOptions, as_json
from data.sources.rows import Rows
from data.sources.source import Row, Source, Stamp
from data.sources.tree import IMAGE_SUFFIXES, passed_over
from data.splits import is_split, split_of_shard
from data.stores.files import absolute, portable, stamps
from data.stores.urls import shown
from data.text import counted, printable
from data.texts import Texts


@dataclass(frozen=True)
class ArchiveSource(Source):
    """Images in archives.

    Attributes
    ----------
    files : tuple of str
        Archives of one kind.
    class_names : tuple of str
    rows : sequence of Row
    members : Members
        Of each row.
    layout : str
        How the labels were given, for `describe`.
    location : str
    how : mapping
        Options by which the same files are opened again, ready for JSON.
    warnings, examples : tuple of str
    """

    files: tuple[str, ...]
    class_names: tuple[str, ...]
    rows: Rows = field(repr=False)
    members: Members = field(repr=False)
    layout: str
    location: str
    how: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()

    def describe(self) -> dict:
        return {"kind": "archive", "layout": self.layout}

    def stamps(self) -> list[Stamp | None]:
        """Return of each image its size, and by what its archive is known not to have changed."""
        of_files = stamps(self.files)
        found: list[Stamp | None] = []
        for member in self.members:
            stamp = of_files[member.archive]
            found.append(None if stamp is None else stamp._replace(size=member.size))
        return found

    def read(self, rows: Iterable[Row]) -> Iterator[bytes | OSError]:
        return self._open.read(self.members[self.rows.ids.index(row.id)] for row in rows)

    def portable(self) -> "ArchiveSource":
        """Return the source with absolute paths."""
        return replace(self, files=tuple(map(portable, self.files)))

    def address(self) -> dict[str, Any]:
        return {"text": self.location, **self.how}

    @cached_property
    def _open(self) -> "Readers":
        return Readers(self.files)

    def __getstate__(self) -> dict:
        return {name: value for name, value in self.__dict__.items() if name != "_open"}


def open_archive(text: str | Path, **how: Any) -> ArchiveSource:
    """Open images in archives.

    Folders in an archive are read as those on disk; one folder around all of them does not count. In a tar
    file, ``000123.cls``, ``000123.json`` or ``000123.txt`` beside ``000123.jpg`` holds its label, as
    WebDataset has it, and the split is that of the file's name, as ``train-000012.tar``.

    Parameters
    ----------
    text : str or Path
        A zip or tar file; several by a range in braces, as ``train-{000..011}.tar``; a folder of tar files.
        Each may lie in an object store.
    **how
        As `data.sources.layout.Reading` has it.

    Raises
    ------
    HeadstartError
        If an archive cannot be read, is packed as a whole, holds names that lead out of it or members that
        unpack to far more than images do, or no images.
    """
    files, reading, where = files_of(str(text)), Reading(**how), shown(str(text))
    found = _Found.of(files, reading)
    if not len(found.images):
        raise _no_images(where, found.count)
    layout = _by_folders(found.images, files, where, reading)
    members = found.images.at(layout.numbers)
    if found.labels is not None:
        labels = [found.labels[number] for number in layout.numbers.tolist()]
        layout = labelled(layout, labels, members.archives, files, where)
    return ArchiveSource(
        tuple(files),
        layout.class_names,
        layout.rows,
        members,
        layout.name,
        absolute(str(text)),
        {"folders_are_classes": True, **as_json(cast(SourceOptions, how))},
        (*missing_shards(files), *found.warnings, *layout.warnings, *passed_over(found.others)),
        tuple(layout.examples),
    )


@dataclass(frozen=True)
class _Found:
    """What archives hold.

    Attributes
    ----------
    images : Members
    labels : list or None
        Of each image; None where none stands beside any.
    others : list of str
        Names of files that are neither images nor labels.
    count : int
        Of all files.
    warnings : list of str
        Of what is not as it seems in the archives.
    """

    images: Members
    labels: list[object] | None
    others: list[str]
    count: int
    warnings: list[str]

    @classmethod
    def of(cls, files: Sequence[str], reading: Reading) -> "_Found":
        """List archives one by one."""
        beside = Beside(files, reads=reading.label_regex is None)
        images, count = Members(), 0
        others: list[str] = []
        warnings: list[str] = []
        tops = _tops(files)
        for number, file in enumerate(files):
            members = files_in(number, file, warnings)
            kinds = np.fromiter(map(_kind, members.names), np.int8, len(members))
            here, sides = (members.at(np.flatnonzero(kinds == kind)) for kind in (_IMAGE, _SIDE))
            beside.add(here, sides)
            images.extend(here)
            others += [
                tops[number] + members.names[place] for place in np.flatnonzero(kinds == _OTHER).tolist()
            ]
            count += len(members)
        if not _count(beside.found, images, warnings if beside.labels else []):
            return cls(images, None, others, count, warnings)
        out = np.zeros(len(images), bool) if reading.include else _parts(images)
        warnings += [*parts_told(images.names.at(np.flatnonzero(out))), *beside.warnings()]
        whole = np.flatnonzero(~out)
        labels = [beside.labels[number] for number in whole.tolist()] if beside.labels else None
        return cls(images.at(whole), labels, others, count, warnings)


def _parts(images: Members) -> np.ndarray:
    """Tell which images belong to another one of their sample, which lies in the same archive."""
    out = np.zeros(len(images), bool)
    archives = images.archives
    for number in np.unique(archives):
        here = np.flatnonzero(archives == number)
        out[here] = parts_of_samples(images.names.at(here))
    return out


def _count(found: int, images: Members, warnings: list[str]) -> bool:
    """Tell whether labels beside images count: in folders of classes a few files of text do not."""
    few = False
    if 0 < found < len(images) / 2:
        top = len(_around(images.names))
        few = any("/" in name[top:] for name in images.names)
    if few:
        warnings.append(
            f"{counted(found, 'image')} of {len(images)} with a file beside that may say a label: they are "
            "not read, the folders are the classes"
        )
    return found > 0 and not few


_UNSEEN, _OTHER, _SIDE, _IMAGE = range(4)


def _kind(name: str) -> int:
    if not is_seen(name):
        return _UNSEEN
    suffix = suffix_of(name)
    return _IMAGE if suffix in IMAGE_SUFFIXES else _SIDE if suffix in SIDES else _OTHER


def _tops(files: Sequence[str]) -> list[str]:
    """Return what ids begin with, of each of several archives: its name, or its path where two have one."""
    if len(files) == 1:
        return [""]
    places = [shown(file) for file in files]
    names = [Path(place).name for place in places]
    if len(set(names)) < len(names):
        names = [os.path.relpath(place, os.path.commonpath(places)) for place in places]
    return [printable(name) + "/" for name in names]


def _no_images(text: str, files: int) -> HeadstartError:
    return HeadstartError(
        f"no images were found in {text!r}",
        "images, best in one folder for each class",
        f"{counted(files, 'file')} of other kinds",
        "put images into it, with their suffixes",
    )


def _by_folders(images: Members, files: Sequence[str], text: str, reading: Reading) -> Layout:
    """Read classes from the folders in archives, less those that are around all images."""
    inner = _in_system(_inside(images.names))
    if len(files) == 1:
        layout = layout_of(inner, text, reading)
        if inner is images.names:
            return layout
        ids = Texts(printable(images.names[number]) for number in layout.numbers.tolist())
        return replace(layout, rows=layout.rows.named(ids))
    tops = _tops(files)
    names = Texts(tops[each.archive] + each.name for each in images)
    before = _folders_of_archives(inner, files, reading)
    numbers = images.archives.tolist()
    arranged = Texts(before[number] + path for number, path in zip(numbers, inner, strict=True))
    return layout_of(_in_system(names), text, reading, arranged)


def _folders_of_archives(inner: Texts, files: Sequence[str], reading: Reading) -> list[str]:
    """Return which folders the images of each of several archives are in besides those inside.

    Of archives that all have a split in their names it is that. Where no image is in a folder, each archive
    is a class of its name, unless the names say that they are shards.
    """
    stems = [Path(shown(file)).stem for file in files]
    splits = [split_of_shard(stem, SHARD) for stem in stems]
    if all(splits) and not reading.folders_are_classes:
        return [split + os.sep for split in splits]
    alone = all(os.sep not in path for path in inner) and not all(map(SHARD.fullmatch, stems))
    return [stem + os.sep if alone else "" for stem in stems]


def _inside(names: Texts) -> Texts:
    """Return paths below the folders that are around all of them."""
    top = _around(names)
    return Texts(name[len(top) :] for name in names) if top else names


def _in_system(paths: Texts) -> Texts:
    """Return paths with the separator of this system."""
    return paths if os.sep == "/" else Texts(path.replace("/", os.sep) for path in paths)


def _around(names: Texts) -> str:
    """Return the folders around all images that are neither classes nor splits, with ``/`` at their end."""
    top = ""
    while True:
        first = names[0][len(top) :].partition("/")[0]
        inside = top + first + "/"
        if is_split(first) or not all(
            name.startswith(inside) and "/" in name[len(inside) :] for name in names
        ):
            return top
        top = inside
