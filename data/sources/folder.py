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
from data.sources.tree import Tree, read_tree
from data.text import printable


@dataclass(frozen=True)
class FileSource(Source):
    """Image files under one root.

    Attributes
    ----------
    root : Path
    class_names : tuple of str
    rows : sequence of Row
        The id is the path relative to `root`, with ``/``.
    paths : dict of str to str
        Relative path of each id; differs from it only where a name is not UTF-8.
    layout : str
        How the labels were given, for `describe`.
    location : str
        Absolute path of what was opened; it belongs to this machine, so `describe` is without.
    warnings : tuple of str
    sendable : bool
        As `data.sources.source.Source` has it: the images of a folder are not sent, those of a CSV file are.
    how : mapping
        Options by which the same files are opened again, ready for JSON.
    """

    root: Path
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
        """Return size and modification time (ns) of each row's file; None where there is none."""
        return [_stamp(os.path.join(self.root, self.paths[row.id])) for row in self.rows]

    def read(self, rows: Iterable[Row]) -> Iterator[bytes | OSError]:
        for row in rows:
            yield _read(self.root / self.paths[row.id])

    def portable(self) -> "FileSource":
        """Return the source with an absolute root."""
        return replace(self, root=self.root.absolute())

    def address(self) -> dict[str, Any]:
        """Return by what the same files are opened, whatever the names of folders mean."""
        return {"text": self.location, **self.how}


def open_folder(root: str | Path, **how: Any) -> FileSource:
    """Open a folder of images: class/image, split/class/image, or without classes.

    What is passed over is counted in `warnings`; see `data.sources.tree.read_tree`.

    Parameters
    ----------
    root : str or Path
    **how
        As `data.sources.layout.Reading` has it.

    Raises
    ------
    HeadstartError
        If no image is found, a folder cannot be listed, or splits and classes seem mixed.
    """
    root, reading = Path(root), Reading(**how)
    tree = read_tree(root)
    if not tree.images:
        raise _no_images(root, "; ".join(tree.warnings()) or "an empty folder")
    layout = layout_of(tree.images, str(root), reading)
    if not layout.rows:
        raise _no_images(root, "; ".join(layout.warnings))
    warnings = [*tree.warnings(), *layout.warnings, *_without_images(tree, layout)]
    return FileSource(
        root,
        layout.class_names,
        layout.rows,
        layout.paths,
        layout.name,
        os.path.abspath(root),
        tuple(warnings),
        examples=tuple(layout.examples),
        how={"folders_are_classes": True, **as_json(cast(SourceOptions, how))},
    )


def _read(path: Path) -> bytes | OSError:
    try:
        return path.read_bytes()
    except OSError as error:
        return error


def _stamp(path: str) -> Stamp | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def _without_images(tree: Tree, layout: Layout) -> list[str]:
    """Return a warning that names the folders in the place of classes in which no image lies."""
    if not layout.name.endswith("class/image"):
        return []
    level = layout.name.count("/") - 1
    found = {folder.split(os.sep)[level] for folder in tree.folders if folder.count(os.sep) == level}
    empty = sorted({printable(name) for name in found}.difference(layout.class_names))
    return [f"folders without any image, which are no classes: {', '.join(empty)}"] if empty else []


def _no_images(root: Path, received: str) -> HeadstartError:
    return HeadstartError(
        f"no images were found in {str(root)!r}",
        "images, best in one subfolder for each class",
        received,
        "arrange the images as class/image, or list them in a CSV file: path,label",
    )
