"""Known features in the order of a file, unless too many images were rejected; nothing is written here."""

from collections.abc import Sequence
from pathlib import Path
from shlex import quote

import numpy as np

from data.errors import HeadstartError, UsageError
from data.sources.source import Row, Source
from data.split_rule import HASH, SplitRule
from data.splits import SPLIT_NAMES, split_of
from data.stratified import ToDeal, stratified
from data.text import counted
from extract.backbones.records import known_weights
from extract.feature_file.contents import NO_DIGEST, Contents, Rejected
from extract.feature_file.hdf5 import Store
from extract.recipe import EngineInfo
from extract.run.plan import Scan
from extract.run.survey import Survey

_VANISHED = "changed or vanished while the run was reading it; the next run tries it again"


def assemble(
    source: Source, scan: Scan, found: Survey, rule: SplitRule
) -> tuple[Contents, list[tuple[Store, int]]]:
    """Put the known features of a source's rows into the order of the file.

    Parameters
    ----------
    source : Source
    scan : Scan
        What the source holds.
    found : Survey
        Where the features are. A row without any is rejected.
    rule : SplitRule
        As `chosen_rule` returns it.

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
        weights=weights.told() if weights else old.contents.weights if old else {},
        class_names=tuple(source.class_names),
        engines=engines,
        ids=tuple(row.id for row in rows),
        digests=np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 32),
        labels=np.array([row.label for row in rows], np.int32),
        splits=splits_of(rows, digests, rule, found.contents),
        origins=origins,
        groups=tuple(row.group or "" for row in rows) if any(row.group for row in rows) else (),
        rejected=tuple(_rejected(scan, number, found, rule) for number in lost),
        split_rule=rule,
    )
    return contents, places


def _rejected(scan: Scan, number: int, found: Survey, rule: SplitRule) -> Rejected:
    name, digest = scan.rows[number].id, scan.digests[number]
    if digest in found.rejected:
        return Rejected(name, digest, found.rejected[digest])
    split = found.contents.split_of(name) if found.contents and rule.is_stratified else -1
    return Rejected(name, NO_DIGEST, scan.unreadable.get(name, _VANISHED), split)


def splits_of(
    rows: Sequence[Row], digests: Sequence[bytes], rule: SplitRule, old: Contents | None = None
) -> np.ndarray:
    """Return the split of each row that a file will have.

    Parameters
    ----------
    rows : sequence of Row
    digests : sequence of bytes
    rule : SplitRule
    old : Contents, optional
        Of the present file: images that it holds keep their split where the rule is stratified.

    Returns
    -------
    ndarray of int8, shape (N,)
        Indices into `data.splits.SPLIT_NAMES`.
    """
    if rule.is_stratified:
        labels, groups, own = ([getattr(row, name) for row in rows] for name in ("label", "group", "split"))
        names = stratified(ToDeal(labels, digests, groups, own, _stored(rows, digests, old)), rule)
    else:
        names = [split_of(row, digest) for row, digest in zip(rows, digests, strict=True)]
    return np.array([SPLIT_NAMES.index(name) for name in names], np.int8)


def _stored(rows: Sequence[Row], digests: Sequence[bytes], old: Contents | None) -> list[str | None]:
    """Return the split of each image in the present file: that of its name, else of any row that holds it."""
    if old is None:
        return [None] * len(rows)
    known = [(name, bytes(digest)) for name, digest in zip(old.ids, old.digests, strict=True)]
    named = {pair: SPLIT_NAMES[split] for pair, split in zip(known, old.splits, strict=True)}
    of_image = {digest: split for (_, digest), split in reversed(named.items())}
    dropped = {row.id: SPLIT_NAMES[row.split] for row in old.rejected if row.split >= 0}
    pairs = zip(rows, digests, strict=True)
    return [named.get((row.id, image)) or of_image.get(image) or dropped.get(row.id) for row, image in pairs]


def chosen_rule(scan: Scan, found: Survey, wanted: SplitRule | None) -> SplitRule:
    """Return the rule of splits that is asked for, else that of the present file.

    Raises
    ------
    HeadstartError
        If the present file has another one, or no row of the source is without a split of its own.
    """
    old = found.contents
    if wanted is None:
        return old.split_rule if old else HASH
    if wanted.is_stratified and scan.rows and all(row.split for row in scan.rows):
        raise UsageError(
            "--split stratified has no row to deal",
            "rows whose source names no split",
            f"{counted(len(scan.rows), 'row')} with a split of their own, which they keep",
            "leave --split out, or name a source without splits: one folder for each class, a CSV file "
            "without the column split, one TFDS split",
        )
    if old and old.split_rule != wanted:
        raise _other_rule(scan, found, old, wanted)
    return wanted


def coming(scan: Scan, found: Survey) -> tuple[list[Row], list[bytes]]:
    """Return the rows that a file will have, as far as is known before anything is computed."""
    pairs = zip(scan.rows, scan.digests, strict=True)
    kept = [(row, digest) for row, digest in pairs if digest and found.may_have(digest)]
    return [row for row, _ in kept], [digest for _, digest in kept]


def _other_rule(scan: Scan, found: Survey, old: Contents, wanted: SplitRule) -> HeadstartError:
    """Make the error for a rule that would give rows of the present file other splits."""
    rows, digests = coming(scan, found)
    was = np.array([split or "" for split in _stored(rows, digests, old)])
    new = np.array(SPLIT_NAMES)[splits_of(rows, digests, wanted)]
    others = int(((was != new) & (was != "")).sum())
    learned = int(((was == "train") & (new != "train")).sum())
    path = str(found.path)
    return HeadstartError(
        f"the splits of {path!r} are by another rule, and stay as they are",
        f"{old.split_rule.words}, as in the file, or no --split",
        f"{wanted.words}, with which {others} of {counted(len(old.ids), 'row')} would have another split, "
        f"{learned} of them training rows that would come to judge: heads trained on the file, and scores "
        "compared with theirs, would be worth nothing",
        f"leave --split out; or make another file, for which nothing is computed again, and train its "
        f"heads anew: -o OTHER.h5 --reuse {quote(path)}",
    )


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
