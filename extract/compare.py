"""A feature file against its source: which rows are missing or stale, and does a sample come out the same?"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from data.images import ImageError
from data.source import Source
from extract.contents import NO_DIGEST
from extract.engines import open_engine
from extract.hashes import scan_source
from extract.layout import split_digests
from extract.parity import TOLERANCE, check_probes, relative_difference
from extract.plan import Scan
from extract.store import FeatureFile
from extract.verify import Verdict
from extract.worker import compute_features, readable


def compare(path: str | Path, source: Source, sample: int = 0) -> Verdict:
    """Check a sound feature file against its source.

    Parameters
    ----------
    path : str or Path
    source : Source
    sample : int
        Rows, spread evenly, that are extracted again, and the probe image with them; the
        largest difference must stay below `extract.parity.TOLERANCE`.

    Raises
    ------
    HeadstartError
        If the probe image comes out otherwise.
    """
    file = FeatureFile(path)
    scan = scan_source(source)
    problems = tuple(_stale(file, scan))
    damaged = tuple(_differing(file, source, scan, sample)) if sample else ()
    return Verdict(problems, damaged, tuple(file.contents.ids[row] for row in damaged))


def _stale(file: FeatureFile, scan: Scan) -> Iterator[str]:
    contents = file.contents
    stored = dict(zip(contents.ids, split_digests(contents.digests), strict=True))
    stored |= {row.id: row.digest for row in contents.rejected}
    found = {row.id: digest for row, digest in zip(scan.rows, scan.digests, strict=True)}
    kinds = {
        "in the source are not in the file": [name for name in found if name not in stored],
        "in the file are not in the source": [name for name in stored if name not in found],
        "have other bytes in the source": [
            name
            for name, digest in stored.items()
            if digest != NO_DIGEST and found.get(name, digest) != digest
        ],
    }
    for words, names in kinds.items():
        if names:
            yield f"{len(names)} rows {words}, the first: {names[0]}"


def _differing(file: FeatureFile, source: Source, scan: Scan, sample: int) -> list[int]:
    """Return the rows of a sample whose features are not those that the source gives now."""
    engine = open_engine("auto", file.recipe)
    check_probes(engine, file.recipe, [(str(file.path), file.engine(0), file.probe)])
    rows = {row.id: row for row in scan.rows}
    ids = file.contents.ids
    spread = np.unique(np.linspace(0, len(ids) - 1, sample).astype(int))
    places = {ids[row]: row for row in spread if ids[row] in rows}
    items = ((places[row.id], data) for row, data in readable(source, [rows[name] for name in places]))
    differing = []
    for row, result in compute_features(engine, file.recipe, items):
        if isinstance(result, ImageError) or any(
            relative_difference(mine, file.features(layer)[row]) > TOLERANCE
            for layer, mine in zip(file.recipe.layers, result, strict=True)
        ):
            differing.append(int(row))
    return differing
