"""Which pictures of a folder we drew ourselves, remembered of large folders, so that they are read once."""

import hashlib
import json
import os
import time

from data.errors import HeadstartError
from data.output.atomic import written_aside
from data.output.cache import cache_folder
from data.output.ours import drawn_by_us

_FEW = 100  # pictures of a folder that are looked into each time: it takes a millisecond
_RACY = 2_000_000_000  # nanoseconds: a folder changed so lately may change again within its mtime's tick


class Drawn:
    """Look for our own figures among the pictures of folders below a root.

    To look into 100,000 pictures takes half a second from memory, and minutes from a slow disk. A
    large folder with the modification time and the names that it had is therefore not read again.

    Parameters
    ----------
    root : str
    """

    def __init__(self, root: str) -> None:
        name = hashlib.sha256(os.fsencode(os.path.realpath(root))).hexdigest()[:32]
        self._root, self._path = root, cache_folder() / "drawn" / f"{name}.json"
        self._known: dict[str, list] | None = None
        self._found: dict[str, list] = {}

    def among(self, folder: str, names: list[str]) -> set[str]:
        """Return those of the pictures in a folder that we drew.

        Parameters
        ----------
        folder : str
            Relative to the root.
        names : list of str
            Of the pictures.
        """
        place = os.path.join(self._root, folder)
        if len(names) < _FEW:
            return _drawn(place, names)
        changed = os.stat(place).st_mtime_ns
        state = [
            changed,
            hashlib.sha256("\0".join(sorted(names)).encode("utf-8", "surrogateescape")).hexdigest(),
        ]
        known = self._remembered().get(folder, [])
        drawn = set(known[2]) if known[:2] == state else _drawn(place, names)
        if changed < time.time_ns() - _RACY:
            self._found[folder] = [*state, sorted(drawn)]
        return drawn

    def keep(self) -> None:
        """Remember what was found; our cache may be out of reach, the walk goes on."""
        if self._found in ({}, self._known):
            return
        try:
            with written_aside(self._path) as aside:
                aside.write_text(json.dumps(self._found))
        except HeadstartError:
            raise
        except OSError:
            return

    def _remembered(self) -> dict[str, list]:
        if self._known is None:
            try:
                self._known = {
                    folder: [changed, names, list(drawn)]
                    for folder, (changed, names, drawn) in json.loads(self._path.read_text()).items()
                }
            except (OSError, ValueError, TypeError, AttributeError):
                self._known = {}
        return self._known


def _drawn(place: str, names: list[str]) -> set[str]:
    return {name for name in names if drawn_by_us(os.path.join(place, name))}
