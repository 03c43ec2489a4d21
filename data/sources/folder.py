"""Image files: one folder for each class, also split/class/image."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from data.errors import HeadstartError
from data.sources.source import Row, Source, Stamp, unique_ids
from data.sources.tree import Tree, read_tree, role
from data.splits import split_name
from data.text import counted, printable, some_of

_MOST_ODD = 2  # folders beside those named as splits that are taken for strays


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
    """

    root: Path
    class_names: tuple[str, ...]
    rows: Sequence[Row] = field(repr=False)
    paths: dict[str, str] = field(repr=False)
    layout: str
    location: str
    warnings: tuple[str, ...] = ()
    sendable: bool = False

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
        if self.layout != "csv":
            return {"text": self.location, "folders_are_classes": True}
        root = os.path.abspath(self.root)
        elsewhere = {} if root == os.path.dirname(self.location) else {"root": root}
        return {"text": self.location, **elsewhere}


def open_folder(root: str | Path, folders_are_classes: bool = False) -> FileSource:
    """Open a folder of class/image or split/class/image.

    Classes are the sorted names of the subfolders in which images lie, however deep. What is
    passed over is counted in `warnings`; see `data.sources.tree.read_tree`. The first level is read as
    splits if all its names are common names of splits.

    Parameters
    ----------
    root : str or Path
    folders_are_classes : bool
        The first level holds classes, whatever their names.

    Raises
    ------
    HeadstartError
        If no image is found, a folder cannot be listed, or splits and classes seem mixed.
    """
    root = Path(root)
    tree = read_tree(root)
    tops = sorted({path.partition(os.sep)[0] for path in tree.images if os.sep in path})
    splits = not folders_are_classes and _are_splits(tops, root)
    placed, loose = _by_place(tree.images, 1 if splits else 0)
    if not placed:
        raise _no_images(root, tree, loose)
    names = sorted({name for _, name in placed})
    labels = {name: label for label, name in enumerate(names)}
    rows: list[Row] = []
    paths: dict[str, str] = {}
    for (top, name), found in sorted(placed.items()):
        split = split_name(top, str(root))
        for path in sorted(found):
            row = Row(printable(path), labels[name], split)
            rows.append(row)
            paths[row.id] = path
    warnings = [*tree.warnings(), *escaped(paths), *_loose(loose), *_without_images(tree, names, splits)]
    if not splits:
        warnings += [*_splits_as_classes(tops, folders_are_classes), *_splits_inside(tree.folders)]
    shown = tuple(printable(name) for name in names)
    layout = "split/class/image" if splits else "class/image"
    unique_ids(rows, str(root))
    return FileSource(root, shown, rows, paths, layout, os.path.abspath(root), tuple(warnings))


def escaped(paths: dict[str, str]) -> list[str]:
    """Return a warning where ids differ from paths, because names are not UTF-8.

    Examples
    --------
    >>> escaped({"cat/1.jpg": "cat/1.jpg"})
    []
    """
    odd = [name for name, path in paths.items() if name != path.replace(os.sep, "/")]
    if not odd:
        return []
    return [f"{len(odd)} file names are not UTF-8; their ids are escaped, the first: {odd[0]}"]


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


def _by_place(images: list[str], level: int) -> tuple[dict[tuple[str, str], list[str]], list[str]]:
    """Return images by split (empty: none) and class, whose folders lie at a level, and the loose ones."""
    placed: dict[tuple[str, str], list[str]] = {}
    loose = []
    for path in images:
        folders = path.split(os.sep, level + 1)[:-1]
        if len(folders) > level:
            placed.setdefault((folders[0] if level else "", folders[level]), []).append(path)
        else:
            loose.append(path)
    return placed, loose


def _are_splits(tops: list[str], root: Path) -> bool:
    """Tell whether folders are splits, or raise where some are and a few are not."""
    splits, odd = _split_names(tops), [top for top in tops if role(top) != "split"]
    if not odd or not _mixed(splits):
        return not odd and bool(splits)
    if len(odd) > _MOST_ODD:
        return False
    raise HeadstartError(
        f"{str(root)!r} has folders of splits and others",
        "folders of splits alone, named as train, validation and test, or of classes alone",
        f"{printable(', '.join(splits))}; beside them {printable(', '.join(odd))}",
        "take these elsewhere; or, if all of them are classes, say --folders-are-classes",
    )


def _split_names(names: Iterable[str]) -> list[str]:
    return [name for name in names if role(name) == "split"]


def _mixed(splits: list[str]) -> bool:
    """Tell whether names are so many splits that chance is unlikely: bus, car and train are vehicles."""
    return len(splits) > 1 and "train" in {split_name(name, "") for name in splits}


def _splits_as_classes(tops: list[str], asked: bool) -> list[str]:
    splits = _split_names(tops)
    if asked or not _mixed(splits):
        return []
    return [f"read as classes, though named as splits: {printable(', '.join(splits))}"]


def _splits_inside(folders: list[str]) -> list[str]:
    """Return a warning where folders are class/split, as their images would be split by their hash."""
    inside = sorted({folder.split(os.sep)[1] for folder in folders if folder.count(os.sep) == 1})
    splits = _split_names(inside)
    if not _mixed(splits):
        return []
    return [
        f"folders inside classes are not read as splits: {printable(', '.join(splits))}; "
        "arrange the images as split/class/image to keep them"
    ]


def _loose(paths: list[str]) -> list[str]:
    if not paths:
        return []
    one = len(paths) == 1
    names = some_of([printable(path) for path in sorted(paths)])
    return [
        f"{counted(len(paths), 'image')} {'lies' if one else 'lie'} in no class folder: {names}; "
        "put each into the folder of its class, or list the images in a CSV file: path,label"
    ]


def _without_images(tree: Tree, names: list[str], splits: bool) -> list[str]:
    """Return a warning that names the folders in the place of classes in which no image lies."""
    level = 1 if splits else 0
    found = {folder.split(os.sep)[level] for folder in tree.folders if folder.count(os.sep) == level}
    empty = sorted(printable(name) for name in found.difference(names))
    return [f"folders without any image, which are no classes: {', '.join(empty)}"] if empty else []


def _no_images(root: Path, tree: Tree, loose: list[str]) -> HeadstartError:
    received = "; ".join(tree.warnings()) or "an empty folder"
    if loose:
        received = f"{counted(len(loose), 'image')}, in no class folder"
    return HeadstartError(
        f"no images were found in class folders of {str(root)!r}",
        "one subfolder for each class, with images in it",
        received,
        "arrange the images as class/image, or list them in a CSV file: path,label",
    )
