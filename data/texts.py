"""Many texts in one block of bytes: names by the million, which take little more than their letters."""

from array import array
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any, overload

import numpy as np

from data.columns import Columns

_ERRORS = "surrogatepass"  # a name of a file may hold any
_AT_ONCE = 65536  # texts in memory beside the block
_WIDE = 4  # times the letters that there are: where one text is so long, no array of equal widths is made


class Texts(Columns[str]):
    """Texts, one after the other in one block of bytes; each is made when it is asked for.

    Parameters
    ----------
    texts : iterable of str

    Attributes
    ----------
    block : bytearray
        All texts in UTF-8, nothing between them.

    Examples
    --------
    >>> texts = Texts(["cat/1.jpg", "cat/2.jpg", "dog/1.jpg"])
    >>> texts[1], len(texts), texts.find("dog/1.jpg"), texts.find("dog/2.jpg")
    ('cat/2.jpg', 3, 2, -1)
    """

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self.block, self._ends = bytearray(), array("q")
        for text in texts:
            self.block += text.encode("utf-8", _ERRORS)
            self._ends.append(len(self.block))
        self._next = 0  # where the text may be that is looked for next

    @classmethod
    def of(cls, texts: Iterable[str]) -> "Texts":
        """Return texts as they are, or as a block."""
        return texts if isinstance(texts, cls) else cls(texts)

    @classmethod
    def parted(cls, block: bytes, sign: bytes) -> "Texts":
        """Return the texts of a block in which a sign stands between them.

        Examples
        --------
        >>> list(Texts.parted(b"a|bc", b"|"))
        ['a', 'bc']
        """
        signs = np.flatnonzero(np.frombuffer(block, np.uint8) == ord(sign))
        letters = block.translate(None, sign)
        return cls._made(letters, np.append(signs - np.arange(len(signs)), len(letters)))

    @classmethod
    def padded(cls, values: np.ndarray) -> "Texts":
        """Return the texts of an array of bytes of one width, as HDF5 keeps them.

        Parameters
        ----------
        values : ndarray of bytes, shape (N,)

        Examples
        --------
        >>> list(Texts.padded(np.array([b"a", b"bc"])))
        ['a', 'bc']
        """
        block, widths = bytearray(), np.empty(len(values), np.int64)
        for start in range(0, len(values), _AT_ONCE):
            some = np.ascontiguousarray(values[start : start + _AT_ONCE])
            widths[start : start + _AT_ONCE] = each = np.char.str_len(some)
            letters = some.view(np.uint8).reshape(len(some), -1)
            block += letters[np.arange(letters.shape[1]) < each[:, None]].tobytes()
        return cls._made(block, np.cumsum(widths))

    @classmethod
    def _made(cls, block: bytes | bytearray, ends: np.ndarray) -> "Texts":
        made = cls()
        made.block = bytearray(block)
        made._ends.frombytes(ends.astype(np.int64).tobytes())
        return made

    @property
    def ends(self) -> np.ndarray:
        """Where each ends in the block: int64 of shape (N,)."""
        return np.frombuffer(self._ends, np.int64) if self._ends else np.empty(0, np.int64)

    @property
    def starts(self) -> np.ndarray:
        """Where each begins in the block: int64 of shape (N,)."""
        return np.concatenate([np.zeros(1, np.int64), self.ends])[: len(self)]

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, number: int) -> str: ...
    @overload
    def __getitem__(self, number: slice) -> "Texts": ...
    def __getitem__(self, number: Any) -> Any:
        if isinstance(number, slice):
            return self.at(np.arange(len(self))[number])
        if number < 0:
            number = range(len(self))[number]
        first, last = self._ends[number - 1] if number else 0, self._ends[number]
        return self.block[first:last].decode("utf-8", _ERRORS)

    def __iter__(self) -> Iterator[str]:
        first = 0
        for last in self._ends:
            yield self.block[first:last].decode("utf-8", _ERRORS)
            first = last

    def some(self, numbers: np.ndarray) -> Iterator[str]:
        """Yield the texts of ascending numbers."""
        return iter(self) if len(numbers) == len(self) else (self[number] for number in map(int, numbers))

    def __contains__(self, text: object) -> bool:
        return isinstance(text, str) and self.find(text) >= 0

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Texts):
            return self.block == other.block and np.array_equal(self.ends, other.ends)
        return super().__eq__(other)

    __hash__ = None

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_hashed"}  # of one process

    def encoded(self, number: int) -> bytes:
        """Return the text of a number, from 0 on, in UTF-8."""
        return bytes(self.block[self._ends[number - 1] if number else 0 : self._ends[number]])

    def find(self, text: str, near: int | None = None) -> int:
        """Return the number of a text, that of any one of equal ones; -1 where it is not.

        Parameters
        ----------
        text : str
        near : int, optional
            Where it may be; by default behind the one that was found before. There it costs next to nothing.
        """
        wanted, guess = text.encode("utf-8", _ERRORS), self._next if near is None else near
        if not (0 <= guess < len(self) and self.encoded(guess) == wanted):
            hashes, order = self._hashed
            value = hash(wanted)
            place = int(np.searchsorted(hashes, value))
            while place < len(hashes) and hashes[place] == value and self.encoded(order[place]) != wanted:
                place += 1
            if place == len(hashes) or hashes[place] != value:
                return -1
            guess = int(order[place])
        self._next = guess + 1
        return guess

    def find_all(self, others: "Texts") -> np.ndarray:
        """Return what `find` does of each of others: int64 of shape (M,)."""
        if not len(self):
            return np.full(len(others), -1, np.int64)
        return np.fromiter(map(self.find, others), np.int64, len(others))

    def index(self, text: str, start: int = 0, stop: int | None = None) -> int:
        """Return the number of a text, or raise ValueError where it is not, as a list does."""
        number = self.find(text)
        if not start <= number < (len(self) if stop is None else stop):
            raise ValueError(f"{text!r} is not in the texts")
        return number

    def extend(self, others: "Texts") -> None:
        """Add others behind these."""
        before = len(self.block)
        self.block += others.block
        self._ends.frombytes((others.ends + before).tobytes())
        self.__dict__.pop("_hashed", None)

    @cached_property
    def _hashed(self) -> tuple[np.ndarray, np.ndarray]:
        """Hashes of all texts in ascending order, and whose they are."""
        hashes = np.fromiter(map(hash, map(self.encoded, range(len(self)))), np.int64, len(self))
        order = np.argsort(hashes, kind="stable")
        return hashes[order], order

    def twice(self) -> tuple[int, int] | None:
        """Return the numbers of the first text that was there before, or None.

        Examples
        --------
        >>> Texts(["a", "b", "b", "a"]).twice()
        (1, 2)
        """
        hashes, order = self._hashed
        again = order[1:][hashes[1:] == hashes[:-1]]
        pairs = ((self.find(self[row], near=-1), row) for row in np.sort(again).tolist())
        return next(((first, row) for first, row in pairs if first < row), None)

    def at(self, numbers: np.ndarray) -> "Texts":
        """Return some of the texts.

        Parameters
        ----------
        numbers : ndarray of int, shape (n,)
        """
        starts, ends, block = self.starts, self.ends, bytearray()
        letters = np.frombuffer(self.block, np.uint8) if self.block else np.empty(0, np.uint8)
        widths = (ends - starts)[numbers]
        for first in range(0, len(numbers), _AT_ONCE):
            some, wide = numbers[first : first + _AT_ONCE], widths[first : first + _AT_ONCE]
            shift = np.repeat(starts[some] - np.cumsum(wide) + wide, wide)
            block += letters[shift + np.arange(len(shift))].tobytes()
        return self._made(block, np.cumsum(widths))

    def joined(self, sign: bytes) -> bytes:
        """Return one block in which a sign stands between the texts, the inverse of `parted`."""
        letters = np.frombuffer(self.block, np.uint8) if self.block else np.empty(0, np.uint8)
        return np.insert(letters, self.ends[:-1], ord(sign)).tobytes()

    def wide(self) -> np.ndarray:
        """Return an array of bytes of one width, the inverse of `padded`."""
        starts, ends = self.starts, self.ends
        widths = ends - starts
        letters = np.zeros((len(self), max(1, int(widths.max(initial=0)))), np.uint8)
        for start in range(0, len(self), _AT_ONCE):
            some = slice(start, start + _AT_ONCE)
            first, last = int(starts[start]), int(ends[some][-1])
            held = np.arange(letters.shape[1]) < widths[some, None]
            letters[some][held] = np.frombuffer(self.block, np.uint8, last - first, first)
        return letters.view(f"S{letters.shape[1]}")[:, 0]

    def order(self) -> np.ndarray:
        """Return the numbers of the texts, those of the lowest bytes first; equal ones stay in their order.

        Examples
        --------
        >>> Texts(["b", "é", "a"]).order().tolist()
        [2, 0, 1]
        """
        widest = int((self.ends - self.starts).max(initial=0))
        if widest * len(self) > _WIDE * len(self.block):
            return np.array(sorted(range(len(self)), key=self.encoded), np.int64)
        return np.argsort(self.wide(), kind="stable")
