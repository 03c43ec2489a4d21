"""What the paths of images say: classes, splits, labels and groups in names."""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from data.errors import HeadstartError, UsageError
from data.sources.labels import index_labels
from data.sources.source import Row, unique_ids
from data.sources.tree import role
from data.splits import split_name
from data.text import counted, printable, some_of

_MOST_ODD = 2  # folders beside those named as splits that are taken for strays
_EXAMPLES = 3


@dataclass(frozen=True)
class Reading:
    """How paths are read.

    Attributes
    ----------
    folders_are_classes : bool
        The first level holds classes, whatever their names.
    include, exclude : sequence of str
        Patterns of a shell; one without ``/`` is of a file's or a folder's name, others are of the whole
        path, in which ``*`` stands for anything.
    label_regex, group_regex : str or None
        Found in a path, their one group in brackets is the label, the group.
    """

    folders_are_classes: bool = False
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    label_regex: str | None = None
    group_regex: str | None = None


@dataclass(frozen=True)
class Layout:
    """What paths say.

    Attributes
    ----------
    name : str
        How the labels were given.
    class_names : tuple of str
    rows : list of Row
        In the order in which reading is fastest.
    paths : dict of str to str
        Of each id.
    warnings : list of str
    examples : list of str
        What was taken from names, on three of them.
    """

    name: str
    class_names: tuple[str, ...]
    rows: list[Row] = field(repr=False)
    paths: dict[str, str] = field(repr=False)
    warnings: list[str]
    examples: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Found:
    """Paths of images with the names of their splits (empty: none) and classes (None: none)."""

    images: dict[str, tuple[str, str | None]]
    loose: list[str]
    splits: bool

    def place(self, path: str) -> tuple[str, str]:
        """Return split and class of an image, empty where it has none."""
        split, name = self.images[path]
        return split, name or ""


def layout_of(images: Sequence[str], where: str, reading: Reading) -> Layout:
    """Read classes and splits from the folders of images, or labels and groups from their names.

    Images in folders of classes are labelled with these, however deep they lie. The first level is read
    as splits if all its names are common names of splits. Where no image of a split, or of all, is in
    the folder of a class, these have no label.

    Parameters
    ----------
    images : sequence of str
        Paths relative to one folder.
    where : str
        The source, for messages.
    reading : Reading

    Raises
    ------
    HeadstartError
        If there are no images, or splits and classes seem mixed.
    UsageError
        If a pattern is none.
    """
    kept = _kept(images, reading)
    tops = sorted({path.partition(os.sep)[0] for path in kept if os.sep in path})
    splits = not reading.folders_are_classes and _are_splits(tops, where)
    found = _placed(kept, splits, anywhere=reading.label_regex is not None)
    labels, examples = _labels(found, reading)
    names, numbers = _numbered(labels, by_name=reading.label_regex is not None)
    groups, more = _by_pattern(found.images, reading.group_regex, "--group-regex")
    rows, paths = [], {}
    for path in sorted(numbers, key=lambda path: (*found.place(path), path)):
        split = split_name(found.images[path][0], where)
        row = Row(printable(path), numbers[path], split, printable(groups.get(path) or "") or None)
        rows.append(row)
        paths[row.id] = path
    unique_ids(rows, where)
    warnings = [*_left_out(len(images) - len(kept)), *escaped(paths), *_loose(found.loose)]
    warnings += _unlabelled(rows, reading)
    if not splits:
        warnings += [*_splits_as_classes(tops, kept, reading.folders_are_classes), *_splits_inside(kept)]
    shown = tuple(printable(name) for name in names)
    return Layout(_name(found, reading), shown, rows, paths, warnings, [*examples, *more])


def escaped(paths: Mapping[str, str]) -> list[str]:
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


def _kept(images: Sequence[str], reading: Reading) -> list[str]:
    """Return the paths that patterns let in."""
    wanted = [path for path in images if not reading.include or _matches(path, reading.include)]
    return [path for path in wanted if not _matches(path, reading.exclude)]


def _matches(path: str, patterns: Iterable[str]) -> bool:
    path = path.replace(os.sep, "/")
    parts = path.split("/")
    return any(
        fnmatchcase(path, pattern) if "/" in pattern else any(fnmatchcase(part, pattern) for part in parts)
        for pattern in patterns
    )


def _placed(images: Sequence[str], splits: bool, anywhere: bool) -> _Found:
    """Find split and class of images; in no class folder they are loose, or none of their split is in one."""
    level = 1 if splits else 0
    found: dict[str, tuple[str, str | None]] = {}
    loose = []
    for path in images:
        folders = path.split(os.sep)[:-1]
        split = folders[0] if splits and folders else ""
        if len(folders) > level:
            found[path] = split, folders[level]
        else:
            loose.append((split, path))
    labelled = set() if anywhere else {split for split, _ in found.values()}
    found |= {path: (split, None) for split, path in loose if split not in labelled and (split or not splits)}
    return _Found(found, [path for _, path in loose if path not in found], splits)


