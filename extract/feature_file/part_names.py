"""How parts are named, how many rows each holds, and where they lie."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

PART_ROWS = 512


def part_name(digests: Iterable[bytes]) -> str:
    """Return the file name of a part, from the digests of its images alone.

    Examples
    --------
    >>> part_name([b"b", b"a"]) == part_name([b"a", b"b"])
    True
    """
    return hashlib.sha256(b"".join(sorted(digests))).hexdigest()[:24] + ".h5"


def parts_folder(path: Path, layout: str) -> Path:
    """Return the folder in which a run keeps its finished parts; those of shards stay in their folder.

    Examples
    --------
    >>> parts_folder(Path("photos.h5"), "single").name
    'photos.h5.parts'
    """
    return path if layout == "sharded" else path.with_name(path.name + ".parts")
