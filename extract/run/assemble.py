"""Known features in the order of a file, unless too many images were rejected; nothing is written here."""

from pathlib import Path

import numpy as np

from data.errors import HeadstartError, UsageError
from data.sources.source import Row, Source
from data.splits import SPLIT_NAMES, split_of
from extract.backbones.weights import known_weights
from extract.feature_file.contents import NO_DIGEST, Contents, Rejected
from extract.feature_file.hdf5 import Store
from extract.recipe import EngineInfo
from extract.run.plan import Scan
from extract.run.survey import Survey

_VANISHED = "changed or vanished while the run was reading it; the next run tries it again"


def assemble(source: Source, scan: Scan, found: Survey) -> tuple[Contents, list[tuple[Store, int]]]:
    """Put the known features of a source's rows into the order of the file.

    Parameters
    ----------
    source : Source
    scan : Scan
        What the source holds.
    found : Survey
        Where the features are. A row without any is rejected.

    Returns
    -------
    Contents, list of (store, row)
    """
    features, old = found.features, found.old
    order = sorted(range(len(scan.rows)), key=lambda number: scan.rows[number].id.encode())
    chosen = [(scan.rows[number], digest) for number in order if (digest := scan.digests[number]) in features]
    lost = [number for number in order if scan.digests[number] not in features]
    rows, digests = [row for row, _ in chosen], [digest for _, digest in chosen]
    places = [features[digest] for digest in digests]
    engines, origins = engines_of(places)
    weights = known_weights(found.recipe.weights)
    contents = Contents(
        recipe=found.recipe,
        source=source.describe(),
        weights={"name": weights.name, "origin": weights.origin}
        if weights
        else old.contents.weights
        if old
        else {},
        class_names=tuple(source.class_names),
        engines=engines,
        ids=tuple(row.id for row in rows),
        digests=np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 32),
        labels=np.array([row.label for row in rows], np.int32),
        splits=_splits(rows, digests),
        origins=origins,
        groups=tuple(row.group or "" for row in rows) if any(row.group for row in rows) else (),
        rejected=tuple(_rejected(scan, number, found.rejected) for number in lost),
    )
    return contents, places


def _rejected(scan: Scan, number: int, reasons: dict[bytes, str]) -> Rejected:
    name, digest = scan.rows[number].id, scan.digests[number]
    if digest in reasons:
        return Rejected(name, digest, reasons[digest])
    return Rejected(name, NO_DIGEST, scan.unreadable.get(name, _VANISHED))


def _splits(rows: list[Row], digests: list[bytes]) -> np.ndarray:
    names = [split_of(row, digest) for row, digest in zip(rows, digests, strict=True)]
    return np.array([SPLIT_NAMES.index(name) for name in names], np.int8)


def engines_of(places: list[tuple[Store, int]]) -> tuple[tuple[EngineInfo, ...], np.ndarray]:
    """Return the different engines that computed some rows, and the number of each row's."""
    used = [store.engine(row) for store, row in places]
    distinct = sorted(set(used), key=lambda info: (info.device, info.engine, info.others, info.version))
    index = {engine: number for number, engine in enumerate(distinct)}
    return tuple(distinct), np.array([index[engine] for engine in used], np.uint8)


def allowed_rejections(max_bad: str | int, rows: int) -> float:
    """Return how many of so many rows may be rejected.

    Raises
    ------
    HeadstartError
        If `max_bad` is neither a share nor a number.

    Examples
    --------
    >>> allowed_rejections("10%", 50), allowed_rejections(3, 50)
    (5.0, 3.0)
    """
    try:
        share = str(max_bad).endswith("%")
        number = float(str(max_bad).removesuffix("%"))
        if number >= 0:
            return number / 100 * rows if share else number
    except ValueError:
        pass
    raise UsageError(
        "--max-bad is not a number", "a share as 10% or a number of images", str(max_bad), "correct it"
    )


def check_rejections(folder: Path, path: Path, contents: Contents, max_bad: str | int) -> None:
    """Raise if too many rows are rejected for the file to be written.

    Parameters
    ----------
    folder : Path
        Where the parts are kept.
    path : Path
        The feature file.
    contents : Contents
        What would be written.
    max_bad : str or int
        As `allowed_rejections` takes it.

    Raises
    ------
    HeadstartError
    """
    bad = contents.rejected
    total = len(bad) + len(contents.ids)
    allowed = allowed_rejections(max_bad, total)
    if contents.ids and len(bad) <= allowed:
        return
    shown = "; ".join(f"{row.id}: {row.reason}" for row in bad[:5])
    raise HeadstartError(
        f"{len(bad)} of {total} images were rejected, so {str(path)!r} was not written",
        f"at most {allowed:g} (--max-bad)" if contents.ids else "at least one image that can be decoded",
        shown + (f"; and {len(bad) - 5} more" if len(bad) > 5 else ""),
        f"mend or remove them, or allow more with --max-bad; what was computed is kept in {folder}"
        if contents.ids
        else "mend the images",
    )
