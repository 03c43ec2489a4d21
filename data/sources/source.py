"""What a source of labelled images is, and how the command line names one."""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from numbers import Integral, Real
from pathlib import Path
from typing import Protocol, runtime_checkable
from unicodedata import category, normalize

from data.errors import HeadstartError, NotFoundError, UsageError, is_missing
from data.text import counted

Stamp = tuple[int, int]  # size, and modification time in nanoseconds
_WHOLE = re.compile(r"-?\d+(\.0*)?")


@dataclass(frozen=True, slots=True)
class Row:
    """One image of a source, without its bytes.

    Attributes
    ----------
    id : str
        Stable name in the source: a relative path, a TFDS id, an index.
    label : int
        Index into the source's ``class_names``; -1 where unknown.
    split : str or None
        ``train``, ``validation`` or ``test``; None where the source does not say.
    group : str or None
        Rows of one group (a patient, a burst) must stay in one split.
    """

    id: str
    label: int
    split: str | None = None
    group: str | None = None


@runtime_checkable
class Source(Protocol):
    """Labelled images by name, their encoded bytes on demand.

    A class of your own inherits it, and has then what it need not say itself: `location`, `sendable`,
    `partial`, `stamps` and `portable`.

    Attributes
    ----------
    class_names : tuple of str
    rows : sequence of Row
        In the source's own order, in which reading is fastest; ids are unique.
    warnings : tuple of str
        What the user should know: files passed over, names escaped.
    location : str or None
        Absolute path of what was opened; it belongs to this machine, so `describe` is without. None
        where the source is no path.
    sendable : bool
        Whether its bytes are sent to other nodes that do not read it by themselves, or every node has
        to: to send a large folder would take longer than to compute.
    partial : bool
        Whether it holds some rows of another source at the same location.
    """

    class_names: tuple[str, ...]
    rows: Sequence[Row]
    warnings: tuple[str, ...]
    location: str | None = None
    sendable: bool = True
    partial: bool = False

    def describe(self) -> dict:
        """Return what the source is as JSON-ready values, free of paths and times."""
        ...

    def read(self, rows: Iterable[Row]) -> Iterator[bytes | OSError]:
        """Yield the encoded bytes of `rows`, in their order.

        Arrays come as the bytes of an ``.npy`` file. A row that cannot be read yields its
        error in place of its bytes, so that the others are not lost.
        """
        ...

    def stamps(self) -> Sequence[Stamp | None]:
        """Return size and modification time (ns) of each row's file; None where there is none.

        Files whose stamp is as it was are not read again to be hashed.
        """
        return [None] * len(self.rows)

    def portable(self) -> "Source | None":
        """Return what another node can read the same bytes by; None where only this process has them."""
        return None


@dataclass(frozen=True)
class Kind:
    """A kind of source: an entry of `SOURCES`.

    Attributes
    ----------
    grammar : str
        How the command line names such a source, for help texts and messages.
    matches : callable
        Tells whether a text names one.
    opener : str
        Module and function that opens it, called with the text and the `options`: imported on use.
    options : tuple of str
        Of ``data_dir`` and ``folders_are_classes``, those that it takes.
    default_name : callable
        From the text to the name of what is made of the source, without a suffix.
    """

    grammar: str
    matches: Callable[[str], bool]
    opener: str
    options: tuple[str, ...] = ()
    default_name: Callable[[str], str] = lambda text: Path(text).resolve().name

    def open(self, text: str, **options: object) -> Source:
        """Open the source that a text names."""
        module, name = self.opener.split(":")
        return getattr(import_module(module), name)(text, **options)


def _is_file(suffix: str) -> Callable[[str], bool]:
    return lambda text: text.lower().endswith(suffix) and os.path.isfile(text)


SOURCES = {  # the first one that matches is taken
    "digits": Kind("digits", lambda text: text == "digits", "data.sources.samples:open_digits"),
    "folder": Kind("FOLDER", os.path.isdir, "data.sources.folder:open_folder", ("folders_are_classes",)),
    "csv": Kind("FILE.csv", _is_file(".csv"), "data.sources.csv_list:open_csv"),
    "npz": Kind("FILE.npz", _is_file(".npz"), "data.sources.arrays:open_npz"),
    "tfds": Kind(
        "tfds:NAME[:VERSION][:SPLITS]",
        lambda text: text.startswith("tfds:"),
        "data.sources.tfds:open_tfds",
        ("data_dir",),
        lambda text: text.split(":")[1].replace("/", "-"),
    ),
}


def grammar(option: str = "") -> str:
    """Return how the command line names a source, or a source that takes an option.

    Examples
    --------
    >>> grammar()
    'digits | FOLDER | FILE.csv | FILE.npz | tfds:NAME[:VERSION][:SPLITS]'
    >>> grammar("folders_are_classes")
    'FOLDER'
    """
    return " | ".join(kind.grammar for kind in SOURCES.values() if not option or option in kind.options)


