"""Our packages have everyday names: notice when another module of the same name comes first."""

import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path


def only_installed() -> bool:
    """Tell whether Python, or what this process starts, is told not to look in the working folder."""
    return bool(sys.flags.safe_path or os.environ.get("PYTHONSAFEPATH"))


def require_siblings(package: str, names: Iterable[str]) -> None:
    """Exit with one message if a package of ours is shadowed, as by a ``data.py`` of the user.

    Parameters
    ----------
    package : str
        The one that is running.
    names : iterable of str
        Packages that lie beside it.
    """
    home = Path(__file__).resolve().parent.parent
    instead = f"run `python -P -m {package}`, with which Python does not look in the working folder"
    if only_installed():
        instead = "take its folder out of PYTHONPATH"
    for name in names:
        spec = find_spec(name)
        found = Path(spec.origin).resolve() if spec and spec.origin else None
        if found != home / name / "__init__.py":
            sys.exit(
                f"error: another module named {name!r} hides Headstart's own\n"
                f"  expected: {home / name}\n"
                f"  received: {found}\n"
                f"  what to do: rename that file, or {instead}"
            )
    _look_here_last(home)


def _look_here_last(home: Path) -> None:
    """Let a ``numpy.py`` or ``json.py`` in the working folder hide no package that we import."""
    with suppress(OSError):  # the folder is gone
        if not sys.flags.safe_path and sys.path[0] in ("", os.getcwd()) and Path.cwd() != home:
            sys.path.append(sys.path.pop(0))
