"""A run: plan, compute the missing parts, assemble the feature file."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from data.errors import HeadstartError
from data.label_checks import check_labels
from data.lists import as_list
from data.lock import clear_abandoned, locked
from data.output import half_written, target_of, unwritten
from data.source import Source, as_source
from data.text import counted
from extract.assemble import assemble
from extract.before import check_before, keep_before
from extract.contents import Contents
from extract.engines import check_engine
from extract.hashes import scan_source
from extract.leaving import Leaving, before_path
from extract.part import count_rows
from extract.plan import Part, Plan, Scan
from extract.recipe import Recipe, checked_recipe
from extract.rejections import allowed_rejections, check_rejections
from extract.shards import part_paths
from extract.store import FeatureFile, write_feature_file
from extract.survey import Survey, parts_folder, survey
from extract.worker import PartWorker

_MOST_OPENED = 1000  # parts, to count their images while the user waits for an answer
_log = logging.getLogger("headstart.run")


@dataclass(frozen=True)
class Options:
    """How a run goes about its work; none of it changes a feature.

    Attributes
    ----------
    engine : str
        What runs the backbone: ``auto``, ``keras`` or ``openvino``; see `extract.engines`.
    batch_size : int or None
        Images that the backbone sees at once; None is what suits the engine.
    threads : int or None
        Of the CPU; None is all that this process may use.
    max_bad : str or int
        Rejected rows that are too many: ``"10%"`` of the source's rows or a number.
    allow_drop : bool
        Go on where more than half of the file's rows or a whole class would leave it.
    reuse : str or Path, or several of them
        Other feature files of the same recipe, from which rows are taken.
    wait : bool
        Wait while another run writes the same file, or raise.
    rehash : bool
        Read every file again, also where size and modification time are as they were.
    layout : str or None
        ``single`` or ``sharded``; None is what the output has, ``single`` for a new one.
    replicas : int or None
        Workers at once, where the map has several; None is as many as it has room for.
    """

    engine: str = "auto"
    batch_size: int | None = None
    threads: int | None = None
    max_bad: str | int = "10%"
    allow_drop: bool = False
    reuse: tuple = ()
    wait: bool = True
    rehash: bool = False
    layout: str | None = None
    replicas: int | None = None

    def __post_init__(self):
        object.__setattr__(self, "reuse", tuple(as_list(self.reuse)))


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
        Rows whose feature was known.
    reused_from : dict of str to int
        The same by where it was known from: ``file``, ``parts`` of an interrupted run,
        ``others`` (`Options.reuse`), ``twins`` (an equal image in this run).
    dropped : int
        Rows that were in the file, or in finished parts, and whose image no row holds any more.
    replaced : int
        Rows of the file whose name now stands for another image.
    before : str
        Where the features of the two are kept, empty if there are none.
    rejected : int
        Rows of the source without a feature.
    rejections : tuple of (str, str)
        Id and reason of each.
    classes : int
        Different known labels in the file.
    unlabelled : int
        Rows of the file without a known label: no head learns from them or is judged on them.
    warnings : tuple of str
    seconds : float
    """

    file: str
    recipe_key: str
    rows: int
    computed: int
    reused: int
    reused_from: dict[str, int]
    dropped: int
    replaced: int
    before: str
    rejected: int
    rejections: tuple[tuple[str, str], ...]
    classes: int
    unlabelled: int
    warnings: tuple[str, ...]
    seconds: float

    def to_dict(self) -> dict:
        """Return the report as JSON-ready values."""
        return asdict(self)


def local_map(
    make: Callable, parts: Iterable[Part], replicas: int | None = None, *, source, progress: Callable
) -> Iterator[tuple[Part, object]]:
    """Compute parts in this process, one after the other; an error ends the run.

    Parameters
    ----------
    make : callable
        ``make(source=..., progress=...)`` makes the worker, a callable from a part to its result.
    parts : iterable of Part
    replicas : int, optional
        Workers at once; here always one.
    source : Source
    progress : callable
        Called with a number of images, when they are done.

    Examples
    --------
    >>> list(local_map(lambda source, progress: len, ["ab", "c"], source=None, progress=print))
    [('ab', 2), ('c', 1)]
    """
    work = make(source=source, progress=progress)
    for part in parts:
        yield part, work(part)


