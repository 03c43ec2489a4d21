"""Under ``--json`` stdout is one document, also where a command fails: what it ends by is told there."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TextIO

_is_due = False  # a document was asked for, and nothing of it is printed


def begin(words: Sequence[str]) -> None:
    """Note whether the words of a command line ask for a document; those behind ``--`` are no options.

    Examples
    --------
    >>> begin(["info", "photos.h5", "--json"])
    >>> tell_failure({"happened": "no such file"}, 1)
    {"error": {"happened": "no such file", "exit_code": 1}}
    >>> tell_failure({"happened": "nothing is printed twice"}, 1)
    """
    global _is_due
    options = words[: words.index("--")] if "--" in words else words
    _is_due = "--json" in options


def begun() -> None:
    """Note that the document, or some of it, is printed."""
    global _is_due
    _is_due = False


def tell_failure(told: Mapping[str, str], code: int) -> None:
    """Print why a command ends, as the document, where one is due.

    Parameters
    ----------
    told : mapping of str to str
        At least ``happened``.
    code : int
        With which the command exits.
    """
    if not _is_due:
        return
    begun()
    try:
        print(json.dumps({"error": {**told, "exit_code": code}}), flush=True)
    except OSError:
        silence(sys.stdout)  # stderr has said it


def tell_ending(error: BaseException) -> None:
    """Print what Typer ends a command by, where a document is due: wrong words, or an exit code alone."""
    code = getattr(error, "exit_code", 0)
    if code:
        words = error.format_message() if hasattr(error, "format_message") else "not done, as stderr says"
        tell_failure({"happened": words}, code)


def silence(stream: TextIO) -> None:
    """Let a stream that cannot be written go nowhere, so that the process ends without more words."""
    with suppress(OSError, ValueError, AttributeError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
