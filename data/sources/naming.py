"""What a text names: a file of some kind, a folder, archives; on a disk or in an object store."""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from data.errors import HeadstartError
from data.stores.urls import Url, below, is_url

_PACKED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_FILES = (".zip", ".tar", *_PACKED, ".parquet", ".csv", ".tsv", ".tab", ".npz")
_NOTES = (".md", ".txt", ".json")  # beside shards
BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}")  # a range of archives


def name_of(text: str) -> str:
    return Url.of(text).name if is_url(text) else Path(text).resolve().name


def is_file(*suffixes: str) -> Callable[[str], bool]:
    """Return what tells whether a text names a file by its suffix; one in a store may not be there."""
    return lambda text: (
        Url.of(text).name.lower().endswith(suffixes)
        if is_url(text)
        else text.lower().endswith(suffixes) and os.path.isfile(text)
    )


def is_folder(text: str) -> bool:
    """Tell whether a text names a folder: in a store, what is not named like another kind of source."""
    return not is_file(*_FILES)(text) if is_url(text) else os.path.isdir(text)


def names_archives(text: str) -> bool:
    """Tell whether a text names archives: a file, a range in braces, or a folder of tar files and notes."""
    if is_folder(text):
        names = [name.lower() for name in _names_in(text) if name[0] != "."]
        return any(name.endswith(".tar") for name in names) and all(
            name.endswith((".tar", *_NOTES)) for name in names
        )
    several = text.lower().endswith((".zip", ".tar")) and bool(BRACES.search(text))
    return several or is_file(".zip", ".tar", *_PACKED)(text)


def holds_parquet(text: str) -> bool:
    """Tell whether a text names a Parquet file, or a folder of them without images, as data sets are kept."""
    from data.sources.tree import IMAGE_SUFFIXES  # it imports json, which a user may have a file of

    if not is_folder(text):
        return is_file(".parquet")(text)
    endings: set[str] = set()
    for name in _names_in(text):
        inner = _names_in(below(text, name)) if name == "data" else ()
        endings.update(os.path.splitext(each)[1].lower() for each in (name, *inner))
    return ".parquet" in endings and not endings & IMAGE_SUFFIXES and not _holds_images(text)


def _holds_images(folder: str) -> bool:
    """Tell whether images lie in folders below one; in a store, in those of the first level."""
    from data.sources.tree import IMAGE_SUFFIXES

    if is_url(folder):
        inner = (below(folder, name) for name in _names_in(folder) if not os.path.splitext(name)[1])
        found = (name for each in inner for name in _names_in(each))
    else:
        found = (name for _, _, names in os.walk(folder) for name in names if name[0] != ".")
    return any(os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES for name in found)


def _names_in(folder: str) -> Iterator[str]:
    """Yield the names in a folder; whoever opens one that cannot be listed says so."""
    from data.stores.files import names_in

    try:
        yield from names_in(folder)
    except HeadstartError:
        raise
    except OSError:
        return
