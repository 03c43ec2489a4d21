"""Rows that left a feature file, kept once beside it in ``FILE.before``: a feature file too."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from data.sources.source import Row, Source
from data.splits import SPLIT_NAMES, split_of
from data.text import counted
from data.texts import Texts
from extract.feature_file.contents import Contents
from extract.feature_file.digests import DigestIndex, digest_array
from extract.feature_file.hdf5 import Store
from extract.feature_file.places import Places
from extract.feature_file.reader import FeatureFile
from extract.feature_file.writer import write_feature_file
from extract.run.assemble import engines_of
from extract.run.leaving import Leaving, before_path, check_leaving
from extract.run.survey import Survey, check_stores, same_recipe


@dataclass(frozen=True)
class _Kept:
    """A row, and where its feature is."""

    id: str
    digest: bytes
    label: str
    split: int
    group: str
    place: tuple[Store, int]


def check_before(
    found: Survey, leaves: Leaving, source: Source, allow_drop: bool, kept: Callable[[], str] = str
) -> None:
    """Raise if rows may not leave a file, or could not be kept beside it.

    Parameters
    ----------
    found : Survey
    leaves : Leaving
    source : Source
        What the run reads.
    allow_drop : bool
    kept : callable
        Says what of the run's work is kept.

    Raises
    ------
    HeadstartError
    """
    if leaves.kept and (prior := _earlier(found)):
        check_stores([*([found.old] if found.old else []), *found.parts, prior])
    if allow_drop:
        return
    kinds = [_kind(source.describe()), *([_kind(found.old.contents.source)] if found.old else [])]
    read = f"{counted(len(source.rows), 'row')} of {' instead of '.join(dict.fromkeys(kinds))}"
    check_leaving(leaves, found.path, read, kept)


def keep_before(found: Survey, leaves: Leaving, contents: Contents) -> None:
    """Write the rows that leave, with those that left earlier, each image once.

    It is called before the new feature file gets its name: whatever ends the run, each row is
    in the one or in the other. So rows that left earlier go only where the present file has them.

    Parameters
    ----------
    found : Survey
    leaves : Leaving
    contents : Contents
        Of the new file; it tells what rows of parts have in common.
    """
    if not leaves.kept:
        return
    rows = {row.digest: row for row in _leaving(found, leaves)}
    if prior := _earlier(found):
        old = DigestIndex(found.old.digests if found.old else prior.digests[:0])
        for row in _rows_of(prior, np.flatnonzero(~old.holds(prior.digests)).tolist()):
            rows.setdefault(row.digest, row)
    chosen = sorted(_named_apart(rows.values()), key=lambda row: row.id.encode())
    shared = _contents(found.old.contents if found.old else contents, chosen)
    write_feature_file(before_path(found.path), shared, [row.place for row in chosen])


def _earlier(found: Survey) -> FeatureFile | None:
    """Return the rows that left earlier; raise if something else has their name."""
    path = before_path(found.path)
    if not path.exists():
        return None
    return same_recipe(path, found.recipe, "move it away, or choose another output with -o")


def _kind(described: dict) -> str:
    return " ".join(map(str, described.values()))


def _leaving(found: Survey, leaves: Leaving) -> Iterator[_Kept]:
    yield from _rows_of(found.old, sorted([*leaves.dropped, *leaves.replaced])) if found.old else ()
    for digest in leaves.spare:
        split = SPLIT_NAMES.index(split_of(Row("", -1), digest))
        yield _Kept(digest.hex(), digest, "", split, "", found.features[digest])


def _rows_of(file: FeatureFile, numbers: Iterable[int]) -> Iterator[_Kept]:
    contents = file.contents
    labels = [*contents.class_names, ""]  # the last one stands for -1
    for row in numbers:
        group = contents.groups[row] if contents.groups else ""
        label, split = labels[contents.labels[row]], int(contents.splits[row])
        yield _Kept(contents.ids[row], file.digests[row].tobytes(), label, split, group, (file, row))


def _named_apart(rows: Iterable[_Kept]) -> Iterator[_Kept]:
    """Yield rows with different names: of one name, those after the first get a piece of their digest."""
    seen = set()
    for row in rows:
        name = row.id if row.id not in seen else f"{row.id} {row.digest.hex()[:16]}"
        seen.add(name)
        yield replace(row, id=name)


def _contents(contents: Contents, rows: list[_Kept]) -> Contents:
    names = tuple(dict.fromkeys(row.label for row in rows if row.label))
    index = {name: number for number, name in enumerate(names)} | {"": -1}
    engines, origins = engines_of(Places.of(row.place for row in rows))
    return replace(
        contents,
        class_names=names,
        engines=engines,
        ids=Texts(row.id for row in rows),
        digests=digest_array([row.digest for row in rows]),
        labels=np.array([index[row.label] for row in rows], np.int32),
        splits=np.array([row.split for row in rows], np.int8),
        origins=origins,
        groups=tuple(row.group for row in rows) if any(row.group for row in rows) else (),
        rejected=(),
    )
