"""One value where several are taken: a text is one path or one name, never its letters."""

from collections.abc import Iterable
from os import PathLike


def as_list(values: object) -> list:
    """Return values as a list; a text, a path, bytes or anything that has no items is one value.

    Examples
    --------
    >>> as_list("photos.h5"), as_list(["photos.h5", "photos299.h5"]), as_list(())
    (['photos.h5'], ['photos.h5', 'photos299.h5'], [])
    """
    if isinstance(values, str | bytes | PathLike) or not isinstance(values, Iterable):
        return [values]
    return list(values)
