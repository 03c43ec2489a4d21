"""Where the images of a feature file lie on this machine: kept in our cache, never in the file."""

import json
from pathlib import Path
from typing import Any

from data.errors import HeadstartError
from data.output.atomic import written_aside
from data.output.cache import cache_folder
from data.sources.options import SOURCE_OPTIONS
from data.sources.source import Source, open_source

_TAKEN = {  # by `open_source`
    "text": str,
    **{name: bool if option.kind is bool else str for name, option in SOURCE_OPTIONS.items()},
}
_FORMAT = "headstart source"


def remember(content_digest: str, source: Source) -> None:
    """Keep by what the source of a feature file is opened again; a cache that cannot be written is no error.

    Parameters
    ----------
    content_digest : str
        Of the feature file.
    source : Source
        One that is nowhere but in memory is not kept.
    """
    address = source.address()
    if address is not None:
        _write(content_digest, address)


def remember_for(content_digest: str, known: str) -> None:
    """Keep for a feature file the source that is remembered for another, of which it was made."""
    address = remembered(known)
    if address is not None:
        _write(content_digest, address)


def remembered(content_digest: str) -> dict[str, Any] | None:
    """Return by what `open_source` opens the source of a feature file; None where it is not known.

    Parameters
    ----------
    content_digest : str
        Of the feature file.

    Examples
    --------
    >>> remembered("0" * 64) is None
    True
    """
    path = _place(content_digest)
    try:
        values = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(values, dict) or values.pop("format", "") != _FORMAT or "text" not in values:
        return None
    fits = all(isinstance(value, _TAKEN.get(name, ())) for name, value in values.items())
    return values if fits else None


def open_remembered(content_digest: str) -> Source | None:
    """Open the source of a feature file again; None where it is not known.

    Raises
    ------
    HeadstartError
        If nothing is there any more.
    """
    address = remembered(content_digest)
    return None if address is None else open_source(**address)


def _place(content_digest: str) -> Path:
    return cache_folder() / "sources" / f"{content_digest}.json"


def _write(content_digest: str, address: dict[str, Any]) -> None:
    path = _place(content_digest)
    if remembered(content_digest) == address:
        return
    try:
        with written_aside(path) as aside:
            aside.write_text(json.dumps({"format": _FORMAT, **address}), "utf-8")
    except HeadstartError:
        raise
    except OSError:
        return
