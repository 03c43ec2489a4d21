"""What a value may be: said once in a table, checked before any work, told in the user's words."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeGuard

import numpy as np

from data.errors import UsageError
from data.lists import as_list
from data.text import one_line

_MOST, _LITTLE = 10**9, 1e-9  # beyond them libraries overflow or do not end; said to who is beyond them
_LONGEST = 80  # characters of a value in a message


@dataclass(frozen=True)
class Number:
    """Numbers within limits; neither a truth value nor NaN is one.

    Parameters
    ----------
    least, most : float
    above, below : bool
        Whether `least` or `most` itself is left out.
    whole : bool

    Examples
    --------
    >>> Number(0, 1, below=True).words(7), Number(0, 1, below=True).takes(1.0)
    ('a number, 0 or more and below 1', False)
    """

    least: float
    most: float = _MOST
    above: bool = False
    below: bool = False
    whole: bool = False

    def takes(self, value: object) -> bool:
        """Tell whether a value is allowed."""
        if not self._is_number(value) or not self.least <= value <= self.most:
            return False
        return not self._is_tiny(value) and not (self.below and value == self.most)

    def words(self, value: object) -> str:
        """Say what is allowed to who gave this value."""
        number = value if self._is_number(value) else np.nan
        low = f" above {self.least}" if self.above else f", {self.least} or more"
        low = f", {_LITTLE} or more" if self._is_tiny(number) and number > self.least else low
        high = f" and {'below' if self.below else 'at most'} {self.most}"
        told = self.most != _MOST or number > _MOST
        return ("a whole number" if self.whole else "a number") + low + (high if told else "")

    def _is_tiny(self, value: float) -> bool:
        return self.above and 0 <= value - self.least < _LITTLE

    def _is_number(self, value: object) -> TypeGuard[float]:
        kinds = (int, np.integer) if self.whole else (int, float, np.integer, np.floating)
        return isinstance(value, kinds) and not isinstance(value, bool)


def whole(least: int, most: int = _MOST) -> Number:
    """Allow whole numbers.

    Examples
    --------
    >>> whole(1).words(0), whole(1).takes(5), whole(1).takes(5.0), whole(1).takes(True)
    ('a whole number, 1 or more', True, False, False)
    """
    return Number(least, most, whole=True)


class Choice:
    """A few values, of their types.

    Examples
    --------
    >>> Choice("cosine", "euclidean").words("l1"), Choice(True, False).takes(1)
    ('cosine or euclidean', False)
    """

    def __init__(self, *values: object) -> None:
        self.values = values

    def takes(self, value: object) -> bool:
        """Tell whether a value is allowed."""
        value = value.item() if isinstance(value, np.generic) else value
        return any(type(value) is type(one) and value == one for one in self.values)

    def words(self, value: object) -> str:
        """Say what is allowed to who gave this value."""
        return " or ".join(map(str, self.values))


@dataclass(frozen=True)
class Several:
    """One value, or a sequence of them.

    Examples
    --------
    >>> Several(whole(1)).takes(256), Several(whole(1)).takes((256, 64)), Several(whole(1)).takes("256")
    (True, True, False)
    """

    each: Number
    fewest: int = 0

    def takes(self, value: object) -> bool:
        """Tell whether a value is allowed."""
        column = isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.ndim == 1)
        values = as_list(value) if column else [value]
        return len(values) >= self.fewest and all(map(self.each.takes, values))

    def words(self, value: object) -> str:
        """Say what is allowed to who gave this value."""
        wrong = [one for one in as_list(value) if not self.each.takes(one)]
        return f"{self.each.words(wrong[0] if wrong else None)}, or a list of such"


@dataclass(frozen=True)
class Other:
    """What a function tells.

    Examples
    --------
    >>> Other("a function", callable).takes(len)
    True
    """

    said: str
    takes: Callable[[object], bool]

    def words(self, value: object) -> str:
        """Say what is allowed to who gave this value."""
        return self.said


class AnyOf:
    """What one of several allows.

    Examples
    --------
    >>> AnyOf(Choice(None), whole(1)).words(0), AnyOf(Choice(None), whole(1)).takes(None)
    ('None or a whole number, 1 or more', True)
    """

    def __init__(self, *ways: "Allowed") -> None:
        self.ways = ways

    def takes(self, value: object) -> bool:
        """Tell whether a value is allowed."""
        return any(way.takes(value) for way in self.ways)

    def words(self, value: object) -> str:
        """Say what is allowed to who gave this value."""
        return " or ".join(way.words(value) for way in self.ways)


Allowed = Number | Choice | Several | Other | AnyOf
Table = Mapping[str, Allowed]

YES_OR_NO = Choice(True, False)


def check_values(values: Mapping[str, object], table: Table) -> None:
    """Raise at the first value that its table does not allow; names that it does not hold are passed over.

    Parameters
    ----------
    values : mapping of str to object
    table : mapping of str to Allowed

    Raises
    ------
    UsageError

    Examples
    --------
    >>> check_values({"k": 5}, {"k": whole(1)})
    >>> try:
    ...     check_values({"k": 0}, {"k": whole(1)})
    ... except UsageError as error:
    ...     print(error)
    k must be a whole number, 1 or more; got 0
      expected: a whole number, 1 or more
      received: 0
      what to do: correct k, or leave it out
    """
    for name, value in values.items():
        if name in table and not table[name].takes(value):
            words, received = table[name].words(value), value_text(value)
            raise UsageError(
                f"{name} must be {words}; got {received}", words, received, f"correct {name}, or leave it out"
            )


def value_text(value: object) -> str:
    """Return a value as it is written in Python, on one line of no great length.

    Examples
    --------
    >>> value_text("abc"), value_text(np.float64("nan")), len(value_text(list(range(1000))))
    ("'abc'", 'nan', 80)
    """
    text = one_line(repr(value.item() if isinstance(value, np.generic) else value), None)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
