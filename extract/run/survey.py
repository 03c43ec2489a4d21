"""What is known before a run: the present file, finished parts, other files."""

import logging
from collections import Counter
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from data.errors import HeadstartError
from data.images import MAY_DECODE
from data.output.checks import check_parent
from extract.backbones.keras_backend import is_installed
from extract.engines.probe import check_arithmetic
from extract.feature_file.contents import Contents
from extract.feature_file.digests import DigestIndex
from extract.feature_file.hdf5 import DAMAGED, Store
from extract.feature_file.part import PartFile
from extract.feature_file.part_names import parts_folder
from extract.feature_file.places import KnownFeatures
from extract.feature_file.reader import FeatureFile
from extract.feature_file.shards import LAYOUTS, chosen_layout, is_parts_folder, located, part_paths
from extract.recipe import Probe, Recipe
from extract.run.leaving import ComingRows, Leaving, Named, leaving
from extract.run.plan import Plan, Scan, plan

Seen = tuple[tuple[int, int, int] | None, tuple[str, ...]]  # of the file, and the names of parts
OTHER_OUTPUT = "choose another output for this recipe: -o OTHER.h5"
_OTHER_REUSE = "leave it out: --reuse takes rows of the same recipe alone"
_log = logging.getLogger("headstart.run")


@dataclass(frozen=True)
class Survey:
    """Where the features that a run need not compute are.

    Attributes
    ----------
    path : Path
        The feature file.
    layout : str
        What it has, or will have: an entry of `extract.feature_file.shards.LAYOUTS`.
    recipe : Recipe
    old : FeatureFile or None
        The present file.
    parts : tuple of PartFile
        Finished parts of an interrupted run.
    others : tuple of FeatureFile
        Files that the user named to take rows from.
    features : KnownFeatures
        Where the feature of each digest is.
    rejected : dict of bytes to str
        Reasons by digest.
    seen : tuple
        What was there, by which `is_stale` tells whether another run has ended since.
    """

    path: Path
    layout: str
    recipe: Recipe
    old: FeatureFile | None
    parts: tuple[PartFile, ...]
    others: tuple[FeatureFile, ...]
    features: KnownFeatures = field(repr=False)
    rejected: dict[bytes, str] = field(repr=False)
    seen: Seen = field(repr=False)

    @property
    def contents(self) -> Contents | None:
        """What the present file says of its rows."""
        return self.old.contents if self.old else None

    @property
    def folder(self) -> Path:
        """Where finished parts are."""
        return parts_folder(self.path, self.layout)

    def is_stale(self) -> bool:
        """Tell whether the file or its parts are others than they were."""
        return _seen(self.path) != self.seen

    def with_new_parts(self) -> "Survey":
        """Return the same with the parts that were finished since."""
        used = self.old.shards.names if self.old and self.old.shards else ()
        new = tuple(_parts(self.folder, self.recipe, {*used, *(part.path.name for part in self.parts)}))
        return replace(
            self,
            parts=(*self.parts, *new),
            features=KnownFeatures((*self.features.stores, *new)),
            rejected=self.rejected | _rejected(new),
        )

    def holds(self, contents: Contents) -> bool:
        """Tell whether the present file says just that of its rows."""
        return self.old is not None and self.old.contents.same_as(contents)

    def plan(self, scan: Scan) -> Plan:
        """Decide what is missing for a source."""
        return plan(scan, self.features.index, self.rejected, self.old.contents.ids if self.old else ())

    def leaving(self, scan: Scan, class_names: Sequence[str]) -> Leaving:
        """Decide what would leave the file, as far as is known before anything is computed."""
        staying = self.may_have(scan)
        rows = scan.rows.at(staying)
        return self.leaving_with(ComingRows(rows.ids, scan.digests.array[staying], rows.labels, class_names))

    def may_have(self, scan: Scan) -> np.ndarray:
        """Return the numbers of the rows whose image has a feature, or may get one."""
        there = np.flatnonzero(scan.digests.known)
        digests = scan.digests.array[there]
        broken = DigestIndex.of(self.rejected).holds(digests)
        return there[~broken | self.features.index.holds(digests)]

    def leaving_with(self, staying: Named) -> Leaving:
        """Decide what leaves the file if it will have these rows."""
        blocks = [np.empty((0, 32), np.uint8), *(part.digests for part in self.parts)]
        return leaving(self.contents, staying, np.concatenate(blocks))

    def probes(self) -> list[Probe]:
        """Return the probe of each store whose rows will stand beside new ones."""
        stores: list[Store] = [*([self.old] if self.old else []), *self.parts, *self.others]
        return [store.probe_of() for store in stores if len(store.digests)]

    def places(self, digests: np.ndarray) -> dict[str, int]:
        """Count rows by where their feature is known from.

        Parameters
        ----------
        digests : ndarray of uint8, shape (N, 32)
        """
        kinds = {id(store): "parts" for store in self.parts} | {id(store): "others" for store in self.others}
        found = self.features.index.find(digests)
        counts: Counter[str] = Counter()
        for store, numbers, _ in self.features.places(found[found >= 0]).by_store():
            counts[kinds.get(id(store), "file")] += len(numbers)
        return {name: counts[name] for name in ("file", "parts", "others")}


