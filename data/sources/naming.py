"""What a text names: a file of some kind, a folder, archives; on a disk or in an object store."""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from data.errors import HeadstartError
from data.stores.urls import Url, below, is_url

_PACKED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_FILES = (".zip", ".tar", *_PACKED, ".parquet", ".csv", ".tsv", ".tab", ".npz")
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
    """Tell whether a text names archives: a file, a range in braces, or a folder of tar files alone."""
    if is_folder(text):
        tars = (name.lower().endswith(".tar") for name in _names_in(text) if name[0] != ".")
        return next(tars, False) and all(tars)
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
    return ".parquet" in endings and not endings & IMAGE_SUFFIXES


def _names_in(folder: str) -> Iterator[str]:
    """Yield the names in a folder; whoever opens one that cannot be listed says so."""
    from data.stores.files import names_in

    try:
        yield from names_in(folder)
    except HeadstartError:
        raise
    except OSError:
        return
