"""How a source is opened otherwise than by default: each option once, for every command and `open_source`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from data.lists import as_list
from data.stores.urls import shown


class SourceOptions(TypedDict, total=False):
    """What `data.open_source` takes beside the name of a source; one that is not given is left out."""

    data_dir: str | Path
    folders_are_classes: bool
    root: str | Path
    include: Sequence[str]
    exclude: Sequence[str]
    path_column: str
    label_column: str
    split_column: str
    group_column: str
    label_regex: str
    group_regex: str


@dataclass(frozen=True)
class SourceOption:
    """What is said of an option.

    Attributes
    ----------
    kind : type
        Path, str, or bool for a flag.
    help : str
        For the help of commands.
    metavar : str, optional
        What stands for its value there.
    several : bool
        Whether it may be given several times.
    """

    kind: type
    help: str
    metavar: str | None = None
    several: bool = False


SOURCE_OPTIONS: Mapping[str, SourceOption] = {
    "data_dir": SourceOption(Path, "Folder of prepared TFDS data sets."),
    "folders_are_classes": SourceOption(
        bool, "Folders of SOURCE named as splits, as train, are classes too."
    ),
    "root": SourceOption(
        str, "Where the paths of a CSV file begin; default: the folder that it is in.", "FOLDER"
    ),
    "path_column": SourceOption(str, "How a table calls its column of paths; default: path.", "NAME"),
    "label_column": SourceOption(str, "Of labels; default: label.", "NAME"),
    "split_column": SourceOption(str, "Of splits; default: split.", "NAME"),
    "group_column": SourceOption(str, "Of groups; default: group.", "NAME"),
    "include": SourceOption(str, "Only images of this path or name, as '*.png'; repeatable.", "GLOB", True),
    "exclude": SourceOption(str, "No images of this path or name; repeatable.", "GLOB", True),
    "label_regex": SourceOption(str, "Labels are in names: its one group, as '^([a-z]+)'.", "REGEX"),
    "group_regex": SourceOption(str, "Groups are in names, as videos: its one group.", "REGEX"),
}


def option_of(name: str) -> str:
    """Return how the command line writes an option.

    Examples
    --------
    >>> option_of("folders_are_classes")
    '--folders-are-classes'
    """
    return "--" + name.replace("_", "-")


def words_of(options: SourceOptions) -> list[str]:
    """Return options as the command line takes them, for people: without what may be secret in an address.

    Examples
    --------
    >>> words_of({"folders_are_classes": True, "root": Path("images")})
    ['--folders-are-classes', '--root', 'images']
    """
    words = []
    for name, value in options.items():
        if value is True:
            words.append(option_of(name))
        for text in [] if value is True else as_list(value):
            words += [option_of(name), shown(str(text))]
    return words


def as_json(options: SourceOptions) -> dict[str, Any]:
    """Return options as JSON-ready values, which `data.open_source` takes as they are.

    Examples
    --------
    >>> as_json({"root": Path("images"), "exclude": ("*.gif",)})
    {'root': 'images', 'exclude': ['*.gif']}
    """
    return {name: _plain(value) for name, value in options.items()}


def _plain(value: object) -> object:
    if isinstance(value, Path):
        return str(value)
    return list(value) if isinstance(value, tuple) else value
