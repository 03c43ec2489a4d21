"""Image files: one folder for each class, also split/class/image."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from data.errors import HeadstartError, counted
from data.source import Row, unique_ids
from data.splits import is_split, split_name

_SUFFIXES = "avif bmp gif jfif jp2 jpe jpeg jpg pbm pgm png pnm ppm tga tif tiff webp"
IMAGE_SUFFIXES = frozenset("." + suffix for suffix in _SUFFIXES.split())


@dataclass(frozen=True)
class FileSource:
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
    """

    root: Path
    class_names: tuple[str, ...]
    rows: Sequence[Row] = field(repr=False)
    paths: dict[str, str] = field(repr=False)
    layout: str
    location: str
    warnings: tuple[str, ...] = ()

    def describe(self) -> dict:
        return {"kind": "files", "layout": self.layout}

    def stamps(self) -> list[tuple[int, int] | None]:
        """Return size and modification time (ns) of each row's file; None where there is none."""
        return [_stamp(os.path.join(self.root, self.paths[row.id])) for row in self.rows]

    def read(self, rows: Iterable[Row]) -> Iterator[bytes | OSError]:
        for row in rows:
            try:
                yield (self.root / self.paths[row.id]).read_bytes()
            except OSError as error:
                yield error


def open_folder(root: Path) -> FileSource:
    """Open a folder of class/image or split/class/image.

    Classes are the sorted names of the subfolders; images may lie deeper. Hidden files are
    passed over, as are files that no image has the name of; the latter are counted in
    `warnings`. The first level is read as splits only if all its names are splits.

    Raises
    ------
    HeadstartError
        If no image is found.
    """
    tops = _subfolders(root)
    splits = bool(tops) and all(is_split(name) for name in tops)
    tree = {top: _subfolders(root / top) for top in tops} if splits else {"": tops}
    names = tuple(sorted({name for classes in tree.values() for name in classes}))
    number = {name: index for index, name in enumerate(names)}
    rows, paths, passed = [], {}, _loose_files(root, tree)
    for top, classes in tree.items():
        for name in classes:
            for path in _files(root, os.path.join(top, name)):
                if os.path.splitext(path)[1].lower() not in IMAGE_SUFFIXES:
                    passed.append(path)
                    continue
                row = Row(printable(path), number[name], split_name(top, str(root)))
                rows.append(row)
                paths[row.id] = path
    if not rows:
        raise _no_images(root, passed)
    layout = "split/class/image" if splits else "class/image"
    warnings = (*passed_over(passed), *escaped(paths), *_empty_classes(names, rows))
    shown = tuple(printable(name) for name in names)
    location = os.path.abspath(root)
    return FileSource(root, shown, unique_ids(rows, str(root)), paths, layout, location, warnings)


def printable(path: str) -> str:
    """Return a relative path as text with ``/``; bytes that are not UTF-8 are escaped.

    Examples
    --------
    >>> printable("cat/caf\\udce9.jpg")
    'cat/caf\\\\udce9.jpg'
    """
    return path.replace(os.sep, "/").encode("utf-8", "backslashreplace").decode()


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


def passed_over(paths: list[str]) -> list[str]:
    """Return a warning that counts files that were not taken for images.

    Examples
    --------
    >>> passed_over(["cat/notes.txt"])
    ['1 file passed over, not named like an image: .txt 1']
    """
    if not paths:
        return []
    counts = Counter(Path(path).suffix.lower() or "no suffix" for path in paths)
    kinds = ", ".join(f"{suffix} {count}" for suffix, count in counts.most_common(5))
    return [f"{counted(len(paths), 'file')} passed over, not named like an image: {printable(kinds)}"]


def _stamp(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def _subfolders(folder: Path) -> list[str]:
    """Return subfolders by name; a link to the folder itself or one above it would repeat every image."""
    with os.scandir(folder) as entries:
        found = [entry for entry in entries if entry.is_dir() and not entry.name.startswith(".")]
    above = [os.path.realpath(folder), *map(str, Path(os.path.realpath(folder)).parents)]
    return sorted(entry.name for entry in found if os.path.realpath(entry.path) not in above)


def _files(root: Path, folder: str) -> list[str]:
    found = []
    for base, folders, files in os.walk(root / folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        relative = os.path.relpath(base, root)
        found += [os.path.join(relative, name) for name in files if not name.startswith(".")]
    return sorted(found)


def _loose_files(root: Path, tree: dict[str, list[str]]) -> list[str]:
    return [
        os.path.join(top, name)
        for top in {"", *tree}
        for name in sorted(os.listdir(root / top))
        if not name.startswith(".") and (root / top / name).is_file()
    ]


def _empty_classes(names: tuple[str, ...], rows: list[Row]) -> list[str]:
    seen = {row.label for row in rows}
    empty = [printable(name) for number, name in enumerate(names) if number not in seen]
    return [f"classes without any image: {', '.join(empty)}"] if empty else []


def _no_images(root: Path, passed: list[str]) -> HeadstartError:
    received = "; ".join(passed_over(passed)) or "an empty folder"
    if any(Path(path).suffix.lower() in IMAGE_SUFFIXES for path in passed):
        received = "images that lie in no class folder"
    return HeadstartError(
        f"no images were found in {str(root)!r}",
        "one subfolder for each class, with images in it",
        received,
        "arrange the images as class/image, or list them in a CSV file: path,label",
    )
