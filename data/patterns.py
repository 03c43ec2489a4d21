"""Patterns of a shell that choose among paths."""

import os
from collections.abc import Sequence
from fnmatch import fnmatchcase

import numpy as np

from data.texts import Texts


def matching(paths: Texts, include: Sequence[str], exclude: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """Return the numbers of the paths that patterns let in, and warnings of patterns that match none.

    Parameters
    ----------
    paths : Texts
    include, exclude : sequence of str
        One without ``/`` is of the name of a file or of a folder above it, another one of the path from the
        top, or of a folder above the file. ``./`` and ``/`` before it stand for the top.

    Examples
    --------
    >>> numbers, warnings = matching(Texts(["cat/1.jpg", "dog/2.jpg"]), ["cat/", "cow"], [])
    >>> numbers.tolist(), warnings
    ([0], ["--include 'cow' matches no image"])
    """
    if not include and not exclude:
        return np.arange(len(paths)), []
    kept = np.ones(len(paths), bool)
    unmatched: list[str] = []
    for option, patterns in (("include", include), ("exclude", exclude)):
        wanted = np.zeros(len(paths), bool)
        for pattern in patterns:
            found = np.fromiter((_matches(path, pattern) for path in paths), bool, len(paths))
            unmatched += [] if found.any() else [f"--{option} {pattern!r} matches no image"]
            wanted |= found
        kept &= ~wanted if option == "exclude" else wanted | (not patterns)
    return np.flatnonzero(kept), unmatched


def _matches(path: str, pattern: str) -> bool:
    path, bare = path.replace(os.sep, "/"), pattern.removeprefix("./").strip("/")
    if pattern.startswith(("./", "/")) or "/" in bare:
        return fnmatchcase(path, bare) or fnmatchcase(path, f"{bare}/*")
    return any(fnmatchcase(part, bare) for part in path.split("/"))
