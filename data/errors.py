"""The one kind of error that a user can mend, told in four parts."""

import errno
import os
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from functools import wraps
from typing import ParamSpec, TypeVar

from data.text import plural, with_type

_FEW = 5  # names that are all listed
_NOT_THERE = {None, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG}

P = ParamSpec("P")
R = TypeVar("R")


class HeadstartError(ValueError):
    """A user's error: what happened, what was expected, what was received, what to do.

    Parameters
    ----------
    happened, expected, received, todo : str
        One sentence or phrase each; also attributes. The command line prints them and exits with 1.

    Examples
    --------
    >>> error = HeadstartError("no such file", "a feature file", "x.h5", "check the path")
    >>> print(error)
    no such file
      expected: a feature file
      received: x.h5
      what to do: check the path
    >>> error.received
    'x.h5'
    """

    def __init__(self, happened: str, expected: str, received: str, todo: str) -> None:
        super().__init__(happened, expected, received, todo)  # as `args` they are pickled
        self.happened, self.expected, self.received, self.todo = happened, expected, received, todo

    def __str__(self) -> str:
        lines = f"  expected: {self.expected}\n  received: {self.received}\n  what to do: {self.todo}"
        return f"{self.happened}\n{lines}"


class UsageError(HeadstartError):
    """A value that an option or a parameter does not take; the command line exits with 2.

    Examples
    --------
    >>> isinstance(UsageError("unknown engine 'x'", "keras", "x", "choose keras"), HeadstartError)
    True
    """


class NotFoundError(HeadstartError, FileNotFoundError):
    """There is nothing at a path.

    ``errno`` is ENOENT; ``filename`` and ``strerror`` are None, as the four parts name the path.

    Examples
    --------
    >>> error = NotFoundError("there is no source 'x'", "a folder", "a path that does not exist", "check it")
    >>> isinstance(error, FileNotFoundError), error.errno, error.filename
    (True, 2, None)
    """

    def __init__(self, happened: str, expected: str, received: str, todo: str) -> None:
        super().__init__(happened, expected, received, todo)
        self.errno = errno.ENOENT


class NotAllowedError(HeadstartError, PermissionError):
    """What is at a path may not be read, or not be written.

    ``errno`` is EACCES; ``filename`` and ``strerror`` are None, as the four parts name the path.

    Examples
    --------
    >>> error = NotAllowedError("'x.h5' cannot be written", "one that may be", "a locked one", "unlock it")
    >>> isinstance(error, PermissionError), error.errno
    (True, 13)
    """

    def __init__(self, happened: str, expected: str, received: str, todo: str) -> None:
        super().__init__(happened, expected, received, todo)
        self.errno = errno.EACCES


def is_there(error: OSError) -> bool:
    """Tell whether an error is of a file that exists but cannot be read; others are as if not there.

    Examples
    --------
    >>> is_there(PermissionError(13, "Permission denied")), is_there(FileNotFoundError(2, "No such file"))
    (True, False)
    """
    return error.errno not in _NOT_THERE


def is_missing(path: str | os.PathLike) -> bool:
    """Tell whether there is nothing at a path.

    Raises
    ------
    HeadstartError
        If a folder on the way may not be entered, so that nobody can tell.

    Examples
    --------
    >>> is_missing("no such file")
    True
    """
    try:
        os.stat(path)
    except ValueError:  # a null byte
        return True
    except OSError as error:
        if is_there(error):
            raise unreadable(repr(os.fspath(path)), {"the path": error.strerror or str(error)}) from error
        return True
    return False


