"""May an output be written there, and is what lies there ours to replace?"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from data.errors import HeadstartError, NotAllowedError, UsageError
from data.output.atomic import target_of
from data.output.ours import kind_of_output
from data.text import some_of, with_article


def check_file(path: Path, kind: str, option: str = "-o") -> None:
    """Raise if a file of a kind cannot be written there, or would replace what is none of that kind.

    Parameters
    ----------
    path : Path
    kind : str
        As `data.output.ours.kind_of_output` names it.
    option : str
        By which the user chooses another path.

    Raises
    ------
    HeadstartError
    """
    if path == Path("-"):
        raise UsageError(
            f"{option} writes a file; it does not print",
            "the name of a file",
            "'-'",
            "name a file; what a command prints can be piped",
        )
    check_parent(path, option)
    if path.is_file() and not os.access(path, os.W_OK):
        raise _cannot(path, f"{str(path)!r}, which may not be written", option)
    if not os.path.exists(path) or (path.is_file() and not path.stat().st_size):
        return
    found = kind_of_output(path)
    if found != kind or not path.is_file():
        raise HeadstartError(
            f"{str(path)!r} exists and is no {kind} that Headstart wrote",
            f"the name of a new file, or of {with_article(kind)}, which is replaced",
            "a folder" if path.is_dir() else with_article(found) if found else "a file of another origin",
            f"choose another {option}, or move it away",
        )


def check_different(paths: Mapping[str, Path | None]) -> None:
    """Raise if two options name one output.

    Parameters
    ----------
    paths : mapping of str to Path or None
        By option.

    Raises
    ------
    UsageError

    Examples
    --------
    >>> check_different({"--csv": Path("a.csv"), "--groups-out": Path("b.csv"), "--corrections-out": None})
    """
    taken: dict[str, str] = {}
    for option, path in paths.items():
        first = taken.setdefault(os.path.realpath(path), option) if path else option
        if first != option:
            raise UsageError(
                f"{first} and {option} name one file, which would hold the second alone",
                "a file for each",
                repr(str(path)),
                f"choose another {option}",
            )


def check_folder(folder: Path, kind: str, option: str = "-o") -> None:
    """Raise if a folder of a kind cannot be written there: it is new, empty or of that kind.

    Raises
    ------
    HeadstartError
    """
    held = "a file"
    if folder.is_dir():
        names = sorted(os.listdir(folder)) if os.access(folder, os.R_OK) else ["what cannot be listed"]
        held = "" if not names or kind_of_output(folder) == kind else f"a folder with {some_of(names)}"
        if not os.access(folder, os.W_OK):
            raise _cannot(folder, f"{str(folder)!r}, which may not be written", option)
    if os.path.exists(folder) and held:
        raise HeadstartError(
            f"{str(folder)!r} cannot take {with_article(kind)}",
            f"a new folder, an empty one, or one that holds {with_article(kind)}, which is replaced",
            held,
            f"choose another folder with {option}",
        )
    check_parent(folder, option)


def check_names(folder: Path, kind: str, strange: Sequence[str]) -> None:
    """Raise if strangers' files have the names of what is written into a folder.

    Parameters
    ----------
    folder : Path
    kind : str
        Of what is written.
    strange : sequence of str
        Names of these files.

    Raises
    ------
    HeadstartError
    """
    if strange:
        raise HeadstartError(
            f"{str(folder)!r} holds files that {with_article(kind)} would replace, and that none wrote",
            f"a new folder, or one with the files of an earlier {kind}, which are replaced",
            some_of(strange),
            "move them away, or choose another folder with -o",
        )


def check_parent(path: Path, option: str = "-o") -> None:
    """Raise if there is no folder for a path, and none can be made; nothing is written.

    Raises
    ------
    HeadstartError
    """
    target = target_of(path)
    if target.exists() and not (target.is_file() or target.is_dir()):
        raise _cannot(path, "a pipe or a device", option)
    above = next((each for each in target.absolute().parents if os.path.lexists(each)), target)
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        what = "which may not be written" if above.is_dir() else "which is no folder"
        raise _cannot(path, f"{str(above)!r}, {what}", option)


def _cannot(path: Path, received: str, option: str) -> NotAllowedError:
    return NotAllowedError(
        f"{str(path)!r} cannot be written",
        "a path in a folder that may be written, or that can be made",
        received,
        f"choose another {option}, or allow the writing",
    )
