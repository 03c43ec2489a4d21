"""Labels of a source: their names, and which of them look odd or alike."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from numbers import Integral, Real
from unicodedata import category, normalize

import numpy as np

from data.names import shortened
from data.sources.source import Source
from data.splits import SPLIT_NAMES, split_of
from data.text import counted, some_of

_WHOLE = re.compile(r"-?\d+(\.0*)?")
_WORDS = {"nan", "na", "n/a", "#n/a", "<na>", "nat", "none", "null", "nil", "inf", "+inf", "-inf", "infinity"}
_MANY = 10  # labels, most of which one image alone has
_NUMBERS = {255, 999, 9999, 2**15 - 1, 2**16 - 1, 2**31 - 1, 2**32 - 1}  # the last of a type, or far off


def index_labels(labels: Iterable) -> tuple[tuple[str, ...], list[int]]:
    """Turn labels into class names and indices into them.

    Parameters
    ----------
    labels : iterable of str, int, float or None
        None, NaN and empty text mean unknown and become -1. Where all labels are whole numbers,
        the label -1 and the text ``nan`` do so too, and the names are sorted as numbers; beside
        other names they are classes. `label_warnings` says which it was.

    Examples
    --------
    >>> index_labels(["dog", "cat", "", "dog"])
    (('cat', 'dog'), [1, 0, -1, 1])
    >>> index_labels([10, 9, -1])
    (('9', '10'), [1, 0, -1])
    >>> index_labels(["-1", "cat"])
    (('-1', 'cat'), [0, 1])
    """
    texts = [label_text(label) for label in labels]
    odd, whole = _odd_labels(texts)
    unknown = odd | {""} if whole else {""}
    names = sorted(set(texts) - unknown, key=float if whole else None)
    index = {name: number for number, name in enumerate(names)} | dict.fromkeys(unknown, -1)
    return tuple(names), [index[text] for text in texts]


def label_warnings(labels: Sequence[object], named: bool = False) -> list[str]:
    """Say of labels that may mean unknown what they are taken for, by `index_labels` or as indices.

    Those are what other programs write where there is no label: words as ``None`` and ``NA``, negative
    numbers, and numbers as 255 that stand alone above all others. That empty labels and None are unknown
    is not said.

    Parameters
    ----------
    labels : sequence of str, int, float or None
    named : bool
        They are indices into names that were given.

    Examples
    --------
    >>> label_warnings([0, 1, -1])
    ['1 image with the label -1: unknown, as all labels are whole numbers']
    >>> label_warnings(["cat", "-1"])
    ['1 image with the label -1: a class; where it means unlabelled, leave the cell empty']
    >>> label_warnings(["cat", "NA", "cat", "None", "NA"])
    ['3 images with the labels NA (2), None (1): classes; where they mean unlabelled, leave the cell empty']
    >>> label_warnings([0, 1, -1, float("nan")], named=True)
    ['1 image with the label nan: unknown', '1 image with the label -1: unknown, as class names count from 0']
    """
    missing = sum(label != label for label in labels)  # NaN alone is not equal to itself
    lines = [f"{counted(missing, 'image')} with the label nan: unknown"] if missing else []
    counts = Counter(label_text(label) for label in labels)
    odd, whole = _odd_labels(counts)
    unknown = sorted(odd) if whole or named else []
    taken = "unknown, as " + ("class names count from 0" if named else "all labels are whole numbers")
    lines += [f"{counted(counts[text], 'image')} with the label {text}: {taken}" for text in unknown]
    if len(counts) >= _MANY and len(counts) > len(labels) / 2:
        lines.append(f"{len(counts)} different labels of {len(labels)} images: are they names or captions?")
    classes = {text: counts[text] for text in counts if text not in unknown}
    return lines if named else lines + _doubtful_classes(classes, whole)


def _doubtful_classes(counts: dict[str, int], whole: bool) -> list[str]:
    """Name in one line the classes whose label often means unknown; a number does among lower ones alone."""
    numbers = {text: float(text) for text in counts if _WHOLE.fullmatch(text)}
    highest = max((number for number in numbers.values() if number not in _NUMBERS), default=-1)
    alone = {text for text, number in numbers.items() if number in _NUMBERS and number > highest + 1}
    negative = {text for text, number in numbers.items() if number < 0}
    doubtful = sorted({text for text in counts if text.lower() in _WORDS} | alone | negative)
    if not doubtful:
        return []
    images = counted(sum(counts[text] for text in doubtful), "image")
    todo = "leave the cell empty" + (" or write -1" if whole else "")
    if len(doubtful) == 1:
        return [f"{images} with the label {doubtful[0]}: a class; where it means unlabelled, {todo}"]
    named = ", ".join(f"{text} ({counts[text]})" for text in doubtful)
    return [f"{images} with the labels {named}: classes; where they mean unlabelled, {todo}"]


def _odd_labels(texts: Iterable[str]) -> tuple[set[str], bool]:
    """Return the labels that may mean unknown, and whether all others are whole numbers."""
    found = set(texts) - {""}
    odd = {text for text in found if text.lower() == "nan" or (_WHOLE.fullmatch(text) and float(text) == -1)}
    return odd, all(map(_WHOLE.fullmatch, found - odd))


def label_text(label: object) -> str:
    """Return a label, or a split, as text: that of unknown ones is empty, whole numbers have no point.

    Examples
    --------
    >>> label_text(b"cat"), label_text(7.0), label_text(float("nan")), label_text(None)
    ('cat', '7', '', '')
    """
    if isinstance(label, bytes):
        return label.decode("utf-8", "backslashreplace")
    if label is None or label != label:  # NaN alone is not equal to itself
        return ""
    if isinstance(label, Real) and not isinstance(label, Integral) and float(label).is_integer():
        label = int(float(label))
    return str(label).encode("utf-8", "backslashreplace").decode()


def look_alikes(kind: str, names: Iterable[str]) -> list[str]:
    """Warn of names that look the same and are not: other forms of Unicode, blanks, capitals or zeros.

    Parameters
    ----------
    kind : str
        What the names are of, in the plural.
    names : iterable of str

    Examples
    --------
    >>> look_alikes("classes", ["cat", "cat ", "dog"])
    ["classes that look alike are told apart: 'cat', 'cat '; write both in one way"]
    >>> look_alikes("classes", ["01", "1", "Cat", "cat", "10"])[1]
    "classes that look alike are told apart: 'Cat', 'cat'; write both in one way"
    """
    looks: dict[str, list[str]] = {}
    for name in sorted(set(names)):
        seen = "".join(sign for sign in normalize("NFKC", name) if category(sign) != "Cf")
        seen = re.sub(r"\b0+(?=\d)", "", " ".join(seen.casefold().split()))
        looks.setdefault(seen, []).append(ascii(name))
    return [
        f"{kind} that look alike are told apart: {', '.join(same)}; write both in one way"
        for same in looks.values()
        if len(same) > 1
    ]


def source_warnings(source: Source) -> list[str]:
    """Return what the user should know of a source and its labels, as every command that reads it says.

    Rows that name neither split nor group are taken for training rows: no image is read.

    Parameters
    ----------
    source : Source

    Examples
    --------
    >>> from data.sources.arrays import from_arrays
    >>> source_warnings(from_arrays(np.zeros((2, 8, 8)), ["cat", "Cat"]))
    ["classes that look alike are told apart: 'Cat', 'cat'; write both in one way"]
    """
    splits = [split_of(row, b"") if row.split or row.group else "train" for row in source.rows]
    return [
        *source.warnings,
        *check_labels(
            np.array([row.label for row in source.rows], np.int32),
            np.array([SPLIT_NAMES.index(split) for split in splits], np.int8),
            np.empty((0, 32), np.uint8),
            [row.id for row in source.rows],
            source.class_names,
            [row.group or "" for row in source.rows],
        ),
    ]


def check_labels(
    y: np.ndarray,
    splits: np.ndarray,
    digests: np.ndarray,
    ids: Sequence[str],
    class_names: Sequence[str],
    groups: Sequence[str] = (),
) -> list[str]:
    """Return warnings about the labels of rows, each with what follows from it.

    Parameters
    ----------
    y : ndarray of int, shape (N,)
        Indices into `class_names`; -1 where unknown.
    splits : ndarray of int, shape (N,)
        Indices into `data.splits.SPLIT_NAMES`.
    digests : ndarray of uint8, shape (N, 32)
        Sha256 of the bytes of each image; empty where they are not known.
    ids : sequence of N str
    class_names : sequence of str
    groups : sequence of N str, optional
        Empty for none.

    Examples
    --------
    >>> digests = np.zeros((2, 32), np.uint8)
    >>> check_labels(np.array([0, 1]), np.zeros(2, int), digests, ["a.png", "b.png"], ["cat", "dog"])
    ['1 image has several labels: a.png (cat) = b.png (dog); no head is right about all of them']
    """
    return [
        *look_alikes("classes", class_names),
        *_untrained(y, splits, class_names),
        *(_contradictions(y, digests, ids, class_names) if len(digests) else ()),
        *_divided(divided_groups(groups, y, splits)),
    ]


def thin_classes(y: np.ndarray, splits: np.ndarray, class_names: Sequence[str]) -> list[str]:
    """Name, in one line, the classes that have fewer than two rows in a split.

    A split without any labelled row is taken to be meant so. Classes without a training row are
    named by `check_labels`.

    Parameters
    ----------
    y, splits, class_names
        As `check_labels` takes them.

    Examples
    --------
    >>> y, splits = np.array([0, 0, 1, 1, 0, 0, 1]), np.array([0, 0, 0, 0, 2, 2, 2])
    >>> thin_classes(y, splits, ["cat", "dog"])
    ['1 class has fewer than two rows in a split: dog (1 test); its scores there say little']
    """
    labels = np.unique(y[y >= 0])
    counts = {
        name: np.bincount(y[(splits == place) & (y >= 0)], minlength=len(class_names))[labels]
        for place, name in enumerate(SPLIT_NAMES)
    }
    few = {name: found < 2 for name, found in counts.items() if found.any()}
    few |= {"train": counts["train"] == 1} if "train" in few else {}
    thin: list[int] = np.flatnonzero(np.any([*few.values()], axis=0)).tolist() if few else []
    if not thin:
        return []
    shown = [
        f"{shortened(class_names[labels[place]])} ("
        + ", ".join(f"{counts[name][place]} {name}" for name, wanting in few.items() if wanting[place])
        + ")"
        for place in thin
    ]
    classes, their = ("1 class has", "its") if len(thin) == 1 else (f"{len(thin)} classes have", "their")
    return [f"{classes} fewer than two rows in a split: {some_of(shown, 5)}; {their} scores there say little"]


def divided_groups(groups: Sequence[str], y: np.ndarray, splits: np.ndarray) -> list[str]:
    """Return the groups that have labelled rows both in training and in another split, by name.

    Examples
    --------
    >>> divided_groups(["a", "a", "b", ""], np.array([0, 1, 1, 0]), np.array([0, 2, 0, 1]))
    ['a']
    """
    if not groups:
        return []
    training: set[str] = set()
    others: set[str] = set()
    for row in np.flatnonzero(y >= 0).tolist():
        (others if splits[row] else training).add(groups[row])
    return sorted((training & others) - {""})


def _divided(groups: list[str]) -> list[str]:
    if not groups:
        return []
    told = "1 group is" if len(groups) == 1 else f"{len(groups)} groups are"
    return [f"{told} in training and in another split: {some_of(groups, 4)}; classify train refuses that"]


def _untrained(y: np.ndarray, splits: np.ndarray, class_names: Sequence[str]) -> list[str]:
    """Name the classes that have rows, and none to train on; where nothing is to train on, none is missed."""
    training = splits == SPLIT_NAMES.index("train")
    missed = np.setdiff1d(y[y >= 0], y[training])
    if not len(missed) or not (y[training] >= 0).any():
        return []
    names = some_of([class_names[label] for label in missed], 10)
    rows = int(np.isin(y, missed).sum())
    one = len(missed) == 1
    classes, them, their = (
        ("1 class has", "it", "its") if one else (f"{len(missed)} classes have", "them", "their")
    )
    wrong = f"{their} {counted(rows, 'row')} {'counts' if rows == 1 else 'count'} as wrong"
    return [f"{classes} no training row: {names}; a head never predicts {them}, so {wrong}"]


def _contradictions(
    y: np.ndarray, digests: np.ndarray, ids: Sequence[str], class_names: Sequence[str]
) -> list[str]:
    """Name equal images that have different labels."""
    rows = np.flatnonzero(y >= 0)
    images = np.ascontiguousarray(digests[rows]).view("V32")[:, 0]
    _, image = np.unique(images, return_inverse=True)
    rows, image = rows[np.argsort(image, kind="stable")], np.sort(image)
    starts = np.flatnonzero(np.diff(image, prepend=-1))
    if not len(starts):
        return []
    lowest, highest = (extreme.reduceat(y[rows], starts) for extreme in (np.minimum, np.maximum))
    odd = np.flatnonzero(lowest < highest)
    if not len(odd):
        return []
    ends = [*starts[1:], len(rows)]
    groups = sorted(rows[starts[number] : ends[number]].tolist() for number in odd)
    shown = [" = ".join(f"{ids[row]} ({class_names[y[row]]})" for row in group) for group in groups[:4]]
    told = "1 image has" if len(odd) == 1 else f"{len(odd)} images have"
    return [f"{told} several labels: {some_of(shown)}; no head is right about all of them"]