def extract(
    source: Source | str | Path,
    recipe: Recipe,
    path: str | Path,
    *,
    progress: Callable[[int, int], None] | None = None,
    map: Callable = local_map,
    **options,
) -> Report:
    """Bring a feature file up to date with a source.

    Only images whose bytes the file does not know are computed. Finished parts are kept
    beside the file in ``<file>.parts`` until the file is complete, so an interrupted run
    goes on where it was. Rows that leave the file are kept in ``<file>.before``.

    Parameters
    ----------
    source : Source, str or Path
        A text or a path is opened by `data.open_source`.
    recipe : Recipe
    path : str or Path
        The feature file.
    progress : callable, optional
        Called with the images done and the images to do, first with (0, n).
    map : callable
        Runs the parts: ``map(make, parts, replicas, source=..., progress=...)``, as `local_map`,
        yields (part, result or Exception) in any order.
    **options
        Fields of `Options`: `engine`, `batch_size`, `threads`, `max_bad`, `allow_drop`, `reuse`,
        `wait`, `rehash`, `layout`, `replicas`.

    Returns
    -------
    Report

    Raises
    ------
    HeadstartError
        If the file has another recipe or cannot be written, too many rows are rejected, or more
        would leave the file than may.
    KeyboardInterrupt
        With the words that say how to resume.

    Examples
    --------
    >>> recipe = Recipe.for_backbone("xception", image_size=150)  # doctest: +SKIP
    >>> extract("photos/", recipe, "photos.h5").rows  # doctest: +SKIP
    2002
    """
    started, named, options = time.perf_counter(), Path(path), Options(**options)
    path, source, recipe = target_of(named), as_source(source), checked_recipe(recipe)
    allowed = partial(allowed_rejections, options.max_bad)
    allowed(0)
    check_engine(options.engine, recipe)
    look = partial(survey, recipe, path, options.reuse, options.layout)
    found, computed, leaves = look(), 0, Leaving(0)
    scan = scan_source(source, options.rehash)
    contents = _finished(source, scan, found)
    if contents:
        clear_abandoned(path)
    else:
        folder = parts_folder(path, found.layout)
        with _writing(path, folder, options.wait):
            found = look()  # another run may have ended since
            leaves = found.leaving(scan, source.class_names)
            check_before(found, leaves, source, options.allow_drop)
            how = {"engine": options.engine, "batch_size": options.batch_size, "threads": options.threads}
            decided = found.plan(scan)
            how |= {"probes": found.probes(), "whole": found.layout == "sharded"}
            how["rows"] = decided.written(found.layout, leaves.kept)
            make = partial(PartWorker, recipe, folder.absolute(), **how)
            run = partial(map, make, replicas=options.replicas, source=source)
            computed = _compute(found, decided, run, progress)
            contents, leaves = _write(source, scan, look(), allowed, options.allow_drop)
    return _report(named, contents, found, computed, leaves, source, time.perf_counter() - started)


def _finished(source: Source, scan: Scan, found: Survey) -> Contents | None:
    """Return the contents of the present file if they are what the source holds now."""
    if found.old is None or found.parts or found.plan(scan).parts:
        return None
    contents, _ = assemble(source, scan, found)
    return contents if found.old.contents.same_as(contents) else None


def _write(
    source: Source, scan: Scan, found: Survey, allowed: Callable[[int], float], allow_drop: bool
) -> tuple[Contents, Leaving]:
    contents, rows = assemble(source, scan, found)
    folder = parts_folder(found.path, found.layout)
    check_rejections(folder, found.path, contents, allowed(len(scan.rows)))
    leaves = found.leaving_with(contents.rows())
    check_before(found, leaves, source, allow_drop, partial(_kept, folder))
    keep = partial(keep_before, found, leaves, contents)
    if found.old is None or not found.old.contents.same_as(contents):
        write_feature_file(found.path, contents, rows, found.layout, keep)
    else:
        keep()  # of parts alone
    for path in _no_longer_needed(found):
        path.unlink()
    return contents, leaves


