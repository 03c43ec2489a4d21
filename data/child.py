"""A module of ours in a process of its own, which imports nothing of the user's and ends with this one."""

import os
import sys
from pathlib import Path

_HOME = Path(__file__).resolve().parents[1]


def command_of(module: str, *words: str | Path) -> list[str]:
    """Return the command that runs a module of ours and does not look in the working folder.

    On Linux the module is interrupted when this process ends, however it ends.

    Examples
    --------
    >>> command_of("extract.feature_file.verify", "photos.h5")[5:]
    ['extract.feature_file.verify', 'photos.h5']
    """
    return [sys.executable, "-P", "-m", "data.attached", str(os.getpid()), module, *map(str, words)]


def environment() -> dict[str, str]:
    """Return the environment of such a process: it finds our packages where this one did, before others."""
    paths = [str(_HOME), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
