"""What a source of labelled images is, and how the command line names one."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, Unpack, runtime_checkable

from data.errors import HeadstartError, NotFoundError, UsageError, is_missing
from data.sources.naming import BRACES, holds_parquet, is_file, is_folder, name_of, names_archives
from data.sources.options import SOURCE_OPTIONS, SourceOptions, option_of
from data.stores.stamp import Stamp
from data.stores.urls import SCHEMES, is_url, shown
from data.tables.class_columns import class_tables_in


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
    `partial`, `stamps`, `portable` and `address`.

    Attributes
    ----------
    class_names : tuple of str
    rows : sequence of Row
        In the source's own order, in which reading is fastest; ids are unique.
    warnings : tuple of str
        What the user should know: files passed over, names escaped.
    location : str or None
        Absolute path of what was opened, or its address in an object store, without credentials; it belongs
        to this machine, so `describe` is without. None where the source is neither.
    sendable : bool
        Whether its bytes are sent to other nodes that do not read it by themselves, or every node has
        to: to send a large folder would take longer than to compute.
    partial : bool
        Whether it holds some rows of another source at the same location.
    examples : tuple of str
        What was taken from names, on a few of them, for who looks before anything is computed.
    """

    class_names: tuple[str, ...]
    rows: Sequence[Row]
    warnings: tuple[str, ...]
    location: str | None = None
    sendable: bool = True
    partial: bool = False
    examples: tuple[str, ...] = ()

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
        """Return size and modification time (ns) of the file that holds each row; None where there is none.

        A row whose id and stamp are as they were is not read again to be hashed. An archive may give the
        size of the row's own bytes in it.
        """
        return [None] * len(self.rows)

    def portable(self) -> "Source | None":
        """Return what another node can read the same bytes by; None where only this process has them."""
        return None

    def address(self) -> dict[str, Any] | None:
        """Return the arguments by which `open_source` opens the same images on this machine, ready for JSON.

        They open them from any working directory. None where only this process has the images.
        """
        return None if self.location is None else {"text": self.location}


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
        Those of `data.sources.options.SOURCE_OPTIONS` that it takes.
    default_name : callable
        From the text to the name of what is made of the source, without a suffix.
    """

    grammar: str
    matches: Callable[[str], bool]
    opener: str
    options: tuple[str, ...] = ()
    default_name: Callable[[str], str] = name_of

    def open(self, text: str, **options: object) -> Source:
        """Open the source that a text names."""
        module, name = self.opener.split(":")
        return getattr(import_module(module), name)(text, **options)


_BY_NAMES = ("folders_are_classes", "include", "exclude", "label_regex", "group_regex")
SOURCES = {  # the first one that matches is taken
    "digits": Kind("digits", lambda text: text == "digits", "data.sources.arrays:open_digits"),
    "parquet": Kind(
        "FILE.parquet",
        holds_parquet,
        "data.parquet.source:open_parquet",
        ("root", "path_column", "label_column", "split_column", "group_column"),
    ),
    "archive": Kind(
        "FILE.zip|.tar",
        names_archives,
        "data.archives.archive:open_archive",
        _BY_NAMES,
        lambda text: BRACES.sub("", name_of(text)),
    ),
    "one hot": Kind(
        "FOLDER/_classes.csv", lambda text: bool(class_tables_in(text)), "data.sources.one_hot:open_one_hot"
    ),
    "folder": Kind("FOLDER", is_folder, "data.sources.folder:open_folder", _BY_NAMES),
    "csv": Kind(
        "FILE.csv|.tsv",
        is_file(".csv", ".tsv", ".tab"),
        "data.sources.csv_list:open_csv",
        ("root", "path_column", "label_column", "split_column", "group_column"),
    ),
    "npz": Kind(
        "FILE.npz", lambda text: not is_url(text) and is_file(".npz")(text), "data.sources.arrays:open_npz"
    ),
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
    >>> grammar("folders_are_classes")
    'FILE.zip|.tar | FOLDER'
    >>> grammar("root")
    'FILE.parquet | FILE.csv|.tsv'
    """
    return " | ".join(kind.grammar for kind in SOURCES.values() if not option or option in kind.options)


def open_source(text: str | Path, **options: Unpack[SourceOptions]) -> Source:
    """Open the source that `text` names.

    Parameters
    ----------
    text : str or Path
        ``digits`` (the sample), a folder of class/image or split/class/image, a CSV file
        with ``path,label[,split][,group]``, an NPZ file with ``images[,labels][,splits]``, or
        ``tfds:NAME[:VERSION][:SPLITS]`` with the split syntax of TensorFlow Datasets.
    data_dir : str or Path, optional
        Where TensorFlow Datasets keeps prepared data sets.
    folders_are_classes : bool
        The folders of a folder are classes, also those with names of splits, as train.
    root : str or Path, optional
        Where the paths of a CSV file begin, by default the folder that it is in.

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
    given = {name: value for name, value in options.items() if value or value == ""}
    for name in given:
        if name not in SOURCE_OPTIONS:
            raise TypeError(f"open_source() takes no {name}; it takes {', '.join(SOURCE_OPTIONS)}")
        if name not in kind.options:
            option = option_of(name)
            raise UsageError(
                f"{option} has no meaning here",
                f"a source {grammar(name)}",
                shown(str(text)),
                f"leave {option} out",
            )
    return kind.open(str(text), **given)


_OF_MANY: dict[str, SourceOptions] = {  # of kinds, and how folders and labels inside mean nothing
    "parquet": {},
    "npz": {},
    "archive": {"label_regex": "(.)"},
}


def holds_many(text: str) -> bool:
    """Tell whether a text names files of many images each: archives, Parquet and NPZ files.

    Examples
    --------
    >>> holds_many("train-{000..011}.tar"), holds_many("cat.jpg")
    (True, False)
    """
    return any(SOURCES[name].matches(text) for name in _OF_MANY)


def open_many(text: str) -> Source:
    """Open what `holds_many` names for its images alone: what it says of labels is not to be used.

    Raises
    ------
    HeadstartError
        As `open_source` does.
    """
    return open_source(text, **_OF_MANY[source_kind(text)])


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
    if is_url(text):
        raise HeadstartError(
            f"{shown(text)!r} is not read where it lies",
            grammar(),
            "a file of arrays in an object store",
            "download it, and name the file",
        )
    scheme, is_address, _ = text.partition("://")
    if is_address and is_missing(text):
        raise UsageError(
            "addresses of this kind are not read",
            ", ".join(f"{name}://" for name in SCHEMES),
            f"{scheme}://",
            "correct the address, or download the images",
        )
    if not text or is_missing(text):
        raise NotFoundError(
            f"there is no source {text!r}",
            grammar(),
            "a path that does not exist" if text else "an empty text",
            "braces stand for one range of numbers in names of tar or zip files, as 'train-{000..011}.tar'; "
            "or name the folder that the files are in"
            if "{" in text
            else "check the path; a folder has one subfolder for each class",
        )
    raise HeadstartError(
        f"{text!r} is not a source of labelled images",
        grammar(),
        f"a file named {Path(text).name!r}",
        "put images into one folder for each class, or list them in a CSV file: path,label",
    )


def title(source: object) -> str:
    """Return how messages name a source, or what reads its rows: by what was opened, if it is a path."""
    location = source.location if isinstance(source, Source) else None
    return "the source" if location is None else f"the source {location!r}"
