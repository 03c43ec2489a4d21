"""Digests of the images of a source; files that have not changed are not read again."""

import hashlib
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from data.errors import HeadstartError, is_there, unreadable
from data.output.atomic import written_aside
from data.output.cache import cache_folder
from data.sources.source import Row, Source, Stamp, title
from data.tables.groups import Groups
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
    rows = [
        replace(row, group=groups.of.get(digest or b"", row.group))
        for row, digest in zip(scan.rows, scan.digests, strict=True)
    ]
    return replace(scan, rows=rows)


def known_digests(source: Source) -> list[bytes | None]:
    """Return the digest of every row of a source that is known without reading it, None of the others."""
    stamps, sidecar = source.stamps(), _sidecar(source)
    return _known(source, stamps, {} if sidecar is None else _read_sidecar(sidecar))


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
    stamps = source.stamps()
    sidecar = _sidecar(source)
    digests = _known(source, stamps, {} if rehash or sidecar is None else _read_sidecar(sidecar))
    unknown = [number for number, digest in enumerate(digests) if digest is None]
    refused: HeadstartError | None = None
    gone: dict[str, str] = {}
    failed: dict[str, str] = {}
    started = time.time_ns()
    rows = [source.rows[number] for number in unknown]
    for number, row, data in zip(unknown, rows, source.read(rows), strict=True):
        if isinstance(data, HeadstartError):  # of a store, which says it of other images too
            refused = data
            break
        if isinstance(data, OSError):
            reasons = failed if is_there(data) else gone
            reasons[row.id] = f"cannot be read: {data.strerror or data}"
        else:
            digests[number] = hashlib.sha256(data).digest()
    if sidecar and unknown and any(stamps) and not source.partial:  # a part knows less than the whole
        _write_sidecar(sidecar, source.rows, stamps, digests, started - _RACY)
    if refused:
        raise refused
    if failed:
        raise unreadable(title(source), failed, "file")
    return Scan(source.rows, digests, gone)


def _known(
    source: Source, stamps: Sequence[Stamp | None], kept: dict[tuple[str, tuple[int, int]], bytes]
) -> list[bytes | None]:
    pairs = zip(source.rows, stamps, strict=True)
    return [kept.get((row.id, (stamp.size, stamp.version))) if stamp else None for row, stamp in pairs]


def _sidecar(source: Source) -> Path | None:
    if source.location is None:
        return None
    name = hashlib.sha256(os.fsencode(source.location)).hexdigest()[:32]
    return cache_folder() / "hashes" / f"{name}.npz"


def _read_sidecar(path: Path) -> dict[tuple[str, tuple[int, int]], bytes]:
    """Return digests by id and stamp; a sidecar that cannot be read is as none."""
    try:
        with np.load(path, allow_pickle=False) as file:
            ids, stamps, digests = (file[name] for name in ("ids", "stamps", "digests"))
    except (OSError, ValueError, KeyError, EOFError):
        return {}
    names = ids.tobytes().decode().split("\0")
    block = digests.tobytes()
    return {
        (name, tuple(stamp)): block[32 * row : 32 * row + 32]
        for row, (name, stamp) in enumerate(zip(names, stamps.tolist(), strict=True))
    }


def _write_sidecar(
    path: Path,
    rows: Sequence[Row],
    stamps: Sequence[Stamp | None],
    digests: Sequence[bytes | None],
    latest: int,
) -> None:
    """Keep the digests of files that have been at rest; our cache may be out of reach, the run goes on."""
    kept = [
        (row.id, (stamp.size, stamp.version), digest)
        for row, stamp, digest in zip(rows, stamps, digests, strict=True)
        if stamp and digest and (stamp.exact or stamp.version < latest)
    ]
    if not kept:
        return
    ids = np.frombuffer("\0".join(name for name, _, _ in kept).encode(), np.uint8)
    block = np.frombuffer(b"".join(digest for _, _, digest in kept), np.uint8).reshape(-1, 32)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_aside(path) as aside, open(aside, "wb") as file:
            np.savez(file, ids=ids, stamps=np.array([stamp for _, stamp, _ in kept], np.int64), digests=block)
    except HeadstartError:
        raise
    except OSError:
        return