def _no_longer_needed(found: Survey) -> list[Path]:
    """Return the parts that the file which was just written does not use."""
    if found.layout == "single":
        return [part.path for part in found.parts]
    known = [*found.parts, *([found.old] if found.old else [])]
    before = {path for store in known for path in store.paths()}
    return sorted(before - set(FeatureFile(found.path).paths()))


@contextmanager
def _writing(path: Path, folder: Path, wait: bool) -> Iterator[None]:
    """Hold the lock, clear what killed runs left, and say what is kept if this one is stopped."""
    try:
        with locked(path, wait=wait, say=_log.info):
            for half in [*half_written(path), *half_written(folder / "*.h5")]:
                half.unlink()
            try:
                yield
            finally:
                if folder.is_dir() and not any(folder.iterdir()):
                    folder.rmdir()
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"interrupted; {_kept(folder)}") from None
    except HeadstartError:
        raise
    except OSError as error:
        raise unwritten(path, error, f"or choose another output with -o; {_kept(folder)}") from error
    except MemoryError as error:
        raise HeadstartError(
            "the machine has too little memory for this run",
            "memory for the backbone and the images of a few batches",
            str(error) or "none left",
            f"end other programs, or take a smaller --batch-size and fewer --threads; {_kept(folder)}",
        ) from error


def _kept(folder: Path) -> str:
    parts = part_paths(folder)
    if not parts:
        return "nothing was finished yet: the same command starts again"
    few = len(parts) <= _MOST_OPENED
    kept = counted(count_rows(parts), "finished image") if few else counted(len(parts), "finished part")
    return f"{kept} kept in {folder}: the same command goes on from there"


def _compute(found: Survey, decided: Plan, run: Callable, progress: Callable | None) -> int:
    """Run the missing parts and return how many images went through the backbone."""
    if not decided.parts:
        return 0
    folder, done, computed, failed = parts_folder(found.path, found.layout), 0, 0, []
    folder.mkdir(parents=True, exist_ok=True)
    progress = progress or (lambda done, total: None)

    def advance(images: int) -> None:
        nonlocal done
        done += images
        progress(done, decided.missing)

    advance(0)
    with closing(run(decided.parts, progress=advance)) as results:
        for part, result in results:
            if isinstance(result, Exception):
                failed.append((part, result))
                continue
            computed += result
    if failed:
        raise _failed(failed, folder)
    return computed


def _failed(failed: list[tuple[Part, Exception]], folder: Path) -> HeadstartError:
    names = "; ".join(f"{part.rows[0].id} to {part.rows[-1].id}: {error}" for part, error in failed[:3])
    return HeadstartError(
        f"{counted(len(failed), 'part')} could not be computed, so the feature file was not written",
        "every part computed, in three attempts at most",
        names + (f"; and {len(failed) - 3} more" if len(failed) > 3 else ""),
        f"mend the cause; {_kept(folder)}",
    )


def _report(
    path: Path,
    contents: Contents,
    found: Survey,
    computed: int,
    leaves: Leaving,
    source: Source,
    seconds: float,
) -> Report:
    labels, splits = contents.labels, contents.splits
    warnings = [
        *source.warnings,
        *check_labels(labels, splits, contents.digests, contents.ids, contents.class_names),
    ]
    if len(contents.ids) == 1:
        warnings.append("the file holds one image; a head needs more")
    classes = len(set(labels.tolist()) - {-1})
    if classes < 2:
        warnings.append("the images have fewer than two classes; a head needs two")
    places = found.places(contents.digests)
    places["twins"] = len(contents.ids) - computed - sum(places.values())
    return Report(
        file=str(path),
        recipe_key=contents.recipe.key,
        rows=len(contents.ids),
        computed=computed,
        reused=len(contents.ids) - computed,
        reused_from=places,
        dropped=leaves.lost,
        replaced=len(leaves.replaced),
        before=str(before_path(path)) if leaves.kept else "",
        rejected=len(contents.rejected),
        rejections=tuple((row.id, row.reason) for row in contents.rejected),
        classes=classes,
        unlabelled=int((labels < 0).sum()),
        warnings=tuple(warnings),
        seconds=round(seconds, 3),
    )
