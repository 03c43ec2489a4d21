"""A run: plan, compute the missing parts, assemble the feature file."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from data.errors import HeadstartError, moved_keywords
from data.output.atomic import half_written, target_of
from data.output.disk import unwritten
from data.output.lock import clear_abandoned, locked
from data.sources.labels import check_labels, thin_classes
from data.sources.remembered import remember
from data.sources.source import Source, as_source
from data.split_rule import SplitRule
from data.splits import SPLIT_NAMES
from data.text import counted
from extract.engines.engine import check_engine
from extract.feature_file.contents import Contents, rows_by_split
from extract.feature_file.hdf5 import Store
from extract.feature_file.part import count_rows
from extract.feature_file.places import Places
from extract.feature_file.reader import FeatureFile, stored_digest
from extract.feature_file.shards import part_paths
from extract.feature_file.writer import write_feature_file
from extract.model_files.keras_file import output_warnings
from extract.recipe import Recipe, checked_recipe
from extract.run.assemble import allowed_rejections, assemble, check_rejections, chosen_rule
from extract.run.before import check_before, keep_before
from extract.run.leaving import Leaving, Moved, before_path, moved
from extract.run.local import Map, local_map
from extract.run.options import PLACES, Options, Report
from extract.run.plan import Part, Plan, Scan
from extract.run.scan import scan_source
from extract.run.survey import Survey, survey
from extract.run.worker import Computed, PartWorker, Work, dim_warning, warn_of_dim

_MOST_OPENED = 1000  # parts, to count their images while the user waits for an answer


_USUAL = Options()


@moved_keywords(PLACES)
def extract(
    source: Source | str | Path,
    recipe: Recipe,
    path: str | Path,
    options: Options = _USUAL,
    *,
    map: Map = local_map,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Bring a feature file up to date with a source.

    Only images whose bytes the file does not know are computed. Finished parts are kept
    beside the file in ``<file>.parts`` until the file is complete, so an interrupted run
    goes on where it was. Rows that leave the file are kept in ``<file>.before``. Where the
    images lie is kept in our cache, not in the file.

    Parameters
    ----------
    source : Source, str or Path
        A text or a path is opened by `data.open_source`.
    recipe : Recipe
    path : str or Path
        The feature file.
    options : Options
        How the run goes about it.
    map : callable
        Runs the parts: `local_map` here, ``partial(ray_map, cluster=...)`` on a Ray cluster.
    progress : callable, optional
        Called with the images done and the images to do, first with (0, n).

    Returns
    -------
    Report

    Raises
    ------
    HeadstartError
        If the file has another recipe or other splits, or cannot be written, too many rows are
        rejected, or more would leave the file than may.
    KeyboardInterrupt
        With the words that say how to resume.

    Examples
    --------
    >>> recipe = Recipe.for_backbone("xception", image_size=150)  # doctest: +SKIP
    >>> extract("photos/", recipe, "photos.h5").rows  # doctest: +SKIP
    2002
    """
    started = time.perf_counter()
    run = _Run(as_source(source), checked_recipe(recipe), target_of(Path(path)), options, map, progress)
    allowed_rejections(options.max_bad, 0)
    check_engine(options.engine, recipe)
    return _report(Path(path), run.source, _up_to_date(run), time.perf_counter() - started)


@dataclass(frozen=True)
class _Run:
    """What a run is given."""

    source: Source
    recipe: Recipe
    path: Path
    options: Options
    map: Map
    progress: Callable[[int, int], None] | None

    def survey(self) -> Survey:
        return survey(self.recipe, self.path, self.options.others, self.options.layout)

    def scan(self) -> Scan:
        return self.options.scan or scan_source(self.source, self.options.rehash)

    def rule(self, found: Survey, scan: Scan) -> SplitRule:
        return chosen_rule(scan, found, self.options.split_rule)

    def check(self, found: Survey, leaves: Leaving, kept: Callable[[], str] = str) -> Leaving:
        check_before(found, leaves, self.source, self.options.allow_drop, kept)
        return leaves


@dataclass(frozen=True)
class _Done:
    """What a run came to: what was known before it, the new contents, the rows that left."""

    found: Survey
    contents: Contents
    leaves: Leaving
    computed: Computed


def _up_to_date(run: _Run) -> _Done:
    """Go the way of every image: survey, scan, plan, compute, assemble, write."""
    found, scan = run.survey(), run.scan()
    rule, decided = run.rule(found, scan), found.plan(scan)
    ready = None if decided.parts else assemble(run.source, scan, found, rule)
    if ready and found.old and not found.parts and not _is_empty(found.folder) and found.holds(ready[0]):
        clear_abandoned(found.path)
        remember(found.old.content_digest, run.source)
        return _Done(found, ready[0], Leaving(0), Computed(0))
    with _writing(found.path, found.folder, run.options.wait):
        if found.is_stale():  # another run ended since
            found, ready = run.survey(), None
            rule, decided = run.rule(found, scan), found.plan(scan)
        leaves = run.check(found, found.leaving(scan, run.source.class_names))
        computed = _compute(run, found, decided, leaves) if decided.parts else Computed(0)
        whole = found.with_new_parts() if decided.parts else found
        contents, rows = ready or assemble(run.source, scan, whole, rule)
        done = _Done(found, contents, _write(run, whole, contents, rows), computed)
        remember(stored_digest(found.path), run.source)
    return done


def _work(found: Survey, decided: Plan, leaves: Leaving, options: Options) -> Work:
    return Work(
        PartWorker,
        found.recipe,
        found.folder.absolute(),
        engine=options.engine,
        batch_size=options.batch_size,
        threads=options.threads,
        probes=found.probes(),
        whole=found.layout == "sharded",
        rows=decided.written(found.layout, leaves.kept),
    )


