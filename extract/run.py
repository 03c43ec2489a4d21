"""A run: plan, compute the missing parts, assemble the feature file."""

import hashlib
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from itertools import count
from pathlib import Path

from data.errors import HeadstartError
from data.source import Source
from extract.assemble import Store, assemble
from extract.plan import Part, Plan, Scan, plan
from extract.recipe import Recipe
from extract.store import Contents, FeatureFile, PartFile, write_feature_file
from extract.worker import BATCH_SIZE, PartWorker

_log = logging.getLogger("headstart.run")


@dataclass(frozen=True)
class Report:
    """What a run did.

    Attributes
    ----------
    file : str
    recipe_key : str
    rows : int
        Rows with features in the file; ``computed + reused``.
    computed : int
        Images that this run sent through the backbone.
    reused : int
        Rows whose feature was known: from the file, from kept parts, from an equal image.
    rejected : int
        Rows of the source without a feature.
    rejections : tuple of (str, str)
        Id and reason of each.
    warnings : tuple of str
    seconds : float
    """

    file: str
    recipe_key: str
    rows: int
    computed: int
    reused: int
    rejected: int
    rejections: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]
    seconds: float

    def to_dict(self) -> dict:
        """Return the report as JSON-ready values."""
        return asdict(self)


def local_map(make: Callable, parts: Iterable[Part], replicas: int = 1) -> Iterator[tuple[Part, object]]:
    """Compute parts in this process, one after the other; an error ends the run.

    Parameters
    ----------
    make : callable
        Makes the worker, a callable from a part to its result.
    parts : iterable of Part
    replicas : int
        Workers at once; here always one.

    Examples
    --------
    >>> list(local_map(lambda: len, ["ab", "c"]))
    [('ab', 2), ('c', 1)]
    """
    work = make()
    for part in parts:
        yield part, work(part)


def extract(
    source: Source,
    recipe: Recipe,
    path: str | Path,
    *,
    batch_size: int = BATCH_SIZE,
    max_bad: str | int = "10%",
    progress: Callable[[int, int], None] | None = None,
    map: Callable = local_map,
) -> Report:
    """Bring a feature file up to date with a source.

    Only images whose bytes the file does not know are computed. Finished parts are kept
    beside the file in ``<file>.parts`` until the file is complete, so an interrupted run
    goes on where it was.

    Parameters
    ----------
    source : Source
    recipe : Recipe
    path : str or Path
        The feature file.
    batch_size : int
        Images that the backbone sees at once; it does not change the features.
    max_bad : str or int
        Rejected rows that are too many: ``"10%"`` of the source's rows or a number.
    progress : callable, optional
        Called with the images done and the images to do, first with (0, n).
    map : callable
        Runs the parts: ``map(make, parts, replicas)`` yields (part, result or Exception).

    Returns
    -------
    Report

    Raises
    ------
    HeadstartError
        If the file has another recipe or cannot be written, or too many rows are rejected.
    KeyboardInterrupt
        With the words that say how to resume.

    Examples
    --------
    >>> recipe = Recipe.for_backbone("xception", image_size=150)  # doctest: +SKIP
    >>> extract(open_source("photos/"), recipe, "photos.h5").rows  # doctest: +SKIP
    2002
    """
    started, path = time.perf_counter(), Path(path)
    allowed = partial(_allowed_rejections, max_bad)
    allowed(0)
    old = _existing(path, recipe)
    scan = scan_source(source)
    folder = path.with_name(path.name + ".parts")
    features, rejected = _index(_stores(old, folder, recipe))
    decided = plan(scan, features.keys() | rejected.keys())
    with _told_how_to_resume(path, folder):
        make = partial(PartWorker, source, recipe, folder, batch_size)
        computed = _compute(decided, make, progress, map, folder)
        stores = _stores(old, folder, recipe)
        contents, rows = assemble(source, scan, recipe, *_index(stores), old)
        _check_rejections(path, contents, allowed(len(scan.rows)), folder)
        if old is None or not old.contents.same_as(contents):
            write_feature_file(path, contents, rows)
        for store in stores:
            if isinstance(store, PartFile):
                store.path.unlink()
    return _report(path, contents, computed, source, time.perf_counter() - started)


def scan_source(source: Source) -> Scan:
    """Hash the bytes of every row of a source."""
    digests, unreadable = [], {}
    for row, data in zip(source.rows, source.read(source.rows), strict=True):
        if isinstance(data, OSError):
            unreadable[row.id] = f"cannot be read: {data.strerror or data}"
            digests.append(None)
        else:
            digests.append(hashlib.sha256(data).digest())
    return Scan(source.rows, digests, unreadable)