def unreadable(where: str, reasons: Mapping[str, str], noun: str = "file or folder") -> NotAllowedError:
    """Make the error for files and folders that exist but cannot be read.

    Parameters
    ----------
    where : str
        What they belong to.
    reasons : mapping of str to str
        By name.
    noun : str
        What they are, where that is known.

    Examples
    --------
    >>> print(unreadable("photos", {"cat/new": "Permission denied"}, "folder"))
    photos: 1 folder cannot be read
      expected: everything readable; what is not seen would be lost without a word
      received: cat/new: Permission denied
      what to do: allow this user to read them (chmod -R u+rX), or take them out of the source
    """
    shown = "; ".join(f"{name}: {reason}" for name, reason in sorted(reasons.items())[:_FEW])
    more = len(reasons) - _FEW
    things = noun if len(reasons) == 1 else " or ".join(map(plural, noun.split(" or ")))
    return NotAllowedError(
        f"{where}: {len(reasons)} {things} cannot be read",
        "everything readable; what is not seen would be lost without a word",
        shown + (f"; and {more} more" if more > 0 else ""),
        "allow this user to read them (chmod -R u+rX), or take them out of the source",
    )


def missing_extra(what: str, extra: str, received: str) -> HeadstartError:
    """Make the error for a package that an extra of ours would have installed.

    Parameters
    ----------
    what : str
        What needs which package.
    extra : str
    received : str
        How we know that it is missing.

    Examples
    --------
    >>> print(missing_extra("--runner ray needs Ray", "ray", "no package ray"))
    --runner ray needs Ray, which is not installed
      expected: the extra ray
      received: no package ray
      what to do: pip install '.[ray]' in Headstart's folder
    """
    return HeadstartError(
        f"{what}, which is not installed",
        f"the extra {extra}",
        received,
        f"pip install '.[{extra}]' in Headstart's folder",
    )


def unimportable(error: ImportError) -> HeadstartError:
    """Make the error for a package of others that is missing or, as after a broken installation, fails.

    Examples
    --------
    >>> print(unimportable(ImportError("libcudart.so.12: cannot open shared object file")))
    a package that this needs cannot be imported
      expected: the packages that Headstart depends on, whole and of versions that fit each other
      received: ImportError: libcudart.so.12: cannot open shared object file
      what to do: install it again; if it is a backend of Keras, or name another in KERAS_BACKEND
    """
    return HeadstartError(
        "a package that this needs cannot be imported",
        "the packages that Headstart depends on, whole and of versions that fit each other",
        with_type(error),
        "install it again; if it is a backend of Keras, or name another in KERAS_BACKEND",
    )


def unknown_name(kind: str, name: str, valid: Iterable[str]) -> UsageError:
    """Make the error for a name that is in no table, with the nearest valid ones.

    Examples
    --------
    >>> print(unknown_name("head", "logistik", ["logistic", "keras-linear"]))
    unknown head 'logistik'
      expected: keras-linear, logistic
      received: logistik
      what to do: choose one of the names above
    """
    names = sorted(valid)
    near = get_close_matches(str(name).lower(), names, n=5, cutoff=0.5)
    told = f"the nearest: {', '.join(near)}" if near else f"among them: {', '.join(names[:40])}"
    return UsageError(
        f"unknown {kind} {name!r}",
        ", ".join(names) if len(names) <= _FEW else f"one of {len(names)} names, {told}",
        str(name),
        "choose one of the names above",
    )


def moved_keywords(places: Mapping[str, str]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let a function say where a value belongs now that was a keyword of its own once.

    Parameters
    ----------
    places : mapping of str to str
        What to write instead, by keyword.

    Raises
    ------
    TypeError
        By the function, if it gets such a keyword.

    Examples
    --------
    >>> @moved_keywords({"threads": "Options(threads=...)"})
    ... def run(options=None): ...
    >>> run(threads=2)
    Traceback (most recent call last):
    TypeError: run() takes no keyword 'threads': write run(..., Options(threads=...))
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            for keyword in kwargs.keys() & places.keys():
                name = function.__name__
                raise TypeError(
                    f"{name}() takes no keyword {keyword!r}: write {name}(..., {places[keyword]})"
                )
            return function(*args, **kwargs)

        return checked

    return decorate