def survey(
    recipe: Recipe, path: Path, others: Iterable[str | Path] = (), layout: str | None = None
) -> Survey:
    """Open the present file, finished parts and other files.

    Parameters
    ----------
    recipe : Recipe
    path : Path
        The feature file; it need not exist.
    others : iterable of str or Path
        Files of the same recipe to take rows from.
    layout : str, optional
        What `path` has to be, or become; by default what it is, or ``single``.

    Raises
    ------
    HeadstartError
        If a file is none or has another recipe, `path` cannot be written, or the rows that would
        stand in one file are of two kinds of int8.
    """
    seen, layout = _seen(path), chosen_layout(path, layout)
    check_output(path, layout)
    old = same_recipe(path, recipe, OTHER_OUTPUT) if located(path).is_file() else None
    used = frozenset(old.shards.names) if old and old.shards else frozenset()
    parts = tuple(_parts(parts_folder(path, layout), recipe, used))
    files = tuple(same_recipe(Path(other), recipe, _OTHER_REUSE) for other in others)
    stores: list[Store] = [*([old] if old else []), *parts, *files]
    check_stores(stores)
    rejected = _lasting(_rejected(stores))
    return Survey(path, layout, recipe, old, parts, files, KnownFeatures(stores), rejected, seen)


def check_stores(stores: Iterable[Store]) -> None:
    """Raise if stores whose rows may stand in one file have int8 rows of two kinds.

    Raises
    ------
    HeadstartError
    """
    check_arithmetic(
        (str(store.path), engine) for store in stores if len(store.digests) for engine in store.engines
    )


def _rejected(stores: Iterable[Store]) -> dict[bytes, str]:
    return {digest: reason for store in stores for digest, reason in store.rejected.items()}


def _lasting(rejected: dict[bytes, str]) -> dict[bytes, str]:
    """Return what cannot be decoded here either: not what wanted TensorFlow, where that is installed now."""
    if not is_installed("tensorflow"):
        return rejected
    return {digest: reason for digest, reason in rejected.items() if not reason.endswith(MAY_DECODE)}


def _seen(path: Path) -> Seen:
    """Return what tells a file and its parts from those that another run leaves."""
    file = located(path)
    stat = file.stat() if file.is_file() else None
    names = [part.name for layout in LAYOUTS for part in part_paths(parts_folder(path, layout))]
    return (stat and (stat.st_ino, stat.st_size, stat.st_mtime_ns)), tuple(names)


def refuse_other_recipe(path: Path, found: Recipe, wanted: Recipe, todo: str) -> None:
    """Raise if two recipes differ, with each field and both values.

    Parameters
    ----------
    path : Path
        A feature file.
    found, wanted : Recipe
        Its own, and that which was asked for.
    todo : str
        What the user can do.

    Raises
    ------
    HeadstartError
    """
    different = list(wanted.differences(found))
    if different:
        raise HeadstartError(
            f"{str(path)!r} was made by another recipe",
            ", ".join(f"{name}={ours}" for name, ours, _ in different) + ", as asked for",
            ", ".join(f"{name}={theirs}" for name, _, theirs in different) + " in the file",
            todo,
        )


def check_output(path: Path, layout: str) -> None:
    """Raise if there is no feature file at a path, and none can be written; nothing is written.

    Parameters
    ----------
    path : Path
    layout : str
        What it has to become, as `extract.feature_file.shards.chosen_layout` says.

    Raises
    ------
    HeadstartError
    """
    if located(path).is_file():
        return
    if path.is_dir() and (layout == "single" or not is_parts_folder(path)):
        raise HeadstartError(
            f"{str(path)!r} cannot be written",
            "a file name" if layout == "single" else "a new folder, or one of a sharded feature file",
            "a folder" if layout == "single" else "a folder with other things in it",
            "choose another output with -o",
        )
    check_parent(path)


def same_recipe(path: Path, recipe: Recipe, todo: str) -> FeatureFile:
    """Open a feature file, or raise if it is none or has another recipe, with what the user can do."""
    file = FeatureFile(path)
    refuse_other_recipe(path, file.recipe, recipe, todo)
    return file


def _parts(folder: Path, recipe: Recipe, used: Container[str]) -> Iterable[PartFile]:
    for path in part_paths(folder):
        if path.name in used:
            continue
        try:
            part = PartFile(path)
        except DAMAGED as error:
            _log.warning("the part %s is damaged and will be computed again (%s)", path.name, error)
            continue
        if part.recipe_key == recipe.key:
            yield part
