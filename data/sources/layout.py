"""What the paths of images say: classes, splits, labels and groups in names."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace

import numpy as np

from data.errors import HeadstartError, UsageError
from data.patterns import matching
from data.placed import Placed, once, placed
from data.sources.labels import index_labels
from data.sources.rows import Rows, unique_ids
from data.sources.tree import role
from data.splits import SPLIT_NAMES, split_name
from data.text import counted, printable, some_of
from data.texts import Texts

_MOST_ODD = 2  # folders beside those named as splits that are taken for strays
_EXAMPLES = 3
_IN_NAMES = r"where names say the label, as cat.0.jpg: --label-regex '([a-z]+)\.[^/]*$'"


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


class Paths(dict[str, str]):
    """Paths by id, of those rows alone whose id is not the path itself.

    Examples
    --------
    >>> Paths()["cat/1.jpg"]
    'cat/1.jpg'
    """

    def __missing__(self, name: str) -> str:
        return name


@dataclass(frozen=True)
class Layout:
    """What paths say.

    Attributes
    ----------
    name : str
        How the labels were given.
    class_names : tuple of str
    rows : Rows
        In the order in which reading is fastest.
    numbers : ndarray of int64, shape (N,)
        Of each row the number of its path among those that were given.
    paths : Paths
    warnings : list of str
    examples : list of str
        What was taken from names, on three of them.
    """

    name: str
    class_names: tuple[str, ...]
    rows: Rows = field(repr=False)
    numbers: np.ndarray = field(repr=False)
    paths: Paths = field(repr=False)
    warnings: list[str]
    examples: list[str] = field(default_factory=list)


def layout_of(images: Iterable[str], where: str, reading: Reading, arranged: Texts | None = None) -> Layout:
    """Read classes and splits from the folders of images, or labels and groups from their names.

    Images in folders of classes are labelled with these, however deep they lie. The first level is read
    as splits if all its names are common names of splits. Where no image of a split, or of all, is in
    the folder of a class, these have no label.

    Parameters
    ----------
    images : iterable of str
        Paths relative to one folder.
    where : str
        The source, for messages.
    reading : Reading
    arranged : Texts, optional
        Paths of the same images whose folders are splits and classes, where those of `images` are not.

    Raises
    ------
    HeadstartError
        If there are no images, or splits and classes seem mixed.
    UsageError
        If a pattern is none.
    """
    images = Texts.of(images)
    kept, unmatched = matching(images, reading.include, reading.exclude)
    if len(images) and not len(kept):
        raise HeadstartError(
            f"no image of {where!r} is let in",
            "patterns that let some in, of names or of paths as cat/*.jpg",
            "; ".join([*unmatched, *_left_out(len(images))]),
            "correct --include or --exclude",
        )
    arranged = images if arranged is None else arranged
    arranged = arranged if reading.folders_are_classes else once(arranged, role)
    folders = {tuple(path.split(os.sep, 2)[:-1]) for path in arranged.some(kept)}
    tops = sorted({names[0] for names in folders if names})
    splits = not reading.folders_are_classes and _are_splits(tops, where)
    if not reading.folders_are_classes and reading.label_regex is None:
        _refuse_splits_alone(folders, splits, where)
    found = placed(arranged, kept, splits, anywhere=reading.label_regex is not None)
    found = replace(found, images=images)
    names, labels, examples = _labels(found, reading)
    groups, more = _by_pattern(found, reading.group_regex, "--group-regex")
    rows, numbers, paths = _rows(found, labels, groups, where)
    warnings = [*unmatched, *_left_out(len(images) - len(kept)), *escaped(paths), *_loose(found.loose)]
    warnings += _unlabelled(rows, reading)
    if not splits:
        below = {pair for pair in folders if len(pair) > 1}
        warnings += [*_splits_as_classes(tops, below, reading.folders_are_classes), *_splits_inside(below)]
        warnings += _around(tops, below, where) if reading.label_regex is None else []
    shown = tuple(printable(name) for name in names)
    return Layout(_name(found, reading), shown, rows, numbers, paths, warnings, [*examples, *more])


def _rows(
    found: Placed, labels: np.ndarray, groups: Sequence[str | None], where: str
) -> tuple[Rows, np.ndarray, Paths]:
    """Return the rows by splits, classes and paths, the numbers of their paths, and odd paths."""
    order = found.by_path[np.lexsort([column[found.by_path] for column in (found.classes, found.splits)])]
    numbers, paths = found.numbers[order], Paths()
    named = [SPLIT_NAMES.index(name) if name else -1 for name in _full_names(found, where)]

    def ids() -> Iterator[str]:
        for number in numbers.tolist():
            path = found.images[number]
            name = printable(path)
            if name != path:
                paths[name] = path
            yield name

    texts, of_rows = Texts(ids()), np.array(named, np.int8)[found.splits[order]]
    group_names = {printable(name): None for name in groups if name}
    index = {name: number for number, name in enumerate(group_names)}
    coded = np.fromiter((index.get(printable(name or ""), -1) for name in groups), np.int32, len(groups))
    of_groups = coded[order] if groups else None
    rows = Rows.columns(texts, labels[order], of_rows, of_groups, list(group_names))
    return unique_ids(rows, where), numbers, paths


def _full_names(found: Placed, where: str) -> Iterator[str | None]:
    return (split_name(name, where) for name in found.split_names)


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


def _labels(found: Placed, reading: Reading) -> tuple[Sequence[str], np.ndarray, list[str]]:
    """Return class names, the index of each image's, -1 where it has none, and examples of names."""
    if reading.label_regex is None:
        return found.class_names, found.classes, []
    texts, examples = _by_pattern(found, reading.label_regex, "--label-regex")
    names, numbers = index_labels(texts)
    return names, np.array(numbers, np.int32), examples