def open_source(
    text: str | Path, data_dir: str | Path | None = None, folders_are_classes: bool = False
) -> Source:
    """Open the source that `text` names.

    Parameters
    ----------
    text : str or Path
        ``digits`` (the sample), a folder of class/image or split/class/image, a CSV file
        with ``path,label[,split][,group]``, an NPZ file with ``images,labels[,splits]``, or
        ``tfds:NAME[:VERSION][:SPLITS]`` with the split syntax of TensorFlow Datasets.
    data_dir : str or Path, optional
        Where TensorFlow Datasets keeps prepared data sets.
    folders_are_classes : bool
        The folders of a folder are classes, also those with names of splits, as train.

    Raises
    ------
    HeadstartError
        If there is nothing of that name, or it holds no images.

    Examples
    --------
    >>> source = open_source("digits")
    >>> len(source.rows), source.class_names[:3]
    (600, ('0', '1', '2'))
    """
    kind = SOURCES[source_kind(str(text))]
    given = {"data_dir": data_dir, "folders_are_classes": folders_are_classes or None}
    options = {name: value for name, value in given.items() if value is not None}
    for name in options:
        if name not in kind.options:
            option = "--" + name.replace("_", "-")
            raise UsageError(
                f"{option} has no meaning here", f"a source {grammar(name)}", str(text), f"leave {option} out"
            )
    return kind.open(str(text), **options)


def as_source(source: Source | str | Path) -> Source:
    """Return a source as it is, or open the one that a text or a path names.

    Raises
    ------
    HeadstartError
        If it is neither, or there is nothing of that name.

    Examples
    --------
    >>> len(as_source("digits").rows)
    600
    """
    if isinstance(source, str | os.PathLike):
        return open_source(source)
    if not isinstance(source, Source):
        raise HeadstartError(
            "this is no source of labelled images",
            f"what data.open_source returns, or the text that it takes: {grammar()}",
            f"{type(source).__name__} {str(source)[:100]!r}",
            "open the source first; arrays become one by data.sources.arrays.from_arrays(images, labels), "
            "and a class of your own inherits data.Source",
        )
    return source


def source_kind(text: str) -> str:
    """Return the entry of `SOURCES` that `text` names, or raise.

    Examples
    --------
    >>> source_kind("tfds:cats_vs_dogs:train[:40%]")
    'tfds'
    """
    kind = next((name for name, kind in SOURCES.items() if kind.matches(text)), None)
    if kind is not None:
        return kind
    if not text or is_missing(text):
        raise NotFoundError(
            f"there is no source {text!r}",
            grammar(),
            "a path that does not exist" if text else "an empty text",
            "check the path; a folder has one subfolder for each class",
        )
    raise HeadstartError(
        f"{text!r} is not a source of labelled images",
        grammar(),
        f"a file named {Path(text).name!r}",
        "put images into one folder for each class, or list them in a CSV file: path,label",
    )


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


def label_warnings(labels: Iterable) -> list[str]:
    """Say of labels that may mean unknown what `index_labels` took them for.

    Examples
    --------
    >>> label_warnings([0, 1, -1])
    ['1 image with the label -1: unknown, as all labels are whole numbers']
    >>> label_warnings(["cat", "-1"])
    ['1 image with the label -1: a class, as it stands beside names; an empty label means unknown']
    """
    texts = [label_text(label) for label in labels]
    odd, whole = _odd_labels(texts)
    taken = (
        "unknown, as all labels are whole numbers"
        if whole
        else "a class, as it stands beside names; an empty label means unknown"
    )
    return [f"{counted(texts.count(text), 'image')} with the label {text}: {taken}" for text in sorted(odd)]


def _odd_labels(texts: list[str]) -> tuple[set[str], bool]:
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


def title(source: object) -> str:
    """Return how messages name a source, or what reads its rows: by what was opened, if it is a path."""
    location = source.location if isinstance(source, Source) else None
    return "the source" if location is None else f"the source {location!r}"


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


def unique_ids(rows: Sequence[Row], where: str, lines: Sequence[int] = ()) -> Sequence[Row]:
    """Return `rows`, or raise if two of them share an id, with the lines that they stand in.

    Examples
    --------
    >>> unique_ids([Row("a.jpg", 0)], "list.csv")
    [Row(id='a.jpg', label=0, split=None, group=None)]
    """
    seen: dict[str, int] = {}
    for number, row in enumerate(rows):
        if row.id in seen:
            count = f"{len(rows)} rows, {len({row.id for row in rows})} different"
            raise HeadstartError(
                f"{where} holds {row.id!r} twice",
                "each image once",
                f"lines {lines[seen[row.id]]} and {lines[number]}; {count}" if lines else count,
                "remove the second one; an image has one label and one split",
            )
        seen[row.id] = number
    return rows
