"""Image files in folders, or wherever a list says."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from data.errors import HeadstartError
from data.sources.layout import Layout, Reading, layout_of
from data.sources.options import SourceOptions, as_json
from data.sources.source import Row, Source, Stamp
from data.sources.tree import UNNAMED, Tree, read_tree
from data.stores.files import absolute, folder_of, portable, read, stamps
from data.stores.urls import below, is_url, shown
from data.tables.class_columns import CLASSES_CSV
from data.text import printable, some_of


@dataclass(frozen=True)
class FileSource(Source):
    """Image files under one root.

    Attributes
    ----------
    root : str
        A folder, or the address of one in an object store.
    class_names : tuple of str
    rows : sequence of Row
        The id is the path relative to `root`, with ``/``.
    paths : dict of str to str
        Relative path of each id, or its own address; differs from the id only where a name is not UTF-8, or
        an address holds what may be secret.
    layout : str
        How the labels were given, for `describe`.
    location : str
        Absolute path or address of what was opened; it belongs to this machine, so `describe` is without.
    warnings : tuple of str
    sendable : bool
        As `data.sources.source.Source` has it: the images of a folder are not sent, those of a CSV file are.
    how : mapping
        Options by which the same files are opened again, ready for JSON.
    """

    root: str = field(repr=False)
    class_names: tuple[str, ...]
    rows: Sequence[Row] = field(repr=False)
    paths: dict[str, str] = field(repr=False)
    layout: str
    location: str
    warnings: tuple[str, ...] = ()
    sendable: bool = False
    examples: tuple[str, ...] = ()
    how: Mapping[str, Any] = field(default_factory=dict)

    def describe(self) -> dict:
        return {"kind": "files", "layout": self.layout}

    def stamps(self) -> list[Stamp | None]:
        """Return the stamp of each row's file; None where there is none."""
        return stamps([self._place(row) for row in self.rows])

    def read(self, rows: Iterable[Row]) -> Iterator[bytes | OSError]:
        return read(map(self._place, rows))

    def portable(self) -> "FileSource":
        """Return the source with an absolute root."""
        return replace(self, root=portable(self.root))

    def address(self) -> dict[str, Any]:
        """Return by what the same files are opened, whatever the names of folders mean."""
        return {"text": self.location, **self.how}

    def _place(self, row: Row) -> str:
        return below(self.root, self.paths[row.id])


def open_folder(root: str | Path, **how: Any) -> FileSource:
    """Open a folder of images: class/image, split/class/image, or without classes.

    What is passed over is counted in `warnings`; see `data.sources.tree.read_tree`.

    Parameters
    ----------
    root : str or Path
        Or the address of a folder in an object store.
    **how
        As `data.sources.layout.Reading` has it.

    Raises
    ------
    HeadstartError
        If no image is found, a folder cannot be listed, or splits and classes seem mixed.
    """
    root, reading = str(root), Reading(**how)
    tree = read_tree(root)
    if is_url(root):
        _refuse_tables(shown(root), tree)
    if not tree.images:
        raise _no_images(root, "; ".join(tree.warnings()) or "an empty folder", tree.others)
    layout = layout_of(tree.images, shown(root), reading)
    if not layout.rows:
        raise _no_images(root, "; ".join(layout.warnings))
    warnings = [*tree.warnings(), *layout.warnings, *_without_images(tree, layout)]
    return FileSource(
        root,
        layout.class_names,
        layout.rows,
        layout.paths,
        layout.name,
        absolute(root),
        tuple(warnings),
        examples=tuple(layout.examples),
        how={"folders_are_classes": True, **as_json(cast(SourceOptions, how))},
    )


def _refuse_tables(where: str, tree: Tree) -> None:
    """Raise if labels stand in tables that are read on a disk alone: they would be lost without a word."""
    tables = sorted(path for path in tree.others if os.path.basename(path) == CLASSES_CSV)
    if tables:
        raise HeadstartError(
            f"{where!r} has its labels in {CLASSES_CSV}, which is not read in an object store",
            "folders of classes, or a table path,label",
            some_of(tables),
            "download it, or list the images in a CSV file: path,label",
        )


def _without_images(tree: Tree, layout: Layout) -> list[str]:
    """Return a warning that names the folders in the place of classes in which no image lies."""
    if not layout.name.endswith("class/image"):
        return []
    level = layout.name.count("/") - 1
    found = {folder.split(os.sep)[level] for folder in tree.folders if folder.count(os.sep) == level}
    found -= {path.split("/")[level] for path, kind in tree.odd.items() if kind == UNNAMED}
    empty = sorted({printable(name) for name in found}.difference(layout.class_names))
    return [f"folders without any image, which are no classes: {', '.join(empty)}"] if empty else []


def _no_images(root: str, received: str, others: Iterable[str] = ()) -> HeadstartError:
    packed = [each for each in others if each.lower().endswith((".tar", ".zip", ".parquet", ".arrow"))]
    todo = "arrange the images as class/image, or list them in a CSV file: path,label"
    if packed:
        place = below(shown(root), min(packed))
        inner = folder_of(place)
        todo = f"name what holds them: {place}, or a folder of such files alone: {inner}"
    if any(each.lower().endswith(".arrow") for each in packed):
        todo = "write Arrow files as Parquet: datasets.load_from_disk(FOLDER)['train'].to_parquet(FILE)"
    return HeadstartError(
        f"no images were found in {shown(root)!r}",
        "images, best in one subfolder for each class",
        received,
        todo,
    )
