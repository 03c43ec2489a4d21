"""Lists that are kept as columns and make each item when it is asked for."""

from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")


class Columns(Sequence[Item]):
    """A list that holds no objects; equal to any list of equal items, and as little hashable.

    Examples
    --------
    >>> class Squares(Columns):
    ...     __len__ = lambda self: 3
    ...     __getitem__ = lambda self, number: [0, 1, 4][number]
    >>> Squares(), Squares() == [0, 1, 4], Squares() == [0, 1]
    (Squares(3), True, False)
    """

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str | bytes):
            return NotImplemented
        return len(self) == len(other) and all(one == two for one, two in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)})"
