"""Digests of the images of a source; files that have not changed are not read again."""

import hashlib
import os
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from data.errors import HeadstartError, is_there, unreadable
from data.output.atomic import written_aside
from data.output.cache import cache_folder
from data.sources.rows import Rows
from data.sources.source import Source, title
from data.stores.answers import Body
from data.tables.groups import Groups
from data.texts import Texts
from extract.feature_file.digests import DigestIndex, Digests
from extract.run.plan import Scan

_RACY = 2_000_000_000  # nanoseconds: a file changed so lately may change again within its mtime's tick


def grouped(scan: Scan, groups: Groups) -> Scan:
    """Return a scan whose rows are in the groups of a file, or where it does not name them in their own.

    Rows that have no split of their own get that of their group.

    Raises
    ------
    HeadstartError
        If the file names none of the images.
    """
    groups.check(digest for digest in scan.digests if digest)
    listed = DigestIndex.of(groups.of)
    place = np.where(scan.digests.known, listed.find(scan.digests.array), -1)
    names = {name: number for number, name in enumerate([*scan.rows.group_names])}
    named = np.array([names.setdefault(name, len(names)) for name in groups.of.values()], np.int32)
    of_rows = np.where(place >= 0, named[place], scan.rows.groups)
    return replace(scan, rows=scan.rows.grouped(of_rows, list(names)))


@dataclass(frozen=True)
class _Stamps:
    """Stamps of rows as columns: size and version, which rows have one, and which are exact."""

    values: np.ndarray
    there: np.ndarray
    exact: np.ndarray

    @classmethod
    def of(cls, source: Source) -> "_Stamps":
        rows = len(source.rows)
        found = cls(np.zeros((rows, 2), np.int64), np.zeros(rows, bool), np.zeros(rows, bool))
        for number, stamp in enumerate(source.stamps()):
            if stamp:
                found.values[number] = stamp.size, stamp.version
                found.there[number], found.exact[number] = True, stamp.exact
        return found

    def take(self, number: int, data: bytes) -> None:
        """Keep the stamp of the answer that held a row's bytes: the object may be another one by now."""
        stamp = data.stamp if isinstance(data, Body) else None
        if stamp and self.there[number] and self.exact[number] == stamp.exact:
            self.values[number] = stamp.size, stamp.version


def known_digests(source: Source) -> Digests:
    """Return the digest of every row of a source that is known without reading it, None of the others."""
    return _known(Rows.of(source.rows), _Stamps.of(source), _sidecar(source))


def scan_source(source: Source, rehash: bool = False) -> Scan:
    """Hash the bytes of every row of a source.

    A source of files tells size and modification time of each; where both are as they were,
    the digest is taken from a sidecar in our cache, as git's index does it.

    Parameters
    ----------
    source : Source
    rehash : bool
        Read and hash every file all the same.

    Raises
    ------
    HeadstartError
        If files exist but cannot be read: their rows would leave the feature file.
    """
    rows, stamps, sidecar = Rows.of(source.rows), _Stamps.of(source), _sidecar(source)
    digests = _known(rows, stamps, None if rehash else sidecar)
    unknown = np.flatnonzero(~digests.known)
    refused: HeadstartError | None = None
    gone: dict[str, str] = {}
    failed: dict[str, str] = {}
    started = time.time_ns()
    wanted = (rows[number] for number in map(int, unknown))
    for number, data in zip(map(int, unknown), source.read(wanted), strict=True):
        if isinstance(data, HeadstartError):  # of a store, which says it of other images too
            refused = data
            break
        if isinstance(data, OSError):
            reasons = failed if is_there(data) else gone
            reasons[rows.ids[number]] = f"cannot be read: {data.strerror or data}"
        else:
            digests.set(number, hashlib.sha256(data).digest())
            stamps.take(number, data)
    if sidecar and len(unknown) and not source.partial:  # a part knows less than the whole
        _write_sidecar(sidecar, rows, stamps, digests, started - _RACY)
    if refused:
        raise refused
    if failed:
        raise unreadable(title(source), failed, "file")
    return Scan(rows, digests, gone)


def _known(rows: Rows, stamps: _Stamps, sidecar: Path | None) -> Digests:
    """Return the digests of the rows whose stamp is as it was."""
    found = Digests.unknown(len(rows))
    kept = _read_sidecar(sidecar) if sidecar and stamps.there.any() else None
    if kept is None:
        return found
    ids, values, digests = kept
    place = ids.find_all(rows.ids)
    same = stamps.there & (place >= 0)
    same[same] = (values[place[same]] == stamps.values[same]).all(axis=1)
    found.array[same], found.known[same] = digests[place[same]], True
    return found


def _sidecar(source: Source) -> Path | None:
    if source.location is None:
        return None
    name = hashlib.sha256(os.fsencode(source.location)).hexdigest()[:32]
    return cache_folder() / "hashes" / f"{name}.npz"


def _read_sidecar(path: Path) -> tuple[Texts, np.ndarray, np.ndarray] | None:
    """Return ids, stamps and digests; None where a sidecar cannot be read."""
    try:
        with np.load(path, allow_pickle=False) as file:
            ids, stamps, digests = (file[name] for name in ("ids", "stamps", "digests"))
    except (OSError, ValueError, KeyError, EOFError):
        return None
    names = Texts.parted(ids.tobytes(), b"\0")
    return (names, stamps, digests) if len(names) == len(stamps) == len(digests) else None


def _write_sidecar(path: Path, rows: Rows, stamps: _Stamps, digests: Digests, latest: int) -> None:
    """Keep the digests of files that have been at rest; our cache may be out of reach, the run goes on."""
    rests = stamps.exact | (stamps.values[:, 1] < latest)
    kept = np.flatnonzero(stamps.there & digests.known & rests)
    if not len(kept):
        return
    ids = np.frombuffer(rows.ids.at(kept).joined(b"\0"), np.uint8)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_aside(path) as aside, open(aside, "wb") as file:
            np.savez(file, ids=ids, stamps=stamps.values[kept], digests=digests.array[kept])
    except HeadstartError:
        raise
    except OSError:
        return
