"""The images of feature rows, read where they lie and known again by the digest of their bytes."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from threading import Lock
from typing import Unpack

import numpy as np

from classify.features.rows import LabelledRows
from data.errors import HeadstartError
from data.sources.options import SourceOptions
from data.sources.remembered import open_remembered
from data.sources.source import SOURCES, Row, Source, open_source, source_kind
from data.text import counted
from extract.feature_file.reader import FeatureFile
from extract.run.scan import known_digests

_MOST_HASHED = 4_000_000_000  # bytes that are read to find images which have other names now
_UNKNOWN = "it is not known where they lie; --source says it"


class Images:
    """The images of feature rows, without which everything else works.

    An image is that of a row if its bytes have the row's digest, whatever it is called. Make it
    with `Images.of`.

    Parameters
    ----------
    ids : sequence of str
    digests : ndarray of uint8, shape (N, 32)
        Sha256 of the bytes of each image.
    source : Source, optional
        Where they lie; None where that is not known, or they are gone.
    reason : str
        Why there is no source.

    Attributes
    ----------
    source : Source or None

    Examples
    --------
    >>> digits = open_source("digits")
    >>> first = next(iter(digits.read(digits.rows[:1])))
    >>> digest = np.frombuffer(hashlib.sha256(first).digest(), np.uint8)
    >>> images = Images(["under another name"], digest[np.newaxis], digits)
    >>> images.read(0) == first, images.missing
    (True, 0)
    """

    def __init__(
        self, ids: Sequence[str], digests: np.ndarray, source: Source | None = None, reason: str = _UNKNOWN
    ) -> None:
        self.source = source
        self._ids, self._digests, self._reason = ids, digests, reason
        self._named = {row.id: number for number, row in enumerate(source.rows)} if source else {}
        self._found: dict[bytes, int] | None = None  # places in the source by digest
        self._asked: set[int] = set()
        self._missing: set[int] = set()
        self._changed: set[int] = set()
        self._lock = Lock()

    @classmethod
    def of(
        cls,
        features: LabelledRows | FeatureFile | str | Path,
        source: str | Path | Source | None = None,
        **how: Unpack[SourceOptions],
    ) -> "Images":
        """Open the source of a feature file: the one that is named, or the one that our cache remembers.

        Parameters
        ----------
        features : FeatureMatrix, FeatureFile or path
            Rows are counted as there.
        source : str, Path or Source, optional
            As `data.open_source` takes it; by default where the images lay at extraction.
        **how
            As `data.open_source` takes it, of a source that is named.

        Raises
        ------
        HeadstartError
            If the source that is named is none. One that is remembered and gone is no error.

        Examples
        --------
        >>> images = Images.of("photos.h5")  # doctest: +SKIP
        >>> images.read(0)[:3]  # doctest: +SKIP
        b'\\xff\\xd8\\xff'
        """
        if isinstance(features, str | Path):
            features = FeatureFile(features)
        ids: Sequence[str]
        if isinstance(features, FeatureFile):
            ids, digests = features.contents.ids, features.contents.digests
            known = [features.content_digest]
        else:
            ids, digests = features.ids, features.digests
            known = [each.content_digest for each in getattr(features, "feature_sets", ())]
        if source is not None:
            return cls(ids, digests, _named_source(source, how))
        return cls(ids, digests, *_remembered_source(known))

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def missing(self) -> int:
        """Rows that were asked for, and whose image was not found, neither by name nor by digest."""
        return len(self._missing)

    @property
    def changed(self) -> int:
        """Those among the missing under whose name another image lies now."""
        return len(self._changed)

    def read(self, row: int) -> bytes | None:
        """Return the encoded bytes of the image of a row; None where it is not found."""
        return next(self.each([row]))[1]

    def each(self, rows: Iterable[int] | None = None) -> Iterator[tuple[int, bytes | None]]:
        """Yield rows and the bytes of their images, in the order in which reading is fastest.

        Parameters
        ----------
        rows : iterable of int, optional
            By default all.
        """
        wanted = [int(row) for row in (range(len(self)) if rows is None else rows)]
        self._asked.update(wanted)
        named = [(self._named[self._ids[row]], row) for row in wanted if self._ids[row] in self._named]
        others = [row for row in wanted if self._ids[row] not in self._named]
        for row, data in self._read(named):
            if data is not None and self._is(row, data):
                yield row, data
            else:
                others.append(row)
                self._changed.update([] if data is None else [row])
        places = self._by_digest() if others else {}
        moved = [(places[digest], row) for row in others if (digest := self._digest(row)) in places]
        sound = set()
        for row, data in self._read(moved):
            if data is not None and self._is(row, data):
                sound.add(row)
                yield row, data
        self._changed -= sound
        for row in others:
            if row not in sound:
                self._missing.add(row)
                yield row, None

    def warning(self) -> str:
        """Return what the user should know of images that were not found; empty if there is nothing."""
        if self.source is None:
            return f"the images are not read: {self._reason}"
        if not self.missing:
            return ""
        place = self.source.location or self.source.describe()["kind"]
        other = f"; in the place of {self.changed} lies another image" if self.changed else ""
        return f"{self.missing} of {counted(len(self._asked), 'image')} not found in {str(place)!r}{other}"

    def _read(self, places: Sequence[tuple[int, int]]) -> Iterator[tuple[int, bytes | None]]:
        """Yield rows and the bytes at their places in the source, in the source's order."""
        if self.source is None or not places:
            return
        ordered = sorted(places)
        chosen = [self.source.rows[place] for place, _ in ordered]
        for (_, row), data in zip(ordered, self.source.read(chosen), strict=True):
            yield row, data if isinstance(data, bytes) else None

    def _digest(self, row: int) -> bytes:
        return self._digests[row].tobytes()

    def _is(self, row: int, data: bytes) -> bool:
        return hashlib.sha256(data).digest() == self._digest(row)

    def _by_digest(self) -> dict[bytes, int]:
        with self._lock:
            if self._found is None:
                self._found = _places(self.source, set(self._ids)) if self.source else {}
            return self._found


def _places(source: Source, ids: set[str]) -> dict[bytes, int]:
    """Return places in a source by digest: of files that our cache knows, and of those that are few.

    Images with names of their own are read first: they are what was renamed.
    """
    digests = known_digests(source)
    unknown = [number for number, digest in enumerate(digests) if digest is None]
    unknown.sort(key=lambda number: source.rows[number].id in ids)
    rows: list[Row] = [source.rows[number] for number in unknown]
    total = 0
    for number, data in zip(unknown, source.read(rows), strict=True):
        if isinstance(data, bytes):
            digests.set(number, hashlib.sha256(data).digest())
            total += len(data)
        if total > _MOST_HASHED:
            break
    return {digest: number for number, digest in reversed(list(enumerate(digests))) if digest}


def _named_source(source: str | Path | Source, how: SourceOptions) -> Source:
    if isinstance(source, Source):
        return source
    takes = SOURCES[source_kind(str(source))].options
    every: SourceOptions = {"folders_are_classes": True} if "folders_are_classes" in takes else {}
    every.update(how)
    return open_source(source, **every)


def _remembered_source(known: Iterable[str]) -> tuple[Source | None, str]:
    """Open the first source that is remembered for one of several feature files; else say why not."""
    reasons = []
    for digest in known:
        try:
            source = open_remembered(digest)
        except HeadstartError as error:
            reasons.append(error.happened)
            continue
        if source is not None:
            return source, ""
    return None, f"{reasons[0]}; --source names another place" if reasons else _UNKNOWN
