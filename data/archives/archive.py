"""Images in archives, read in place: zip files and tar files, of folders or as WebDataset's shards."""

import os
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from data.archives.contents import Member, files_of, is_seen, members_of, suffix_of
from data.archives.labels import SIDES, Sides
from data.archives.readers import Readers
from data.errors import HeadstartError
from data.sources.layout import Layout, Reading, layout_of
from data.sources.options import SourceOptions, as_json
from data.sources.source import Row, Source, Stamp
from data.sources.tree import IMAGE_SUFFIXES, passed_over
from data.splits import is_split
from data.text import counted, one_line


@dataclass(frozen=True)
class ArchiveSource(Source):
    """Images in archives.

    Attributes
    ----------
    files : tuple of str
        Archives of one kind.
    class_names : tuple of str
    rows : sequence of Row
    members : dict of str to Member
        Of each id.
    layout : str
        How the labels were given, for `describe`.
    location : str
    how : mapping
        Options by which the same files are opened again, ready for JSON.
    warnings, examples : tuple of str
    """

    files: tuple[str, ...]
    class_names: tuple[str, ...]
    rows: Sequence[Row] = field(repr=False)
    members: Mapping[str, Member] = field(repr=False)
    layout: str
    location: str
    how: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()

    def describe(self) -> dict:
        return {"kind": "archive", "layout": self.layout}

    def stamps(self) -> list[Stamp | None]:
        """Return of each image its size, and when its archive was written."""
        times = [_time(file) for file in self.files]
        found: list[Stamp | None] = []
        for row in self.rows:
            member = self.members[row.id]
            time = times[member.archive]
            found.append(None if time is None else (member.size, time))
        return found

    def read(self, rows: Iterable[Row]) -> Iterator[bytes | OSError]:
        for row in rows:
            member = self.members[row.id]
            try:
                yield self._open[member.archive](member)
            except HeadstartError:
                raise
            except (OSError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
                yield error if isinstance(error, OSError) else OSError(one_line(error))

    def portable(self) -> "ArchiveSource":
        """Return the source with absolute paths."""
        return replace(self, files=tuple(map(os.path.abspath, self.files)))

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
    **how
        As `data.sources.layout.Reading` has it.

    Raises
    ------
    HeadstartError
        If an archive cannot be read, is packed as a whole, holds names that lead out of it or members that
        unpack to far more than images do, or no images.
    """
    files = files_of(str(text))
    found = [members_of(number, file) for number, file in enumerate(files)]
    several = len(files) > 1
    members = {
        f"{Path(files[each.archive]).name}/{each.name}" if several else each.name: each
        for part in found
        for each in part
    }
    seen = [name for name, each in members.items() if is_seen(each.name)]
    images = [name for name in seen if suffix_of(name) in IMAGE_SUFFIXES]
    if not images:
        raise _no_images(str(text), len(members))
    reading = Reading(**how)
    layout, sides = _by_folders(images, str(text), reading), Sides(files, members)
    if sides.beside(images) and reading.label_regex is None:
        layout = sides.layout(layout, str(text))
    others = [name for name in seen if suffix_of(name) not in {*IMAGE_SUFFIXES, *SIDES}]
    return ArchiveSource(
        tuple(files),
        layout.class_names,
        layout.rows,
        {row.id: members[layout.paths[row.id]] for row in layout.rows},
        layout.name,
        os.path.abspath(text),
        {"folders_are_classes": True, **as_json(cast(SourceOptions, how))},
        (*layout.warnings, *passed_over(others)),
        tuple(layout.examples),
    )


def _no_images(text: str, files: int) -> HeadstartError:
    return HeadstartError(
        f"no images were found in {text!r}",
        "images, best in one folder for each class",
        f"{counted(files, 'file')} of other kinds",
        "put images into it, with their suffixes",
    )


def _by_folders(images: Sequence[str], text: str, reading: Reading) -> Layout:
    """Read classes from folders, less those that are around all images, unless they are a split."""
    top = _around(images)
    inner = {name[len(top) :].replace("/", os.sep): name for name in images}
    layout = layout_of(list(inner), text, reading)
    rows, paths = [], {}
    for row in layout.rows:
        name = inner[layout.paths[row.id]]
        rows.append(replace(row, id=name))
        paths[name] = name
    return replace(layout, rows=rows, paths=paths)


def _around(images: Sequence[str]) -> str:
    """Return the folders around all images that are neither classes nor splits, with ``/`` at their end."""
    top = ""
    while True:
        rest = [name[len(top) :].split("/") for name in images]
        first = {parts[0] for parts in rest}
        if len(first) > 1 or min(map(len, rest)) < 3 or is_split(next(iter(first))):
            return top
        top += next(iter(first)) + "/"


def _time(file: str) -> int | None:
    try:
        return os.stat(file).st_mtime_ns
    except OSError:
        return None