def _labels(found: _Found, reading: Reading) -> tuple[dict[str, str | None], list[str]]:
    """Return the label of each image, None where it has none, and examples where names say it."""
    if reading.label_regex is not None:
        return _by_pattern(found.images, reading.label_regex, "--label-regex")
    return {path: name for path, (_, name) in found.images.items()}, []


def _by_pattern(
    paths: Iterable[str], pattern: str | None, option: str
) -> tuple[dict[str, str | None], list[str]]:
    """Return what a pattern finds in each path, and a line with examples."""
    if pattern is None:
        return {}, []
    compiled = _compiled(pattern, option)
    found = {}
    for path in paths:
        match = compiled.search(path.replace(os.sep, "/"))
        found[path] = match[1] if match else None
    shown = [f"{printable(path)} -> {printable(text or 'none')}" for path, text in _different(found)]
    return found, [f"{option}: {', '.join(shown)}"]


def _different(found: Mapping[str, str | None]) -> list[tuple[str, str | None]]:
    """Return examples of different texts, as far as there are some."""
    first: dict[str | None, str] = {}
    for path in sorted(found):
        first.setdefault(found[path], path)
    return [(path, text) for text, path in list(first.items())[:_EXAMPLES]]


def _compiled(pattern: str, option: str) -> re.Pattern[str]:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise UsageError(
            f"{option} is no regular expression",
            "one that Python reads",
            f"{pattern!r}: {error}",
            "correct it",
        ) from error
    if compiled.groups != 1:
        raise UsageError(
            f"{option} has {counted(compiled.groups, 'group')}",
            r"one group in brackets, as in '^([a-z]+)\.' for cat.12.jpg",
            repr(pattern),
            "put brackets around what is the text, and write others as (?:...)",
        )
    return compiled


def _numbered(labels: Mapping[str, str | None], by_name: bool) -> tuple[Sequence[str], dict[str, int]]:
    """Return class names, and the index of each path's; -1 where it has none."""
    if by_name:
        names, numbers = index_labels(labels.values())
        return names, dict(zip(labels, numbers, strict=True))
    sorted_names = sorted({name for name in labels.values() if name is not None})
    index: dict[str | None, int] = {name: number for number, name in enumerate(sorted_names)}
    return sorted_names, {path: index.get(name, -1) for path, name in labels.items()}


def _name(found: _Found, reading: Reading) -> str:
    if reading.label_regex is not None:
        return "labels in names"
    place = "class/image" if any(name for _, name in found.images.values()) else "image"
    return f"split/{place}" if found.splits else place


def _left_out(count: int) -> list[str]:
    return [f"{counted(count, 'image')} left out by --include and --exclude"] if count else []


def _unlabelled(rows: Sequence[Row], reading: Reading) -> list[str]:
    without = [row for row in rows if row.label < 0]
    if not without:
        return []
    images = f"{counted(len(without), 'image')} without a label"
    if reading.label_regex is not None:
        return [f"{images}: --label-regex finds nothing in {some_of([row.id for row in without])}"]
    splits = sorted({row.split for row in without if row.split})
    return [f"{images}, in no folder of a class{' of ' + ', '.join(splits) if splits else ''}"]


def _are_splits(tops: list[str], where: str) -> bool:
    """Tell whether folders are splits, or raise where some are and a few are not."""
    splits, odd = _split_names(tops), [top for top in tops if role(top) != "split"]
    if not odd or not _mixed(splits):
        return not odd and bool(splits)
    if len(odd) > _MOST_ODD:
        return False
    raise HeadstartError(
        f"{where!r} has folders of splits and others",
        "folders of splits alone, named as train, validation and test, or of classes alone",
        f"{printable(', '.join(splits))}; beside them {printable(', '.join(odd))}",
        "take these elsewhere; or, if all of them are classes, say --folders-are-classes",
    )


def _split_names(names: Iterable[str]) -> list[str]:
    return [name for name in names if role(name) == "split"]


def _mixed(splits: list[str]) -> bool:
    """Tell whether names are so many splits that chance is unlikely: bus, car and train are vehicles."""
    return len(splits) > 1 and "train" in {split_name(name, "") for name in splits}


def _splits_as_classes(tops: list[str], images: Sequence[str], asked: bool) -> list[str]:
    """Return a warning where classes are named as splits: several, or one that holds folders of images."""
    splits = _split_names(tops)
    below = {tuple(path.split(os.sep)[:2]) for path in images if path.count(os.sep) > 1}
    holding = [top for top in splits if sum(pair[0] == top for pair in below) > 1]
    if asked or not (_mixed(splits) or holding):
        return []
    named = splits if _mixed(splits) else holding
    return [
        f"read as {'classes' if len(named) > 1 else 'a class'}, though named as "
        f"{'splits' if len(named) > 1 else 'a split'}: {printable(', '.join(named))}"
        + (f"; open {named[0]} alone, or take the other folders elsewhere" if holding else "")
    ]


def _splits_inside(images: Sequence[str]) -> list[str]:
    """Return a warning where folders are class/split, as their images would be split by their hash."""
    inside = sorted({path.split(os.sep)[1] for path in images if path.count(os.sep) > 1})
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
