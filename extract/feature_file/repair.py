"""Keep what is sound of a damaged feature file, so that the next run computes only the rest."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from data.errors import HeadstartError
from data.output.atomic import target_of
from data.output.disk import writing
from data.output.lock import locked
from data.sources.remembered import remember_for
from extract.feature_file.contents import NO_DIGEST, Rejected
from extract.feature_file.digests import split_digests
from extract.feature_file.part import write_part
from extract.feature_file.part_names import part_name, parts_folder
from extract.feature_file.places import Places
from extract.feature_file.reader import FeatureFile, open_checked, read_rule, read_shards, stored_digest
from extract.feature_file.shards import INDEX
from extract.feature_file.verify import Verdict, damaged_rows, damaged_shards, verify
from extract.feature_file.writer import write_feature_file
from extract.recipe import EngineInfo, Recipe

_DROPPED = "damaged, and dropped by repair; the next run computes it again"


@dataclass(frozen=True)
class Repair:
    """What `repair` did.

    Attributes
    ----------
    kept, dropped : int
        Rows.
    salvaged : str
        Where the sound rows are if the file itself could not be kept; empty otherwise.
    lost_splits : str
        The rule of splits that were not kept, in words, where a row's split depends on the other
        rows; empty otherwise.
    """

    kept: int
    dropped: int
    salvaged: str = ""
    lost_splits: str = ""

    def to_dict(self) -> dict:
        """Return it as JSON-ready values."""
        return asdict(self)


def repair(path: str | Path) -> Repair:
    """Drop the damaged rows of a feature file; the next run computes just those again.

    Where only features are damaged, the file stays, and the dropped rows become rejected
    ones. Where ids, labels or attributes are damaged, nothing of them can be trusted; but
    each row certifies its feature and its image, so the sound ones become a finished part,
    from which the next run makes the file anew, and the old one is renamed ``<file>.damaged``.
    Of the sharded layout each part that is not whole is renamed so, with the index.

    Parameters
    ----------
    path : str or Path

    Raises
    ------
    HeadstartError
        If no sound row can be read.
    """
    path = target_of(Path(path))
    verdict = verify(path)
    if verdict.sound:
        return Repair(len(FeatureFile(path).contents.ids), 0)
    with writing(path, "and try again"), locked(path):
        if path.is_dir():
            return _set_aside(path)
        return _salvage(path, verdict) if verdict.problems else _drop(path, set(verdict.damaged))


def _drop(path: Path, damaged: set[int]) -> Repair:
    file = FeatureFile(path)
    contents = file.contents
    kept = np.array([row for row in range(len(contents.ids)) if row not in damaged], np.int64)
    if not len(kept):
        raise _hopeless(path, "every row is damaged")
    keeps = contents.split_rule.is_stratified  # a hash gives each row its split again
    dropped = [
        Rejected(contents.ids[row], NO_DIGEST, _DROPPED, int(contents.splits[row]) if keeps else -1)
        for row in damaged
    ]
    rejected = sorted([*contents.rejected, *dropped], key=lambda row: row.id.encode())
    sound = replace(contents.at(kept), rejected=tuple(rejected))
    write_feature_file(path, sound, Places([file], np.zeros(len(kept), np.int32), kept))
    remember_for(stored_digest(path), file.content_digest)
    return Repair(len(kept), len(dropped))


def _set_aside(folder: Path) -> Repair:
    """Rename the index and each part that is not whole; the others stay for the next run."""
    with open_checked(folder) as file:
        shards, rows, rule = read_shards(folder, file, file["digests"][:]), len(file["ids"]), read_rule(file)
        damaged = np.array(damaged_shards(folder, file)[1], np.int64)
    dropped = np.isin(shards.part, shards.part[damaged])
    for path in (folder / INDEX, *(folder / shards.names[part] for part in np.unique(shards.part[damaged]))):
        if path.is_file():
            path.rename(_free_name(path))
    lost = rule.words if rule.is_stratified else ""
    return Repair(rows - int(dropped.sum()), int(dropped.sum()), str(folder), lost)


def _salvage(path: Path, verdict: Verdict) -> Repair:
    with open_checked(path) as file:
        recipe = Recipe.from_json(file.attrs["recipe"])
        if recipe.key != file.attrs["recipe_key"]:
            raise _hopeless(path, "the recipe itself is damaged")
        damaged = set(damaged_rows(file))
        digests = split_digests(file["digests"][:])
        kept = [row for row in range(len(digests)) if row not in damaged]
        blocks = [file["features"][name][:] for name in recipe.layers]
        rows = {digests[row]: [block[row] for block in blocks] for row in kept}
        probe = [file["probe"][name][:] for name in recipe.layers]
        engine = EngineInfo.from_dict(json.loads(file.attrs["engines"])[0])
        rule = read_rule(file)
    if not rows:
        raise _hopeless(path, "; ".join(verdict.problems))
    folder = parts_folder(path, "single")
    part = folder / part_name(rows)
    write_part(part, recipe, engine, probe, rows, {})
    path.rename(_free_name(path))
    return Repair(len(kept), len(damaged), str(part), rule.words if rule.is_stratified else "")


def _free_name(path: Path) -> Path:
    """Return the first name for a damaged file that is not taken."""
    endings = (".damaged", *(f".damaged{number}" for number in range(2, 1000)))
    return next(name for ending in endings if not (name := path.with_name(path.name + ending)).exists())


def _hopeless(path: Path, reason: str) -> HeadstartError:
    return HeadstartError(
        f"nothing of {str(path)!r} can be kept", "sound rows", reason, "move the file away and extract again"
    )
