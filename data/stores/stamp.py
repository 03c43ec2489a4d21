"""By what a file is known not to have changed."""

from typing import NamedTuple


class Stamp(NamedTuple):
    """By what a file is known not to have changed.

    Attributes
    ----------
    size : int
        Bytes.
    version : int
        The time of its last change in nanoseconds, or a number made of the ETag that a store gave it.
    exact : bool
        Whether every change gives another version; of a time, one within the tick of the clock may not.
    """

    size: int
    version: int
    exact: bool = False