def refuse_other_recipe(path: Path, found: Recipe, wanted: Recipe) -> None:
    """Raise if two recipes differ, with each field and both values.

    Raises
    ------
    HeadstartError
    """
    different = list(wanted.differences(found))
    if different:
        raise HeadstartError(
            f"{str(path)!r} was made by another recipe",
            ", ".join(f"{name}={ours}" for name, ours, _ in different),
            ", ".join(f"{name}={theirs}" for name, _, theirs in different),
            "choose another output with -o, or ask for the recipe of that file",
        )


def _existing(path: Path, recipe: Recipe) -> FeatureFile | None:
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK) or path.is_dir():
        raise HeadstartError(
            f"{str(path)!r} cannot be written",
            "a file name in a folder that exists and may be written",
            "a folder" if path.is_dir() else f"the folder {str(path.parent)!r}",
            "choose another output with -o, or make the folder writable",
        )
    if not path.exists():
        return None
    old = FeatureFile(path)
    refuse_other_recipe(path, old.recipe, recipe)
    return old


def _stores(old: FeatureFile | None, folder: Path, recipe: Recipe) -> list[Store]:
    """Return what holds features of this recipe: the present file and every readable part."""
    stores: list[Store] = [] if old is None else [old]
    for path in sorted(folder.glob("*.h5")):
        try:
            part = PartFile(path)
        except (OSError, KeyError, ValueError) as error:
            _log.warning("the part %s is damaged and will be computed again (%s)", path.name, error)
            continue
        if part.recipe_key == recipe.key:
            stores.append(part)
    return stores


def _index(stores: list[Store]) -> tuple[dict[bytes, tuple[Store, int]], dict[bytes, str]]:
    features: dict[bytes, tuple[Store, int]] = {}
    rejected: dict[bytes, str] = {}
    for store in stores:
        for row, digest in enumerate(store.digests):
            features.setdefault(digest.tobytes(), (store, row))
        rejected |= store.rejected
    return features, rejected


def _compute(decided: Plan, make: Callable, progress: Callable | None, map: Callable, folder: Path) -> int:
    """Run the missing parts and return how many images went through the backbone."""
    if not decided.parts:
        return 0
    folder.mkdir(exist_ok=True)
    done, computed = count(1), 0
    progress = progress or (lambda done, total: None)
    progress(0, decided.missing)
    make = partial(make, progress=lambda: progress(next(done), decided.missing))
    for _, result in map(make, decided.parts, 1):
        if isinstance(result, Exception):
            raise result
        computed += result
    return computed


def _allowed_rejections(max_bad: str | int, rows: int) -> float:
    try:
        share = str(max_bad).endswith("%")
        number = float(str(max_bad).removesuffix("%"))
        if number >= 0:
            return number / 100 * rows if share else number
    except ValueError:
        pass
    raise HeadstartError(
        "--max-bad is not a number", "a share as 10% or a number of images", str(max_bad), "correct it"
    )


def _check_rejections(path: Path, contents: Contents, allowed: float, folder: Path) -> None:
    bad = contents.rejected
    if contents.ids and len(bad) <= allowed:
        return
    shown = "; ".join(f"{row.id}: {row.reason}" for row in bad[:5])
    total = len(bad) + len(contents.ids)
    raise HeadstartError(
        f"{len(bad)} of {total} images were rejected, so {str(path)!r} was not written",
        f"at most {allowed:g} (--max-bad)" if contents.ids else "at least one image that can be decoded",
        shown + (f"; and {len(bad) - 5} more" if len(bad) > 5 else ""),
        f"mend or remove them, or allow more with --max-bad; what was computed is kept in {folder}"
        if contents.ids
        else "mend the images",
    )


@contextmanager
def _told_how_to_resume(path: Path, folder: Path) -> Iterator[None]:
    """Say, when a run is interrupted or the disk fails it, what is kept."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"interrupted; {_kept(folder)}") from None
    except OSError as error:
        raise HeadstartError(
            f"{str(path)!r} could not be written",
            "a disk with room, and a folder that may be written",
            " ".join(str(error).split())[:300],
            f"mend that or choose another output with -o; {_kept(folder)}",
        ) from error
    finally:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _kept(folder: Path) -> str:
    parts = len(list(folder.glob("*.h5")))
    if not parts:
        return "no part was finished yet: the same command starts again"
    return f"{parts} finished parts are kept in {folder}: the same command goes on from there"


def _report(path: Path, contents: Contents, computed: int, source: Source, seconds: float) -> Report:
    warnings = list(source.warnings)
    if len(contents.ids) == 1:
        warnings.append("the file holds one image; a head needs more")
    if len(set(contents.labels.tolist()) - {-1}) < 2:
        warnings.append("the images have fewer than two classes; a head needs two")
    return Report(
        file=str(path),
        recipe_key=contents.recipe.key,
        rows=len(contents.ids),
        computed=computed,
        reused=len(contents.ids) - computed,
        rejected=len(contents.rejected),
        rejections=tuple((row.id, row.reason) for row in contents.rejected),
        warnings=tuple(warnings),
        seconds=round(seconds, 3),
    )
