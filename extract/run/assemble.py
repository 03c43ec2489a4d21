"""Known features in the order of a file, unless too many images were rejected; nothing is written here."""

from pathlib import Path

import numpy as np

from data.errors import HeadstartError, UsageError
from data.sources.rows import Rows
from data.sources.source import Source
from data.split_rule import HASH, SplitRule
from data.splits import SPLIT_NAMES, group_digest, hashed_split
from data.stratified import ToDeal, stratified
from data.text import counted, shell_word
from extract.backbones.records import known_weights
from extract.feature_file.contents import NO_DIGEST, Contents, Rejected
from extract.feature_file.digests import DigestIndex, each_digest, split_digests
from extract.feature_file.places import Places
from extract.recipe import EngineInfo
from extract.run.plan import Scan
from extract.run.survey import Survey

_VANISHED = "changed or vanished while the run was reading it; the next run tries it again"


def assemble(source: Source, scan: Scan, found: Survey, rule: SplitRule) -> tuple[Contents, Places]:
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
    Contents, Places
    """
    order = scan.rows.ids.order()
    known = np.where(scan.digests.known[order], found.features.index.find(scan.digests.array[order]), -1)
    chosen, lost = order[known >= 0], order[known < 0]
    rows, digests = scan.rows.at(chosen), scan.digests.array[chosen]
    places = found.features.places(known[known >= 0])
    engines, origins = engines_of(places)
    weights, old = known_weights(found.recipe.weights), found.old
    contents = Contents(
        recipe=found.recipe,
        source=source.describe(),
        weights=weights.told() if weights else old.contents.weights if old else {},
        class_names=tuple(source.class_names),
        engines=engines,
        ids=rows.ids,
        digests=digests,
        labels=rows.labels,
        splits=splits_of(rows, digests, rule, found.contents),
        origins=origins,
        groups=groups_of(rows),
        rejected=tuple(_rejected(scan, number, found, rule) for number in lost.tolist()),
        split_rule=rule,
    )
    return contents, places


def _rejected(scan: Scan, number: int, found: Survey, rule: SplitRule) -> Rejected:
    name, digest = scan.rows.ids[number], scan.digests[number]
    if digest in found.rejected:
        return Rejected(name, digest, found.rejected[digest])
    split = found.contents.split_of(name) if found.contents and rule.is_stratified else -1
    return Rejected(name, NO_DIGEST, scan.unreadable.get(name, _VANISHED), split)


def groups_of(rows: Rows) -> tuple[str, ...]:
    """Return the group of each row, empty for none; nothing where no row has one."""
    if not (rows.groups >= 0).any():
        return ()
    names = [*rows.group_names, ""]  # the last one stands for -1
    return tuple(names[group] for group in rows.groups)


def splits_of(rows: Rows, digests: np.ndarray, rule: SplitRule, old: Contents | None = None) -> np.ndarray:
    """Return the split of each row that a file will have.

    Parameters
    ----------
    rows : Rows
    digests : ndarray of uint8, shape (N, 32)
    rule : SplitRule
    old : Contents, optional
        Of the present file: images that it holds keep their split where the rule is stratified.

    Returns
    -------
    ndarray of int8, shape (N,)
        Indices into `data.splits.SPLIT_NAMES`.
    """
    if rule.is_stratified:
        groups = [rows.group(number) for number in range(len(rows))]
        own, stored = (_names(splits) for splits in (rows.splits, _stored(rows, digests, old)))
        names = stratified(ToDeal(rows.labels.tolist(), split_digests(digests), groups, own, stored), rule)
        return np.array([SPLIT_NAMES.index(name) for name in names], np.int8)
    of_group = [SPLIT_NAMES.index(hashed_split(group_digest(name))) for name in rows.group_names]
    splits = np.where(rows.groups >= 0, np.array([*of_group, -1], np.int8)[rows.groups], -1).astype(np.int8)
    alone = np.flatnonzero((rows.splits < 0) & (rows.groups < 0))
    hashed = map(SPLIT_NAMES.index, map(hashed_split, each_digest(digests[alone, :8])))
    splits[alone] = np.fromiter(hashed, np.int8, len(alone))
    return np.where(rows.splits >= 0, rows.splits, splits)


def _names(splits: np.ndarray) -> list[str | None]:
    return [SPLIT_NAMES[split] if split >= 0 else None for split in splits.tolist()]


def _stored(rows: Rows, digests: np.ndarray, old: Contents | None) -> np.ndarray:
    """Return the split of each image in the present file: that of its name, else of any row that holds it.

    Those are indices into `SPLIT_NAMES`; -1 where it has none.
    """
    if old is None or not len(old.ids):
        return _dropped(rows, old)
    place = old.ids.find_all(rows.ids)
    named = (place >= 0) & (old.digests[place] == digests).all(axis=1)
    held = DigestIndex(old.digests).find(digests)
    known = np.where(named, place, held)
    return np.where(known >= 0, old.splits[known], _dropped(rows, old)).astype(np.int8)


def _dropped(rows: Rows, old: Contents | None) -> np.ndarray:
    """Return the splits that rows had before they were rejected."""
    had = {row.id: row.split for row in old.rejected if row.split >= 0} if old else {}
    found = np.full(len(rows), -1, np.int8)
    for name, split in had.items():
        if (number := rows.ids.find(name)) >= 0:
            found[number] = split
    return found


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
    if wanted.is_stratified and len(scan.rows) and (scan.rows.splits >= 0).all():
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


def _other_rule(scan: Scan, found: Survey, old: Contents, wanted: SplitRule) -> HeadstartError:
    """Make the error for a rule that would give rows of the present file other splits."""
    numbers = found.may_have(scan)
    rows, digests = scan.rows.at(numbers), scan.digests.array[numbers]
    was, new = _stored(rows, digests, old), splits_of(rows, digests, wanted)
    train = SPLIT_NAMES.index("train")
    others = int(((was != new) & (was >= 0)).sum())
    learned = int(((was == train) & (new != train)).sum())
    path = str(found.path)
    return HeadstartError(
        f"the splits of {path!r} are by another rule, and stay as they are",
        f"{old.split_rule.words}, as in the file, or no --split",
        f"{wanted.words}, with which {others} of {counted(len(old.ids), 'row')} would have another split, "
        f"{learned} of them training rows that would come to judge: heads trained on the file, and scores "
        "compared with theirs, would be worth nothing",
        f"leave --split out; or make another file, for which nothing is computed again, and train its "
        f"heads anew: -o OTHER.h5 --reuse {shell_word(path)}",
    )


def engines_of(places: Places) -> tuple[tuple[EngineInfo, ...], np.ndarray]:
    """Return the different engines that computed some rows, and the number of each row's."""
    used: dict[EngineInfo, list[np.ndarray]] = {}
    for store, numbers, rows in places.by_store():
        engines, origins = store.engines_at(rows)
        for each in np.unique(origins):
            used.setdefault(engines[each], []).append(numbers[origins == each])
    distinct = sorted(used, key=lambda info: (info.device, info.engine, info.others, info.version))
    numbered = np.zeros(len(places), np.uint8)
    for number, engine in enumerate(distinct):
        for rows in used[engine]:
            numbered[rows] = number
    return tuple(distinct), numbered


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
