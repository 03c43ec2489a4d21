"""Some rows of a source, which are a source too."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from data.sources.source import Row, Source, Stamp


@dataclass(frozen=True)
class SomeRows(Source):
    """A source that holds some rows of another.

    Attributes
    ----------
    source : Source
    rows : tuple of Row

    Examples
    --------
    >>> from data.sources.source import open_source
    >>> digits = open_source("digits")
    >>> len(SomeRows(digits, tuple(digits.rows[:5])).rows)
    5
    """

    source: Source
    rows: tuple[Row, ...] = field(repr=False)

    class_names: tuple[str, ...] = field(init=False, repr=False)
    warnings: tuple[str, ...] = field(init=False, repr=False)
    location: str | None = field(init=False, repr=False)
    sendable: bool = field(init=False, repr=False)
    partial: bool = field(default=True, init=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("class_names", "warnings", "location", "sendable"):
            object.__setattr__(self, name, getattr(self.source, name))

    def describe(self) -> dict:
        """Return what the other source is, and how many rows are here."""
        return {**self.source.describe(), "rows": len(self.rows)}

    def read(self, rows: Iterable[Row]) -> Iterator[bytes | OSError]:
        """Yield the encoded bytes of rows, in their order."""
        return self.source.read(rows)

    def stamps(self) -> list[Stamp | None]:
        """Return what the other source says of the rows that are here."""
        known = dict(zip((row.id for row in self.source.rows), self.source.stamps(), strict=True))
        return [known[row.id] for row in self.rows]

    def portable(self) -> Source | None:
        """Return the same rows of what another node reads the other source by."""
        whole = self.source.portable()
        return None if whole is None else SomeRows(whole, self.rows)

    def address(self) -> dict[str, Any] | None:
        """Return by what the other source, whole, is opened."""
        return self.source.address()
