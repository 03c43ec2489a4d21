"""What lies on a disk, for tests of outputs."""

import os
import stat
from pathlib import Path


def below(folder: Path) -> dict[str, str]:
    """Return the text of every file below a folder, and where every link points to."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            found[name] = f"-> {os.readlink(path)}"
        elif path.is_file():
            found[name] = path.read_text(errors="replace")
        else:
            found[name] = "folder"
    return found


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)