def _by_pattern(found: Placed, pattern: str | None, option: str) -> tuple[list[str | None], list[str]]:
    """Return what a pattern finds in each path, and a line with examples."""
    if pattern is None:
        return [], []
    compiled = _compiled(pattern, option)
    known: dict[str | None, str | None] = {}
    texts = []
    for path in found.paths():
        match = compiled.search(path.replace(os.sep, "/"))
        text = match[1] if match else None
        texts.append(known.setdefault(text, text))
    shown = [f"{printable(path)} -> {printable(text or 'none')}" for path, text in _different(found, texts)]
    return texts, [f"{option}: {', '.join(shown)}"]


def _different(found: Placed, texts: Sequence[str | None]) -> list[tuple[str, str | None]]:
    """Return examples of different texts, as far as there are some."""
    first: dict[str | None, int] = {}
    for place in found.by_path.tolist():
        first.setdefault(texts[place], place)
        if len(first) == _EXAMPLES:
            break
    return [(found.images[int(found.numbers[place])], text) for text, place in first.items()]


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


def _name(found: Placed, reading: Reading) -> str:
    if reading.label_regex is not None:
        return "labels in names"
    place = "class/image" if (found.classes >= 0).any() else "image"
    return f"split/{place}" if found.has_splits else place


def _left_out(count: int) -> list[str]:
    return [f"{counted(count, 'image')} left out by --include and --exclude"] if count else []


def _unlabelled(rows: Rows, reading: Reading) -> list[str]:
    without = np.flatnonzero(rows.labels < 0)
    if not len(without):
        return []
    images = f"{counted(len(without), 'image')} without a label"
    if reading.label_regex is not None:
        return [f"{images}: --label-regex finds nothing in {some_of(rows.ids.at(without))}"]
    splits = sorted(SPLIT_NAMES[split] for split in np.unique(rows.splits[without]) if split >= 0)
    line = f"{images}, in no folder of a class{' of ' + ', '.join(splits) if splits else ''}"
    return [line if (rows.labels >= 0).any() else f"{line}; {_IN_NAMES}"]


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


def _refuse_splits_alone(folders: Set[tuple[str, ...]], splits: bool, where: str) -> None:
    """Raise where folders would be classes that are those of splits, as Kaggle's train and test1."""
    held = {names for names in folders if names}
    names = {pair[0] for pair in held}
    repeated = splits and all(len(pair) > 1 and pair[0] == pair[1] for pair in held)
    numbered = not splits and _mixed(_split_names(each.rstrip("0123456789") for each in names))
    flat = all(len(pair) == 1 and role(pair[0].rstrip("0123456789")) == "split" for pair in held)
    if not held or not (repeated or (numbered and flat)):
        return
    raise HeadstartError(
        f"{where!r} has folders of splits, and none of classes",
        "folders of classes, or labels in names",
        some_of(sorted("/".join(pair) for pair in held)),
        f"{_IN_NAMES}; or, if these are classes, say --folders-are-classes",
    )


def _around(tops: list[str], below: Set[tuple[str, ...]], where: str) -> list[str]:
    """Return a warning where the only class is a folder that holds several."""
    inner = sorted(printable(pair[1]) for pair in below)
    if len(tops) != 1 or len(inner) < 2:
        return []
    return [
        f"the only class is {printable(tops[0])}, which holds folders: {some_of(inner)}; "
        f"if these are the classes, name {where.rstrip('/')}/{printable(tops[0])}"
    ]


def _split_names(names: Iterable[str]) -> list[str]:
    return [name for name in names if role(name) == "split"]


def _mixed(splits: list[str]) -> bool:
    """Tell whether names are so many splits that chance is unlikely: bus, car and train are vehicles."""
    return len(splits) > 1 and "train" in {split_name(name, "") for name in splits}


def _splits_as_classes(tops: list[str], below: Set[tuple[str, ...]], asked: bool) -> list[str]:
    """Return a warning where classes are named as splits: several, or one that holds folders of images."""
    splits = _split_names(tops)
    holding = [top for top in splits if sum(pair[0] == top for pair in below) > 1]
    if asked or not (_mixed(splits) or holding):
        return []
    named = splits if _mixed(splits) else holding
    return [
        f"read as {'classes' if len(named) > 1 else 'a class'}, though named as "
        f"{'splits' if len(named) > 1 else 'a split'}: {printable(', '.join(named))}"
        + (f"; open {named[0]} alone, or take the other folders elsewhere" if holding else "")
    ]


def _splits_inside(below: Set[tuple[str, ...]]) -> list[str]:
    """Return a warning where folders are class/split, as their images would be split by their hash."""
    inside = sorted({names[1] for names in below})
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
