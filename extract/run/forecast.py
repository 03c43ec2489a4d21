"""What a run would do, before it does anything: the plan, the bytes, and a measured time."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path

import numpy as np

from data.errors import HeadstartError, moved_keywords
from data.output.atomic import target_of
from data.output.disk import free_room
from data.sources.labels import check_labels, thin_classes
from data.sources.source import Row, Source, as_source
from data.split_rule import SplitRule
from extract.engines.engine import chosen_engine, open_engine
from extract.engines.file_graph import gflop
from extract.engines.pipeline import compute_features, engine_speed
from extract.engines.probe import check_probes
from extract.feature_file.contents import rows_by_split
from extract.model_files.keras_file import output_warnings
from extract.recipe import Probe, Recipe, checked_recipe
from extract.run.assemble import chosen_rule, groups_of, splits_of
from extract.run.calibrate import quantized
from extract.run.leaving import ComingRows, moved
from extract.run.options import PLACES, Options
from extract.run.plan import KINDS, Part, bytes_needed
from extract.run.scan import Scan, scan_source
from extract.run.survey import Survey, survey
from extract.run.worker import bytes_of, dim_warning

WORTH = 1000  # images to compute, at least, before another arithmetic is worth a word
_IMAGES = 96  # measured, after those that warm up


@dataclass(frozen=True)
class Room:
    """A node of a cluster, by address and id, and how many replicas it has room for."""

    node: str
    replicas: int


@dataclass(frozen=True)
class Preview:
    """What a run would do.

    Attributes
    ----------
    rows, present, rejected, unreadable, duplicates, added, replaced : int
        As in `extract.run.plan.Plan`.
    dropped : int
        As in `extract.run.options.Report`.
    refused : str
        What would leave the file and may not without `Options.allow_drop`; empty if nothing.
    moved : dict of str to int
        Images that the file holds with another ``label``, ``split`` or ``group``.
    missing : int
        Images that the backbone has to see.
    parts : int
    gflop : float or None
        Of one image up to the deepest layer of the recipe, as in `extract.run.bench.Bench`; None if nothing
        is missing.
    bytes_needed : int or None
        On disk while it runs, for the parts and the new file; None if nothing is missing.
    bytes_free : int
    images_per_second : float or None
        Measured on the first missing images.
    seconds : float or None
        ``missing / images_per_second``: projected for this process alone, not measured.
    arithmetics : dict of str to float
        Images a second of the engine alone in others than float32, where many images are missing and
        this CPU computes them faster: see `other_arithmetics`.
    nodes : tuple of Room
        Of a cluster.
    split_rule : dict
        How rows that name no split get one: `data.split_rule.SplitRule.to_dict`.
    rows_by_split : dict of str to dict of str to int
        Rows of each class in each split, were no missing image broken.
    warnings : tuple of str
        What the user should know of the source, its labels, and the images that were measured.
    examples : tuple of str
        What the source takes from names, on a few of them.
    """

    rows: int
    present: int
    rejected: int
    unreadable: int
    duplicates: int
    added: int
    replaced: int
    dropped: int
    refused: str
    moved: dict[str, int]
    missing: int
    parts: int
    gflop: float | None
    bytes_needed: int | None
    bytes_free: int
    images_per_second: float | None
    seconds: float | None
    arithmetics: dict[str, float] = field(default_factory=dict)
    nodes: tuple[Room, ...] = ()
    split_rule: dict = field(default_factory=dict)
    rows_by_split: dict[str, dict[str, int]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()

    def to_dict(self) -> dict:
        """Return the preview as JSON-ready values; the duplicates are ``twins`` there."""
        return {"twins" if name == "duplicates" else name: value for name, value in asdict(self).items()}


_USUAL = Options()


@moved_keywords({**PLACES, "cluster": "nodes=rooms(cluster)"})
def preview(
    source: Source | str | Path,
    recipe: Recipe,
    path: str | Path,
    options: Options = _USUAL,
    *,
    nodes: Sequence[Room] = (),
) -> Preview:
    """Plan a run without writing anything, and measure a few batches if images are missing.

    Parameters
    ----------
    source, recipe, path, options
        As `extract.run.extract.extract` takes them.
    nodes : sequence of Room, optional
        Where the parts would be computed, if not in this process, as `extract.cluster.driver.rooms` has them.

    Raises
    ------
    HeadstartError
        Where the run would refuse: files of other recipes or splits, or rows that come out otherwise here.
    """
    path = target_of(Path(path))
    source, recipe = as_source(source), checked_recipe(recipe)
    found = survey(recipe, path, options.others, options.layout)
    scan = options.scan or scan_source(source, options.rehash)
    rule = chosen_rule(scan, found, options.split_rule)
    decided, leaves = found.plan(scan), found.leaving(scan, source.class_names)
    rows = _rows(source, scan, found, rule)
    elsewhere = moved(found.contents, rows)
    dim: list[Row] = []
    beside = [] if nodes else found.probes()  # a node's engine may be another
    measured = _measure(source, recipe, decided.parts, options, beside, dim) if decided.parts else (None, 0)
    speed, width = measured
    return Preview(
        **{kind: getattr(decided, kind) for kind in ("rows", *KINDS)},
        dropped=leaves.lost,
        refused="" if options.allow_drop else leaves.refusal,
        moved=elsewhere.counts,
        missing=decided.missing,
        parts=len(decided.parts),
        gflop=gflop(recipe) if decided.parts else None,
        bytes_needed=bytes_needed(decided.written(found.layout, leaves.kept), width)
        if decided.parts
        else None,
        bytes_free=free_room(path),
        images_per_second=speed and round(speed, 2),
        seconds=speed and round(decided.missing / speed, 1),
        arithmetics=other_arithmetics(source, recipe, options, scan) if decided.missing >= WORTH else {},
        nodes=tuple(nodes),
        split_rule=rule.to_dict(),
        rows_by_split=rows_by_split(rows.labels, rows.splits, source.class_names),
        warnings=(
            *source.warnings,
            *_told(rows),
            *elsewhere.lines,
            *output_warnings(recipe.backbone, recipe.layers),
            *([dim_warning(sorted(row.id for row in dim))] if dim else ()),
        ),
        examples=tuple(source.examples),
    )


def _rows(source: Source, scan: Scan, found: Survey, rule: SplitRule) -> ComingRows:
    numbers = found.may_have(scan)
    rows, digests = scan.rows.at(numbers), scan.digests.array[numbers]
    splits = splits_of(rows, digests, rule, found.contents)
    return ComingRows(rows.ids, digests, rows.labels, source.class_names, splits, groups_of(rows))


def _told(rows: ComingRows) -> Iterator[str]:
    """Yield what is odd about labels and splits."""
    yield from check_labels(rows.labels, rows.splits, rows.digests, rows.ids, rows.class_names, rows.groups)
    yield from thin_classes(rows.labels, rows.splits, rows.class_names)


def _measure(
    source: Source,
    recipe: Recipe,
    parts: Sequence[Part],
    options: Options,
    beside: Sequence[Probe],
    dim: list[Row],
) -> tuple[float, int]:
    """Return images a second and the number of features of an image; note the dim ones of those measured.

    It refuses, as a run, to compute what does not fit the probes of the rows beside.
    """
    engine = open_engine(options.engine, recipe, options.threads)
    engine.batch_size = options.batch_size or engine.batch_size
    width = sum(map(len, check_probes(engine, recipe, beside)))
    first = engine.batch_size * (1 + engine.ahead)
    rows = list(islice((row for part in parts for row in part.rows), first + _IMAGES))
    times = [time.perf_counter()]
    for _ in compute_features(engine, recipe, bytes_of(source, rows), options.threads, dim.append):
        times.append(time.perf_counter())
    first = first if len(times) - 1 > first else 0
    return max(1, len(times) - 1 - first) / (times[-1] - times[first]), width


def other_arithmetics(
    source: Source, recipe: Recipe, options: Options, scan: Scan | None = None, *, int8: bool = True
) -> dict[str, float]:
    """Measure the engine alone in each arithmetic that would compute a float32 recipe in less time.

    Parameters
    ----------
    source : Source
        Its images calibrate int8; that takes half a minute, and is kept in the cache.
    recipe : Recipe
    options : Options
        Engine and threads.
    scan : Scan, optional
        What the source holds, where the caller has scanned it.
    int8 : bool
        Whether to measure that too.

    Returns
    -------
    dict of str to float
        Images a second by arithmetic. Empty where the recipe has another one already, or where this
        machine computes by another engine than OpenVINO.
    """
    if (recipe.precision, recipe.quantization) != ("float32", "none"):
        return {}
    if _engine(recipe, options) != "openvino":
        return {}
    found = {}
    for name, other in _others(source, recipe, scan, int8):
        try:
            engine = open_engine("openvino", other, options.threads)
        except HeadstartError:  # this CPU does not compute it
            continue
        pixels = np.random.default_rng(0).uniform(0, 255, (_IMAGES, *recipe.image_size, 3)).astype(np.float32)
        engine(pixels[: engine.batch_size])
        found[name] = round(engine_speed(engine, pixels), 1)
    return found


def _engine(recipe: Recipe, options: Options) -> str:
    return chosen_engine(recipe) if options.engine == "auto" else options.engine


def _others(source: Source, recipe: Recipe, scan: Scan | None, int8: bool) -> Iterator[tuple[str, Recipe]]:
    yield "bfloat16", replace(recipe, precision="bfloat16")
    if int8:
        try:
            yield "int8", quantized(recipe, source, scan=scan)
        except HeadstartError:  # NNCF is not installed
            return
