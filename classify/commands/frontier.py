"""The command python -m classify frontier."""

from pathlib import Path
from typing import Annotated

import typer

from classify.commands.options import AsJson, names_between_commas
from data.console import say, say_warnings, show
from data.errors import HeadstartError, UsageError
from data.source_options import NONE, takes_source_options
from data.sources.options import SourceOptions, words_of
from extract.commands.options import (
    Antialias,
    Crop,
    GroupsFile,
    Pooling,
    Resize,
    ScalingText,
    SourceText,
    Threads,
    WeightsText,
)


@takes_source_options
def frontier(
    source: SourceText,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FOLDER", help="Default: SOURCE-frontier.")
    ] = None,
    rows: Annotated[int, typer.Option(help="Images of the sample.")] = 600,
    backbones: Annotated[
        str,
        typer.Option(
            metavar="NAME,...", help="Each as --backbone of extract run; those without weights are named."
        ),
    ] = "xception",
    image_sizes: Annotated[
        str | None,
        typer.Option(
            metavar="N,...", help="Sides in pixels; default: 0.5, 0.75, 1 and 1.3 of each backbone's own."
        ),
    ] = None,
    arithmetics: Annotated[
        str, typer.Option(metavar="NAME,...", help="What this machine does not compute is named.")
    ] = "int8,bfloat16,float32",
    layer: Annotated[
        list[str], typer.Option(help="Try this layer too; repeatable; each alone and all with the last one.")
    ] = [],  # noqa: B006
    layers: Annotated[
        bool, typer.Option("--layers", help="Try the ends of stages, as extract layers lists them.")
    ] = False,
    weights: WeightsText = "imagenet",
    resize: Resize = None,
    antialias: Antialias = None,
    crop: Crop = None,
    scaling: ScalingText = None,
    pooling: Pooling = "avg",
    budget: Annotated[
        float | None,
        typer.Option(
            metavar="MINUTES",
            help="For this command, and again for extracting all of SOURCE by the recipe that it names.",
        ),
    ] = None,
    images_per_second: Annotated[
        float | None, typer.Option(metavar="X", help="The recipe that is named is at least so fast.")
    ] = None,
    groups: GroupsFile = None,
    how: SourceOptions = NONE,
    threads: Threads = None,
    seed: Annotated[int, typer.Option(help="Of the sample and of the folds.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Try recipes on a sample, and print which are worth their time: scores, speed, what all would take.

    Labelled training and validation images are drawn; a logistic head is cross-validated on the features
    of each recipe. The line that follows extracts all images and reuses the sample's features.

    Example: python -m classify frontier photos/ --budget 6
    """
    from classify.frontier.advice import frontier_lines
    from classify.frontier.frontier import Place
    from classify.frontier.frontier import frontier as compare
    from classify.frontier.grid import Request
    from data.sources.source import open_source
    from data.stores.urls import shown
    from extract.backbones.seen import Seen
    from extract.commands.options import default_name, listed_groups

    request = Request(
        rows,
        names_between_commas(backbones) or (),
        _sides(image_sizes),
        names_between_commas(arithmetics) or (),
        layer,
        layers,
        weights,
        budget,
        images_per_second,
        threads,
        seed,
        Seen(resize, antialias, crop, scaling, pooling),
    )
    opened = open_source(source, **how)
    say_warnings(opened.warnings)
    given: dict[str, object] = {"--weights": weights if weights != "imagenet" else None, "--groups": groups}
    given |= {"--threads": threads}
    options = [str(word) for name, value in given.items() if value is not None for word in (name, value)]
    options += words_of(how)
    stem = Path(default_name(source)).stem
    found = compare(
        opened,
        output or Path(f"{stem}-frontier"),
        request,
        groups=listed_groups(groups),
        place=Place(shown(source), tuple(options), stem, request),
        say=say,
    )
    show(found, frontier_lines, as_json)
    if found["unmet"]:
        raise HeadstartError(**found["unmet"])


def _sides(text: str | None) -> list[int]:
    names = names_between_commas(text) or []
    if not all(name.isdecimal() for name in names):
        raise UsageError(
            "--image-sizes are not sides of images", "pixels between commas: 150,299", str(text), "correct it"
        )
    return [int(name) for name in names]