def _write(run: _Run, found: Survey, contents: Contents, rows: Places) -> Leaving:
    check_rejections(found.folder, found.path, contents, run.options.max_bad)
    leaves = run.check(found, found.leaving_with(contents), partial(_kept, found.folder))
    keep = partial(keep_before, found, leaves, contents)
    if found.holds(contents):
        keep()  # of parts alone
    else:
        write_feature_file(found.path, contents, rows, found.layout, keep)
    for path in _no_longer_needed(found):
        path.unlink()
    return leaves


def _no_longer_needed(found: Survey) -> list[Path]:
    """Return the parts that the file which was just written does not use."""
    if found.layout == "single":
        return [part.path for part in found.parts]
    known: list[Store] = [*found.parts, *([found.old] if found.old else [])]
    before = {path for store in known for path in store.paths()}
    return sorted(before - set(FeatureFile(found.path).paths()))


@contextmanager
def _writing(path: Path, folder: Path, wait: bool) -> Iterator[None]:
    """Hold the lock, clear what killed runs left, and say what is kept if this one is stopped."""
    try:
        with locked(path, wait=wait):
            for half in [*half_written(path), *half_written(folder / "*.h5")]:
                half.unlink()
            try:
                yield
            finally:
                if _is_empty(folder):
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


def _is_empty(folder: Path) -> bool:
    """Tell whether nothing is in a folder of parts, as a run leaves it that is killed after its last step."""
    return folder.is_dir() and not any(folder.iterdir())


def _kept(folder: Path) -> str:
    parts = part_paths(folder)
    if not parts:
        return "nothing was finished yet: the same command starts again"
    few = len(parts) <= _MOST_OPENED
    kept = counted(count_rows(parts), "finished image") if few else counted(len(parts), "finished part")
    return f"{kept} kept in {folder}: the same command goes on from there"


def _compute(run: _Run, found: Survey, decided: Plan, leaves: Leaving) -> Computed:
    """Run the missing parts and return how many images went through the backbone, and which are dim."""
    done, images = 0, 0
    dim: list[str] = []
    failed: list[tuple[Part, Exception]] = []
    progress = run.progress or (lambda done, total: None)
    found.folder.mkdir(parents=True, exist_ok=True)

    def advance(images: int) -> None:
        nonlocal done
        done += images
        progress(done, decided.missing)

    advance(0)
    work = _work(found, decided, leaves, run.options)
    results = run.map(work, decided.parts, run.options.replicas, source=run.source, progress=advance)
    with closing(results):
        for part, result in results:
            if isinstance(result, Exception):
                failed.append((part, result))
                continue
            images += result.images
            if result.dim and not dim:
                warn_of_dim(result.dim)
            dim += result.dim
    if failed:
        raise _failed(failed, found.folder)
    return Computed(images, tuple(sorted(dim)))


def _failed(failed: list[tuple[Part, Exception]], folder: Path) -> HeadstartError:
    names = "; ".join(f"{part.rows[0].id} to {part.rows[-1].id}: {error}" for part, error in failed[:3])
    return HeadstartError(
        f"{counted(len(failed), 'part')} could not be computed, so the feature file was not written",
        "every part computed, in three attempts at most",
        names + (f"; and {len(failed) - 3} more" if len(failed) > 3 else ""),
        f"mend the cause; {_kept(folder)}",
    )


def _warnings(source: Source, done: _Done, elsewhere: Moved, classes: int, trained: int) -> Iterator[str]:
    """Yield what the user should know of a run; dim images are those that it computed."""
    rows = done.contents
    yield from source.warnings
    yield from check_labels(rows.labels, rows.splits, rows.digests, rows.ids, rows.class_names, rows.groups)
    yield from thin_classes(rows.labels, rows.splits, rows.class_names)
    yield from elsewhere.lines
    yield from output_warnings(rows.recipe.backbone, rows.recipe.layers)
    if done.computed.dim:
        yield dim_warning(done.computed.dim)
    if len(rows.ids) == 1:
        yield "the file holds one image; a head needs more"
    if classes < 2:
        yield "the images have fewer than two classes; a head needs two"
    elif trained < 2:
        yield "the training rows have fewer than two classes; a head needs two"


def _report(path: Path, source: Source, done: _Done, seconds: float) -> Report:
    contents, leaves, labels = done.contents, done.leaves, done.contents.labels
    training = labels[contents.splits == SPLIT_NAMES.index("train")]
    classes, trained = (len(set(each.tolist()) - {-1}) for each in (labels, training))
    places = done.found.places(contents.digests)
    elsewhere = moved(done.found.contents, contents)
    places["twins"] = len(contents.ids) - done.computed.images - sum(places.values())
    return Report(
        file=str(path),
        recipe_key=contents.recipe.key,
        rows=len(contents.ids),
        computed=done.computed.images,
        reused=len(contents.ids) - done.computed.images,
        reused_from=places,
        dropped=leaves.lost,
        replaced=len(leaves.replaced),
        before=str(before_path(path)) if leaves.kept else "",
        moved=elsewhere.counts,
        rejected=len(contents.rejected),
        rejections=tuple((row.id, row.reason) for row in contents.rejected),
        classes=classes,
        trained_classes=trained,
        unlabelled=int((labels < 0).sum()),
        split_rule=contents.split_rule.to_dict(),
        own_splits=sum(row.id in contents.ids for row in source.rows if row.split),
        rows_by_split=rows_by_split(labels, contents.splits, contents.class_names),
        warnings=tuple(_warnings(source, done, elsewhere, classes, trained)),
        seconds=round(seconds, 3),
    )
