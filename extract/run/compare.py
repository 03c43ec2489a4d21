"""A feature file against its source: which rows are missing or stale, and does a sample come out the same?"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from data.images import ImageError
from data.sources.source import Row, Source, as_source
from data.splits import SPLIT_NAMES, split_of
from data.text import counted
from extract.engines.engine import open_engine
from extract.engines.pipeline import compute_features
from extract.engines.probe import check_probes, difference, tolerance
from extract.feature_file.contents import NO_DIGEST, Contents
from extract.feature_file.diff import rows_by_id
from extract.feature_file.reader import FeatureFile
from extract.feature_file.verify import Verdict
from extract.run.plan import Scan
from extract.run.scan import scan_source
from extract.run.worker import bytes_of


def compare(path: str | Path, source: Source, sample: int = 0) -> Verdict:
    """Check a sound feature file against its source, whose every byte is read.

    Parameters
    ----------
    path : str or Path
    source : Source, str or Path
    sample : int
        Rows, spread evenly, that are extracted again, and the probe image with them; the
        largest difference must stay below `extract.engines.probe.tolerance`.

    Raises
    ------
    HeadstartError
        If the probe image comes out otherwise.
    """
    file, source = FeatureFile(path), as_source(source)
    scan = scan_source(source, rehash=True)
    problems = tuple(_stale(file, source, scan))
    damaged = tuple(_differing(file, source, scan, sample)) if sample else ()
    remedy = "extract" if damaged else "run" if problems else ""
    return Verdict(problems, damaged, tuple(file.contents.ids[row] for row in damaged), remedy)


def _stale(file: FeatureFile, source: Source, scan: Scan) -> Iterator[str]:
    stored = rows_by_id(file)
    found = _rows_of(source, scan, file.contents, stored)
    tried = {row.id: row.digest for row in file.contents.rejected}
    known = tried | {name: row[0] for name, row in stored.items()}
    there = {name: row[0] for name, row in found.items() if row[0]}
    same = [name for name, row in stored.items() if there.get(name) == row[0]]
    kinds = {
        "in the source, not in the file": [name for name in found if name not in known],
        "in the file, not in the source": [name for name in known if name not in found],
        "unreadable in the source": [name for name in stored if name in found and name not in there],
        "with other bytes in the source": [
            name
            for name, digest in known.items()
            if digest != NO_DIGEST and there.get(name, digest) != digest
        ],
        "without a feature, though the source has the image": [
            name for name, digest in tried.items() if digest == NO_DIGEST and name in there
        ],
        "with another label or split in the source": [name for name in same if found[name] != stored[name]],
    }
    for words, names in kinds.items():
        if names:
            yield f"{counted(len(names), 'row')} {words}, the first: {names[0]}"


def _rows_of(
    source: Source, scan: Scan, contents: Contents, stored: Mapping[str, tuple[bytes, str, int]]
) -> dict[str, tuple[bytes | None, str, int]]:
    """Return what `rows_by_id` does, of a source; the digest is None of what cannot be read.

    Rows that have no group in the source are in that of the file, which had a list of them; those
    that name no split have, by a stratified rule, the one that the file gave them.
    """
    names = [*source.class_names, ""]
    groups = dict(zip(contents.ids, contents.groups, strict=False))
    rows = [replace(row, group=row.group or groups.get(row.id)) for row in scan.rows]
    given = stored if contents.split_rule.is_stratified else {}

    def split(row: Row, digest: bytes) -> int:
        dealt = row.split is None and row.id in given
        return given[row.id][2] if dealt else SPLIT_NAMES.index(split_of(row, digest))

    return {
        row.id: (digest, names[row.label], split(row, digest) if digest else -1)
        for row, digest in zip(rows, scan.digests, strict=True)
    }


def _differing(file: FeatureFile, source: Source, scan: Scan, sample: int) -> list[int]:
    """Return the rows of a sample whose image is as it was, but not the feature it gives now."""
    engine = open_engine("auto", file.recipe, simulate=True)
    check_probes(engine, file.recipe, [file.probe_of()])
    stored = rows_by_id(file)
    found = zip(scan.rows, scan.digests, strict=True)
    rows = {row.id: row for row, digest in found if digest and digest == stored.get(row.id, ("",))[0]}
    ids = file.contents.ids
    spread = np.unique(np.linspace(0, len(ids) - 1, sample).astype(int))
    places = {ids[row]: row for row in spread if ids[row] in rows}
    items = ((places[row.id], data) for row, data in bytes_of(source, [rows[name] for name in places]))
    differing = []
    for row, result in compute_features(engine, file.recipe, items):
        if isinstance(result, ImageError) or any(
            not difference(file.recipe, mine, file.features(layer)[row]) <= tolerance(file.recipe)
            for layer, mine in zip(file.recipe.layers, result, strict=True)
        ):
            differing.append(int(row))
    return differing
